# caru-ini's novelai-sdk (PyPI `novelai-sdk`): httpx and Pydantic models that forbid unknown fields; streams as SSE.
# Its base address and key come from its own environment variables, so nothing in it is changed.
import base64
import io
import warnings

from novelai import NovelAI
from novelai.types import (
    ControlNet,
    ControlNetImage,
    GenerateImageParams,
    GenerateImageStreamParams,
    I2iParams,
    InpaintParams,
    SuggestTagsParams,
    UpscaleParams,
)
from report import HEIGHT, MASK_FILE, SOURCE_FILE, WIDTH, expect, feature, main, pictures

SIZE = (WIDTH, HEIGHT)
client = NovelAI()


def as_png(image):
    """The SDK hands out opened PIL images, not bytes; load() makes Pillow decode every pixel of what came."""
    image.load()
    copy = io.BytesIO()
    image.save(copy, "PNG")
    return copy.getvalue()


def draw(**values):
    images = client.image.generate(GenerateImageParams(size=SIZE, **values))
    return pictures(*((as_png(image), WIDTH, HEIGHT) for image in images))


@feature("generate")
def generate():
    two = draw(prompt="a lighthouse, caru", seed=7, n_samples=2)
    expect(len(two) == 2, f"asked for 2 samples, got {len(two)}")
    webp = draw(prompt="a lighthouse, caru", model="nai-diffusion-5-full", image_format="webp")
    return two + webp, "V4.5 with 2 samples as PNG, V5 as WebP"


@feature("stream")
def stream():
    params = GenerateImageStreamParams(prompt="a river, caru", size=SIZE, steps=23, stream="sse")
    chunks = list(client.image.generate_stream(params))
    previews = [chunk for chunk in chunks if chunk.event_type == "intermediate"]
    finals = [chunk for chunk in chunks if chunk.event_type == "final"]
    expect(len(finals) == 1, f"{len(finals)} final events of {len(chunks)}")
    expect(chunks[-1] is finals[0], "the final event is not the last one")
    expect(len(previews) >= 2, f"only {len(previews)} intermediate events")
    entries = [(base64.b64decode(chunk.image), WIDTH, HEIGHT) for chunk in finals]
    previews_decoded = [(base64.b64decode(chunk.image), None, None) for chunk in (previews[0], previews[-1])]
    return pictures(*entries, *previews_decoded), f"{len(previews)} previews and 1 final as SSE"


@feature("img2img")
def img2img():
    return draw(prompt="a mill, caru", i2i=I2iParams(image=SOURCE_FILE, strength=0.7))


@feature("infill")
def infill():
    return draw(prompt="a door, caru", inpaint=InpaintParams(image=SOURCE_FILE, mask=MASK_FILE))


@feature("vibe")
def vibe():
    reference = ControlNetImage(image=SOURCE_FILE)
    images = draw(prompt="a garden, caru", controlnet=ControlNet(images=[reference]))
    return images, "encoded on the way, then used"


@feature("director")
def director():
    alpha = client.tools.remove_background(SOURCE_FILE)
    expect(len(alpha) == 3, f"background removal gives three pictures, got {len(alpha)}")
    line_art = client.tools.line_art(SOURCE_FILE)
    emotion = client.tools.emotion(SOURCE_FILE, "happy", prompt="blue sky", defry=1)
    return pictures(*((as_png(image), None, None) for image in alpha + line_art + emotion)), "bg-removal, lineart, emotion"


@feature("upscale")
def upscale():
    images = client.tools.upscale(UpscaleParams(image=SOURCE_FILE))
    return pictures(*((as_png(image), WIDTH * 2, HEIGHT * 2) for image in images))


@feature("tags")
def tags():
    found = client.image.suggest_tags(SuggestTagsParams(prompt="1gi"))
    expect(found and all(entry.tag for entry in found), "no tags")
    return f"{len(found)} tags"


@feature("subscription")
def subscription():
    answer = client.user.get_subscription()
    return f"tier {answer.tier}, {answer.anlas} Anlas"


warnings.simplefilter("ignore", DeprecationWarning)
main()

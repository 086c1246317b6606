# The MCP server novelai-image-mcp (PyPI): httpx over curl-impersonate with Chrome's headers; V4 and later through the
# msgpack stream. Addresses and token come from its own environment variables, so nothing in it is changed.
import base64

from mcp_calls import server, sized
from report import (
    GATEWAY_TOKEN,
    GATEWAY_URL,
    HEIGHT,
    MASK_FILE,
    OUTPUT_DIR,
    SOURCE_FILE,
    WIDTH,
    expect,
    feature,
    main,
)

ENVIRONMENT = {
    "NOVELAI_IMAGE_BASE_URL": GATEWAY_URL,
    "NOVELAI_ACCOUNT_BASE_URL": GATEWAY_URL,
    "NOVELAI_LEGACY_IMAGE_BASE_URL": GATEWAY_URL,
    "NOVELAI_TOKEN": GATEWAY_TOKEN,
    "NOVELAI_OUTPUT_DIR": str(OUTPUT_DIR / "saved"),
}
SOURCE = base64.b64encode(SOURCE_FILE.read_bytes()).decode()
MASK = base64.b64encode(MASK_FILE.read_bytes()).decode()
SIZE = {"width": WIDTH, "height": HEIGHT}


@feature("generate")
async def generate(call):
    v45, _ = await call("generate_image", prompt="a lighthouse, mcp", **SIZE)
    v3, _ = await call("generate_image", prompt="a lighthouse, mcp", model="nai-diffusion-3", **SIZE)
    return sized(v45 + v3, WIDTH, HEIGHT), "V4.5 by the msgpack stream, V3 by zip"


@feature("img2img")
async def img2img(call):
    images, _ = await call("image_to_image", prompt="a mill, mcp", image=SOURCE, strength=0.7, **SIZE)
    return sized(images, WIDTH, HEIGHT)


@feature("infill")
async def infill(call):
    model = "nai-diffusion-4-5-full-inpainting"
    images, _ = await call("inpaint", prompt="a door, mcp", image=SOURCE, mask=MASK, model=model, **SIZE)
    return sized(images, WIDTH, HEIGHT)


@feature("vibe")
async def vibe(call):
    # Its encode_vibe tool works too, but takes 25 s to write out the 65,000 characters it gives.
    images, _ = await call("generate_image", prompt="a garden, mcp", references=[SOURCE], **SIZE)
    return sized(images, WIDTH, HEIGHT), "encoded on the way, then used"


@feature("director")
async def director(call):
    line_art, _ = await call("director_tool", tool="lineart", image=SOURCE)
    colour, _ = await call("director_tool", tool="colorize", image=SOURCE, prompt="blue sky", defry=1)
    return sized(line_art + colour), "lineart, colorize"


@feature("upscale")
async def upscale(call):
    images, _ = await call("upscale_image", image=SOURCE)
    return sized(images, WIDTH * 2, HEIGHT * 2)


@feature("tags")
async def tags(call):
    _, text = await call("suggest_tags", prompt="1gi")
    count = text.count('"tag"')
    expect(count > 0, f"no tags in {text[:200]}")
    return f"{count} tags"


@feature("subscription")
async def subscription(call):
    _, text = await call("get_subscription")
    expect("trainingStepsLeft" in text, f"no balance in {text[:200]}")
    return "balance read"


main(lambda: server(["-m", "novelai_image_mcp", "serve"], ENVIRONMENT))

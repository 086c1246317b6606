# LlmKira's novelai-python (PyPI): curl-impersonate with Chrome's headers; V5 as multipart/form-data, V4.5 as JSON,
# streams as msgpack. Every request object has its own endpoint property, which is all that is changed.
import os

os.environ["NOVELAI_PYTHON_METRICS"] = "0"

from novelai_python import ApiCredential  # noqa: E402
from novelai_python.sdk.ai.augment_image import AugmentImageInfer, Moods, ReqType  # noqa: E402
from novelai_python.sdk.ai.encode_vibe import EncodeVibe  # noqa: E402
from novelai_python.sdk.ai.generate_image import GenerateImageInfer, Model, SuggestTags  # noqa: E402
from novelai_python.sdk.ai.openai_compat import OAIChatCompletion, OAIChatMessage, OAIModels  # noqa: E402
from novelai_python.sdk.ai.upscale import Upscale  # noqa: E402
from novelai_python.sdk.user.login import Login  # noqa: E402
from novelai_python.sdk.user.subscription import Subscription  # noqa: E402
from pydantic import SecretStr  # noqa: E402
from report import (  # noqa: E402
    GATEWAY_PASSWORD,
    GATEWAY_TOKEN,
    GATEWAY_URL,
    GATEWAY_USERNAME,
    HEIGHT,
    MASK_FILE,
    SOURCE_FILE,
    WIDTH,
    expect,
    feature,
    main,
    pictures,
)

SESSION = ApiCredential(api_token=SecretStr(GATEWAY_TOKEN))
SIZE = {"width": WIDTH, "height": HEIGHT, "steps": 23}
SOURCE = SOURCE_FILE.read_bytes()


def at_gateway(request):
    request.endpoint = GATEWAY_URL
    return request


async def draw(request, width=WIDTH, height=HEIGHT):
    answer = await at_gateway(request).request(SESSION)
    return pictures(*((data, width, height) for _, data in answer.files))


@feature("generate")
async def generate():
    v5 = await draw(GenerateImageInfer.build_generate("a lighthouse, llm kira", **SIZE))
    model = Model.NAI_DIFFUSION_4_5_FULL
    v45 = await draw(GenerateImageInfer.build_generate("a lighthouse, llm kira", model=model, **SIZE))
    return v5 + v45, "V5 as multipart, V4.5 as JSON"


@feature("stream")
async def stream():
    request = at_gateway(GenerateImageInfer.build_generate("a river, llm kira", **SIZE))
    events = [event async for event in request.request_stream(SESSION)]
    finals = [event for event in events if event.is_final]
    expect(len(finals) == 1, f"{len(finals)} final events of {len(events)}")
    expect(len(events) >= 3, f"only {len(events)} events")
    entries = [(finals[0].image, WIDTH, HEIGHT), (events[0].image, None, None)]
    return pictures(*entries), f"V5 as multipart: {len(events) - 1} previews and 1 final as msgpack"


@feature("img2img")
async def img2img():
    v5 = Model.NAI_DIFFUSION_5_FULL
    multipart = await draw(GenerateImageInfer.build_img2img("a mill, llm kira", model=v5, image=SOURCE, strength=0.7, **SIZE))
    plain = await draw(GenerateImageInfer.build_img2img("a mill, llm kira", image=SOURCE, strength=0.7, **SIZE))
    return multipart + plain, "V5 with the picture as its own part, V4.5 as JSON"


@feature("infill")
async def infill():
    model = Model.NAI_DIFFUSION_5_FULL_INPAINTING
    return await draw(
        GenerateImageInfer.build_infill("a door, llm kira", model=model, image=SOURCE, mask=MASK_FILE.read_bytes(), **SIZE)
    )


@feature("vibe")
async def vibe():
    encoded = await at_gateway(EncodeVibe(image=SOURCE)).request(SESSION)
    request = GenerateImageInfer.build_generate(
        "a garden, llm kira",
        model=Model.NAI_DIFFUSION_4_5_FULL,
        reference_image_multiple=[encoded.vibe_b64],
        reference_strength_multiple=[0.6],
        reference_information_extracted_multiple=[1.0],
        **SIZE,
    )
    return await draw(request), f"vibe of {len(encoded.vibe)} bytes"


@feature("director")
async def director():
    alpha = await draw(AugmentImageInfer.build(SOURCE, ReqType.BG_REMOVAL), None, None)
    expect(len(alpha) == 3, f"background removal gives three pictures, got {len(alpha)}")
    emotion = await draw(AugmentImageInfer.build(SOURCE, ReqType.EMOTION, mood=Moods.Happy, prompt="sky", defry=1), None, None)
    return alpha + emotion, "bg-removal, emotion"


@feature("upscale")
async def upscale():
    answer = await at_gateway(Upscale(image=SOURCE)).request(SESSION)
    return pictures((answer.files[1], WIDTH * 2, HEIGHT * 2)), "as multipart"


@feature("tags")
async def tags():
    answer = await at_gateway(SuggestTags(prompt="1gi")).request(SESSION)
    expect(answer.tags, "no tags")
    return f"{len(answer.tags)} tags"


@feature("subscription")
async def subscription():
    answer = await at_gateway(Subscription()).request(SESSION)
    return f"tier {answer.tier}"


@feature("chat")
async def chat():
    models = await at_gateway(OAIModels()).request(SESSION)
    expect(models.data, "no models")
    request = at_gateway(
        OAIChatCompletion(model=models.data[0].id, messages=[OAIChatMessage(role="user", content="Hello")], max_tokens=16)
    )
    chunks = [chunk async for chunk in request.stream(SESSION)]
    words = "".join(chunk["choices"][0].get("delta", {}).get("content") or "" for chunk in chunks if chunk.get("choices"))
    expect(words, f"{len(chunks)} chunks with no words")
    ends = [chunk for chunk in chunks if chunk.get("choices") and chunk["choices"][0].get("finish_reason")]
    expect(ends, f"{len(chunks)} chunks without an end")
    return f"{len(chunks)} chunks of {models.data[0].id}"


@feature("login")
async def login():
    answer = await at_gateway(Login.build(user_name=GATEWAY_USERNAME, password=GATEWAY_PASSWORD)).request()
    expect(answer.accessToken, "login gave no token")
    return "signed in with a password"


main()

# Aedial's novelai-api (PyPI `novelai-api`): aiohttp, zip answers only, its own list of accepted content types.
import base64
import json

import novelai_api._low_level as low_level
from novelai_api import NovelAIAPI
from novelai_api.DirectorToolsPreset import DirectorToolsPreset
from novelai_api.GlobalSettings import GlobalSettings
from novelai_api.ImagePreset import ImageGenerationType, ImageModel, ImagePreset, UCPreset
from novelai_api.NovelAIError import NovelAIError
from novelai_api.Preset import Model, Preset
from report import (
    GATEWAY_PASSWORD,
    GATEWAY_TOKEN,
    GATEWAY_URL,
    GATEWAY_USERNAME,
    HEIGHT,
    MASK_FILE,
    OLD_UPSCALE_REFUSAL,
    SOURCE_FILE,
    WIDTH,
    expect,
    expect_refusal,
    feature,
    main,
    pictures,
)

NovelAIAPI.BASE_ADDRESS = GATEWAY_URL
low_level.GENERAL_API_ADDRESS = GATEWAY_URL
low_level.IMAGE_API_ADDRESS = GATEWAY_URL
low_level.TEXT_API_ADDRESS = GATEWAY_URL

SOURCE = base64.b64encode(SOURCE_FILE.read_bytes()).decode()
MASK = base64.b64encode(MASK_FILE.read_bytes()).decode()


async def signed_in():
    api = NovelAIAPI()
    await api.high_level.login_with_token(GATEWAY_TOKEN)
    return api


def preset(config=ImagePreset.from_v45_config, **values):
    chosen = config()
    chosen.resolution = (WIDTH, HEIGHT)
    chosen.steps = 23
    chosen.uc_preset = None
    chosen.update(values)
    return chosen


async def draw(prompt, model, chosen, action=ImageGenerationType.NORMAL, **extra):
    api = await signed_in()
    entries = []
    async for name, data in api.high_level.generate_image(prompt, model, chosen, action, **extra):
        expect(name.endswith(".png"), f"zip entry {name} is no PNG")
        entries.append((data, WIDTH, HEIGHT))
    return pictures(*entries)


@feature("generate")
async def generate():
    v45 = await draw("a lighthouse, aedial", ImageModel.Anime_v45_Full, preset(seed=7))
    two = await draw("a lighthouse, aedial", ImageModel.Anime_v3, preset(ImagePreset.from_v3_config, n_samples=2, seed=7))
    expect(len(two) == 2, f"asked for 2 samples, got {len(two)}")
    return v45 + two, "V4.5, and V3 with 2 samples"


@feature("img2img")
async def img2img():
    chosen = preset(image=SOURCE, strength=0.7, noise=0)
    return await draw("a mill, aedial", ImageModel.Anime_v45_Full, chosen, ImageGenerationType.IMG2IMG)


@feature("infill")
async def infill():
    chosen = preset(ImagePreset.from_v4_config, image=SOURCE, mask=MASK, strength=0.7, noise=0, add_original_image=False)
    return await draw("a door, aedial", ImageModel.Inpainting_Anime_v4_Full, chosen, ImageGenerationType.INPAINTING)


@feature("vibe")
async def vibe():
    api = await signed_in()
    encoded = await api.high_level.encode_vibe(SOURCE, ImageModel.Anime_v45_Full, 1.0)
    chosen = preset(
        reference_image_multiple=[encoded],
        reference_information_extracted_multiple=[1.0],
        reference_strength_multiple=[0.6],
    )
    return await draw("a garden, aedial", ImageModel.Anime_v45_Full, chosen), f"vibe of {len(encoded)} characters"


@feature("director")
async def director():
    api = await signed_in()
    tool = DirectorToolsPreset(HEIGHT, WIDTH, SOURCE, defry=1, prompt="blue sky", emotion="happy")
    entries = []
    for call in ("line_art", "sketch", "colorize", "emotion", "declutter"):
        name, data = await getattr(api.high_level, call)(tool)
        expect(name.endswith(".png"), f"{call}: zip entry {name} is no PNG")
        entries.append((data, None, None))
    return pictures(*entries), "line art, sketch, colorize, emotion, declutter"


@feature("upscale")
async def upscale():
    api = await signed_in()
    try:
        _, data = await api.low_level.upscale_image(SOURCE, WIDTH, HEIGHT, 2)
    except NovelAIError as error:
        expect_refusal(error, OLD_UPSCALE_REFUSAL)
    return pictures((data, WIDTH * 2, HEIGHT * 2))


@feature("tags")
async def tags():
    api = await signed_in()
    answer = await api.low_level.suggest_tags("1gi", ImageModel.Anime_v45_Full)
    expect(answer["tags"] and all(tag["tag"] for tag in answer["tags"]), f"no tags in {answer}")
    return f"{len(answer['tags'])} tags"


@feature("subscription")
async def subscription():
    api = await signed_in()
    answer = await api.low_level.get_subscription()  # checked against the client's own JSON schema
    anlas = answer["trainingStepsLeft"]
    return f"tier {answer['tier']}, {anlas['fixedTrainingStepsLeft'] + anlas['purchasedTrainingSteps']} Anlas"


@feature("text")
async def text():
    api = await signed_in()
    chosen = Preset.from_default(Model.Kayra)
    chosen.max_length = 20
    settings = GlobalSettings(num_logprobs=GlobalSettings.NO_LOGPROBS)
    whole = await api.high_level.generate("Once upon a time", Model.Kayra, chosen, settings)
    expect(whole.get("output"), f"no output in {json.dumps(whole)[:200]}")
    tokens = []
    async for event in api.high_level.generate_stream("Once upon a time", Model.Kayra, chosen, settings):
        tokens.append(event["token"])
    expect(len(tokens) > 1, f"the stream gave {len(tokens)} tokens")
    return f"{len(whole['output'])} characters at once, {len(tokens)} streamed tokens"


@feature("login")
async def login():
    api = NovelAIAPI()
    token = await api.high_level.login(GATEWAY_USERNAME, GATEWAY_PASSWORD)
    expect(isinstance(token, str) and token, "login gave no token")
    answer = await api.low_level.get_subscription()
    return f"signed in, tier {answer['tier']}"


main()

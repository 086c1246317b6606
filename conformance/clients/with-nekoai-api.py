# Nya-Foundation's nekoai-api (PyPI): httpx with Firefox's headers; V4.x through the msgpack stream, V3 as zip.
# Its three addresses are constructor parameters, so nothing in it is changed.
import base64

from nekoai import Action, Metadata, Model, NovelAI
from nekoai.exceptions import APIError
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

HOSTS = {"host": GATEWAY_URL, "api_host": GATEWAY_URL, "text_host": GATEWAY_URL}
SOURCE = base64.b64encode(SOURCE_FILE.read_bytes()).decode()
MASK = base64.b64encode(MASK_FILE.read_bytes()).decode()


def signed_in():
    return NovelAI(token=GATEWAY_TOKEN, **HOSTS)


async def draw(prompt, model=Model.V4_5, client=None, **values):
    async with client or signed_in() as client:
        images = await client.generate_image(
            Metadata(prompt=prompt, model=model, width=WIDTH, height=HEIGHT, steps=23, **values)
        )
    return pictures(*((image.data, WIDTH, HEIGHT) for image in images))


@feature("generate")
async def generate():
    v45 = await draw("a lighthouse, neko", seed=7)
    v3 = await draw("a lighthouse, neko", Model.V3, seed=7)
    return v45 + v3, "V4.5 by the msgpack stream, V3 by zip"


@feature("stream")
async def stream():
    async with signed_in() as client:
        metadata = Metadata(prompt="a river, neko", model=Model.V4_5, width=WIDTH, height=HEIGHT, steps=23)
        events = [event async for event in client.generate_image_stream(metadata)]
    previews = [event for event in events if event.event_type.value == "intermediate"]
    finals = [event for event in events if event.event_type.value == "final"]
    expect(len(finals) == 1, f"{len(finals)} final events of {len(events)}")
    expect(len(previews) >= 2, f"only {len(previews)} intermediate events")
    entries = [(finals[0].image.data, WIDTH, HEIGHT), (previews[0].image.data, None, None)]
    return pictures(*entries), f"{len(previews)} previews and 1 final as msgpack"


@feature("img2img")
async def img2img():
    return await draw("a mill, neko", action=Action.IMG2IMG, image=SOURCE, strength=0.7)


@feature("infill")
async def infill():
    return await draw("a door, neko", Model.V4_5_INP, action=Action.INPAINT, image=SOURCE, mask=MASK)


@feature("vibe")
async def vibe():
    return await draw("a garden, neko", reference_image_multiple=[SOURCE]), "encoded on the way, then used"


@feature("director")
async def director():
    async with signed_in() as client:
        images = [
            await client.lineart(SOURCE_FILE),
            await client.colorize(SOURCE_FILE, prompt="blue sky", defry=1),
            await client.change_emotion(SOURCE_FILE, "happy"),
            await client.background_removal(SOURCE_FILE),
        ]
    return pictures(*((image.data, None, None) for image in images)), "lineart, colorize, emotion, bg-removal"


@feature("upscale")
async def upscale():
    async with signed_in() as client:
        try:
            image = await client.upscale(SOURCE_FILE, scale=2)
        except APIError as error:
            expect_refusal(error, OLD_UPSCALE_REFUSAL)
    return pictures((image.data, WIDTH * 2, HEIGHT * 2))


@feature("tags")
async def tags():
    async with signed_in() as client:
        found = await client.suggest_tags("1gi")
    expect(found and all(entry["tag"] for entry in found), "no tags")
    return f"{len(found)} tags"


@feature("subscription")
async def subscription():
    async with signed_in() as client:
        answer = await client.get_subscription()
    anlas = answer["trainingStepsLeft"]
    return f"tier {answer['tier']}, {anlas['fixedTrainingStepsLeft'] + anlas['purchasedTrainingSteps']} Anlas"


@feature("text")
async def text():
    async with signed_in() as client:
        whole = await client.generate_text("Once upon a time", max_length=20)
        tokens = [token async for token in client.generate_text_stream("Once upon a time", max_length=20)]
    expect(whole, "no text")
    expect(len(tokens) > 1, f"the stream gave {len(tokens)} tokens")
    return f"{len(whole)} characters at once, {len(tokens)} streamed tokens"


@feature("login")
async def login():
    client = NovelAI(username=GATEWAY_USERNAME, password=GATEWAY_PASSWORD, **HOSTS)
    return await draw("a gate, neko", client=client), "signed in with a password"


main()

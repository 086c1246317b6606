# HanaokaYuzu's novelai (PyPI `novelai`), the family that kokosensei's NovelAI-API was forked from: httpx, zip answers,
# a content type that must be equal to the host's to the letter, Chrome's User-Agent, Origin and Referer.
import base64

from novelai import Action, Host, Metadata, Model, NAIClient, Resolution
from report import (
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

# The hosts are frozen dataclasses in an enum, made without a setting: their address is changed in place.
for host in Host:
    object.__setattr__(host.value, "url", GATEWAY_URL)

SOURCE = base64.b64encode(SOURCE_FILE.read_bytes()).decode()
MASK = base64.b64encode(MASK_FILE.read_bytes()).decode()


class TokenClient(NAIClient):
    """This release signs in with a password only; a token in its place is what the fork added."""

    async def get_access_token(self):
        return GATEWAY_TOKEN


async def draw(prompt, client=None, **values):
    client = client or TokenClient("", "")
    await client.init(timeout=60)
    try:
        images = await client.generate_image(
            Metadata(prompt=prompt, res_preset=Resolution.SMALL_PORTRAIT, steps=23, **values), host=Host.WEB
        )
    finally:
        await client.close()
    return pictures(*((image.data, WIDTH, HEIGHT) for image in images))


@feature("generate")
async def generate():
    images = await draw("a lighthouse, hanaoka", seed=7, n_samples=2)
    expect(len(images) == 2, f"asked for 2 samples, got {len(images)}")
    return images, "V3 with 2 samples"


@feature("img2img")
async def img2img():
    return await draw("a mill, hanaoka", action=Action.IMG2IMG, image=SOURCE, strength=0.7)


@feature("infill")
async def infill():
    return await draw(
        "a door, hanaoka", action=Action.INPAINT, model=Model.V3INP, image=SOURCE, mask=MASK, add_original_image=False
    )


@feature("vibe")
async def vibe():
    images = await draw("a garden, hanaoka", reference_image_multiple=[SOURCE])
    return images, "V3 takes the reference picture as it is, with no encoding"


@feature("login")
async def login():
    return await draw("a gate, hanaoka", NAIClient(GATEWAY_USERNAME, GATEWAY_PASSWORD)), "signed in with a password"


main()

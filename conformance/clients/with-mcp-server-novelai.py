# The MCP server mcp-server-novelai (PyPI): httpx, zip answers, V5 by default.
# Its address is a class attribute without a setting; it is changed in the child before the server's own main() runs.
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

START = f"""
from novelai_mcp.client import NovelAIClient
NovelAIClient.BASE_URL = {GATEWAY_URL!r}
from novelai_mcp.server import main
main()
"""
ENVIRONMENT = {"NOVELAI_API_KEY": GATEWAY_TOKEN, "NOVELAI_OUTPUT_DIR": str(OUTPUT_DIR / "saved")}
SOURCE = str(SOURCE_FILE)


@feature("generate")
async def generate(call):
    images, _ = await call("novelai_generate_image", prompt="a lighthouse, mcp server", width=WIDTH, height=HEIGHT)
    return sized(images, WIDTH, HEIGHT), "V5"


@feature("img2img")
async def img2img(call):
    images, _ = await call("novelai_img2img", prompt="a mill, mcp server", image_path=SOURCE)
    return sized(images, WIDTH, HEIGHT)


@feature("infill")
async def infill(call):
    arguments = {"image_path": SOURCE, "mask_path": str(MASK_FILE), "model": "nai-diffusion-5-full-inpainting"}
    images, _ = await call("novelai_inpaint", prompt="a door, mcp server", **arguments)
    return sized(images, WIDTH, HEIGHT)


@feature("vibe")
async def vibe(call):
    images, _ = await call("novelai_vibe_transfer", prompt="a garden, mcp server", reference_image_path=SOURCE)
    return sized(images, 832, 1216)  # this tool has no size but its presets


@feature("director")
async def director(call):
    alpha, _ = await call("novelai_augment", image_path=SOURCE, tool="bg-removal")
    expect(len(alpha) == 3, f"background removal gives three pictures, got {len(alpha)}")
    emotion, _ = await call("novelai_augment", image_path=SOURCE, tool="emotion", emotion="happy")
    return sized(alpha + emotion), "bg-removal, emotion"


@feature("upscale")
async def upscale(call):
    images, _ = await call("novelai_upscale", image_path=SOURCE)
    return sized(images, WIDTH * 2, HEIGHT * 2)


@feature("tags")
async def tags(call):
    _, text = await call("novelai_suggest_tags", query="1gi")
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    expect(lines, f"no tags in {text[:200]}")
    return f"{len(lines)} tags"


main(lambda: server(["-c", START], ENVIRONMENT))

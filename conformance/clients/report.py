# What the Python clients' scripts share: one function per feature, one JSON line per result, pictures left as files.
#
# A script marks its functions with @feature("name") and ends with main(). Each function may be async and returns what
# the client got: pictures(...) and/or a sentence. Whatever it raises is the feature's failure. A script whose client is
# a server of its own gives main() what opens it, and its functions are then given the open session.
# The pictures are decoded by the runner, with one decoder for every client, so nothing here trusts a client's word.
import asyncio
import inspect
import json
import os
import pathlib
import sys
import traceback

GATEWAY_URL = os.environ["GATEWAY_URL"]
GATEWAY_TOKEN = os.environ["GATEWAY_TOKEN"]
GATEWAY_USERNAME = os.environ["GATEWAY_USERNAME"]
GATEWAY_PASSWORD = os.environ["GATEWAY_PASSWORD"]
INPUT_DIR = pathlib.Path(os.environ["INPUT_DIR"])
OUTPUT_DIR = pathlib.Path(os.environ["OUTPUT_DIR"])

# Both inputs are PNG of this size; the mask is white (repaint) in its middle.
WIDTH, HEIGHT = 512, 768
SOURCE_FILE = INPUT_DIR / "source.png"
MASK_FILE = INPUT_DIR / "mask.png"

# The sentence NovelAI answers to the old upscale body (no model): the two spaces are its own.
OLD_UPSCALE_REFUSAL = "model  doesn't exist"

_features = {}


class Refused(Exception):
    """NovelAI's own refusal of this client's way of asking, arrived whole."""


def feature(name):
    def register(function):
        _features[name] = function
        return function

    return register


def pictures(*entries):
    """Each entry is (bytes, width, height): what came, and the size that was asked for."""
    if not entries:
        raise AssertionError("the client gave back no picture")
    return [{"data": data, "width": width, "height": height} for data, width, height in entries]


def expect(condition, message):
    if not condition:
        raise AssertionError(message)


def expect_refusal(error, sentence):
    """Turns an error that carries NovelAI's sentence into Refused, and re-raises every other one."""
    if sentence not in str(error):
        raise error
    raise Refused(f"NovelAI's own refusal arrived: {sentence}") from error


def _emit(name, outcome, detail, images=()):
    files = []
    for index, image in enumerate(images):
        path = OUTPUT_DIR / f"{name}-{index}"
        path.write_bytes(image["data"])
        files.append({"file": str(path), "width": image["width"], "height": image["height"]})
    line = {"feature": name, "outcome": outcome, "detail": detail, "images": files}
    print(json.dumps(line), file=sys.__stdout__, flush=True)


def _describe(error):
    while len(getattr(error, "exceptions", ())) == 1:  # a task group's wrapping around the one thing that happened
        error = error.exceptions[0]
    text = f"{type(error).__name__}: {error}".replace("\n", " ")
    cause = error.__cause__ or error.__context__
    if cause is not None and str(cause) not in text:
        text += f" <- {type(cause).__name__}: {cause}".replace("\n", " ")
    return text[:600]


async def _run(name, function, *session):
    try:
        got = function(*session)
        if inspect.isawaitable(got):
            got = await got
        images, detail = got if isinstance(got, tuple) else (got, "")
        if isinstance(images, str):
            images, detail = [], images
        _emit(name, "ok", detail, images)
    except Refused as refusal:
        _emit(name, "refused", str(refusal))
    except BaseException as error:  # a client that calls sys.exit() must not end the others' turns
        if isinstance(error, KeyboardInterrupt):
            raise
        traceback.print_exc()
        _emit(name, "fail", _describe(error))


async def _run_all(*session):
    for name in sys.argv[1:]:
        if name in _features:
            await _run(name, _features[name], *session)
        else:
            _emit(name, "fail", "this script has no such feature")


def main(open_session=None):
    async def with_session():
        if open_session is None:
            return await _run_all()
        async with open_session() as session:
            return await _run_all(session)

    sys.stdout = sys.stderr  # whatever a client prints is log, not result
    asyncio.run(with_session())

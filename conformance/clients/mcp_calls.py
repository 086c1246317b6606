# How the scripts of the two MCP servers call a tool: over stdio, with the official client, as an assistant would.
import base64
import contextlib
import sys

from mcp import Client, StdioServerParameters
from report import expect, pictures


@contextlib.asynccontextmanager
async def server(arguments, environment):
    """Starts the MCP server as a child of this Python and gives a function that calls its tools."""
    parameters = StdioServerParameters(command=sys.executable, args=arguments, env=environment)
    async with Client(parameters, read_timeout_seconds=90) as client:

        async def call(tool_name, /, **arguments):
            """Gives the tool's pictures (bytes) and its text, or raises with the tool's own error text."""
            result = await client.call_tool(tool_name, arguments)
            text = "\n".join(block.text for block in result.content if block.type == "text")
            if result.is_error:
                raise RuntimeError(f"{tool_name}: {text}")
            images = [base64.b64decode(block.data) for block in result.content if block.type == "image"]
            expect(images or text, f"{tool_name} answered nothing")
            return images, text

        yield call


def sized(images, width=None, height=None):
    """The pictures with the size that was asked for, if any was."""
    return pictures(*((data, width, height) for data in images))

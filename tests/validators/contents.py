"""What the official suite wants told: every kind of content, as tools, resources and prompts of fixed names."""

import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.types import AudioContent, ContentBlock, EmbeddedResource, ImageContent, TextContent, TextResourceContents

PNG: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
"""One pixel."""
WAV: Final = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
"""No sound."""


def text(said: str) -> TextContent:
    """A text."""
    return TextContent(type="text", text=said)


def embedded(uri: str, kind: str, said: str) -> EmbeddedResource:
    """A resource within an answer."""
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=kind, text=said))


IMAGE: Final = ImageContent(type="image", data=PNG, mime_type="image/png")
TOLD: Final[dict[str, list[ContentBlock]]] = {
    "test_simple_text": [text("This is a simple text response for testing.")],
    "test_image_content": [IMAGE],
    "test_audio_content": [AudioContent(type="audio", data=WAV, mime_type="audio/wav")],
    "test_embedded_resource": [
        embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ],
    "test_multiple_content_types": [
        text("Multiple content types test:"),
        IMAGE,
        embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ],
}
"""Tools that need no argument, and what each answers."""


def add_contents(server: MCPServer[Any]) -> None:
    """Offer all of it."""
    for name, blocks in TOLD.items():
        server.add_tool(_telling(blocks), name=name, description="Answers with content.", structured_output=False)

    @server.tool()
    async def test_tool_with_logging(ctx: Context[Any, Any]) -> str:
        """Speaks while it works, as was possible before 2026-07-28."""
        for said in ("started", "processing", "completed"):
            await ctx.info(f"Tool execution {said}")
        return "logged"

    @server.tool()
    async def test_tool_with_progress(ctx: Context[Any, Any]) -> str:
        """Tells how far it is."""
        for done in (0, 50, 100):
            await ctx.report_progress(done, 100)
        return "done"

    @server.tool()
    def test_error_handling() -> str:
        """Fails, whoever calls it."""
        raise ToolError("This tool intentionally returns an error for testing")

    @server.resource("test://static-text", mime_type="text/plain")
    def static_text() -> str:
        """A text."""
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    def static_binary() -> bytes:
        """An image."""
        return base64.b64decode(PNG)

    @server.resource("test://watched-resource", mime_type="text/plain")
    def watched() -> str:
        """One that can be watched."""
        return "It does not change."

    @server.resource("test://template/{id}/data", mime_type="application/json")
    def data(id: str) -> str:  # noqa: A002 - the name in the address
        """One of many."""
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    def test_simple_prompt() -> Sequence[UserMessage]:
        """Says one thing."""
        return [UserMessage(text("This is a simple prompt for testing."))]

    def test_prompt_with_arguments(arg1: str, arg2: str) -> Sequence[UserMessage]:
        """Says what it was told."""
        return [UserMessage(text(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))]

    def test_prompt_with_embedded_resource(resourceUri: str) -> Sequence[UserMessage]:  # noqa: N803 - the suite's name
        """Shows a resource."""
        shown = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
        return [UserMessage(shown), UserMessage(text("Please process the embedded resource above."))]

    def test_prompt_with_image() -> Sequence[UserMessage]:
        """Shows an image."""
        return [UserMessage(IMAGE), UserMessage(text("Please analyze the image above."))]

    for prompt in (
        test_simple_prompt,
        test_prompt_with_arguments,
        test_prompt_with_embedded_resource,
        test_prompt_with_image,
    ):
        server.add_prompt(Prompt.from_function(prompt))


def _telling(blocks: list[ContentBlock]) -> Callable[[], Awaitable[list[ContentBlock]]]:
    async def told() -> list[ContentBlock]:
        return blocks

    return told

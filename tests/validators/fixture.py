"""The server that the official suite asks: its fixtures behind our own door. It knows no engine."""

from typing import Any, Final

from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp.types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    EmptyResult,
    PromptReference,
    ResourceTemplateReference,
    SetLevelRequestParams,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)

from tests.validators.contents import add_contents
from tests.validators.questions import add_questions

SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
"""An input schema with all that the suite looks for."""


def fixture_server() -> MCPServer[Any]:
    """A server with everything that the suite's scenarios ask for by name."""
    server: MCPServer[Any] = MCPServer("ocw-conformance", version="1", tools=[_schema_tool()], log_level="WARNING")
    add_contents(server)
    add_questions(server)
    _add_changes(server)
    _add_old_requests(server)
    server.completion()(_complete)  # type: ignore[no-untyped-call]
    return server


def _schema_tool() -> Tool:
    def json_schema_2020_12_tool() -> str:
        """Has a schema that must come through whole."""
        return "called"

    tool = Tool.from_function(json_schema_2020_12_tool)
    tool.parameters = SCHEMA
    return tool


def _add_changes(server: MCPServer[Any]) -> None:
    @server.tool()
    async def test_trigger_tool_change(ctx: Context[Any, Any]) -> str:
        """Says that the tools changed."""
        await ctx.notify_tools_changed()
        return "told"

    @server.tool()
    async def test_trigger_prompt_change(ctx: Context[Any, Any]) -> str:
        """Says that the prompts changed."""
        await ctx.notify_prompts_changed()
        return "told"

    @server.tool()
    def greet(name: str) -> str:
        """Greets."""
        return f"Hello, {name}!"

    @server.tool()
    async def test_reconnection(ctx: Context[Any, Any]) -> str:
        """Lets go of its client in mid-call."""
        await ctx.close_sse_stream()
        return "told"


def _add_old_requests(server: MCPServer[Any]) -> None:
    """Requests of the older protocol, which the SDK's own server takes no handler for."""

    async def level(ctx: ServerRequestContext[Any], params: SetLevelRequestParams) -> EmptyResult:
        return EmptyResult()

    async def subscribe(ctx: ServerRequestContext[Any], params: SubscribeRequestParams) -> EmptyResult:
        return EmptyResult()

    async def unsubscribe(ctx: ServerRequestContext[Any], params: UnsubscribeRequestParams) -> EmptyResult:
        return EmptyResult()

    add = server._lowlevel_server.add_request_handler
    add("logging/setLevel", SetLevelRequestParams, level)
    add("resources/subscribe", SubscribeRequestParams, subscribe)
    add("resources/unsubscribe", UnsubscribeRequestParams, unsubscribe)


async def _complete(
    ref: PromptReference | ResourceTemplateReference, argument: CompletionArgument, context: CompletionContext | None
) -> Completion | None:
    return Completion(values=[], total=0, has_more=False)

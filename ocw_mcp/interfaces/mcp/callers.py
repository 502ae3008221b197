"""Who calls a tool, and what it may do: the gate has looked at its token; in process there is none to look at."""

import re
from collections.abc import Iterable
from typing import Any, Final

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import CallToolResult, GetPromptResult, InputRequiredResult, TextContent

from ocw_mcp.adapters.control.tokens import SCOPES, Principal
from ocw_mcp.domain.orders import ATTACHED
from ocw_mcp.interfaces.mcp.prompts import require_arguments

TRADES: Final = "trade"
LONGEST_OWN: Final = 20
"""Characters that are told of what a client calls itself."""

INSIDER: Final = Principal("insider", SCOPES["trade"])
"""Whoever holds the server object itself, as tests and the bench do, and the loop in the same process."""


class OcwServer(MCPServer[Any]):
    """The server of one desk. `signs_as` is how the journal names a call from within the process."""

    signs_as = "mcp:insider"
    offered: tuple[str, ...] = ()
    """Its tools by name."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool. One that there is not is named, with those that there are."""
        if name not in self.offered:
            return unknown_tool(name, self.offered)
        return await super().call_tool(name, arguments, context)

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Any, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        """Fill a prompt in; an empty argument counts as missing. Raises MCPError naming a wrong argument."""
        require_arguments(await self.list_prompts(), name, arguments)
        given = {each: text for each, text in (arguments or {}).items() if text.strip()}
        return await super().get_prompt(name, given, context)


def unknown_tool(name: str, offered: Iterable[str]) -> CallToolResult:
    """The error of a call of a tool that there is not."""
    text = (
        f"UNKNOWN_TOOL: no tool has that name here. limit={','.join(offered)} actual={name[:40]!r} "
        "next: call one of these"
    )
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)


def caller(context: Context[Any, Any]) -> Principal:
    """Who calls. Over HTTP that is whoever the token names; a call without a request comes from this process."""
    return _of(context.request_context.request)


def signed(context: Context[Any, Any]) -> str:
    """The caller's name as the journal has it, which nobody has who did not come through this door."""
    if context.request_context.request is None and isinstance(context.mcp_server, OcwServer):
        return context.mcp_server.signs_as
    who = caller(context).name
    # One token is shared by all programs of the engine's owner; what one calls itself is told after it, and grants
    # nothing. No name of a token has a `/`.
    own = _calls_itself(context) if who == ATTACHED else ""
    return f"mcp:{who}/{own}" if own else f"mcp:{who}"


async def only_what_may(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: whoever may only read is listed only what reads."""
    result = await call_next(ctx)
    if ctx.method != "tools/list" or TRADES in _of(ctx.request).scopes:
        return result
    # What comes up the chain is as it goes over the wire.
    assert isinstance(result, dict)
    return result | {"tools": [tool for tool in result["tools"] if tool["annotations"].get("readOnlyHint")]}


def _calls_itself(context: Context[Any, Any]) -> str:
    """What the client says it is, as a short word; empty where it says nothing that could be one."""
    told = context.request_context.session.client_params
    return "" if told is None else re.sub(r"[^a-z0-9]+", "-", told.client_info.name.lower())[:LONGEST_OWN].strip("-")


def _of(request: Any) -> Principal:
    if request is None:
        return INSIDER
    user = request.scope.get("user")
    if isinstance(user, AuthenticatedUser):
        return Principal(user.username, tuple(user.scopes))
    return Principal("nobody", ())

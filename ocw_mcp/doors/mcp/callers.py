"""Who calls a tool, and what it may do: the gate has looked at its token; in process there is none to look at."""

from typing import Any, Final

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer

from ocw_mcp.adapters.control.tokens import SCOPES, Principal

TRADES: Final = "trade"

INSIDER: Final = Principal("insider", SCOPES["trade"])
"""Whoever holds the server object itself, as tests and the bench do, and the loop in the same process."""


class DeskServer(MCPServer[Any]):
    """The server of one desk. `signs_as` is how the journal names a call from within the process."""

    signs_as = "mcp:insider"


def caller(context: Context[Any, Any]) -> Principal:
    """Who calls. Over HTTP that is whoever the token names; a call without a request comes from this process."""
    return _of(context.request_context.request)


def signed(context: Context[Any, Any]) -> str:
    """The caller's name as the journal has it, which nobody has who did not come through this door."""
    if context.request_context.request is None and isinstance(context.mcp_server, DeskServer):
        return context.mcp_server.signs_as
    return f"mcp:{caller(context).name}"


async def only_what_may(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: whoever may only read is listed only what reads."""
    result = await call_next(ctx)
    if ctx.method != "tools/list" or TRADES in _of(ctx.request).scopes:
        return result
    # What comes up the chain is as it goes over the wire.
    assert isinstance(result, dict)
    return result | {"tools": [tool for tool in result["tools"] if tool["annotations"].get("readOnlyHint")]}


def _of(request: Any) -> Principal:
    if request is None:
        return INSIDER
    user = request.scope.get("user")
    if isinstance(user, AuthenticatedUser):
        return Principal(user.username, tuple(user.scopes))
    return Principal("nobody", ())

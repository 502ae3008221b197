"""Callers of tools: their permissions, and the question to the person at a client whether to approve an order.

Over HTTP the middleware has checked the token; in-process calls have none. Only a filled-in form counts as an answer.
Clients without a person decline or cancel at once, or never answer, so after a decline, a cancel or silence the order
keeps waiting for `ocw approve`.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, ClientCapabilities, GetPromptResult, InputRequiredResult, TextContent
from pydantic import BaseModel, Field, ValidationError

from ocw_mcp.adapters.control.tokens import SCOPES, Principal
from ocw_mcp.domain.asks import TYPED
from ocw_mcp.domain.orders import ATTACHED
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.interfaces.mcp.prompts import require_arguments
from ocw_mcp.interfaces.mcp.results import Answer

TRADES: Final = "trade"
LONGEST_OWN: Final = 20
"""Largest number of characters of the name that a client gives itself."""
ERA: Final = "2026-07-28"
"""The first protocol version in which a call returns a question, and is repeated with the answer."""
ASK_S: Final = 45.0
"""Seconds that a call of an older protocol version stays open for the person's answer; clients give up after 60 s."""
IN_PROCESS: Final = Principal("insider", SCOPES["trade"])
"""The principal of calls on the server object itself, by the agent loop in the same process, tests and benchmarks."""
NO_CALLER: Final = Principal("nobody", ())


class OcwServer(MCPServer[Any]):
    """The MCP server of one engine. `name_in_process` is the caller's name in the journal for calls in process."""

    name_in_process = "mcp:insider"
    offered: Mapping[str, bool]
    """The offered tools by name, each with whether it only reads."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool. The error for an unknown name lists the known ones."""
        if name not in self.offered:
            return unknown_tool(name, self.offered)
        result = await super().call_tool(name, arguments, context)
        typed = context is not None and (context.request_context.meta or {}).get(TYPED)
        return result.typed() if typed and isinstance(result, Answer) else result

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Any, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        """Fill in a prompt; an empty argument counts as missing. Raises MCPError that names a wrong argument."""
        require_arguments(await self.list_prompts(), name, arguments)
        given = {each: text for each, text in (arguments or {}).items() if text.strip()}
        return await super().get_prompt(name, given, context)


def unknown_tool(name: str, offered: Iterable[str]) -> CallToolResult:
    """Return the error for a call of an unknown tool."""
    known = ",".join(offered)
    text = f"UNKNOWN_TOOL: no tool has that name here. limit={known} actual={name[:40]!r} next: call one of these"
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)


def caller(request: Any) -> Principal:
    """Return the caller of an HTTP request, by its token; without a request the call comes from this process."""
    if request is None:
        return IN_PROCESS
    user = request.scope.get("user")
    return Principal(user.username, tuple(user.scopes)) if isinstance(user, AuthenticatedUser) else NO_CALLER


def caller_name(context: Context[Any, Any]) -> str:
    """Return the caller's name for the journal. Its prefix `mcp:` is reserved for callers over MCP."""
    call = context.request_context
    if call.request is None and isinstance(context.mcp_server, OcwServer):
        return context.mcp_server.name_in_process
    name = f"mcp:{caller(call.request).name}"
    params = call.session.client_params
    if name != f"mcp:{ATTACHED}" or params is None:
        return name
    # All programs of the engine's owner share one token. The name that a program gives itself is appended for the
    # journal and grants nothing. No token name contains a `/`.
    own = re.sub(r"[^a-z0-9]+", "-", params.client_info.name.lower())[:LONGEST_OWN].strip("-")
    return f"{name}/{own}" if own else name


async def list_permitted_tools(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: list only the reading tools for a caller that may only read."""
    result = await call_next(ctx)
    if ctx.method != "tools/list" or TRADES in caller(ctx.request).scopes:
        return result
    # Results in middleware are already in wire format.
    assert isinstance(result, dict)
    return result | {"tools": [tool for tool in result["tools"] if tool["annotations"].get("readOnlyHint")]}


class Consent(BaseModel):
    """A person's answer."""

    approve: bool = Field(description="Let this order be placed", strict=True)


class NotAsked(BaseModel):
    """The person was not asked or gave no answer: nothing changes for the order."""


def supports_forms(capabilities: ClientCapabilities | None) -> bool:
    """Return whether a client declares that it can show a form."""
    elicitation = capabilities.elicitation if capabilities is not None else None
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


async def ask_within_call(context: Context[Any, Any], question: str) -> Consent | NotAsked:
    """Ask within the call, for clients of older protocol versions. Raises RequestError for an unusable answer."""
    try:
        async with asyncio.timeout(ASK_S):
            answer = await context.elicit(question, Consent)
    except (TimeoutError, MCPError):
        return NotAsked()
    except (ValueError, ValidationError):
        raise unusable_answer() from None
    return answer.data if answer.action == "accept" else NotAsked()


def unusable_answer() -> RequestError:
    """Return the error for a form that is neither a yes nor a no."""
    return RequestError(
        RequestCode.BAD_ARGUMENTS,
        what="the answer of the client to the question is neither yes nor no",
        limit="the requested form",
        actual="something else",
        next_="the order waits for ocw approve; call orders_place with the same key to see the outcome",
    )

"""The MCP server over standard input and output: it lists the tools itself and forwards each call to the engine.

No engine code is imported here, so that a client gets the list before the engine is found. Each call is one request of
the protocol version without sessions, so a restart of the engine between two calls does not matter.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar, cast

from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from pydantic import BaseModel

from ocw_mcp.adapters.control.address import Address
from ocw_mcp.domain.asks import TYPED
from ocw_mcp.domain.errors import AttachError, InvariantError, OcwError
from ocw_mcp.interfaces.mcp.callers import ASK_S, ERA, supports_forms, unknown_tool
from ocw_mcp.interfaces.mcp.link import EngineError, EngineLink, EngineStoppedError, NoAnswerError
from ocw_mcp.interfaces.mcp.prompts import require_arguments, require_texts
from ocw_mcp.interfaces.mcp.server import INSTRUCTIONS, NAME, build
from ocw_mcp.interfaces.mcp.tool import failed
from ocw_mcp.interfaces.mcp.wire import MessageLines

TRIES: Final = 3
"""Attempts to reach an engine for one call."""
ROUNDS: Final = 4
"""Largest number of questions to the person at the client within one call."""
STATUS: Final = "ocw_get_status"

_Context = ServerRequestContext[Any]
_Result = TypeVar("_Result", bound=BaseModel)
_Handler = Callable[[_Context, Any], Awaitable[_Result]]

Attach = Callable[[Address | None], Awaitable[Address]]
"""Returns the address of an engine other than the given one, which did not answer. Raises AttachError."""


@dataclass
class Session:
    """The state of one client: its connection to the engine, and the engine whose notice it has received."""

    link: EngineLink
    at: Address | None = None
    """The engine that answered last."""
    introduced: Address | None = None


class Bridge:
    """A server that offers the tools of the engine."""

    def __init__(
        self, attach: Attach, version: str, toolsets: Sequence[str] | None = None, *, read_only: bool = False
    ) -> None:
        """Raises SettingsError for an unknown toolset."""
        self._attach = attach
        self._offered = offered = build(_no_engine, version, toolsets, read_only=read_only)
        self.server: Server[Any] = Server(
            NAME,
            version=version,
            title=offered.title,
            instructions=INSTRUCTIONS,
            lifespan=_session,
            on_list_tools=_listing(types.ListToolsResult, "tools", offered.list_tools),
            on_call_tool=self._call,
            on_list_resources=_listing(types.ListResourcesResult, "resources", offered.list_resources),
            on_list_resource_templates=_listing(
                types.ListResourceTemplatesResult, "resource_templates", offered.list_resource_templates
            ),
            on_read_resource=self._forwarding(types.ReadResourceResult),
            on_list_prompts=_listing(types.ListPromptsResult, "prompts", offered.list_prompts),
            on_get_prompt=self._prompt,
            on_completion=self._forwarding(types.CompleteResult),
        )
        self.server.middleware.append(require_texts)

    async def serve(self) -> None:
        """Serve over standard input and output until the client closes them."""
        lines = MessageLines(sys.stdin.buffer)
        async with stdio_server(stdin=cast("Any", lines)) as (incoming, outgoing):

            async def refuse(error: types.JSONRPCError) -> None:
                await outgoing.send(SessionMessage(error))

            lines.answer_with(refuse)
            await self.server.run(incoming, outgoing, self.server.create_initialization_options())

    async def _call(
        self, ctx: _Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        if params.name not in self._offered.offered:
            return unknown_tool(params.name, self._offered.offered)
        try:
            return await self._answered(ctx, params.name)
        except OcwError as error:
            return failed(_error_text(error))
        except MCPError as error:
            return failed(f"PROTOCOL: {error}. next: report it to the operator")

    async def _prompt(self, ctx: _Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        require_arguments(await self._offered.list_prompts(), params.name, params.arguments)
        return await self._forwarding(types.GetPromptResult)(ctx, params)

    def _forwarding(self, kind: type[_Result]) -> _Handler[_Result]:
        """Return a handler that forwards a request to the engine. Its result, of type `kind`, has no error field, so
        an error becomes a protocol error."""

        async def forwarded(ctx: _Context, params: Any) -> _Result:
            try:
                answer = await self._forward(ctx, dict(ctx.params or {}), again=True)
            except OcwError as error:
                raise MCPError(types.INTERNAL_ERROR, _error_text(error)) from None
            return kind.model_validate(answer, by_name=False)

        return forwarded

    async def _answered(self, ctx: _Context, tool: str) -> types.CallToolResult | types.InputRequiredResult:
        """Forward a call. A question to the person is sent in the form of the client's protocol version."""
        params = dict(ctx.params or {})
        for _ in range(ROUNDS):
            result = await self._forward(ctx, params, again=self._offered.offered[tool])
            if result.get("resultType") != "input_required":
                return await self._with_notice(ctx, tool, types.CallToolResult.model_validate(result, by_name=False))
            wanted = types.InputRequiredResult.model_validate(result, by_name=False)
            if ctx.protocol_version >= ERA:
                return wanted
            answers = {key: await _ask_person(ctx, each.params) for key, each in (wanted.input_requests or {}).items()}
            params |= {"inputResponses": answers, "requestState": wanted.request_state}
        raise EngineError(
            "BAD_ANSWER",
            f"the engine asked too many questions during one call. limit={ROUNDS} actual=more "
            "next: report it to the operator",
        )

    async def _with_notice(self, ctx: _Context, tool: str, answer: types.CallToolResult) -> types.CallToolResult:
        """Add the notice about an engine's own agent, if it has one, to the first answer of that engine."""
        session: Session = ctx.lifespan_context
        if session.introduced == session.at:
            return answer
        session.introduced = session.at
        # The status has the notice already.
        if tool == STATUS and not answer.is_error:
            return answer
        asked = {"name": STATUS, "arguments": {}, "_meta": {TYPED: True}}
        try:
            status = (await self._forward(ctx, asked, again=True))["structuredContent"]
        except (OcwError, MCPError, KeyError):
            # The next answer gets the notice.
            session.introduced = None
            return answer
        notice, content = (status.get("engine") or {}).get("notice"), [*answer.content]
        if notice and content and isinstance(first := content[0], types.TextContent):
            head, *rest = first.text.split("\n", 1)
            content[0] = types.TextContent(type="text", text="\n".join([head, notice, *rest]))
        return answer.model_copy(update={"content": content})

    async def _find_engine(self, ctx: _Context, silent: Address | None) -> tuple[Address, int]:
        """Find or start the engine and return its address and the seconds it took, with progress to the client."""
        finding = asyncio.ensure_future(self._attach(silent))
        waited_s = 0
        try:
            while not (await asyncio.wait({finding}, timeout=1.0))[0]:
                waited_s += 1
                await ctx.session.report_progress(waited_s, None, "waiting for the engine to start")
            return finding.result(), waited_s
        finally:
            finding.cancel()

    async def _forward(self, ctx: _Context, params: dict[str, Any], *, again: bool) -> dict[str, Any]:
        """Send a request; repeat it if no engine received it or, with `again`, if the engine stopped meanwhile."""
        session: Session = ctx.lifespan_context
        client, waited_s = ctx.session.client_params, 0
        info = None if client is None else client.client_info
        sent = {key: value for key, value in params.items() if value is not None}
        capabilities: dict[str, Any] = {"elicitation": {}} if supports_forms(ctx.session.client_capabilities) else {}

        async def progress(seen: Mapping[str, Any]) -> None:
            await ctx.session.report_progress(
                waited_s + seen.get("progress", 0), seen.get("total"), seen.get("message")
            )

        silent: Address | None = None
        for _ in range(TRIES):
            address, waited_s = await self._find_engine(ctx, silent)
            try:
                answer = await session.link.ask(address, ctx.method, sent, info, capabilities, progress)
            except (NoAnswerError, EngineStoppedError) as error:
                if isinstance(error, EngineStoppedError) and not again:
                    raise
                silent = address
            else:
                session.at = address
                return answer
        raise AttachError(f"an engine was found {TRIES} times and did not answer")


@asynccontextmanager
async def _session(server: Server[Any]) -> AsyncIterator[Session]:
    async with aclosing(EngineLink()) as link:
        yield Session(link)


async def _ask_person(ctx: _Context, wanted: Any) -> dict[str, Any]:
    """Return the answer of the person at a client of an older protocol version; no answer counts as a cancel."""
    if not isinstance(wanted, types.ElicitRequestFormParams):
        return {"action": "cancel"}
    try:
        async with asyncio.timeout(ASK_S):
            answer = await ctx.session.elicit_form(wanted.message, wanted.requested_schema, ctx.request_id)
    except (TimeoutError, MCPError):
        return {"action": "cancel"}
    return answer.model_dump(by_alias=True, mode="json", exclude_none=True)


def _listing(kind: type[_Result], field: str, listed: Callable[[], Awaitable[Any]]) -> _Handler[_Result]:
    """Return a handler that answers with a list in one field of its result."""

    async def listing(ctx: _Context, params: Any) -> _Result:
        return kind(**{field: await listed()})

    return listing


def _error_text(error: OcwError) -> str:
    """Return the text of an error with its code and the next step; the text of an EngineError has both already."""
    if isinstance(error, EngineError):
        return str(error)
    return f"{error.code if isinstance(error, AttachError) else 'NO_ENGINE'}: {error}. next: report it to the operator"


def _no_engine() -> NoReturn:
    raise InvariantError("the tools of the bridge are only listed, never called")

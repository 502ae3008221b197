"""The server over standard input and output: lists the tools by itself, and hands each call to the running engine.

Nothing of the engine is imported here, so that a client has its list while the engine is still being looked for. Each
call is one request of the protocol without sessions: an engine that was started again in between makes no difference.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeVar

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INTERNAL_ERROR,
    CallToolRequestParams,
    CallToolResult,
    CompleteRequestParams,
    CompleteResult,
    ElicitRequestFormParams,
    ElicitRequestParams,
    ElicitResult,
    ErrorData,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
)

from ocw_mcp.adapters.control.address import Address
from ocw_mcp.domain.errors import AttachError, HouseRuleError, OcwError
from ocw_mcp.doors.mcp.server import INSTRUCTIONS, NAME, build
from ocw_mcp.doors.mcp.tool import failed

if TYPE_CHECKING:
    from mcp.client import Client
    from mcp.client.session import ClientRequestContext, ElicitationFnT

ERA: Final = "2026-07-28"
"""Of the protocol between this process and the engine: the one without sessions."""
ANSWER_S: Final = 60.0

_Context = ServerRequestContext[Any]
_T = TypeVar("_T")


class Attach(Protocol):
    """Tells where the engine is. Raises AttachError."""

    def __call__(self, silent: Address | None = None) -> Awaitable[Address]: ...


class Bridge:
    """A server whose tools are those of the engine."""

    def __init__(
        self, attach: Attach, version: str, toolsets: Sequence[str] | None = None, *, read_only: bool = False
    ) -> None:
        """Raises SettingsError for a toolset that there is not."""
        self._attach = attach
        self._offered = build(_no_engine, version, toolsets, read_only=read_only)
        self.server: Server[Any] = Server(
            NAME,
            version=version,
            title=self._offered.title,
            instructions=INSTRUCTIONS,
            on_list_tools=self._list,
            on_call_tool=self._call,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read,
            on_list_prompts=self._list_prompts,
            on_get_prompt=self._prompt,
            on_completion=self._complete,
        )

    async def serve(self) -> None:
        """Serve over standard input and output until the client closes them."""
        async with stdio_server() as (incoming, outgoing):
            await self.server.run(incoming, outgoing, self.server.create_initialization_options())

    async def _list(self, ctx: _Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=await self._offered.list_tools())

    async def _call(self, ctx: _Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        names = [tool.name for tool in await self._offered.list_tools()]
        if params.name not in names:
            return failed(
                f"UNKNOWN_TOOL: no tool of that name is offered here. limit={','.join(names)} "
                f"actual={params.name[:40]!r} next: call one of these"
            )
        try:
            return await self._hand_over(lambda client: _call_tool(client, ctx, params), ctx)
        except (OcwError, MCPError) as error:
            return failed(f"NO_ENGINE: {error}. next: tell a person")

    async def _list_resources(self, ctx: _Context, params: PaginatedRequestParams | None) -> ListResourcesResult:
        return ListResourcesResult(resources=await self._offered.list_resources())

    async def _list_templates(
        self, ctx: _Context, params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        return ListResourceTemplatesResult(resource_templates=await self._offered.list_resource_templates())

    async def _read(self, ctx: _Context, params: ReadResourceRequestParams) -> ReadResourceResult:
        return await self._asked(lambda client: client.read_resource(params.uri))

    async def _list_prompts(self, ctx: _Context, params: PaginatedRequestParams | None) -> ListPromptsResult:
        return ListPromptsResult(prompts=await self._offered.list_prompts())

    async def _prompt(self, ctx: _Context, params: GetPromptRequestParams) -> GetPromptResult:
        return await self._asked(lambda client: client.get_prompt(params.name, params.arguments))

    async def _complete(self, ctx: _Context, params: CompleteRequestParams) -> CompleteResult:
        argument = {"name": params.argument.name, "value": params.argument.value}
        return await self._asked(lambda client: client.complete(params.ref, argument))

    async def _asked(self, question: "Callable[[Client], Awaitable[_T]]") -> _T:
        """Where no result can say what is wrong, an error of the protocol does."""
        try:
            return await self._hand_over(question)
        except OcwError as error:
            raise MCPError(INTERNAL_ERROR, f"NO_ENGINE: {error}. next: tell a person") from None

    async def _hand_over(self, question: "Callable[[Client], Awaitable[_T]]", calls: _Context | None = None) -> _T:
        """`calls` is a call of a tool: it is made in its client's name, and its person may be asked."""
        silent: Address | None = None
        for _ in range(2):
            address = await self._attach(silent)
            answers = await _ask(address, question, calls)
            if answers:
                return answers[0]
            # Nobody listens there any more, so nothing was asked of anybody: it may be asked again.
            silent = address
        raise AttachError("an engine was found twice and answered neither time")


async def _call_tool(
    client: "Client", ctx: _Context, params: CallToolRequestParams
) -> CallToolResult | InputRequiredResult:
    """Hand a call over. What the engine wants to know of the person goes back to the client, in its own era's way."""
    if ctx.protocol_version < ERA:
        return await client.call_tool(params.name, params.arguments)
    return await client.session.call_tool(
        params.name,
        params.arguments,
        input_responses=params.input_responses,
        request_state=params.request_state,
        allow_input_required=True,
    )


def _person(ctx: _Context) -> "ElicitationFnT | None":
    """How the person in front of the client is asked; None where the client cannot."""
    capabilities = ctx.session.client_capabilities
    if capabilities is None or capabilities.elicitation is None:
        return None

    async def asked(context: "ClientRequestContext", params: ElicitRequestParams) -> ElicitResult | ErrorData:
        if not isinstance(params, ElicitRequestFormParams):
            return ErrorData(code=INTERNAL_ERROR, message="the engine asks in forms only")
        return await ctx.session.elicit_form(params.message, params.requested_schema, ctx.request_id)

    return asked


async def _ask(address: Address, question: "Callable[[Client], Awaitable[_T]]", calls: _Context | None) -> list[_T]:
    """Ask the engine; nothing comes back where nobody listens at its address. Raises AttachError and MCPError."""
    import httpx2
    from mcp.client import Client
    from mcp.client.streamable_http import streamable_http_client

    timeout = httpx2.Timeout(ANSWER_S, connect=5.0)
    named = None if calls is None else calls.session.client_params
    info = None if named is None else named.client_info
    person = None if calls is None else _person(calls)
    headers = {"authorization": f"Bearer {address.token}"}
    answers: list[_T] = []
    refused: MCPError | None = None
    silent = False
    try:
        # The engine is on this machine, whatever proxies the environment names.
        async with httpx2.AsyncClient(headers=headers, timeout=timeout, trust_env=False) as http:
            transport = streamable_http_client(f"{address.url}/mcp", http_client=http)
            async with Client(transport, mode=ERA, elicitation_callback=person, client_info=info) as client:
                answers.append(await question(client))
    except* httpx2.ConnectError:
        pass
    except* MCPError as group:
        refused = _first(group)
    except* httpx2.HTTPError:
        silent = True
    if not answers and refused is not None:
        raise refused
    if not answers and silent:
        raise AttachError("the engine did not answer; whatever was asked may have been done")
    return answers


def _first(group: ExceptionGroup[MCPError]) -> MCPError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first


def _no_engine() -> NoReturn:
    raise HouseRuleError("a tool that is only listed is not called")

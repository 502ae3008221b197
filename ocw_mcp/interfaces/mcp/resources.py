"""Resources, which give the answers of tools to clients that attach them to a conversation, and completions."""

from typing import Any, Final

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import (
    CallToolResult,
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
)

from ocw_mcp.domain.requests import RequestCode
from ocw_mcp.interfaces.mcp.access import GetFacade
from ocw_mcp.interfaces.mcp.tool import FailedResult, OcwTool

MOST_OFFERED: Final = 50
_NOT_THERE: Final = (RequestCode.UNKNOWN_SYMBOL, RequestCode.UNKNOWN_ID, RequestCode.BAD_DAY)


def add_resources(server: MCPServer[Any], get_facade: GetFacade, tools: list[OcwTool]) -> None:
    """Add the resources whose tool is offered, and the completions."""
    offered = {tool.name for tool in tools}

    async def text_of(tool: str, **arguments: str) -> str:
        answer = await server.call_tool(tool, arguments)
        assert isinstance(answer, CallToolResult)
        block = answer.content[0]
        assert block.type == "text"
        if answer.is_error:
            missing = isinstance(answer, FailedResult) and answer.code in _NOT_THERE
            raise ResourceNotFoundError(block.text) if missing else ResourceError(block.text)
        return block.text

    if "ocw_get_status" in offered:

        @server.resource("ocw://status", mime_type="text/plain")
        async def status() -> str:
            """Status of the engine."""
            return await text_of("ocw_get_status")

        @server.resource("ocw://policies", mime_type="text/plain")
        async def policies() -> str:
            """All limits in force, and how much of each is used."""
            return await text_of("policies_get")

    if "market_get_snapshot" in offered:

        @server.resource("ocw://snapshot/{symbol}", mime_type="text/plain")
        async def snapshot(symbol: str) -> str:
            """One symbol as a decision would see it now."""
            return await text_of("market_get_snapshot", symbol=symbol, detail="detailed")

    if "decisions_explain" in offered:

        @server.resource("ocw://decisions/{id}", mime_type="text/plain")
        async def decision(id: str) -> str:  # noqa: A002 - the name in the URI template
            """A decision from its wake to its last fill: wake:12, order:3, refusal:478."""
            return await text_of("decisions_explain", id=id, detail="detailed")

        @server.resource("ocw://journal/{day}", mime_type="text/plain")
        async def journal(day: str) -> str:
            """The first events of a UTC day, 2026-03-09."""
            return await text_of("journal_get", day=day, limit="80")

    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion | None:
        """Complete symbols, and the ids of the newest wakes and trades."""
        facade = get_facade()
        if argument.name == "symbol":
            found = list(facade.symbols)
        elif argument.name == "id":
            newest = await facade.history.decisions(MOST_OFFERED)
            found = [f"wake:{each.wake_id}" for each in reversed(newest.decisions)]
        elif argument.name == "trade":
            found = [f"order:{each.order}" for each in (await facade.history.trades(MOST_OFFERED)).trades]
        else:
            return None
        fitting = [each for each in found if each.lower().startswith(argument.value.lower())]
        return Completion(values=fitting, total=len(fitting), has_more=False)

    server.completion()(complete)  # type: ignore[no-untyped-call]

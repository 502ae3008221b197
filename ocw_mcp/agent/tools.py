"""The desk's tools as the model gets them: the reading ones and `decisions_submit`, and what each call answers."""

import math
from collections.abc import Collection
from typing import Any, Final, Protocol, cast

import msgspec
from mcp.types import CallToolResult, ListToolsResult, RequestParamsMeta, TextContent, Tool

from ocw_mcp.domain.asks import TAINTED
from ocw_mcp.domain.orders import CLAUDE

OWN: Final = CLAUDE
"""The source of quotes that are the model's own earlier words."""
SUBMIT: Final = "decisions_submit"
LONGEST_RESULT: Final = 24_000
"""Characters of one result; the server keeps its own below."""


class ToolClient(Protocol):
    """Whoever has the tools; the in-process client of the MCP server is one."""

    async def list_tools(self) -> ListToolsResult: ...

    async def call_tool(
        self, name: str, arguments: dict[str, Any] | None = None, *, meta: RequestParamsMeta | None = None
    ) -> CallToolResult: ...


class LegAnswer(msgspec.Struct, frozen=True):
    """What became of one leg of a decision."""

    symbol: str
    action: str
    outcome: str
    refusal: str | None = None


class ToolAnswer(msgspec.Struct, frozen=True):
    """What a call answered: the text that the model reads, and of a decision what became of its legs."""

    text: str
    failed: bool
    legs: tuple[LegAnswer, ...] = ()
    outside: bool = False
    """Whether it quotes what somebody else than the decider wrote."""

    def block(self, call_id: str) -> dict[str, Any]:
        """It, as it goes back to the model."""
        failed = {"is_error": True} if self.failed else {}
        return {"type": "tool_result", "tool_use_id": call_id, "content": self.text, **failed}


class _Submitted(msgspec.Struct):
    legs: tuple[LegAnswer, ...]


def offered(listed: ListToolsResult, reads: Collection[str] | None = None) -> list[dict[str, Any]]:
    """The tools as the API takes them: those that only read, all or the named ones, and the one that decides."""
    return [
        {"name": tool.name, "description": tool.description or "", "input_schema": tool.input_schema}
        for tool in listed.tools
        if tool.name == SUBMIT or (_only_reads(tool) and (reads is None or tool.name in reads))
    ]


def _carried(part: Any) -> Any:
    """Return arguments with numbers that are not finite as text, which is refused by its name: JSON makes them null."""
    if isinstance(part, dict):
        return {name: _carried(each) for name, each in part.items()}
    if isinstance(part, list):
        return [_carried(each) for each in part]
    return str(part) if isinstance(part, float) and not math.isfinite(part) else part


async def called(client: ToolClient, name: str, arguments: object, *, tainted: bool = False) -> ToolAnswer:
    """Call a tool with whatever the model wrote. Only what goes wrong with the client itself is raised."""
    if not isinstance(arguments, dict):
        return ToolAnswer("BAD_ARGUMENTS: the arguments are no object", failed=True)
    carried: dict[str, Any] = _carried(arguments)
    result = await client.call_tool(name, carried, meta=cast(RequestParamsMeta, {TAINTED: True}) if tainted else None)
    text = "\n".join(each.text for each in result.content if isinstance(each, TextContent))
    if len(text) > LONGEST_RESULT:
        text = f"{text[:LONGEST_RESULT]}\n(cut off here)"
    failed = bool(result.is_error)
    legs = _legs(result.structured_content) if name == SUBMIT and not failed else ()
    return ToolAnswer(text or "(nothing)", failed, legs, _quotes_others(result.structured_content))


def _quotes_others(part: object) -> bool:
    """Whether somewhere in a result stands what a client, a venue or anybody else wrote."""
    if isinstance(part, dict):
        if part.get("untrusted_text") and part.get("source") != OWN:
            return True
        return any(_quotes_others(each) for each in part.values())
    return isinstance(part, list) and any(_quotes_others(each) for each in part)


def _only_reads(tool: Tool) -> bool:
    return tool.annotations is not None and tool.annotations.read_only_hint is True


def _legs(structured: object) -> tuple[LegAnswer, ...]:
    try:
        return msgspec.convert(structured, _Submitted).legs
    except msgspec.ValidationError:
        return ()

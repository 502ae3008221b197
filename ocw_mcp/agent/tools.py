"""The tools that the model may call (read-only tools and `decisions_submit`), and their results as text."""

import math
from collections.abc import Collection
from contextlib import suppress
from typing import Any, Final, Protocol, cast

import msgspec
from mcp.types import CallToolResult, ListToolsResult, RequestParamsMeta, TextContent

from ocw_mcp.domain.asks import TAINTED, TYPED
from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.orders import CLAUDE

SUBMIT: Final = "decisions_submit"
LONGEST_RESULT: Final = 24_000
"""Largest number of characters of a tool result for the model; results of OCW's server are shorter."""


class ToolClient(Protocol):
    """Anything that lists and calls tools, such as the in-process client of the MCP server."""

    async def list_tools(self) -> ListToolsResult: ...

    async def call_tool(
        self, name: str, arguments: dict[str, Any] | None = None, *, meta: RequestParamsMeta | None = None
    ) -> CallToolResult: ...


class LegAnswer(msgspec.Struct, frozen=True):
    """The engine's answer to one leg of a decision."""

    symbol: str
    action: str
    outcome: str
    refusal: str | None = None

    @property
    def enters(self) -> bool:
        """Whether the leg would have added risk; True for an action that cannot be read."""
        return self.action not in Action.__members__ or Action(self.action).adds_risk


class ToolAnswer(msgspec.Struct, frozen=True):
    """The result of a call: the text for the model, and for a decision the answers to its legs."""

    text: str
    failed: bool
    legs: tuple[LegAnswer, ...] = ()
    not_taken: tuple[str, ...] = ()
    """The refused and the changed parts of a decision other than its legs."""
    quotes_others: bool = False
    """Whether the result quotes a text by an author other than the decider."""

    @property
    def correctable(self) -> bool:
        """Whether a decision failed, or one of its parts was refused or changed, so that a correction is possible."""
        return self.failed or bool(self.not_taken) or any(leg.outcome == "refused" for leg in self.legs)


class _Decided(msgspec.Struct, frozen=True):
    """The parts of a submitted decision's typed result that the conversation reads."""

    legs: tuple[LegAnswer, ...] = ()
    not_taken: tuple[str, ...] = ()


def offered_tools(listed: ListToolsResult, reads: Collection[str] | None = None) -> list[dict[str, Any]]:
    """Return `decisions_submit` and the read-only tools (all, or those in `reads`) in the form of the API."""
    return [
        {"name": tool.name, "description": tool.description or "", "input_schema": tool.input_schema}
        for tool in listed.tools
        if tool.name == SUBMIT
        or (tool.annotations and tool.annotations.read_only_hint and (reads is None or tool.name in reads))
    ]


def _with_finite_numbers(part: Any) -> Any:
    """Return arguments with infinity and NaN, which JSON lacks, as text, so that the tool can name the argument."""
    if isinstance(part, dict):
        return {name: _with_finite_numbers(each) for name, each in part.items()}
    if isinstance(part, list):
        return [_with_finite_numbers(each) for each in part]
    return str(part) if isinstance(part, float) and not math.isfinite(part) else part


async def call_tool(client: ToolClient, name: str, arguments: object, *, tainted: bool = False) -> ToolAnswer:
    """Call a tool; invalid arguments give a failed `ToolAnswer`. Only errors of the client itself are raised."""
    if not isinstance(arguments, dict):
        return ToolAnswer("BAD_ARGUMENTS: the arguments are not a JSON object; expected one", failed=True)
    sent: dict[str, Any] = _with_finite_numbers(arguments)
    meta = cast(RequestParamsMeta, {TYPED: True} | ({TAINTED: True} if tainted else {}))
    result = await client.call_tool(name, sent, meta=meta)
    text = "\n".join(each.text for each in result.content if isinstance(each, TextContent))
    if len(text) > LONGEST_RESULT:
        text = f"{text[:LONGEST_RESULT]}\n(the rest of the result is cut off)"
    failed = bool(result.is_error)
    decided = _Decided()
    if name == SUBMIT and not failed and isinstance(result.structured_content, dict):
        with suppress(msgspec.ValidationError):
            decided = msgspec.convert(result.structured_content, _Decided)
    quotes = _quotes_others(result.structured_content)
    return ToolAnswer(text or "(the result is empty)", failed, decided.legs, decided.not_taken, quotes)


def _quotes_others(part: object) -> bool:
    """Return whether a result quotes a text by a client, a venue or another agent."""
    if isinstance(part, dict):
        if part.get("untrusted_text") and part.get("source") != CLAUDE:
            return True
        return any(_quotes_others(each) for each in part.values())
    return isinstance(part, list) and any(_quotes_others(each) for each in part)

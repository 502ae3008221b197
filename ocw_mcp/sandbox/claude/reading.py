"""What a character gets out of a request, as a model would: from its words, its tables and its tools, nothing else."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from ocw_mcp.sandbox.claude.request import MessagesRequest, TextBlock, ToolResultBlock, ToolUseBlock

SUBMIT: Final = "decisions_submit"
_SYMBOL = re.compile(r"[A-Z0-9]{5,20}")
_UNTRUSTED = re.compile(r'untrusted_text[^:\n]*:\s*("(?:[^"\\]|\\.)*"|[^\n]*)')

Row = dict[str, str]
"""A line of a table: what stands under each head."""


class CompletedCall(NamedTuple):
    """A call that was made, and what came of it."""

    call: ToolUseBlock
    result: ToolResultBlock


def told(request: MessagesRequest) -> str:
    """All that users and tools said, oldest first."""
    return "\n".join(
        block.text
        for turn in request.messages
        for block in turn.blocks
        if turn.role == "user" and isinstance(block, TextBlock | ToolResultBlock)
    )


def done(request: MessagesRequest, name: str | None = None) -> list[CompletedCall]:
    """The calls made so far, oldest first; of one tool, or of all."""
    blocks = [block for turn in request.messages for block in turn.blocks]
    results = {block.tool_use_id: block for block in blocks if isinstance(block, ToolResultBlock)}
    calls = [block for block in blocks if isinstance(block, ToolUseBlock) and name in (None, block.name)]
    return [CompletedCall(call, results[call.id]) for call in calls if call.id in results]


def wake(request: MessagesRequest) -> int:
    """The number of the wake that is to be decided on, or 0."""
    found = re.search(r"\bwake (\d+)\b", told(request), re.IGNORECASE)
    return int(found[1]) if found else 0


def figure(request: MessagesRequest, name: str) -> float | None:
    """The last figure that stands behind a word, such as `equity 9997.99`."""
    found = re.findall(rf"\b{name} (-?[\d.]*\d)", told(request))
    return float(found[-1]) if found else None


def table(request: MessagesRequest, *heads: str) -> list[Row]:
    """The rows of the last table whose head begins with these words; each begins with a symbol."""
    rows: list[Row] = []
    columns: list[str] = []
    for line in told(request).splitlines():
        words = line.split()
        if tuple(words[: len(heads)]) == heads:
            columns, rows = words, []
        elif columns and len(words) == len(columns) and _SYMBOL.fullmatch(words[0]):
            rows.append(dict(zip(columns, words, strict=True)))
        else:
            columns = []
    return rows


def number(row: Row, head: str) -> float | None:
    """A cell as a number, if it is one."""
    try:
        return float(row[head])
    except (KeyError, ValueError):
        return None


def untrusted(request: MessagesRequest) -> list[str]:
    """What stands in the fields for other people's words."""
    return [_unquoted(text) for text in _UNTRUSTED.findall(told(request))]


def largest(result: str, symbol: str) -> float | None:
    """The largest size that would pass, where a result says so behind a symbol."""
    parts = re.split(rf"\b{symbol}\b", result)[1:]
    for part in parts:
        other = _SYMBOL_IN_TEXT.search(part)
        found = re.search(r"largest\W{1,4}([\d.]*\d)", part[: other.start()] if other else part)
        if found:
            return float(found[1])
    return None


_SYMBOL_IN_TEXT = re.compile(r"\b[A-Z0-9]{2,16}(?:USDT|USDC|BUSD)\b")


def fitting(request: MessagesRequest, wanted: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `decisions_submit` as its schema, which is in the request, has them."""
    schema = next((tool.input_schema for tool in request.tools if tool.name == SUBMIT), {})
    fitted = _fitted(wanted, schema)
    assert isinstance(fitted, dict)
    return fitted


def _fitted(value: Any, schema: dict[str, Any]) -> Any:
    """A value without the fields that the schema does not name."""
    if isinstance(value, list):
        return [_fitted(each, schema.get("items", {})) for each in value]
    fields = schema.get("properties")
    if isinstance(value, dict) and fields:
        return {name: _fitted(each, fields[name]) for name, each in value.items() if name in fields}
    return value


def readers(request: MessagesRequest) -> Iterator[str]:
    """The tools that can be called without knowing anything."""
    for tool in request.tools:
        if tool.name != SUBMIT and not tool.input_schema.get("required"):
            yield tool.name


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text)) if text.startswith('"') else text
    except ValueError:
        return text

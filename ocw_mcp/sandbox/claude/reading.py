"""Reads a request as a model would: its text, tables and tools, and nothing else."""

import json
import re
from contextlib import suppress
from typing import Any, Final, cast

from ocw_mcp.sandbox.claude.request import MessagesRequest, TextBlock, ToolResultBlock, ToolUseBlock

SUBMIT: Final = "decisions_submit"
_SYMBOL = re.compile(r"[A-Z0-9]{5,20}")
_SYMBOL_IN_TEXT = re.compile(r"\b[A-Z0-9]{2,16}(?:USDT|USDC|BUSD)\b")
_METRIC = re.compile(r"\b([a-z_0-9]+(?:@\w+)?) ([+-]?\d[\d.]*)")
_SIDES = re.compile(r"\b(long and short|long|short) (.*?)(?=; |, short |$)")
_POSITION = re.compile(r"(?P<position>long|short) [\d.]+.*?\baverage (?P<average>[\d.]+\d)")
_STOP = re.compile(r"stop (?P<stop>[\d.]+\d)\b(?:.*; trailing (?P<trailing>[\d.]+))?")
_RESTING = re.compile(r"resting: .*?\b([A-Z0-9]{5,20})\b.*?, ((?:\d[\d.]*[dhms] ?)+)old\b")
_SIZE = re.compile(r"([\d.]+) %(?= to a stop| at |,|$)")
_UNTRUSTED = re.compile(r'untrusted_text[^:\n]*:\s*("(?:[^"\\]|\\.)*"|[^\n]*)')

_MINUTES: Final = {"d": 1440, "h": 60, "m": 1, "s": 1 / 60}

Row = dict[str, str]
"""The cells of one symbol, by their names."""


def shown_text(request: MessagesRequest) -> str:
    """Return all texts of the user and of tools, oldest first."""
    return "\n".join(
        block.text
        for turn in request.messages
        for block in turn.blocks
        if turn.role == "user" and isinstance(block, TextBlock | ToolResultBlock)
    )


def completed_calls(request: MessagesRequest, name: str | None = None) -> list[tuple[ToolUseBlock, ToolResultBlock]]:
    """Return the calls so far with their results, oldest first, of one tool or of all."""
    blocks = [block for turn in request.messages for block in turn.blocks]
    results = {block.tool_use_id: block for block in blocks if isinstance(block, ToolResultBlock)}
    calls = [block for block in blocks if isinstance(block, ToolUseBlock) and name in (None, block.name)]
    return [(call, results[call.id]) for call in calls if call.id in results]


def wake(request: MessagesRequest) -> int:
    """Return the number of the wake to decide on, or 0."""
    found = re.search(r"\bwake (\d+)\b", shown_text(request), re.IGNORECASE)
    return int(found[1]) if found else 0


def symbols(request: MessagesRequest) -> list[Row]:
    """Return the symbols that the request shows, each with its metrics, position and largest sizes, as last shown.

    Keys are metrics (`price`, `return_4h`, `atr_14@1h`), `max_long` and `max_short` (percent of equity, at the farthest
    stop shown); of a position, `position` (`long` or `short`), `average`, `stop` and `trailing` (percent); and
    `resting_m`, the age of an entry that has not filled, in minutes.
    """
    rows: dict[str, Row] = {}
    resting: dict[str, Row] = {}
    row: Row = {}
    columns: list[str] = []
    for line in shown_text(request).splitlines():
        words = line.split()
        if len(words) > 2 and words[1] == "price" and _SYMBOL.fullmatch(words[0]):
            row = rows[words[0]] = {"symbol": words[0]}
            row |= dict(_METRIC.findall(line))
        if not words or words[0] == "?":
            row, columns = {}, []
        elif row and (found := _POSITION.match(line) or _STOP.match(line)):
            row |= {name: cell for name, cell in found.groupdict().items() if cell}
        elif (found := _RESTING.match(line)) and "being cancelled" not in line:
            resting[found[1]] = {"resting_m": str(_minutes(found[2]))}
        elif words[0] == "metric":
            columns = [re.sub(r"\(.*", "", word) for word in words[1:] if word.startswith("@")]
        elif columns and len(words) == len(columns) + 1:
            row |= {f"{words[0]}{column}": cell for column, cell in zip(columns, words[1:], strict=True)}
        if "max_size " in line:
            row |= _largest(line.partition("max_size ")[2])
    return [each | resting.get(symbol, {}) for symbol, each in rows.items()]


def _minutes(age: str) -> int:
    """Return an age such as `1h 5m` in minutes."""
    return int(sum(float(value) * _MINUTES[unit] for value, unit in re.findall(r"([\d.]+)([dhms])", age)))


def _largest(text: str) -> Row:
    found = {}
    for sides, sizes in _SIDES.findall(text) or [("long and short", text)]:
        shown = _SIZE.findall(sizes)
        for side in sides.split(" and "):
            found[f"max_{side}"] = shown[-1] if shown else "0"
    return found


def allows(request: MessagesRequest, action: str) -> bool:
    """Return whether the schema of `decisions_submit` allows an action; a schema without a list allows each."""
    schema = next((tool.input_schema for tool in request.tools if tool.name == SUBMIT), {})
    found = re.search(r'"action":\s*\{[^{}]*?"enum":\s*(\[[^\]]*\])', json.dumps(schema))
    return found is None or action in json.loads(found[1])


def listed(request: MessagesRequest, words: str) -> frozenset[str]:
    """Return the symbols after the last occurrence of some words, such as those of the reader's own note."""
    found = re.findall(rf"{re.escape(words)}((?: [A-Z0-9]{{5,20}}\b)+)", shown_text(request))
    return frozenset(found[-1].split()) if found else frozenset()


def number(row: Row, head: str) -> float | None:
    """Return a cell as a number; None if it is missing or not a number."""
    try:
        return float(row[head])
    except (KeyError, ValueError):
        return None


def untrusted_texts(request: MessagesRequest) -> list[str]:
    """Return the texts by other authors in the `untrusted_text` fields."""
    texts: list[str] = _UNTRUSTED.findall(shown_text(request))
    for place, text in enumerate(texts):
        if text.startswith('"'):
            with suppress(ValueError):
                texts[place] = json.loads(text)
    return texts


def largest_size(result: str, symbol: str) -> float | None:
    """Return the largest size (share of equity) that would pass, if a result states it after the symbol."""
    for part in re.split(rf"\b{symbol}\b", result)[1:]:
        other = _SYMBOL_IN_TEXT.search(part)
        found = re.search(r"largest size\W{1,4}([\d.]*\d)", part[: other.start()] if other else part)
        if found:
            return float(found[1])
    return None


def fit_to_schema(request: MessagesRequest, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return arguments of `decisions_submit` without the fields that its schema in the request does not have."""
    schema = next((tool.input_schema for tool in request.tools if tool.name == SUBMIT), {})
    return cast(dict[str, Any], _fit(wanted, schema))


def _fit(value: Any, schema: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_fit(each, schema.get("items", {})) for each in value]
    fields = schema.get("properties")
    if isinstance(value, dict) and fields:
        return {name: _fit(each, fields[name]) for name, each in value.items() if name in fields}
    return value

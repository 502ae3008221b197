"""The macro regime and the reports from outside of the exchange as text for a model."""

from collections.abc import Iterator
from typing import Final

from ocw_mcp.domain.context import ContextItem
from ocw_mcp.domain.macro import MacroReading, MacroValue
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.render.quotations import quotation
from ocw_mcp.render.text import span

LONGEST_HEADLINE: Final = 140
MOST_HEADLINES: Final = 5
"""The most headlines in a context: the newest."""
_UNITS: Final = ((1e12, "tn "), (1e9, "bn "), (1e6, "mn "))


def outside_lines(snapshot: Snapshot) -> Iterator[str]:
    """Yield the macro regime if it is known, one line of numbers from outside, and each headline as a quotation."""
    if not isinstance(snapshot.macro, Unknown):
        yield macro_line(snapshot.macro)
    yield from numbers_line(snapshot)
    yield from headline_lines(snapshot, MOST_HEADLINES)


def numbers_line(snapshot: Snapshot) -> Iterator[str]:
    """Yield one line of the numbers from outside, if there is one."""
    numbers = [_number(each, snapshot.at) for each in snapshot.context if each.value is not None]
    if numbers:
        yield f"outside: {'; '.join(numbers)}"


def newest_first(snapshot: Snapshot) -> list[ContextItem]:
    """Return the texts from outside, the newest first and those without a time last."""
    return sorted((each for each in snapshot.context if each.text), key=lambda item: -(item.as_of or 0))


def headline_lines(snapshot: Snapshot, most: int) -> Iterator[str]:
    """Yield the newest texts from outside, at most so many, each as a quotation."""
    for each in newest_first(snapshot)[:most]:
        what = f"{each.name or 'headline'} ({_age(each, snapshot.at)})"
        yield quotation(what, each.source, each.as_of, each.text, LONGEST_HEADLINE)


def macro_line(macro: MacroReading) -> str:
    """Return the quadrant, the measures that it follows from, and the newest values with their changes."""
    values = ", ".join(_value(each) for each in macro.series)
    stale = " STALE" if macro.stale else ""
    return f"macro {macro.quadrant}{stale}: growth {macro.growth:+.2f}, inflation {macro.inflation:+.2f} ({values})"


def _value(value: MacroValue) -> str:
    change = "" if value.change is None else f" {value.change:+.6g}"
    return f"{value.name} {value.value:.8g}{change} of {value.date}"


def _number(item: ContextItem, now: int) -> str:
    assert item.value is not None
    name = f"{item.source} {item.name}".strip()
    return f"{name} {_short(item.value)}{'' if item.unit == '%' else ' '}{item.unit} ({_age(item, now)})"


def _short(value: float) -> str:
    for size, word in _UNITS:
        if abs(value) >= size:
            return f"{value / size:.4g} {word}".rstrip()
    return f"{value:.6g}"


def _age(item: ContextItem, now: int) -> str:
    """Return how old a report is, by the time that its source states, else by the time of reading."""
    age = span(max(0, now - (item.at if item.as_of is None else item.as_of)) // MINUTE * MINUTE)
    return f"STALE, {age} ago" if item.stale else f"{age} ago"

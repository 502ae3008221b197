"""The quadrant of each day, with hysteresis on both measures, from what was known at its beginning."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from ocw_mcp.core.macro.measures import LONGEST_DAILY, LONGEST_MONTHLY, Floats, growth, inflation, parts
from ocw_mcp.core.macro.series import ALL, DECIDING, Observation, Pace, Series, day_of, ms, next_month
from ocw_mcp.domain.macro import MacroReading, MacroValue, Quadrant
from ocw_mcp.domain.time import DAY
from ocw_mcp.domain.unknown import Unknown

Table = Mapping[str, Sequence[Observation]]
"""The observations of each series by its name, sorted by day."""

BAND: Final = 0.2
"""How far beyond 0 a measure must be, on the other side, before its direction changes."""
_QUADRANTS: Final = {
    (True, False): Quadrant.GOLDILOCKS,
    (True, True): Quadrant.REFLATION,
    (False, False): Quadrant.DEFLATION,
    (False, True): Quadrant.STAGFLATION,
}


class MacroDay(NamedTuple):
    """The quadrant at the beginning of a day, or why it is unknown; a measure is NaN if it is unknown."""

    at: int
    quadrant: Quadrant | Unknown
    growth: float
    inflation: float


def follow(table: Table, begin: int, until: int) -> list[MacroDay]:
    """Return the quadrant at each UTC midnight from `begin` to `until` (ms), and at `until` itself.

    The hysteresis begins with the first day on which all measures are known, so a later `begin` changes no quadrant.
    """
    first = min((each[0].known_at for each in table.values() if each), default=begin)
    start = -(-min(first, begin) // DAY) * DAY
    days = np.arange(start, until + 1, DAY, dtype=np.int64)
    if not len(days) or days[-1] < until:
        days = np.append(days, until)
    found = parts(days, table)
    measures = growth(found), inflation(found)
    ways = [_directions(each) for each in measures]
    return [
        MacroDay(at, _quadrant(table, found, place, at, ways), float(measures[0][place]), float(measures[1][place]))
        for place, at in enumerate(days.tolist())
        if at >= begin
    ]


def reading_at(table: Table, now: int) -> MacroReading | Unknown:
    """Return the macro regime at `now` (ms) from the values that were known, or why it is unknown."""
    return _reading(table, follow(table, now, now)[-1])


class MacroHistory:
    """The macro regime of each UTC day from recorded series, as known at its beginning."""

    def __init__(self, table: Table) -> None:
        self._table = table
        found = [each for series in DECIDING for each in table.get(series.name, ())]
        begin = min((each.known_at for each in found), default=0) // DAY * DAY
        # After the last day every series is too old.
        until = max((each.known_at for each in found), default=0) // DAY * DAY + LONGEST_MONTHLY
        self._days = follow(table, begin, until) if found else []

    def at(self, now: int) -> MacroReading | Unknown:
        """Return the macro regime of the UTC day of `now` (ms)."""
        if not self._days or now < self._days[0].at:
            return reading_at(self._table, now)
        place = min((now - self._days[0].at) // DAY, len(self._days) - 1)
        return _reading(self._table, self._days[place])


def _reading(table: Table, day: MacroDay) -> MacroReading | Unknown:
    if isinstance(day.quadrant, Unknown):
        return day.quadrant
    newest = {name: found for name in ALL if (found := value_at(name, table.get(name, ()), day.at)) is not None}
    published = max(
        table[series.name][place].known_at
        for series in DECIDING
        if (place := _last(table[series.name], day.at)) is not None
    )
    return MacroReading(day.quadrant, day.growth, day.inflation, published, tuple(newest.values()))


def value_at(name: str, found: Sequence[Observation], now: int) -> MacroValue | None:
    """Return the newest value of a series that was known at `now` (ms); None if there is none."""
    place = _last(found, now)
    if place is None:
        return None
    last = found[place]
    change = round(last.value - found[place - 1].value, 6) if place else None
    return MacroValue(name, last.value, last.day.isoformat(), change)


def _last(found: Sequence[Observation], now: int) -> int | None:
    """Return the place of the newest value that was known at `now` (ms); None if there is none."""
    place = bisect_right(found, day_of(now), key=lambda each: each.day) - 1
    while place >= 0 and found[place].known_at > now:
        place -= 1
    return place if place >= 0 else None


def _directions(measure: Floats) -> list[bool | None]:
    """Return whether each value counts as rising, after hysteresis; None for an unknown one, after which it begins."""
    found: list[bool | None] = []
    rising: bool | None = None
    for value in measure.tolist():
        if value != value:  # NaN
            rising = None
        elif rising is None:
            rising = value >= 0
        elif abs(value) >= BAND:
            rising = value > 0
        found.append(rising)
    return found


def _quadrant(
    table: Table, found: Mapping[str, Floats], place: int, at: int, ways: Sequence[Sequence[bool | None]]
) -> Quadrant | Unknown:
    up, hot = ways[0][place], ways[1][place]
    if up is not None and hot is not None:
        return _QUADRANTS[up, hot]
    missing = next(each for each in DECIDING if np.isnan(found[each.name][place]))
    return Unknown(_why(missing, table.get(missing.name, ()), at))


def _why(series: Series, found: Sequence[Observation], at: int) -> str:
    """Return why a series gives no part at a time."""
    if not found:
        return f"there are no values of {series.name}"
    known = [each for each in found if each.known_at <= at]
    if not known:
        return f"{series.name} is not known before {day_of(found[0].known_at)}"
    last = known[-1].day
    monthly = series.pace is Pace.MONTHLY
    if at - ms(next_month(last) if monthly else last) > (LONGEST_MONTHLY if monthly else LONGEST_DAILY):
        return f"the last value of {series.name} is of {last}, too old"
    return f"{series.name} has too few values"

"""The macro quadrant computed day by day from the text of docs/macro.md, without the arrays of `core/macro`."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from random import Random  # noqa: TID251 - with a seed

from ocw_mcp.core.macro.series import CURVE, EXPECTED, PRICES, UNEMPLOYED, Observation, known_at, ms
from ocw_mcp.domain.time import DAY

Table = Mapping[str, Sequence[Observation]]


def oracle(table: Table, first: int, until: int) -> str | None:
    """Return the quadrant at the day `until` (ms); the days begin with `first`. None if it is unknown."""
    ways: list[bool | None] = [None, None]
    for at in range(first, until + 1, DAY):
        for place, measure in enumerate(_measures(table, at)):
            if measure is None:
                ways[place] = None
            elif ways[place] is None:
                ways[place] = measure >= 0
            elif abs(measure) >= 0.2:
                ways[place] = measure > 0
    names = {(1, 0): "goldilocks", (1, 1): "reflation", (0, 0): "deflation", (0, 1): "stagflation"}
    return None if None in ways else names[bool(ways[0]), bool(ways[1])]


def _measures(table: Table, at: int) -> tuple[float | None, float | None]:
    curve, expected = _daily(table[CURVE.name], at), _daily(table[EXPECTED.name], at)
    jobs, prices = _monthly(table[UNEMPLOYED.name], at), _monthly(table[PRICES.name], at)
    growth = inflation = None
    if curve and jobs:
        lowest = min(_mean(curve, end) for end in range(max(63, len(curve) - 251), len(curve) + 1))
        month = max(jobs)
        now, before = _three(jobs, month), _three(jobs, _back(month, 6))
        if now is not None and before is not None:
            growth = (_cut(lowest / 0.5) + _cut((before - now) / 0.5)) / 2
    if expected and prices and len(expected) >= 63 + 126:
        last, earlier = _mean(expected, len(expected)), _mean(expected, len(expected) - 126)
        month = max(prices)
        now, before = _year(prices, month), _year(prices, _back(month, 6))
        if now is not None and before is not None:
            hopes = (_cut((last - 2.1) / 0.4) + _cut((last - earlier) / 0.4)) / 2
            inflation = (hopes + (_cut((now - 2.5) / 1.5) + _cut((now - before) / 1.5)) / 2) / 2
    return tuple(None if each is None else round(each, 6) for each in (growth, inflation))  # type: ignore[return-value]


def _daily(found: Sequence[Observation], at: int) -> list[float]:
    known = [each for each in found if each.known_at <= at]
    fresh = len(known) >= 63 and at - ms(known[-1].day) <= 10 * DAY
    return [each.value for each in known] if fresh else []


def _monthly(found: Sequence[Observation], at: int) -> dict[date, float]:
    known = {each.day: each.value for each in found if each.known_at <= at}
    fresh = known and at - ms(_back(max(known), -1)) <= 100 * DAY
    return known if fresh else {}


def _mean(values: Sequence[float], end: int) -> float:
    return sum(values[end - 63 : end]) / 63


def _three(known: Mapping[date, float], month: date) -> float | None:
    found = [known[each] for each in (month, _back(month, 1), _back(month, 2)) if each in known]
    return sum(found) / len(found) if len(found) > 1 else None


def _year(known: Mapping[date, float], month: date) -> float | None:
    ends = [_level(known, month), _level(known, _back(month, 12))]
    return None if None in ends else 100 * (ends[0] / ends[1] - 1)  # type: ignore[operator]


def _level(known: Mapping[date, float], month: date) -> float | None:
    if month in known:
        return known[month]
    around = known.get(_back(month, 1)), known.get(_back(month, -1))
    return None if None in around else (around[0] * around[1]) ** 0.5  # type: ignore[operator]


def _back(month: date, count: int) -> date:
    place = month.year * 12 + month.month - 1 - count
    return date(place // 12, place % 12 + 1, 1)


def _cut(value: float) -> float:
    return max(-1.0, min(1.0, value))


def random_table(seed: int, begin: date = date(2004, 1, 1), days: int = 1_500) -> dict[str, tuple[Observation, ...]]:
    """Return random walks of the four deciding series, without some months and some weeks of days."""
    draw = Random(seed)
    table: dict[str, tuple[Observation, ...]] = {}
    for series, value, step in ((CURVE, 0.3, 0.06), (EXPECTED, 2.1, 0.04)):
        found, hole = [], 0
        for each in (begin + timedelta(place) for place in range(days)):
            value += draw.gauss(0, step)
            hole = max(0, hole - 1) if draw.random() > 0.003 else draw.randint(1, 20)
            if each.weekday() < 5 and not hole:
                found.append(Observation(each, round(value, 2), known_at(series, each)))
        table[series.name] = tuple(found)
    for series, value, step in ((UNEMPLOYED, 5.0, 0.12), (PRICES, 190.0, 0.7)):
        months = [date(begin.year - 2 + place // 12, place % 12 + 1, 1) for place in range(24 + days // 31)]
        found = []
        for month in months:
            value += draw.gauss(0.45 if series is PRICES else 0, step)
            if draw.random() > 0.06:
                found.append(Observation(month, round(value, 3), known_at(series, month) + draw.randint(0, 3) * DAY))
        table[series.name] = tuple(found)
    return table

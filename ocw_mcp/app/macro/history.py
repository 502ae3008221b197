"""The macro quadrants over time beside the recessions of the NBER, which are dated long afterwards."""

import asyncio
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import httpx2
import msgspec

from ocw_mcp.adapters.outside.fred import Fred
from ocw_mcp.adapters.outside.fred_text import read_csv, read_json
from ocw_mcp.adapters.outside.fred_worker import table_of
from ocw_mcp.adapters.outside.http import OutsideHttp
from ocw_mcp.adapters.outside.macro_files import read_macro_files, read_recessions
from ocw_mcp.app.settings import Settings
from ocw_mcp.core.macro.history import MacroDay, follow, reading_at
from ocw_mcp.core.macro.series import DECIDING, RECESSION, Observation, day_of, months_before, ms
from ocw_mcp.domain.errors import SettingsError, SourceUnavailable
from ocw_mcp.domain.macro import MacroReading, Quadrant
from ocw_mcp.domain.time import DAY, utc_day
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.runtime.clock import LiveClock

FALLING = (Quadrant.DEFLATION, Quadrant.STAGFLATION)
"""The quadrants in which growth falls."""


class MacroPast(NamedTuple):
    """The quadrants of consecutive days, with the series that they follow from."""

    table: Mapping[str, Sequence[Observation]]
    days: list[MacroDay]
    recession: dict[date, bool]
    """Whether each month was in a recession of the NBER, by its first day; the first month after a peak is in it."""
    first_releases: bool
    """Whether prices and unemployment are those of their first release."""


def from_files(directory: Path, begin: int) -> MacroPast:
    """Return the quadrants from a directory of CSV files, from `begin` (ms) to the last value. Raises SettingsError."""
    table = read_macro_files(directory)
    last = max((each.known_at for series in DECIDING for each in table[series.name]), default=0)
    return _past(table, begin, last // DAY * DAY, read_recessions(directory), first_releases=False)


def from_fred(settings: Settings, begin: int) -> MacroPast:
    """Return the quadrants from FRED, from `begin` (ms) to today. Raises SourceUnavailable."""
    clock = LiveClock()
    now, key = clock.machine(), settings.fred_api_key

    async def ask() -> tuple[dict[str, tuple[Observation, ...]], tuple[Observation, ...]]:
        http = OutsideHttp()
        try:
            fred = Fred(http, clock.machine, key)
            table = table_of(await fred.ask_all(now))
            text = await fred.ask(RECESSION.name, day_of(begin))
            return table, read_csv(RECESSION, text) if key is None else read_json(RECESSION, text, False, now)
        except (ValueError, msgspec.MsgspecError, httpx2.HTTPError) as error:
            raise SourceUnavailable(f"FRED has another format than expected ({str(error)[:120]})") from None
        finally:
            await http.close()

    table, recessions = asyncio.run(ask())
    return _past(table, begin, now // DAY * DAY, recessions, first_releases=key is not None)


def _past(
    table: Mapping[str, Sequence[Observation]],
    begin: int,
    until: int,
    recessions: Sequence[Observation],
    *,
    first_releases: bool,
) -> MacroPast:
    if until <= begin:
        raise SettingsError(f"the series end before {utc_day(begin)}; expected later values; choose an earlier --from")
    months = {each.day: each.value > 0 for each in recessions}
    return MacroPast(table, follow(table, begin, until), months, first_releases)


def report(past: MacroPast, *, each_day: bool = True) -> dict[str, Any]:
    """Return the quadrants ready for JSON; `each_day` adds the reading of every day."""
    days = past.days
    known = [day for day in days if not isinstance(day.quadrant, Unknown)]
    unknown = Counter(day.quadrant.reason for day in days if isinstance(day.quadrant, Unknown))
    result: dict[str, Any] = {
        "from": days[0].at,
        "to": days[-1].at,
        "days": len(days),
        "days_known": len(known),
        "unknown": dict(unknown),
        "now": _now(past),
        "quadrants": {quadrant.value: _row(past, known, quadrant) for quadrant in Quadrant},
        "recessions": [_recession(past, months) for months in recessions_of(past)],
        "recession_days": sum(_in_recession(past, day) is True for day in known),
        "falling_days": sum(day.quadrant in FALLING for day in known),
        "falling_in_recession": sum(day.quadrant in FALLING and _in_recession(past, day) is True for day in known),
        "spells": spells_of(days),
        "first_releases": past.first_releases,
    }
    if each_day:
        result["readings"] = [
            {
                "day": utc_day(day.at),
                "quadrant": None if isinstance(day.quadrant, Unknown) else day.quadrant.value,
                "growth": _finite(day.growth),
                "inflation": _finite(day.inflation),
                "recession": _in_recession(past, day),
            }
            for day in days
        ]
    return result


def recessions_of(past: MacroPast) -> list[list[date]]:
    """Return the months of each recession that begins after the first known quadrant."""
    first = next((day_of(day.at) for day in past.days if not isinstance(day.quadrant, Unknown)), date.max)
    runs = [
        [month for month, _ in run] for flag, run in groupby(sorted(past.recession.items()), lambda x: x[1]) if flag
    ]
    return [months for months in runs if months[0] >= first]


def spells_of(days: Sequence[MacroDay]) -> list[dict[str, Any]]:
    """Return the consecutive days of each quadrant."""
    found = []
    for quadrant, run in groupby(days, lambda day: None if isinstance(day.quadrant, Unknown) else day.quadrant.value):
        spell = list(run)
        found.append(
            {"from": utc_day(spell[0].at), "to": utc_day(spell[-1].at), "days": len(spell), "quadrant": quadrant}
        )
    return found


def _row(past: MacroPast, known: Sequence[MacroDay], quadrant: Quadrant) -> dict[str, Any]:
    lengths = [len(list(run)) for found, run in groupby(known, lambda day: day.quadrant) if found is quadrant]
    flags = [_in_recession(past, day) for day in known if day.quadrant is quadrant]
    dated = [flag for flag in flags if flag is not None]
    return {
        "days": sum(lengths),
        "share": round(sum(lengths) / len(known), 4) if known else None,
        "spells": len(lengths),
        "median_days": float(median(lengths)) if lengths else None,
        "longest_days": max(lengths, default=None),
        "recession_share": round(sum(dated) / len(dated), 4) if dated else None,
    }


def _recession(past: MacroPast, months: Sequence[date]) -> dict[str, Any]:
    """Return a recession with the days on which growth was read as falling, the first that end after it began."""
    begin, end = ms(months[0]), ms(months_before(months[-1], -1))
    runs = [[day.at for day in run] for falls, run in groupby(past.days, lambda day: day.quadrant in FALLING) if falls]
    falling = next((run for run in runs if run[-1] >= begin), None)
    inside = [day for day in past.days if begin <= day.at < end]
    return {
        "from": months[0].isoformat(),
        "to": utc_day(end - DAY),
        "days": len(inside),
        "falling_days": sum(day.quadrant in FALLING for day in inside),
        "falling_from": None if falling is None else utc_day(falling[0]),
        "falling_to": None if falling is None else utc_day(falling[-1]),
    }


def _in_recession(past: MacroPast, day: MacroDay) -> bool | None:
    return past.recession.get(day_of(day.at).replace(day=1))


def _now(past: MacroPast) -> dict[str, Any]:
    last = past.days[-1]
    found = reading_at(past.table, last.at)
    if not isinstance(found, MacroReading):
        return {"day": utc_day(last.at), "quadrant": None, "unknown": found.reason}
    return {
        "day": utc_day(last.at),
        "quadrant": found.quadrant.value,
        "growth": found.growth,
        "inflation": found.inflation,
        "since": spells_of(past.days)[-1]["from"],
        "series": [each._asdict() for each in found.series],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

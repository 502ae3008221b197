"""The formats of FRED: the public CSV, a CSV with the days of release, and the JSON of the interface with a key.

A blank or a point is a value that was never published, such as that of a holiday or of October 2025.
"""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

import msgspec

from ocw_mcp.core.macro.series import ALL, Observation, Pace, Series, observations
from ocw_mcp.domain.text import printable

_DATES: Final = ("observation_date", "date")
_RELEASES: Final = ("realtime_start", "released")
_MISSING: Final = ("", ".")
_FIRST: Final = date(1900, 1, 1)

Row = tuple[date, float, date | None]


class _JsonRow(msgspec.Struct):
    date: str
    value: str
    realtime_start: str


class _Json(msgspec.Struct):
    observations: list[_JsonRow]


def read_csv(series: Series, content: bytes, read_at: int | None = None) -> tuple[Observation, ...]:
    """Return the values of a CSV, whose columns are the day, the value and perhaps the day of its first release.

    `read_at` is as in `observations`. Raises ValueError with the line that is at fault.
    """
    table = csv.reader(io.StringIO(content.decode("utf-8-sig")))
    head = [each.strip().lower() for each in next(table, [])]
    days = [place for place, each in enumerate(head) if each in _DATES]
    values = [place for place, each in enumerate(head) if each in ("value", series.name.lower())]
    releases = [place for place, each in enumerate(head) if each in _RELEASES]
    if len(days) != 1 or len(values) != 1 or len(releases) > 1:
        shown = printable(",".join(head)[:60])
        raise ValueError(f"the columns are {shown!r}; expected observation_date and {series.name}, or date and value")
    rows: list[Row] = []
    for fields in table:
        if not fields:
            continue
        try:
            rows.append(_row(fields[days[0]], fields[values[0]], fields[releases[0]] if releases else None))
        except (ValueError, IndexError):
            shown = printable(",".join(fields)[:60])
            raise ValueError(f"line {table.line_num} is {shown!r}; expected a day and a number") from None
    return _first_releases(series, rows, read_at)


def read_json(series: Series, content: bytes, first_releases: bool, read_at: int) -> tuple[Observation, ...]:
    """Return the values of an answer of the interface with a key; with `first_releases` as published at first.

    Raises ValueError if it has another format.
    """
    found = msgspec.json.decode(content, type=_Json).observations
    rows = [_row(each.date, each.value, each.realtime_start if first_releases else None) for each in found]
    return _first_releases(series, rows, read_at)


def read_table(texts: Iterable[tuple[str, bytes]]) -> dict[str, tuple[Observation, ...]]:
    """Return the observations of CSVs by the names of their series. Raises ValueError with the series at fault."""
    found = {}
    for name, content in texts:
        try:
            found[name] = read_csv(ALL[name], content)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return found


def _row(day: str, value: str, released: str | None) -> Row:
    number = math.nan if value.strip() in _MISSING else float(value)
    found = date.fromisoformat(day.strip())
    if math.isinf(number) or (math.isnan(number) and value.strip() not in _MISSING) or found < _FIRST:
        raise ValueError("not a value")
    return found, number, None if released is None or not released.strip() else date.fromisoformat(released.strip())


def _first_releases(series: Series, rows: Sequence[Row], read_at: int | None) -> tuple[Observation, ...]:
    """Return the rows as observations; of several releases of a day, the first."""
    known: dict[date, tuple[float, date | None]] = {}
    for day, value, released in sorted(rows, key=lambda row: (row[0], row[2] or date.max)):
        if series.pace is Pace.MONTHLY and day.day != 1:
            raise ValueError(f"{day} is not the first day of a month; expected a value a month")
        if not math.isnan(value):
            known.setdefault(day, (value, released))
    releases = {day: released for day, (_, released) in known.items() if released is not None}
    return observations(series, [(day, value) for day, (value, _) in known.items()], releases, read_at)

"""The economic series, and when each value became known.

A value is used from the time at which it was published. A source that states this time (the first releases of FRED)
gives it; otherwise it follows from the calendar of the series, and is never too early, except in a delay that
`DELAYED` does not list. A value that a live source has is known at the latest when it is read.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from msgspec import Struct

from ocw_mcp.domain.time import DAY


class Pace(StrEnum):
    """How often a series has a value."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


class Series(Struct, frozen=True):
    """One series of FRED."""

    name: str
    pace: Pace
    lag_days: int
    """The days after the end of the value's day, week or month at whose beginning (UTC) the value is known.

    A daily value with 1 is known at the end of the next business day.
    """
    meaning: str
    earlier: tuple[date, int] | None = None
    """The `lag_days` of values before a day, if they were larger."""


CURVE: Final = Series("T10Y2Y", Pace.DAILY, 1, "10-year minus 2-year Treasury yield, % points")
EXPECTED: Final = Series("T10YIE", Pace.DAILY, 1, "10-year breakeven inflation, %")
UNEMPLOYED: Final = Series("UNRATE", Pace.MONTHLY, 15, "unemployment rate, %")
# Prices of each month since January 2017 were published by the 15th of the next one, except in shutdowns. Before, those
# of January and of some other months took up to 24 days.
PRICES: Final = Series(
    "CPIAUCSL", Pace.MONTHLY, 15, "consumer price index, 1982-84 is 100", earlier=(date(2017, 1, 1), 25)
)
DECIDING: Final = (CURVE, UNEMPLOYED, EXPECTED, PRICES)
"""The series from which the quadrant follows."""
CONTEXT: Final = (
    Series("WALCL", Pace.WEEKLY, 2, "assets of the Federal Reserve, million USD"),
    Series("RRPONTSYD", Pace.DAILY, 1, "overnight reverse repos, billion USD"),
    Series("M2SL", Pace.MONTHLY, 28, "money stock M2, billion USD"),
    Series("BAMLH0A0HYM2", Pace.DAILY, 1, "high-yield spread, % points"),
    Series("VIXCLS", Pace.DAILY, 1, "implied volatility of the S&P 500, %"),
    Series("DTWEXBGS", Pace.DAILY, 6, "broad dollar index"),
    Series("NFCI", Pace.WEEKLY, 6, "financial conditions, above 0 tighter than average"),
)
"""The series of liquidity and stress, which are shown and decide nothing."""
RECESSION: Final = Series("USREC", Pace.MONTHLY, 0, "recession of the NBER, dated long afterwards: never an input")
ALL: Final = {each.name: each for each in (*DECIDING, *CONTEXT)}

DELAYED: Final[Mapping[tuple[str, str], str]] = {
    ("UNRATE", "1995-12"): "1996-01-20",
    ("CPIAUCSL", "1995-12"): "1996-02-02",
    ("UNRATE", "2013-09"): "2013-10-23",
    ("CPIAUCSL", "2013-09"): "2013-10-31",
    ("UNRATE", "2025-09"): "2025-11-21",
    ("CPIAUCSL", "2025-09"): "2025-10-25",
    ("UNRATE", "2025-11"): "2025-12-17",
    ("CPIAUCSL", "2025-11"): "2025-12-19",
}
"""The day from whose beginning a monthly value was known that a government shutdown delayed beyond its lag."""
_EPOCH: Final = date(1970, 1, 1)
_FIXED: Final = {(1, 1), (7, 4), (11, 11), (12, 25)}
_NTH_MONDAY: Final = {(1, 3), (2, 3), (9, 1), (10, 2)}


class Observation(Struct, frozen=True):
    """One value of a series."""

    day: date
    """The day of the value; the first day of its month for a monthly series."""
    value: float
    known_at: int
    """The time (ms) from which the value is known."""


def observations(
    series: Series,
    values: Sequence[tuple[date, float]],
    released: Mapping[date, date] | None = None,
    read_at: int | None = None,
) -> tuple[Observation, ...]:
    """Return the values with the times at which they became known, sorted by day.

    `released` has the days of first releases; such a value is known from the next midnight. All values are known by
    `read_at` (ms), the time at which a live source had them.
    """
    found = []
    for day, value in sorted(values):
        release = released.get(day) if released else None
        known = known_at(series, day) if release is None else ms(release + timedelta(1))
        found.append(Observation(day, value, known if read_at is None else min(known, read_at)))
    return tuple(found)


def known_at(series: Series, day: date) -> int:
    """Return the time (ms) from which a value is known by the calendar of its series."""
    if series.pace is Pace.MONTHLY:
        if (delayed := DELAYED.get((series.name, f"{day:%Y-%m}"))) is not None:
            return ms(date.fromisoformat(delayed))
        before, larger = series.earlier or (date.min, 0)
        lag = larger if day < before else series.lag_days
        return ms(next_month(day)) + lag * DAY
    if series.pace is Pace.WEEKLY:
        return ms(day) + series.lag_days * DAY
    last = day
    for _ in range(series.lag_days):
        last = _next_business_day(last)
    return ms(last) + DAY


def ms(day: date) -> int:
    """Return the beginning (ms) of a UTC day."""
    return (day - _EPOCH).days * DAY


def day_of(at: int) -> date:
    """Return the UTC day of a time (ms)."""
    return _EPOCH + timedelta(at // DAY)


def next_month(day: date) -> date:
    """Return the first day of the month after `day`."""
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def months_before(day: date, count: int) -> date:
    """Return the first day of the month `count` months before that of `day`."""
    place = day.year * 12 + day.month - 1 - count
    return date(place // 12, place % 12 + 1, 1)


def is_holiday(day: date) -> bool:
    """Return whether a weekday is a holiday of the US government, on which it publishes nothing."""
    fixed = _FIXED | ({(6, 19)} if day.year > 2021 else set())
    # A holiday on a Sunday is observed on Monday, one on a Saturday on Friday.
    near = {0: day - timedelta(1), 4: day + timedelta(1)}.get(day.weekday(), day)
    if (day.month, day.day) in fixed or (near.month, near.day) in fixed:
        return True
    if day.weekday() == 0:
        return (day.month, (day.day + 6) // 7) in _NTH_MONDAY or (day.month == 5 and day.day > 24)
    return day.weekday() == 3 and day.month == 11 and 22 <= day.day <= 28


def _next_business_day(day: date) -> date:
    later = day + timedelta(1)
    while later.weekday() > 4 or is_holiday(later):
        later += timedelta(1)
    return later

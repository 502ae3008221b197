"""The measures of growth and inflation of each day, −1..1, from the values that were known at its beginning.

Each measure is the mean of two parts: one of a monthly statistic, one of a market price. A part is a distance from a
neutral point, in steps that count as fully positive or negative, cut to −1..1. docs/macro.md has the reasons.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt

from ocw_mcp.core.macro.series import (
    CURVE,
    EXPECTED,
    PRICES,
    UNEMPLOYED,
    Observation,
    Series,
    months_before,
    ms,
    next_month,
)
from ocw_mcp.domain.time import DAY

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

QUARTER: Final = 63
"""The values of a daily series that are averaged: about three months."""
YEAR: Final = 252
"""The values of a daily series in about a year."""
HALF: Final = 126
JOBS_STEP: Final = 0.5
"""The change of the unemployment rate in six months (% points) that counts as fully negative or positive."""
CURVE_STEP: Final = 0.5
"""The slope of the yield curve (% points) that counts as fully positive; inverted as much, fully negative."""
NORMAL_PRICES: Final = 2.5
"""The rise of consumer prices (% a year) that is neutral: the Federal Reserve's 2 %, which is about 2.5 % of CPI."""
NORMAL_EXPECTED: Final = 2.1
"""The expected inflation (%) that is neutral: near the mean of the breakeven rate since 2003."""
PRICES_STEP: Final = 1.5
EXPECTED_STEP: Final = 0.4
LONGEST_DAILY: Final = 10 * DAY
"""The age (ms) from which on a daily value is not used."""
LONGEST_MONTHLY: Final = 100 * DAY
"""The time (ms) after the end of its month from which on a monthly value is not used: one month may be missing."""
_DIGITS: Final = 6


def parts(days: Ints, table: Mapping[str, Sequence[Observation]]) -> dict[str, Floats]:
    """Return the part of each deciding series at the beginning of each day (ms), by its name.

    A part is NaN while its series is missing, too short or too old. Unemployment that falls counts for growth. The
    curve counts by its lowest quarterly mean of the last year. Prices and expected inflation count by their level and
    by their change in six months.
    """
    return {
        CURVE.name: _daily(days, table.get(CURVE.name, ()), _slope),
        UNEMPLOYED.name: _monthly(days, table.get(UNEMPLOYED.name, ()), _jobs),
        EXPECTED.name: _daily(days, table.get(EXPECTED.name, ()), _expectation),
        PRICES.name: _monthly(days, table.get(PRICES.name, ()), _price_rise),
    }


def growth(found: Mapping[str, Floats]) -> Floats:
    """Return the measure of growth from the parts: the mean of curve and unemployment."""
    return _mean(found, CURVE, UNEMPLOYED)


def inflation(found: Mapping[str, Floats]) -> Floats:
    """Return the measure of inflation from the parts: the mean of expected inflation and prices."""
    return _mean(found, EXPECTED, PRICES)


def _mean(found: Mapping[str, Floats], first: Series, second: Series) -> Floats:
    mean: Floats = np.round((found[first.name] + found[second.name]) / 2, _DIGITS)
    return mean


def _jobs(known: dict[date, float], month: date) -> float:
    now, before = _quarter(known, month), _quarter(known, months_before(month, 6))
    return _part(before - now, JOBS_STEP)


def _quarter(known: dict[date, float], month: date) -> float:
    """Return the mean of the last three months, of which one may be missing; else NaN."""
    found = [known[each] for each in (months_before(month, back) for back in range(3)) if each in known]
    return sum(found) / len(found) if len(found) >= 2 else float("nan")


def _price_rise(known: dict[date, float], month: date) -> float:
    now, before = _yearly(known, month), _yearly(known, months_before(month, 6))
    return (_part(now - NORMAL_PRICES, PRICES_STEP) + _part(now - before, PRICES_STEP)) / 2


def _yearly(known: dict[date, float], month: date) -> float:
    """Return the rise of the index in the year up to a month (%); NaN if it is not known."""
    return 100 * (_index(known, month) / _index(known, months_before(month, 12)) - 1)


def _index(known: dict[date, float], month: date) -> float:
    """Return the index of a month; for a missing month between two known ones their geometric mean; else NaN."""
    if (found := known.get(month)) is not None:
        return found
    around = known.get(months_before(month, 1)), known.get(next_month(month))
    return float("nan") if None in around else float(np.sqrt(np.prod(np.array(around, float))))


def _slope(means: Floats) -> Floats:
    padded = np.concatenate([np.full(YEAR - 1, np.inf), means])
    lowest = np.lib.stride_tricks.sliding_window_view(padded, YEAR).min(axis=1)
    parts: Floats = np.clip(lowest / CURVE_STEP, -1, 1)
    return parts


def _expectation(means: Floats) -> Floats:
    before = np.concatenate([np.full(min(HALF, len(means)), np.nan), means[:-HALF]])
    level = np.clip((means - NORMAL_EXPECTED) / EXPECTED_STEP, -1, 1)
    parts: Floats = (level + np.clip((means - before) / EXPECTED_STEP, -1, 1)) / 2
    return parts


def _part(distance: float, step: float) -> float:
    return float(np.clip(distance / step, -1, 1))


def _daily(days: Ints, found: Sequence[Observation], part: Callable[[Floats], Floats]) -> Floats:
    """Return the part of a daily series at each day; `part` takes the means of the last `QUARTER` values."""
    if len(found) < QUARTER:
        return np.full(len(days), np.nan)
    values = np.array([each.value for each in found])
    means = np.lib.stride_tricks.sliding_window_view(values, QUARTER).mean(axis=1)
    parts = np.concatenate([np.full(QUARTER - 1, np.nan), part(means)])
    known = np.maximum.accumulate(np.array([each.known_at for each in found]))
    stamps = np.array([ms(each.day) for each in found])
    place = np.searchsorted(known, days, "right") - 1
    fresh = (place >= 0) & (days - stamps[place] <= LONGEST_DAILY)
    return np.where(fresh, parts[place], np.nan)


def _monthly(days: Ints, found: Sequence[Observation], part: Callable[[dict[date, float], date], float]) -> Floats:
    """Return the part of a monthly series at each day; `part` takes the known values and the last known month."""
    known: dict[date, float] = {}
    times, parts, ends = [], [], []
    for each in sorted(found, key=lambda one: (one.known_at, one.day)):
        known[each.day] = each.value
        last = max(known)
        times.append(each.known_at)
        parts.append(part(known, last))
        ends.append(ms(next_month(last)))
    if not times:
        return np.full(len(days), np.nan)
    place = np.searchsorted(np.array(times), days, "right") - 1
    fresh = (place >= 0) & (days - np.array(ends)[place] <= LONGEST_MONTHLY)
    return np.where(fresh, np.array(parts)[place], np.nan)

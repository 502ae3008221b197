"""Follows the regime over daily candles, as an engine would: each reading has only what was known at its close."""

import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np

from ocw_mcp.core.regime.fitting import fit_of
from ocw_mcp.core.regime.reading import level_probabilities
from ocw_mcp.core.regime.tracker import RegimeTracker
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.regime import LEVELS, Level, RegimeFit, RegimeReading
from ocw_mcp.domain.time import DAY, iso, utc_day
from ocw_mcp.domain.unknown import Unknown

SURE = 0.99
"""The probability of a state from which a reading counts as sure."""
USE = (
    "a book reads the regime of the symbol scale.regime_symbol, and the factor of its level in [scale] multiplies its "
    "size limits"
)


class RegimeDay(NamedTuple):
    """A day's close with the reading at it."""

    candle: Candle
    reading: RegimeReading | Unknown


class Refit(NamedTuple):
    """The result of a fit, with the time (ms) of the last close in its rows."""

    at: int
    found: RegimeFit | Unknown


class RegimeHistory(NamedTuple):
    """The regime of one symbol over time."""

    symbol: str
    days: list[RegimeDay]
    refits: list[Refit]

    @property
    def known(self) -> list[tuple[Candle, RegimeReading]]:
        """The days with a reading."""
        return [(day.candle, day.reading) for day in self.days if not isinstance(day.reading, Unknown)]


def follow(candles: Sequence[Candle], seed: int, show: Callable[[str], None] = lambda text: None) -> RegimeHistory:
    """Return the regime over daily candles of one symbol, of which there is at least one.

    Each fit is made from the days up to its close, and is used from the next close.
    """
    logging.getLogger("hmmlearn").setLevel(logging.ERROR)  # a candidate that it warns of is judged by `fit`
    tracker, history = RegimeTracker(seed), RegimeHistory(candles[0].symbol, [], [])
    for candle in candles:
        request = tracker.close(candle)
        history.days.append(RegimeDay(candle, tracker.reading))
        if request is not None:
            show(f"fitting the model at {utc_day(request.at)}")
            found = fit_of(request)
            tracker.take(request.at, found)
            history.refits.append(Refit(request.at, found))
    return history


def report(history: RegimeHistory, *, each_day: bool = True) -> dict[str, Any]:
    """Return the history ready for JSON; `each_day` adds the reading of every day."""
    known, last = history.known, history.days[-1]
    unknown = Counter(day.reading.reason for day in history.days if isinstance(day.reading, Unknown))
    result: dict[str, Any] = {
        "symbol": history.symbol,
        "from": history.days[0].candle.open_time,
        "to": last.candle.close_time,
        "days": len(history.days),
        "days_known": len(known),
        "unknown": _unknown(unknown),
        "now": _reading(last.reading, last.candle),
        "levels": {level.value: _level(history, level) for level in LEVELS},
        "changes_a_year": _changes_a_year(known),
        "sure_share": _share([max(reading.probabilities) >= SURE for _, reading in known]),
        "refits": [_refit(each) for each in history.refits],
    }
    if each_day:
        result["readings"] = [_reading(day.reading, day.candle) for day in history.days]
    return result


def _unknown(reasons: Counter[str]) -> dict[str, int]:
    """Return the number of days by reason; reasons that differ in a number only are counted together."""
    found: Counter[str] = Counter()
    for reason, count in reasons.items():
        found[reason.rpartition(", has ")[0] or reason] += count
    return dict(found)


def _reading(reading: RegimeReading | Unknown, candle: Candle) -> dict[str, Any]:
    head = {"at": candle.close_time, "day": utc_day(candle.open_time), "close": candle.close}
    if isinstance(reading, Unknown):
        return head | {"level": None, "unknown": reading.reason}
    chances = level_probabilities(np.array(reading.probabilities))
    return head | {
        "level": reading.level.value,
        "probability": round(reading.probability, 6),
        "by_level": {level.value: round(chance, 6) for level, chance in chances.items()},
        "state": reading.state,
        "probabilities": [round(each, 6) for each in reading.probabilities],
        "expected_days": None if reading.expected_days is None else round(reading.expected_days, 2),
        "since": reading.since,
        "volatility": round(reading.volatility, 4),
        "fitted_at": reading.fitted_at,
    }


def _level(history: RegimeHistory, level: Level) -> dict[str, Any]:
    """Return how often a level was read and for how long, and the volatility on the days after such a reading."""
    known = history.known
    episodes = [len(list(each)) for found, each in groupby(known, lambda day: day[1].level) if found is level]
    closes = {candle.close_time: candle.close for candle, _ in known}
    after = [
        math.log(closes[candle.close_time + DAY] / candle.close)
        for candle, reading in known
        if reading.level is level and candle.close_time + DAY in closes
    ]
    next_day = math.sqrt(365 * sum(each * each for each in after) / len(after)) if after else None
    return {
        "days": sum(episodes),
        "share": _share([reading.level is level for _, reading in known]),
        "episodes": len(episodes),
        "median_days": float(np.median(episodes)) if episodes else None,
        "longest_days": max(episodes, default=None),
        "next_day_volatility": None if next_day is None else round(next_day, 4),
    }


def _changes_a_year(known: Sequence[tuple[Candle, RegimeReading]]) -> float | None:
    changes = sum(one[1].level is not other[1].level for one, other in pairwise(known))
    return round(changes / len(known) * 365, 1) if known else None


def _share(found: Sequence[bool]) -> float | None:
    return round(sum(found) / len(found), 4) if found else None


def _refit(refit: Refit) -> dict[str, Any]:
    row: dict[str, Any] = {"at": refit.at, "at_utc": iso(refit.at)}
    if isinstance(refit.found, Unknown):
        return row | {"states": None, "unknown": refit.found.reason}
    return row | {
        "states": refit.found.model.states,
        "rows": refit.found.rows,
        "candidates": [
            {
                "states": each.states,
                "log_likelihood": _rounded(each.log_likelihood),
                "parameters": each.parameters,
                "bic": _rounded(each.bic),
                "thinned_bic": _rounded(each.thinned_bic),
                "problem": each.problem,
            }
            for each in refit.found.candidates
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)

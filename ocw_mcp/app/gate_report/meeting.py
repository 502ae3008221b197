"""Compares wakes with crossings: which crossings were met, how early, how precisely, and what was missed."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ocw_mcp.app.gate_report.definitions import Crossings
from ocw_mcp.app.gate_report.market import Floats, Ints, Market
from ocw_mcp.domain.time import MINUTE

Z95 = 1.959964
"""The quantile of the normal distribution for an interval of 95 %."""
MONTH_DAYS = 30
"""The days of a month in costs."""


class Met(NamedTuple):
    """Which crossings were met, and the time (ms) from the last wake to each; infinite without an earlier wake."""

    met: "np.ndarray[Any, np.dtype[np.bool_]]"
    lead: Floats


def meet(times: Ints, wakes: Ints, window: float) -> Met:
    """Return which crossings had a wake in the last `window` ms up to them. Both times are in ms, ascending."""
    lead = np.full(len(times), np.inf)
    if len(wakes):
        last = np.searchsorted(wakes, times, side="right") - 1
        lead = np.where(last >= 0, times - wakes[np.maximum(last, 0)], np.inf)
    return Met(lead <= window, lead)


def wilson(successes: float, count: int) -> list[float] | None:
    """Return Wilson's 95 % interval of a proportion, from `successes` of `count`; None without any."""
    if not count:
        return None
    share, spread = successes / count, Z95**2 / count
    middle = share + spread / 2
    half = float(np.sqrt(share * (1 - share) * spread + spread**2 / 4))
    low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
    return [round(max(0.0, low), 4), round(min(1.0, high), 4)]


def rate(successes: float, count: int) -> dict[str, Any]:
    """Return a proportion with its 95 % interval; both are None without any case."""
    return {"rate": round(successes / count, 4) if count else None, "interval": wilson(successes, count)}


def met_row(found: Crossings, wakes: Ints) -> dict[str, Any]:
    """Return how many crossings of a definition the wakes met, in all and by symbol."""
    if found.unknown is not None:
        return {"crossings": None, "met": None, **rate(0, 0), "by_symbol": {}, "unknown": found.unknown}
    window = found.definition.window
    counts = {symbol: (int(meet(each, wakes, window).met.sum()), len(each)) for symbol, each in found.times.items()}
    met, count = (sum(column) for column in zip(*counts.values(), strict=True))
    by_symbol = {symbol: {"crossings": n, "met": m, **rate(m, n)} for symbol, (m, n) in counts.items()}
    return {"crossings": count, "met": met, **rate(met, count), "by_symbol": by_symbol, "unknown": None}


def timing(found: Crossings, wakes: Ints, every_wake: Ints) -> dict[str, float | None]:
    """Return the median lead (min) of the outlier wakes that met a crossing, and the median lag of the next wake.

    The lag is the time from a missed crossing to the next wake of any kind.
    """
    times = found.all_times
    met, lead = meet(times, wakes, found.definition.window)
    missed = times[~met]
    after = np.searchsorted(every_wake, missed, side="left")
    lags = every_wake[after[after < len(every_wake)]] - missed[after < len(every_wake)]
    return {"lead_min": _median_min(lead[met]), "lag_min": _median_min(lags)}


def missed_move(market: Market, found: Crossings, wakes: Ints, every_wake: Ints) -> float:
    """Return the sum of the absolute returns from each missed crossing to the next wake of any kind.

    Without a later wake the return lasts until the last close of the symbol. A return is a share of the notional.
    """
    total = 0.0
    for symbol, times in found.times.items():
        missed = times[~meet(times, wakes, found.definition.window).met]
        if not len(missed):
            continue
        closes = market.series[symbol].closes
        # A wake in a data gap of the symbol has the last close before it.
        places = np.where(np.isfinite(closes), np.arange(len(closes)), 0)
        known = closes[np.maximum.accumulate(places)]
        after = np.searchsorted(every_wake, missed, side="left")
        ends = np.append(every_wake, market.times(np.array([len(closes) - 1])))[after]
        row_of_end = np.clip((ends - market.start) // market.step, 0, len(closes) - 1)
        begun = known[(missed - market.start) // market.step]
        total += float(np.abs(known[row_of_end] / begun - 1).sum())
    return total


def precise(wakes: Ints, definitions: Iterable[Crossings]) -> int:
    """Return the number of wakes that met a crossing of at least one definition."""
    hit = np.zeros(len(wakes), bool)
    for found in definitions:
        times = found.all_times
        if len(times) and len(wakes):
            after = np.searchsorted(times, wakes, side="left")
            next_times = times[np.minimum(after, len(times) - 1)]
            hit |= (after < len(times)) & (next_times - wakes <= found.definition.window)
    return int(hit.sum())


def within(market: Market, wakes: Ints) -> Ints:
    """Return the wakes of the time in which moves are judged."""
    rows = market.measured
    if not len(rows):
        return wakes[:0]
    low, high = market.times(rows[[0, -1]])
    # A wake between two rows, of candles shorter than a minute, belongs to the row that ends after it.
    inside: Ints = wakes[(wakes > low - market.step) & (wakes <= high)]
    return inside


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean and the worst rate of some definitions; a definition without crossings does not count."""
    known = [row for row in rows if row["rate"] is not None]
    worst = min(known, key=lambda row: row["rate"], default=None)
    return {
        "definitions": len(rows),
        "with_crossings": len(known),
        "mean": round(sum(row["rate"] for row in known) / len(known), 4) if known else None,
        "worst": None if worst is None else worst["rate"],
        "worst_name": None if worst is None else worst["name"],
    }


def _median_min(ms: "Floats | Ints") -> float | None:
    return round(float(np.median(ms)) / MINUTE, 1) if len(ms) else None

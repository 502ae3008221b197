"""The largest moves of a market, found with hindsight, and those of them without a wake.

A move is one of the largest returns of a symbol over a span; of overlapping moves the largest counts. A move is missed
if no wake of any symbol happens from the first candle of the move to its last: the agent sees all symbols at each wake.
For comparison, exp(−wakes · span / time) is the fraction of moves that wakes at random times would miss.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

import numpy as np

from ocw_mcp.app.gate_report.market import Floats, Ints, Market
from ocw_mcp.app.gate_report.meeting import wilson
from ocw_mcp.domain.time import HOUR, MINUTE, span_name

SPANS: Final = (5 * MINUTE, 15 * MINUTE, HOUR)
LARGEST: Final = 0.005
"""The fraction of all returns over a span that count as moves, before overlapping moves are removed."""

Closes = tuple[Ints, Floats]
"""Close times of candles (ms), and their close prices."""
Move = tuple[int, int, float]
"""The start and end of a move (ms), and its log return."""


def closes_of(market: Market) -> dict[str, Closes]:
    """Return the close times and closes of each symbol, without history and missing candles."""
    found = {}
    for symbol, series in market.series.items():
        rows = np.flatnonzero(np.isfinite(series.closes))
        rows = rows[rows >= market.first]
        if len(rows):
            found[symbol] = market.times(rows), series.closes[rows]
    return found


def moves(closes: Closes, span: int, interval: int) -> list[Move]:
    """Return the largest moves of a symbol over `span` (ms), in order of time. Moves across a data gap are omitted."""
    times, prices = closes
    candles = span // interval
    begins = np.flatnonzero(times[candles:] - times[:-candles] == span)
    if not len(begins):
        return []
    returns = np.log(prices[begins + candles] / prices[begins])
    sizes = np.abs(returns)
    largest = np.flatnonzero((sizes >= np.quantile(sizes, 1 - LARGEST)) & (sizes > 0))
    found: list[Move] = []
    for place in largest[np.argsort(-sizes[largest], kind="stable")]:
        began = int(times[begins[place]])
        if all(abs(began - other[0]) >= span for other in found):
            found.append((began, began + span, float(returns[place])))
    return sorted(found)


def judge(
    found: Mapping[str, list[Move]], span: int, wakes: Sequence[int], time: int, outlier_wakes: Sequence[int] = ()
) -> dict[str, Any]:
    """Return how many moves over `span` (ms) a run of `time` (ms) missed, and how late it woke in the others.

    `met_by_outlier` counts the moves during which one of `outlier_wakes` happened.
    """
    every = [move for each in found.values() for move in each]
    delays, met = _delays(every, wakes), len(_delays(every, outlier_wakes))
    return {
        "over": span_name(span),
        "least": {symbol: round(min(abs(move[2]) for move in each), 5) for symbol, each in found.items() if each},
        "moves": len(every),
        "missed": len(every) - len(delays),
        "miss_rate": round(1 - len(delays) / len(every), 4) if every else None,
        "by_chance": round(math.exp(-len(wakes) * span / time), 4) if time else None,
        "median_delay_min": median(delays) / MINUTE if delays else None,
        "met_by_outlier": met,
        "rate": round(met / len(every), 4) if every else None,
        "interval": wilson(met, len(every)),
    }


def _delays(every: Sequence[Move], wakes: Sequence[int]) -> list[int]:
    """Return the time (ms) from the start of each move to the first wake during it, for moves with one."""
    next_wakes = ((began, ended, bisect_right(wakes, began)) for began, ended, _ in every)
    return [wakes[at] - began for began, ended, at in next_wakes if at < len(wakes) and wakes[at] <= ended]

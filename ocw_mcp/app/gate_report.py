"""Measures how often the gate wakes on a market, and which of the market's largest moves it misses.

A move is one of the largest returns of a symbol over a span, found with hindsight; of overlapping moves the largest
counts. A move is missed if no wake of any symbol happens from the first candle of the move to its last: the agent sees
all symbols at each wake. For comparison the report has exp(−wakes · span / time), the fraction of moves that wakes at
random times would miss.
"""

import asyncio
import math
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ocw_mcp.app.policy_loader import LoadedPolicies, LoadedPrompts
from ocw_mcp.app.runner import Job, run
from ocw_mcp.domain.protocols import Feed
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, span_name

SPANS: Final = (5 * MINUTE, 15 * MINUTE, HOUR)
LARGEST: Final = 0.005
"""The fraction of all returns over a span that count as moves, before overlapping moves are removed."""

Closes = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""Close times of candles (ms), and their close prices."""
Move = tuple[int, int, float]
"""The start and end of a move (ms), and its log return."""


def measure(feed: Feed, policies: LoadedPolicies, prompts: LoadedPrompts, for_ms: int | None = None) -> dict[str, Any]:
    """Run the gate over a market without trades; return its wakes and missed moves. Raises the errors of `run`."""
    interval = feed.identity.interval
    report = run(Job(feed, "none", policies, prompts, for_ms, None)).report
    wakes = sorted({wake["t"] for wake in report["wakes"]})
    first, last = report["from"], report["to"]
    days = (last - first) / DAY if report["candles"] else 0.0
    closes = asyncio.run(_closes(feed, last)) if report["candles"] else {}
    gaps = [later - earlier for earlier, later in pairwise(wakes)]
    return {
        **{name: report[name] for name in ("symbols", "candles", "from", "to")},
        "days": round(days, 2),
        "evaluations": report["evaluations"],
        "skip_rate": report["skip_rate"],
        "skips": report["skips"],
        "wakes": len(wakes),
        "wakes_a_day": round(len(wakes) / days, 1) if days else None,
        "median_gap_min": median(gaps) / MINUTE if gaps else None,
        "reasons": report["wake_reasons"],
        "largest": LARGEST,
        "moves": [
            judge({symbol: moves(each, span, interval) for symbol, each in closes.items()}, span, wakes, last - first)
            for span in SPANS
            if closes and span % interval == 0
        ],
    }


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


def judge(found: Mapping[str, list[Move]], span: int, wakes: Sequence[int], time: int) -> dict[str, Any]:
    """Return how many moves over `span` (ms) a run of `time` (ms) missed, and how late it woke in the others."""
    every = [move for each in found.values() for move in each]
    next_wakes = ((began, ended, bisect_right(wakes, began)) for began, ended, _ in every)
    delays = [wakes[at] - began for began, ended, at in next_wakes if at < len(wakes) and wakes[at] <= ended]
    return {
        "over": span_name(span),
        "least": {symbol: round(min(abs(move[2]) for move in each), 5) for symbol, each in found.items() if each},
        "moves": len(every),
        "missed": len(every) - len(delays),
        "miss_rate": round(1 - len(delays) / len(every), 4) if every else None,
        "by_chance": round(math.exp(-len(wakes) * span / time), 4) if time else None,
        "median_delay_min": median(delays) / MINUTE if delays else None,
    }


async def _closes(feed: Feed, until: int) -> dict[str, Closes]:
    times = {symbol: array("q") for symbol in feed.identity.symbols}
    prices = {symbol: array("d") for symbol in feed.identity.symbols}
    async for frame in feed.frames():
        if frame.at > until:
            break
        for candle in () if frame.history else frame.closed:
            times[candle.symbol].append(candle.close_time)
            prices[candle.symbol].append(candle.close)
    return {symbol: (np.array(times[symbol]), np.array(prices[symbol])) for symbol in times if times[symbol]}

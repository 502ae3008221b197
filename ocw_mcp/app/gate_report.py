"""How often the gate wakes on a market, and which of its largest moves it sleeps through.

A move is one of the largest returns of a symbol over a span, told with hindsight; of those that overlap the largest
counts. It is missed where nobody was woken from its first candle to its last, by whatever reason: a wake sees all
symbols. Wakes that fell at random would miss exp(−wakes · span / time), which is told beside it.
"""

import asyncio
import math
from array import array
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
"""The share of all returns over a span that counts as moves, before those that overlap are left out."""

Closes = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""When candles closed (ms), and at what price."""
Move = tuple[int, int, float]
"""When it began and ended (ms), and the log return."""


def measure(feed: Feed, policies: LoadedPolicies, prompts: LoadedPrompts, for_ms: int | None = None) -> dict[str, Any]:
    """Run the gate over a market where nobody trades, and judge it. Raises what a run does."""
    interval = feed.identity.interval
    told = run(Job(feed, "none", policies, prompts, for_ms, None)).report
    wakes = sorted({wake["t"] for wake in told["wakes"]})
    first, last = told["from"], told["to"]
    days = (last - first) / DAY if told["candles"] else 0.0
    closes = asyncio.run(_closes(feed, last)) if told["candles"] else {}
    gaps = [later - earlier for earlier, later in pairwise(wakes)]
    return {
        **{name: told[name] for name in ("symbols", "candles", "from", "to")},
        "days": round(days, 2),
        "evaluations": told["evaluations"],
        "skip_rate": told["skip_rate"],
        "skips": told["skips"],
        "wakes": len(wakes),
        "wakes_a_day": round(len(wakes) / days, 1) if days else None,
        "median_gap_min": median(gaps) / MINUTE if gaps else None,
        "reasons": told["wake_reasons"],
        "largest": LARGEST,
        "moves": [
            judge({symbol: moves(each, span, interval) for symbol, each in closes.items()}, span, wakes, last - first)
            for span in SPANS
            if closes and span % interval == 0
        ],
    }


def moves(closes: Closes, span: int, interval: int) -> list[Move]:
    """The largest moves of a symbol over `span` (ms), in order of time. One over a hole is none."""
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
    """How many moves over a span were missed, and how long those took that were not; `time` is all there was (ms)."""
    woken = np.array(wakes, dtype=np.int64)
    every = [move for each in found.values() for move in each]
    delays = []
    for began, ended, _ in every:
        next_wake = int(np.searchsorted(woken, began, side="right"))
        if next_wake < len(woken) and woken[next_wake] <= ended:
            delays.append(int(woken[next_wake]) - began)
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

"""The delay from a price outlier that has to wait for a cooldown to its wake, measured with the real gate.

A run does not record when a kept reason arose. The closes of the market are therefore given once more to a gate of the
same policy, without an engine around it, and its kept reasons are observed after each close.
"""

from typing import NamedTuple

import numpy as np

from ocw_mcp.app.gate_report.market import Ints, Market
from ocw_mcp.core.gate.gate import Gate
from ocw_mcp.domain.policies import GatePolicy
from ocw_mcp.domain.snapshot import SymbolWake, WakeKind
from ocw_mcp.domain.time import MINUTE, span_ms
from ocw_mcp.domain.unknown import Reading, Unknown


class GateDelays(NamedTuple):
    """The wakes of a gate by price outliers (ms), and the time (ms) from each outlier that had to wait to its wake."""

    wakes: Ints
    delays: Ints


def gate_delays(market: Market, policy: GatePolicy) -> GateDelays:
    """Return the delays of a gate over a market, with a decider that answers at once and without positions.

    Wakes by derivatives readings are not repeated, because the closes do not have them.
    """
    gate = Gate(policy, market.step, tuple(market.series))
    closings = (
        {span_ms(name) for name in policy.close_wakes if span_ms(name) >= market.step} if not policy.every else ()
    )
    columns = [each.closes.tolist() for each in market.series.values()]
    wakes, delays, waiting = list[int](), list[int](), list[int]()
    for row, closes in enumerate(zip(*columns, strict=True)):
        at = market.start + row * market.step
        known = [(symbol, close) for symbol, close in zip(market.series, closes, strict=True) if close == close]
        if row < market.first:
            for symbol, close in known:
                gate.warm(symbol, (close,), at)
            continue
        if not known:
            continue
        closed = tuple(span for span in closings if at % span == 0)
        before = _outliers(gate)
        for symbol, close in known:
            gate.evaluate(symbol, close, closed, at=at, close_time=at, read=_unread, in_position=False)
        if _outliers(gate) > before:
            waiting.append(at)
        reasons = gate.wake(at, busy=False)
        if reasons:
            delays.extend(at - each for each in waiting if each < at)
            waiting.clear()
            if any(_has_outlier(each) for each in reasons):
                wakes.append(at)
    return GateDelays(np.array(wakes, np.int64), np.array(delays, np.int64))


def delay_row(delays: Ints) -> dict[str, float | int | None]:
    """Return the number of fires that had to wait, and the median and 99th percentile of their delays (min)."""
    half, most = np.percentile(delays, (50, 99)) / MINUTE if len(delays) else (None, None)
    return {
        "kept_fires": len(delays),
        "median_min": None if half is None else round(float(half), 1),
        "p99_min": None if most is None else round(float(most), 1),
    }


def _outliers(gate: Gate) -> int:
    kept = gate.counters.kept
    return sum(reason.kind is WakeKind.OUTLIER for each in kept.values() for reason in each) if kept else 0


def _has_outlier(wake: SymbolWake) -> bool:
    return any(reason.kind is WakeKind.OUTLIER for reason in wake.reasons)


def _unread(symbol: str, metric: str) -> Reading:
    return Unknown("only closes are read")

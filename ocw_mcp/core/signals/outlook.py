"""The signals from derivatives, from the market as a whole, and from unusual hours."""

import math
from typing import Final

from ocw_mcp.core.signals.signal import Group, Signal, opposite, scaled
from ocw_mcp.domain.macro import Quadrant
from ocw_mcp.domain.regime import Level
from ocw_mcp.domain.snapshot import Snapshot, SymbolView
from ocw_mcp.domain.unknown import Reading, Unknown

SENTIMENT: Final = "fear_greed"
"""The source of context that gives an index of sentiment from 0 (fear) to 100 (greed)."""
UNUSUAL: Final = 0.9
"""The quantile of an anomaly from which an hour is unusual."""
_QUADRANTS: Final = {
    Quadrant.GOLDILOCKS: 1.0,
    Quadrant.REFLATION: 0.5,
    Quadrant.DEFLATION: -0.5,
    Quadrant.STAGFLATION: -1.0,
}
_LEVELS: Final = {Level.CALM: 1.0, Level.NORMAL: 0.0, Level.TURBULENT: -1.0}


def _open_interest(view: SymbolView, snapshot: Snapshot) -> Reading:
    change, moved = view.derivatives.open_interest_change_24h, view.return_24h
    if isinstance(change, Unknown):
        return change
    return moved if isinstance(moved, Unknown) else math.copysign(1.0, moved) * math.tanh(change / 0.05)


def _taker(view: SymbolView, snapshot: Snapshot) -> Reading:
    ratio = view.derivatives.taker_ratio_1h
    if isinstance(ratio, Unknown):
        return ratio
    return math.tanh(math.log(ratio) / 0.2) if ratio > 0 else Unknown("takers bought nothing")


def _quadrant(view: SymbolView, snapshot: Snapshot) -> Reading:
    macro = snapshot.macro
    return macro if isinstance(macro, Unknown) else _QUADRANTS[macro.quadrant]


def _level(view: SymbolView, snapshot: Snapshot) -> Reading:
    regime = snapshot.regime
    return regime if isinstance(regime, Unknown) else _LEVELS[regime.level]


def _sentiment(view: SymbolView, snapshot: Snapshot) -> Reading:
    for item in snapshot.context:
        if item.source == SENTIMENT and item.value is not None and not item.stale:
            return -math.tanh((item.value - 50) / 25)
    return Unknown(f"no source {SENTIMENT} has reported")


def _unusual_hour(view: SymbolView, snapshot: Snapshot) -> Reading:
    found, moved = view.anomaly, view.return_1h
    if isinstance(found, Unknown):
        return found
    if isinstance(moved, Unknown):
        return moved
    return math.copysign(max(0.0, (found.quantile - UNUSUAL) / (1 - UNUSUAL)), moved)


def _jump(view: SymbolView, snapshot: Snapshot) -> Reading:
    hour, last = view.return_1h, view.last
    atr = next((each.atr_14 for each in view.indicators if each.timeframe == "1h"), Unknown("no candles of 1h"))
    if isinstance(hour, Unknown) or isinstance(last, Unknown):
        return Unknown("the last hour is not known")
    if isinstance(atr, Unknown):
        return atr
    moved = hour * last / atr if atr > 0 else 0.0
    return -math.copysign(math.tanh(abs(moved) - 1.5), moved) if abs(moved) > 1.5 else 0.0


DERIVATIVES: Final = (
    Signal(
        *("funding", Group.DERIVATIVES, "the funding rate is low, so that shorts are crowded"),
        lambda view, _: opposite(scaled(view.derivatives.funding_8h, 0.0002, 0.0001)),
    ),
    Signal("open_interest", Group.DERIVATIVES, "the price rose in 24 hours with open interest", _open_interest),
    Signal("taker_flow", Group.DERIVATIVES, "takers bought more than they sold in the last hour", _taker),
    Signal(
        *("top_positions", Group.DERIVATIVES, "the largest traders are longer than the day before"),
        lambda view, _: scaled(view.derivatives.long_short_z, 1.5),
    ),
    Signal(
        *("basis", Group.DERIVATIVES, "the perpetual is cheap against its index"),
        lambda view, _: opposite(scaled(view.derivatives.basis, 0.1)),
    ),
    Signal(
        *("liquidations", Group.DERIVATIVES, "more longs than shorts were liquidated in five minutes"),
        lambda view, _: scaled(view.liquidations, 0.01),
    ),
)
MACRO: Final = (
    Signal("quadrant", Group.MACRO, "growth rises, most of all while inflation falls", _quadrant),
    Signal("volatility", Group.MACRO, "the market regime is calm", _level),
    Signal("sentiment", Group.MACRO, "the index of sentiment shows fear", _sentiment),
)
ANOMALY: Final = (
    Signal("unusual_hour", Group.ANOMALY, "an hour of unusual features ended with a higher price", _unusual_hour),
    Signal("jump_back", Group.ANOMALY, "the price fell in the last hour by more than 1.5 ATRs of 1h", _jump),
)

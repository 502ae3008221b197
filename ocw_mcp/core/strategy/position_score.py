"""How much speaks against a position, 0..1: the rules' answer to whether it should still be held.

Five parts: the regime turned against it, momentum reverses, another position is the same bet, its profit runs away, its
time runs out. A part that cannot be known counts as half of its weight: unknown is not fine, and not yet a reason.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from ocw_mcp.core.strategy.signals import Signals
from ocw_mcp.domain.snapshot import PositionView, Snapshot
from ocw_mcp.domain.time import HOUR
from ocw_mcp.domain.unknown import Unknown

WEIGHTS: Final = {
    "regime_change": 0.25,
    "momentum_reversal": 0.25,
    "correlation": 0.20,
    "pnl_path": 0.15,
    "time_decay": 0.15,
}
UNKNOWN_COUNTS: Final = 0.5


class PositionScore(msgspec.Struct, frozen=True):
    """A position's score and its parts, each 0..1 or None where it is unknown; 1 is all against holding it."""

    total: float
    parts: Mapping[str, float | None]

    @property
    def worst(self) -> str:
        """The part that adds most."""
        return max(WEIGHTS, key=lambda name: WEIGHTS[name] * _counts(self.parts[name]))


def score_position(
    position: PositionView, signals: Signals | None, snapshot: Snapshot, max_hold_h: float
) -> PositionScore:
    """Score an open position. `signals` are those of its symbol, None while they are unknown."""
    way = 1 if position.quantity > 0 else -1
    parts = {
        # Until a model tells the regime: a trend against the position is one that changed since it was opened.
        "regime_change": None if signals is None else signals.trend * _up_to_one(-way * signals.momentum * 2),
        "momentum_reversal": None if signals is None else _up_to_one(-way * signals.momentum),
        "correlation": _same_bet(position, way, snapshot),
        "pnl_path": _given_back(position),
        "time_decay": _up_to_one((snapshot.at - position.opened_at) / (max_hold_h * HOUR)),
    }
    return PositionScore(sum(WEIGHTS[name] * _counts(part) for name, part in parts.items()), parts)


def _same_bet(position: PositionView, way: int, snapshot: Snapshot) -> float | None:
    """The strongest correlation with another open position, as far as both profit from the same move."""
    strongest = 0.0
    for view in snapshot.symbols.values():
        other = view.position
        if other is None or other.symbol == position.symbol:
            continue
        correlation = snapshot.correlation(position.symbol, other.symbol)
        if isinstance(correlation, Unknown):
            return None
        strongest = max(strongest, correlation * way * (1 if other.quantity > 0 else -1))
    return strongest


def _given_back(position: PositionView) -> float | None:
    """Where the position stands between its best (0) and its stop (1). Without a stop that is not known."""
    best = position.best
    if isinstance(best, Unknown) or position.stop is None:
        return None
    average = float(position.average_price)
    way = 1 if position.quantity > 0 else -1
    now, worst = (way * (float(price) / average - 1) for price in (position.mark, position.stop))
    best = max(best, now)
    return _up_to_one((best - now) / (best - worst)) if best > worst else 0.0


def _up_to_one(value: float) -> float:
    return max(0.0, min(1.0, value))


def _counts(part: float | None) -> float:
    return UNKNOWN_COUNTS if part is None else part

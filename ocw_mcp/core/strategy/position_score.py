"""The exit score of an open position: from 0 (keep it) to 1 (close it).

The score has five parts: an adverse change of regime, a reversal of momentum, correlation with another position, profit
given back, and time in the position. An unknown part counts half of its weight.
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
    """The exit score of a position and its parts, each from 0 (keep) to 1 (close); an unknown part is None."""

    total: float
    parts: Mapping[str, float | None]

    @property
    def worst(self) -> str:
        """The part with the largest contribution to the score."""
        return max(WEIGHTS, key=lambda name: WEIGHTS[name] * _counted(self.parts[name]))


def score_position(
    position: PositionView, signals: Signals | None, snapshot: Snapshot, max_hold_h: float
) -> PositionScore:
    """Return the exit score of an open position. `signals` are those of its symbol, None if they are unknown."""
    sign = 1 if position.quantity > 0 else -1
    parts = {
        # The regime is not modelled: a trend against the position counts as a regime change since its opening.
        "regime_change": None if signals is None else signals.trend * _clamped(-sign * signals.momentum * 2),
        "momentum_reversal": None if signals is None else _clamped(-sign * signals.momentum),
        "correlation": _correlation(position, sign, snapshot),
        "pnl_path": _given_back(position),
        "time_decay": _clamped((snapshot.at - position.opened_at) / (max_hold_h * HOUR)),
    }
    return PositionScore(sum(WEIGHTS[name] * _counted(part) for name, part in parts.items()), parts)


def _correlation(position: PositionView, sign: int, snapshot: Snapshot) -> float | None:
    """Return the strongest correlation with an open position that profits from the same move; 0 without one."""
    strongest = 0.0
    for view in snapshot.symbols.values():
        other = view.position
        if other is None or other.symbol == position.symbol:
            continue
        correlation = snapshot.correlation(position.symbol, other.symbol)
        if isinstance(correlation, Unknown):
            return None
        strongest = max(strongest, correlation * sign * (1 if other.quantity > 0 else -1))
    return strongest


def _given_back(position: PositionView) -> float | None:
    """Return where the mark price lies between the position's best price (0) and stop (1); None if one is unknown."""
    best = position.best
    if isinstance(best, Unknown) or position.stop is None:
        return None
    average = float(position.average_price)
    sign = 1 if position.quantity > 0 else -1
    now, worst = (sign * (float(price) / average - 1) for price in (position.mark, position.stop))
    best = max(best, now)
    return _clamped((best - now) / (best - worst)) if best > worst else 0.0


def _clamped(value: float) -> float:
    return max(0.0, min(1.0, value))


def _counted(part: float | None) -> float:
    return UNKNOWN_COUNTS if part is None else part

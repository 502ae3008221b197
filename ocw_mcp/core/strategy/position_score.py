"""The exit score of an open position: from 0 (keep it) to 1 (close it).

The score has five parts: an adverse change of regime, a reversal of momentum, correlation with another position, profit
given back, and time in the position. An unknown part counts half of its weight.

The regime changes against a position if a trend is against it, or if the market has become turbulent since it was
opened and moves against it. An unknown regime leaves the trend alone to count.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from ocw_mcp.core.strategy.rule_score import RuleScore
from ocw_mcp.domain.regime import Level, RegimeReading
from ocw_mcp.domain.snapshot import PositionView, Snapshot
from ocw_mcp.domain.time import HOUR
from ocw_mcp.domain.unknown import Reading, Unknown

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


class ScoredPosition(NamedTuple):
    """An open position as the score sees it. Gains are shares of the average price, above 0 for a profit."""

    symbol: str
    sign: int
    """1 for a long position, −1 for a short one."""
    opened_at: int
    gain: float
    best: Reading
    """The largest gain so far."""
    gain_at_stop: float | None
    """The gain at the price of the stop; None without one."""
    trend: float | None
    """The strength of the trend by the score of the rules; None if that is unknown, as is then the momentum."""
    momentum: float | None


def score_position(
    position: PositionView, rule_score: RuleScore | None, snapshot: Snapshot, max_hold_h: float
) -> PositionScore:
    """Return the exit score of an open position. `rule_score` is that of its symbol, None if unknown."""
    held = [scored(view.position, None) for view in snapshot.symbols.values() if view.position is not None]
    return score_held(
        scored(position, rule_score), held, snapshot.correlation, snapshot.at, max_hold_h, snapshot.regime
    )


def scored(position: PositionView, rule_score: RuleScore | None) -> ScoredPosition:
    """Return a position as the score sees it."""
    average, sign = float(position.average_price), 1 if position.quantity > 0 else -1
    return ScoredPosition(
        symbol=position.symbol,
        sign=sign,
        opened_at=position.opened_at,
        gain=sign * (float(position.mark) / average - 1),
        best=position.best,
        gain_at_stop=None if position.stop is None else sign * (float(position.stop) / average - 1),
        trend=None if rule_score is None else rule_score.trend,
        momentum=None if rule_score is None else rule_score.momentum,
    )


def score_held(
    position: ScoredPosition,
    held: Iterable[ScoredPosition],
    correlation: Callable[[str, str], Reading],
    at: int,
    max_hold_h: float,
    regime: RegimeReading | Unknown,
) -> PositionScore:
    """Return the exit score of a position at a time (ms). `held` are all positions; their correlations may be asked."""
    trend, momentum, sign = position.trend, position.momentum, position.sign
    parts = {
        "regime_change": None
        if trend is None or momentum is None
        else max(trend, _became_turbulent(regime, position.opened_at)) * _clamped(-sign * momentum * 2),
        "momentum_reversal": None if momentum is None else _clamped(-sign * momentum),
        "correlation": _correlation(position, held, correlation),
        "pnl_path": _given_back(position),
        "time_decay": _clamped((at - position.opened_at) / (max_hold_h * HOUR)),
    }
    return PositionScore(sum([WEIGHTS[name] * _counted(part) for name, part in parts.items()]), parts)


def _became_turbulent(regime: RegimeReading | Unknown, opened_at: int) -> float:
    """Return the probability of a turbulent market if its level has become turbulent since `opened_at` (ms), else 0."""
    if isinstance(regime, Unknown) or regime.level is not Level.TURBULENT or regime.since <= opened_at:
        return 0.0
    return regime.by_level[Level.TURBULENT]


def _correlation(
    position: ScoredPosition, held: Iterable[ScoredPosition], correlation: Callable[[str, str], Reading]
) -> float | None:
    """Return the strongest correlation with an open position that profits from the same move; 0 without one."""
    strongest = 0.0
    for other in held:
        if other.symbol == position.symbol:
            continue
        found = correlation(position.symbol, other.symbol)
        if isinstance(found, Unknown):
            return None
        strongest = max(strongest, found * position.sign * other.sign)
    return strongest


def _given_back(position: ScoredPosition) -> float | None:
    """Return where the mark price lies between the position's best price (0) and stop (1); None if one is unknown."""
    best, now, worst = position.best, position.gain, position.gain_at_stop
    if isinstance(best, Unknown) or worst is None:
        return None
    best = max(best, now)
    return _clamped((best - now) / (best - worst)) if best > worst else 0.0


def _clamped(value: float) -> float:
    if value <= 0.0:
        return 0.0
    return value if value < 1.0 else 1.0


def _counted(part: float | None) -> float:
    return UNKNOWN_COUNTS if part is None else part

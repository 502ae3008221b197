"""The score of the rules on one timeframe: momentum, mean reversion, and their weights.

Every part is −1..1, above 0 for long. By ADX momentum counts in a trend, mean reversion in a range, and both in
proportion in between. The regime says how volatile the market is, and not whether it trends: it can only move these
weights to momentum, by `rules.regime_blend`. Derivatives readings, if known, are added to the weighted sum.
"""

import math
from typing import Final

import msgspec

from ocw_mcp.domain.policies import Policies, RulesPolicy
from ocw_mcp.domain.regime import Level, RegimeReading
from ocw_mcp.domain.snapshot import IndicatorValues, Snapshot, SymbolView
from ocw_mcp.domain.time import span_ms
from ocw_mcp.domain.unknown import Reading, Unknown

RSI_MIDDLE, RSI_RANGE = 50.0, 25.0
"""In RSI points: an RSI of 25 or more above or below the middle counts as 1 or −1."""

_NO_REGIME: Final = Unknown("no regime is given")


class RuleScore(msgspec.Struct, frozen=True):
    """The score of one symbol on one timeframe, by its parts. `atr` and `last` are in quote currency."""

    timeframe: str
    last: float
    atr: float
    rsi: float
    adx: float
    trend: float
    """The strength of the trend by ADX: 0 in a range, 1 in a trend."""
    momentum: float
    reversion: float
    """The mean of %b (position between the Bollinger bands) and RSI, both with the opposite sign."""
    tilt: float
    """The contribution of derivatives readings to the score; 0 if they are unknown."""
    weight: float
    """The weight of momentum, 0..1, that follows from `trend` and the regime; reversion has the rest."""
    learned: float = 0.0
    """The contribution of the vote of all signals by what was learned of them; 0 unless the rules use it."""

    @property
    def total(self) -> float:
        """The weighted sum of the parts, −1..1, above 0 for long."""
        blend = self.weight * self.momentum + (1 - self.weight) * self.reversion
        return max(-1.0, min(1.0, blend + self.tilt + self.learned))


class CandlePart(msgspec.Struct, frozen=True):
    """The part of a symbol's score that changes only when a candle of the timeframe closes; see `RuleScore`."""

    timeframe: str
    atr: float
    rsi: float
    adx: float
    trend: float
    reversion: float
    moves: float
    """The sum of the momentum's first three terms."""

    def momentum(self, last: float, return_4h: Reading) -> float:
        """Return the mean of four terms: EMA 9 − EMA 21, EMA 21 − EMA 50 and the 4-hour move, in ATRs, and RSI."""
        move = 0.0 if isinstance(return_4h, Unknown) else return_4h * last
        return (self.moves + math.tanh(move / (2 * self.atr))) / 4


def read_rule_score(
    view: SymbolView, rules: RulesPolicy, regime: RegimeReading | Unknown = _NO_REGIME
) -> RuleScore | None:
    """Return the score on the shortest timeframe not below `rules.timeframe`; None if a required value is unknown."""
    wanted, last = span_ms(rules.timeframe), view.last
    values = next((each for each in view.indicators if span_ms(each.timeframe) >= wanted), None)
    candles = None if values is None else read_candles(values, rules)
    if candles is None or isinstance(last, Unknown):
        return None
    composite = view.derivatives.composite
    return RuleScore(
        timeframe=candles.timeframe,
        last=last,
        atr=candles.atr,
        rsi=candles.rsi,
        adx=candles.adx,
        trend=candles.trend,
        momentum=candles.momentum(last, view.return_4h),
        reversion=candles.reversion,
        tilt=0.0 if isinstance(composite, Unknown) else rules.derivatives_tilt * composite,
        weight=momentum_weight(candles.trend, regime, rules.regime_blend),
    )


def momentum_weight(trend: float, regime: RegimeReading | Unknown, blend: float) -> float:
    """Return the weight of momentum, 0..1: `trend`, moved towards 1 by `blend` times the probability of turbulence."""
    if isinstance(regime, Unknown) or not blend:
        return trend
    return trend + blend * regime.by_level[Level.TURBULENT] * (1.0 - trend)


def rule_score_of(view: SymbolView, snapshot: Snapshot, policies: Policies) -> RuleScore | None:
    """Return the score of a symbol as the rules use it: if they act on it, with what was learned."""
    found, learning = read_rule_score(view, policies.rules, snapshot.regime), policies.learning
    if found is None or learning.mode != "act" or snapshot.learning is None:
        return found
    return msgspec.structs.replace(found, learned=learning.vote * snapshot.learning.votes.get(view.symbol, 0.0))


def read_candles(values: IndicatorValues, rules: RulesPolicy) -> CandlePart | None:
    """Return what the candles of a timeframe give; None if a required value is unknown."""
    adx, atr, rsi, percent_b = values.adx_14, values.atr_14, values.rsi_14, values.percent_b
    fast, middle, slow = values.ema_9, values.ema_21, values.ema_50
    if isinstance(adx, Unknown) or isinstance(rsi, Unknown) or isinstance(atr, Unknown) or atr <= 0:
        return None
    if isinstance(fast, Unknown) or isinstance(middle, Unknown) or isinstance(slow, Unknown):
        return None
    if isinstance(percent_b, Unknown):
        return None
    return CandlePart(
        timeframe=values.timeframe,
        atr=atr,
        rsi=rsi,
        adx=adx,
        trend=_trend(adx, rules),
        reversion=(max(-1.0, min(1.0, 1 - 2 * percent_b)) - _rsi_signal(rsi)) / 2,
        moves=math.tanh((fast - middle) / atr) + math.tanh((middle - slow) / (2 * atr)) + _rsi_signal(rsi),
    )


def _trend(adx: float, rules: RulesPolicy) -> float:
    """Return 0 at the ADX of a range, 1 at the ADX of a trend, and a linear value in between."""
    if rules.adx_trend <= rules.adx_range:
        return float(adx >= rules.adx_trend)
    return max(0.0, min(1.0, (adx - rules.adx_range) / (rules.adx_trend - rules.adx_range)))


def _rsi_signal(rsi: float) -> float:
    return max(-1.0, min(1.0, (rsi - RSI_MIDDLE) / RSI_RANGE))

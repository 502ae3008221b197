"""What the rules read from one timeframe: momentum, mean reversion, and how much of each the market is in.

Every signal is −1..1, above 0 for long. While nothing tells the regime, ADX does: in a trend momentum speaks, in a
range mean reversion, and in between both in proportion. Derivatives tilt the sum where they are known.
"""

import math

import msgspec

from ocw_mcp.domain.policies import RulesPolicy
from ocw_mcp.domain.snapshot import IndicatorValues, SymbolView
from ocw_mcp.domain.time import span_ms
from ocw_mcp.domain.unknown import Unknown

RSI_MIDDLE, RSI_REACH = 50.0, 25.0
"""RSI points: 25 off the middle are a full signal."""


class Signals(msgspec.Struct, frozen=True):
    """One symbol's signals on one timeframe. `atr` and `last` in quote currency."""

    timeframe: str
    last: float
    atr: float
    rsi: float
    adx: float
    trend: float
    """0 in a range, 1 in a trend."""
    momentum: float
    reversion: float
    tilt: float
    """What derivatives add; 0 while they are unknown."""

    @property
    def score(self) -> float:
        """All of it, −1..1."""
        blend = self.trend * self.momentum + (1 - self.trend) * self.reversion
        return max(-1.0, min(1.0, blend + self.tilt))


def read_signals(view: SymbolView, rules: RulesPolicy) -> Signals | None:
    """The signals of a symbol on the rules' timeframe; None where a reading that they stand on is unknown."""
    values = timeframe_values(view, span_ms(rules.timeframe))
    if values is None or isinstance(view.last, Unknown) or isinstance(values.adx_14, Unknown):
        return None
    if isinstance(values.atr_14, Unknown) or values.atr_14 <= 0 or isinstance(values.rsi_14, Unknown):
        return None
    momentum, reversion = _momentum(view, values, values.atr_14), _reversion(values, values.rsi_14)
    if momentum is None or reversion is None:
        return None
    composite = view.derivatives.composite
    return Signals(
        timeframe=values.timeframe,
        last=view.last,
        atr=values.atr_14,
        rsi=values.rsi_14,
        adx=values.adx_14,
        trend=_trend(values.adx_14, rules),
        momentum=momentum,
        reversion=reversion,
        tilt=0.0 if isinstance(composite, Unknown) else rules.derivatives_tilt * composite,
    )


def timeframe_values(view: SymbolView, wanted: int) -> IndicatorValues | None:
    """The shortest timeframe that is not shorter than the wanted one (ms)."""
    return next((each for each in view.indicators if span_ms(each.timeframe) >= wanted), None)


def _trend(adx: float, rules: RulesPolicy) -> float:
    """From 0 at the ADX of a range to 1 at that of a trend."""
    if rules.adx_trend <= rules.adx_range:
        return float(adx >= rules.adx_trend)
    return max(0.0, min(1.0, (adx - rules.adx_range) / (rules.adx_trend - rules.adx_range)))


def _momentum(view: SymbolView, values: IndicatorValues, atr: float) -> float | None:
    """The mean of four: EMA 9 over 21, EMA 21 over 50, both in ATRs, RSI, and the return of four hours in ATRs."""
    fast, middle, slow, rsi = values.ema_9, values.ema_21, values.ema_50, values.rsi_14
    if (
        isinstance(fast, Unknown)
        or isinstance(middle, Unknown)
        or isinstance(slow, Unknown)
        or isinstance(rsi, Unknown)
        or isinstance(view.last, Unknown)
    ):
        return None
    moved = 0.0 if isinstance(view.return_4h, Unknown) else view.return_4h * view.last
    return (
        math.tanh((fast - middle) / atr)
        + math.tanh((middle - slow) / (2 * atr))
        + _off_middle(rsi)
        + math.tanh(moved / (2 * atr))
    ) / 4


def _reversion(values: IndicatorValues, rsi: float) -> float | None:
    """The mean of two, both against the way the price went: its place between the Bollinger bands, and RSI."""
    place = values.percent_b
    if isinstance(place, Unknown):
        return None
    return (max(-1.0, min(1.0, 1 - 2 * place)) - _off_middle(rsi)) / 2


def _off_middle(rsi: float) -> float:
    return max(-1.0, min(1.0, (rsi - RSI_MIDDLE) / RSI_REACH))

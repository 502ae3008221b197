"""The policies about deciding: when the agent is called, and how the rules trade.

The default of a key that a file lacks is its value in the shipped conservative policy.
"""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ocw_mcp.domain.policy_table import EARLIER, LOWER, OPTIONAL, Share, Table
from ocw_mcp.domain.time import span_ms


class GatePolicy(Table):
    """The events that wake the agent."""

    close_wakes: tuple[str, ...] = ("4h",)
    """The timeframes at whose candle close the gate wakes the agent."""
    close_wakes_in_position: tuple[str, ...] = ("1h",)
    """Additional timeframes at whose candle close the gate wakes, for symbols with an open position."""
    timer_min_s: Annotated[int, Field(ge=1)] = 300
    """The shortest time in seconds after which an agent may request its next wake."""
    timer_max_s: Annotated[int, Field(le=86_400)] = 7200
    """The longest time in seconds without a wake, while candles arrive."""
    outlier_z: Annotated[float, Field(gt=0)] = 3.5
    """The z-score, against earlier returns of the symbol, from which a return is an outlier and wakes the agent."""
    outlier_over: str = "15m"
    """The time span of the returns that are tested for outliers; at least one base candle."""
    outlier_window: Annotated[int, Field(ge=10, le=1000)] = 50
    """The number of earlier returns from which the z-score is computed."""
    escalation_z: Annotated[float, Field(gt=0)] = 8.0
    """The z-score from which an outlier, or the return of one minute, wakes the agent even in a cooldown."""
    condition_max_s: Annotated[int, Field(ge=60, le=604_800)] = 604800
    """The longest time in seconds for which a wake condition of the agent is kept."""
    cooldown_s: Annotated[int, Field(ge=0, le=3600)] = 600
    """The seconds after a wake in which there is no other wake, except for an outlier of `escalation_z` or for missing
    market data; other reasons in this time are kept for the next wake."""
    wake_on_close: bool = True
    """Whether a closed position wakes the agent, unless a leg of the agent closed it. Otherwise the next wake reports
    it."""
    wake_on_lapse: bool = True
    """Whether an entry that expires, or that the venue cancels, wakes the agent if no part of it filled. Otherwise the
    next wake reports it."""
    every: Annotated[str | None, OPTIONAL] = None
    """A fixed time between wakes, such as `15m`, at candle closes. With `every`, only wake conditions and missing market
    data wake the agent at other times, and there is no cooldown. Optional."""

    @model_validator(mode="after")
    def _spans_are_spans(self) -> Self:
        for text in (*self.close_wakes, *self.close_wakes_in_position, self.outlier_over, self.every):
            if text is not None:
                span_ms(text)
        if self.gives("timer_min_s", "timer_max_s") and self.timer_min_s > self.timer_max_s:
            raise ValueError(
                f"timer_min_s ({self.timer_min_s}) is above timer_max_s ({self.timer_max_s}); lower timer_min_s"
            )
        if self.gives("escalation_z", "outlier_z") and self.escalation_z < self.outlier_z:
            raise ValueError(
                f"escalation_z ({self.escalation_z}) is below outlier_z ({self.outlier_z}); raise escalation_z"
            )
        return self


class DecisionPolicy(Table):
    """The limits on the time and on the effect of decisions."""

    deadline_s: Annotated[int, Field(ge=1, le=900)] = 120
    """The seconds that a decision may take; then the wake counts as HOLD with a cause, or the rules decide."""
    idle_wakes: Annotated[int, Field(ge=1, le=100_000)] = 500
    """The number of consecutive decisions without any effect after which an incident is journaled."""


class FallbackPolicy(Table):
    """The actions of the rules in place of an agent that cannot decide."""

    rules: Annotated[Literal["manage", "trade"], EARLIER] = "manage"
    """Whether the rules only manage open positions, or open new ones, too; they never reverse an agent's position."""


class BudgetPolicy(Table):
    """The budget for model calls. A spent budget blocks no order: the rules then decide in place of the model."""

    usd_per_day: Annotated[Decimal, Field(ge=0), LOWER] = Decimal("0.25")
    """The largest cost of model calls in a UTC day, in USD."""
    usd_per_month: Annotated[Decimal, Field(ge=0), LOWER] = Decimal(5)
    """The largest cost of model calls in a UTC month, in USD."""


class RulesPolicy(Table):
    """The parameters of the built-in rules."""

    timeframe: str = "4h"
    """The candles that the rules use: the shortest timeframe that is at least this long."""
    entry_size: Share = Decimal("0.2")
    """The notional of an entry of the rules, as a share of equity; smaller if a limit requires it."""
    adx_range: Annotated[float, Field(ge=0, le=100)] = 18
    """The ADX up to which a market counts as ranging while the regime is unknown."""
    adx_trend: Annotated[float, Field(ge=0, le=100)] = 26
    """The ADX from which a market counts as trending; from `adx_range` to this value it is partly ranging."""
    entry_score: Annotated[float, Field(gt=0, le=1)] = 0.75
    """The smallest strength of the signals for an entry, 0 to 1."""
    exit_score: Annotated[float, Field(gt=0, le=1)] = 0.2
    """The strength of the signals against a position from which the rules close it, 0 to 1."""
    derivatives_tilt: Annotated[float, Field(ge=0, le=1)] = 0.1
    """The largest contribution of derivatives to the strength of the signals."""
    rsi_too_high: Annotated[float, Field(ge=50, le=100)] = 70
    """The RSI from which the rules open no long."""
    rsi_too_low: Annotated[float, Field(ge=0, le=50)] = 30
    """The RSI at and below which the rules open no short."""
    stop_atr: Annotated[float, Field(gt=0, le=20)] = 2.0
    """The distance of the stop in ATRs, at most `stop.max_distance`."""
    trail_atr: Annotated[float, Field(gt=0, le=20)] = 2.5
    """The profit in ATRs from which the rules close a position after it gave back the same number of ATRs."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        span_ms(self.timeframe)
        if self.adx_range > self.adx_trend:
            raise ValueError(f"adx_range ({self.adx_range:g}) is above adx_trend ({self.adx_trend:g}); lower adx_range")
        return self

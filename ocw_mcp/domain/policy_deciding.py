"""The policies about deciding: when the agent is called, and how the rules trade.

The default of a key that a file lacks is its value in the shipped conservative policy.
"""

from decimal import Decimal
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from ocw_mcp.domain.anomaly import LARGEST_QUANTILE
from ocw_mcp.domain.extremes import WAKE_SIZES
from ocw_mcp.domain.metrics import DERIVATIVES, LIQUIDATIONS
from ocw_mcp.domain.policy_table import EARLIER, LOWER, OPTIONAL, Share, Table
from ocw_mcp.domain.time import DAY, span_ms

Sigmas = Annotated[float, Field(ge=1, le=100)]
MoveShare = Annotated[float, Field(gt=0, lt=1)]
Step = Annotated[float, Field(ge=1.02, le=100)]
MOST_SPANS: Final = 16
"""The largest number of spans in a table of outlier sizes."""


class GatePolicy(Table):
    """The events that wake the agent."""

    close_wakes: tuple[str, ...] = ()
    """The timeframes at whose candle close the gate wakes the agent."""
    close_wakes_in_position: tuple[str, ...] = ("1h",)
    """Additional timeframes at whose candle close the gate wakes, for symbols with an open position."""
    timer_min_s: Annotated[int, Field(ge=1)] = 300
    """The shortest time in seconds after which an agent may request its next wake."""
    timer_max_s: Annotated[int, Field(le=86_400)] = 21_600
    """The longest time in seconds without a wake, while candles arrive."""
    outlier_sigmas: dict[str, Sigmas] = Field(default={"5m": 4.4, "15m": 4.0, "1h": 4.0})
    """The size from which a return is an outlier and wakes the agent, by the time span of the return, in standard
    deviations of such returns. Spans are multiples of the base candle; others are left out, and the report names them.
    """
    outlier_step: Step = 1.2
    """The factor by which a move has to grow to be reported again."""
    outlier_half_life_h: Annotated[float, Field(ge=1, le=720)] = 24
    """The time in hours after which a return counts half in the standard deviation."""
    outlier_moves: dict[str, MoveShare] = Field(default={"15m": 0.01})
    """The size from which a return is an outlier in any market, by its time span, as a share of the price."""
    outlier_move_step: Step = 2
    """The factor by which such a move has to grow to be reported again."""
    outlier_quiet_s: Annotated[int, Field(ge=60, le=86_400)] = 3600
    """The seconds after which a move of a size that was reached before, in the same direction, is reported again."""
    outlier_readings: dict[str, Annotated[float, Field(gt=0)]] = Field(default={**WAKE_SIZES, LIQUIDATIONS: 0.01})
    """The size from which a derivatives reading of either sign is an outlier, by metric. The size of `taker_ratio_1h`
    is its distance from 1. `liquidations_1h` is the notional that the exchange closed by force in an hour;
    `liquidations` are the longs minus the shorts of five minutes, as a share of the volume of an hour."""
    outlier_reading_step: Step = 1.5
    """The factor by which such a reading has to grow to be reported again."""
    outlier_reading_quiet_s: Annotated[int, Field(ge=60, le=604_800)] = 86_400
    """The seconds after which a reading of a size that was reached before is reported again."""
    anomaly: Annotated[float, Field(gt=0, le=1)] = 0.99
    """The quantile of a symbol's anomaly from which it wakes the agent, at the close of an hour; with 1 none does. The
    agent is not woken again by the symbol before `outlier_reading_quiet_s` is over."""
    anchor: MoveShare = 0.04
    """The distance of the price from its level at the last wake that wakes the agent, as a share."""
    near_stop: MoveShare = 0.01
    """The distance of a position's stop from the price, as a share of it, up to which an outlier ends the cooldown."""
    near_exit: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """A position wakes the agent once if the price comes this near to its stop or target, as a share of the distance
    that the price had when the stop or target was set."""
    condition_max_s: Annotated[int, Field(ge=60, le=604_800)] = 604800
    """The longest time in seconds for which a wake condition of the agent is kept."""
    cooldown_s: Annotated[int, Field(ge=0, le=3600)] = 300
    """The seconds after a wake in which there is no other wake; reasons in this time are kept for the next wake. An
    outlier waits only after a wake by an outlier, and missing market data do not wait."""
    wake_on_close: bool = True
    """Whether a closed position wakes the agent, unless a leg of the agent closed it. Otherwise the next wake reports
    it."""
    wake_on_lapse: bool = True
    """Whether an entry that expires, or that the venue cancels, wakes the agent if no part of it filled. Otherwise the
    next wake reports it."""
    every: Annotated[str | None, OPTIONAL] = None
    """A fixed time between wakes, such as `15m`, at candle closes. With `every`, only wake conditions and missing
    market data wake the agent at other times, and there is no cooldown. Optional."""

    @model_validator(mode="after")
    def _anomaly_can_wake(self) -> Self:
        if LARGEST_QUANTILE < self.anomaly < 1:
            raise ValueError(
                f"anomaly ({self.anomaly}) never wakes, because no quantile above {LARGEST_QUANTILE:g} is read; set no "
                "more than that, or 1"
            )
        return self

    @model_validator(mode="after")
    def _spans_are_spans(self) -> Self:
        for text in (*self.close_wakes, *self.close_wakes_in_position, self.every):
            if text is not None:
                span_ms(text)
        for key, sizes in (("outlier_sigmas", self.outlier_sigmas), ("outlier_moves", self.outlier_moves)):
            spans = [span_ms(text) for text in sizes]
            if len(spans) > MOST_SPANS:
                raise ValueError(f"{key} has {len(spans)} spans; at most {MOST_SPANS} are watched")
            if max(spans, default=0) > DAY:
                raise ValueError(f"{key} has a span above 24h; set spans from one base candle to 24h")
            if len(set(spans)) < len(spans):
                raise ValueError(f"{key} gives one span twice, such as 60m and 1h; give each span once")
        if unknown := sorted(self.outlier_readings.keys() - {*DERIVATIVES, LIQUIDATIONS}):
            known = ", ".join((*DERIVATIVES, LIQUIDATIONS))
            raise ValueError(f"outlier_readings has no derivatives metric {unknown[0]!r}; expected some of {known}")
        if self.gives("timer_min_s", "timer_max_s") and self.timer_min_s > self.timer_max_s:
            raise ValueError(
                f"timer_min_s ({self.timer_min_s}) is above timer_max_s ({self.timer_max_s}); lower timer_min_s"
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
    """The ADX up to which a market counts as ranging."""
    adx_trend: Annotated[float, Field(ge=0, le=100)] = 26
    """The ADX from which a market counts as trending; from `adx_range` to this value it is partly ranging."""
    regime_blend: Annotated[float, Field(ge=0, le=1), OPTIONAL] = 0
    """How far the probability of a turbulent market moves the weight from mean reversion to momentum: at 1 wholly, at
    0 not at all. An unknown regime moves nothing. Optional."""
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

"""The policies about deciding: when somebody is asked, how long and how dear it may be, and how the rules trade."""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ocw_mcp.domain.policy_table import Share, Table
from ocw_mcp.domain.time import span_ms


class GatePolicy(Table):
    """When to wake the agent."""

    close_wakes: tuple[str, ...]
    """The timeframes whose close wakes."""
    close_wakes_in_position: tuple[str, ...]
    """More timeframes whose close wakes, for a symbol with an open position."""
    timer_min_s: Annotated[int, Field(ge=1)]
    """The shortest time an agent may ask to be woken after."""
    timer_max_s: Annotated[int, Field(le=86_400)]
    """The longest time without a wake, while candles come."""
    outlier_z: Annotated[float, Field(gt=0)]
    """How many standard deviations off the earlier returns a return has to be to wake."""
    outlier_over: str
    """The time over which the return of an outlier is taken; a base candle at least."""
    outlier_window: Annotated[int, Field(ge=10, le=1000)]
    """How many earlier returns make the yardstick of an outlier."""
    escalation_z: Annotated[float, Field(gt=0)]
    """The standard deviations from which an outlier wakes even in a cooldown, and a single minute's return does."""
    condition_max_s: Annotated[int, Field(ge=60, le=604_800)]
    """The longest time that a wake condition of the agent waits."""
    cooldown_s: Annotated[int, Field(ge=0, le=3600)]
    """How many seconds after a wake there is no other; what comes meanwhile is kept."""
    every: str | None = None
    """A fixed time between wakes, such as `15m`, at candle closes. With it, closes, outliers, scores and the timer do
    not wake, and no cooldown holds; wake conditions still wake. May be left out."""

    @model_validator(mode="after")
    def _spans_are_spans(self) -> Self:
        for text in (*self.close_wakes, *self.close_wakes_in_position, self.outlier_over, self.every):
            if text is not None:
                span_ms(text)
        if self.timer_min_s > self.timer_max_s:
            raise ValueError(f"timer_min_s ({self.timer_min_s}) is above timer_max_s ({self.timer_max_s})")
        if self.escalation_z < self.outlier_z:
            raise ValueError(f"escalation_z ({self.escalation_z}) is below outlier_z ({self.outlier_z})")
        return self


class DecisionPolicy(Table):
    """How long a decision may take."""

    deadline_s: Annotated[int, Field(ge=1, le=900)]
    """How many seconds a decision may take; after that the wake is held, and the answer discarded."""
    idle_wakes: Annotated[int, Field(ge=1, le=100_000)]
    """How many decisions in a row of which nothing was done are an incident: somebody should look."""


class FallbackPolicy(Table):
    """What the rules may do when they stand in for an agent that cannot decide."""

    rules: Literal["manage", "trade"]
    """Whether the rules only manage what is open, or trade, too. They never reverse a position of the agent's."""


class BudgetPolicy(Table):
    """What thinking may cost. It stops no order: once it is spent, the rules decide."""

    usd_per_day: Annotated[Decimal, Field(ge=0)]
    """The most that thinking may cost in a UTC day, in USD."""
    usd_per_month: Annotated[Decimal, Field(ge=0)]
    """The most that thinking may cost in a UTC month, in USD."""


class RulesPolicy(Table):
    """How the rules trade."""

    timeframe: str
    """The candles that the rules read: the shortest that are not shorter than this."""
    entry_size: Share
    """The share of equity that an entry of the rules is, or less where less passes."""
    adx_range: Annotated[float, Field(ge=0, le=100)]
    """The ADX up to which a market counts as ranging, while nothing tells the regime."""
    adx_trend: Annotated[float, Field(ge=0, le=100)]
    """The ADX from which a market counts as trending; in between it is some of both."""
    entry_score: Annotated[float, Field(gt=0, le=1)]
    """How strong the signals have to be for an entry, 0 to 1."""
    exit_score: Annotated[float, Field(gt=0, le=1)]
    """How far the signals have to turn against a position to close it, 0 to 1."""
    derivatives_tilt: Annotated[float, Field(ge=0, le=1)]
    """What derivatives add to the signals at most, where they are known."""
    rsi_too_high: Annotated[float, Field(ge=50, le=100)]
    """The RSI from which the rules enter no long."""
    rsi_too_low: Annotated[float, Field(ge=0, le=50)]
    """The RSI down from which the rules enter no short."""
    stop_atr: Annotated[float, Field(gt=0, le=20)]
    """The distance of the stop in ATRs; the stop policy caps it."""
    trail_atr: Annotated[float, Field(gt=0, le=20)]
    """How many ATRs a position has to have been ahead for the rules to close it once it gave as many back."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        span_ms(self.timeframe)
        if self.adx_range > self.adx_trend:
            raise ValueError(f"adx_range ({self.adx_range:g}) is above adx_trend ({self.adx_trend:g})")
        return self

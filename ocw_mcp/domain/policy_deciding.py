"""The policies about deciding: when somebody is asked, how long and how dear it may be, and how the rules trade."""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ocw_mcp.domain.policy_table import Share, Table
from ocw_mcp.domain.time import span_ms


class GatePolicy(Table):
    """When to wake the agent."""

    close_wakes: tuple[str, ...]
    """Timeframes whose close wakes."""
    close_wakes_in_position: tuple[str, ...]
    """More of them, for a symbol with an open position."""
    timer_min_s: Annotated[int, Field(ge=1)]
    """The shortest time an agent may ask to be woken after."""
    timer_max_s: Annotated[int, Field(le=86_400)]
    """The longest time without a wake, while candles come."""
    outlier_z: Annotated[float, Field(gt=0)]
    """Standard deviations off the earlier returns from which a return wakes."""
    outlier_over: str
    """The time over which that return is taken; a base candle at least."""
    outlier_window: Annotated[int, Field(ge=10, le=1000)]
    """How many earlier returns make the yardstick."""
    escalation_z: Annotated[float, Field(gt=0)]
    """From here on an outlier wakes even in a cooldown, and so does the return of a single minute."""
    condition_max_s: Annotated[int, Field(ge=60, le=604_800)]
    """The longest time that a wake condition of the agent waits."""
    cooldown_s: Annotated[int, Field(ge=0, le=3600)]
    """No wake so soon after another; what comes meanwhile is kept."""

    @model_validator(mode="after")
    def _spans_are_spans(self) -> Self:
        for text in (*self.close_wakes, *self.close_wakes_in_position, self.outlier_over):
            span_ms(text)
        if self.timer_min_s > self.timer_max_s:
            raise ValueError(f"timer_min_s ({self.timer_min_s}) is above timer_max_s ({self.timer_max_s})")
        if self.escalation_z < self.outlier_z:
            raise ValueError(f"escalation_z ({self.escalation_z}) is below outlier_z ({self.outlier_z})")
        return self


class DecisionPolicy(Table):
    """How long a decision may take."""

    deadline_s: Annotated[int, Field(ge=1, le=900)]
    """After this the wake is held, and the answer discarded."""
    idle_wakes: Annotated[int, Field(ge=1, le=100_000)]
    """So many decisions in a row of which nothing was done are an incident: somebody should look."""


class FallbackPolicy(Table):
    """What the rules may do when they stand in for an agent that cannot decide."""

    rules: Literal["manage", "trade"]
    """Manage what is open, or enter, too. They never reverse a position of the agent's."""


class BudgetPolicy(Table):
    """What thinking may cost. It stops no order: once it is spent, the rules decide."""

    usd_per_day: Annotated[Decimal, Field(ge=0)]
    """Of a UTC day."""
    usd_per_month: Annotated[Decimal, Field(ge=0)]
    """Of a UTC month."""


class RulesPolicy(Table):
    """How the rules trade."""

    timeframe: str
    """The candles they read; the shortest that is not shorter than this."""
    entry_size: Share
    """Of equity, before the scale."""
    adx_range: Annotated[float, Field(ge=0, le=100)]
    """Up to here a market counts as ranging, while nothing tells the regime."""
    adx_trend: Annotated[float, Field(ge=0, le=100)]
    """From here on it counts as trending; in between it is some of both."""
    entry_score: Annotated[float, Field(gt=0, le=1)]
    """How strong the signals have to be for an entry, 0 to 1."""
    exit_score: Annotated[float, Field(gt=0, le=1)]
    """How far the signals have to turn against a position to close it, 0 to 1."""
    derivatives_tilt: Annotated[float, Field(ge=0, le=1)]
    """What derivatives add to the signals at most, where they are known."""
    rsi_too_high: Annotated[float, Field(ge=50, le=100)]
    """No long from here on."""
    rsi_too_low: Annotated[float, Field(ge=0, le=50)]
    """No short from here down."""
    stop_atr: Annotated[float, Field(gt=0, le=20)]
    """Distance of the stop in ATRs; the stop policy caps it."""
    trail_atr: Annotated[float, Field(gt=0, le=20)]
    """A position that was so many ATRs ahead is closed when it gave as many back."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        span_ms(self.timeframe)
        if self.adx_range > self.adx_trend:
            raise ValueError(f"adx_range ({self.adx_range:g}) is above adx_trend ({self.adx_trend:g})")
        return self

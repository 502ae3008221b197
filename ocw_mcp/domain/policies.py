"""The policy file as typed values: the only source of every limit. Read at start, hashed, and never changed by a tool.

An unknown key is an error, and so is a limit that no one could mean. Shares are fractions (0.25 is a quarter).
"""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from ocw_mcp.domain.time import span_ms

Share = Annotated[Decimal, Field(gt=0, le=1)]
Positive = Annotated[Decimal, Field(gt=0)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class SymbolPolicy(_Table):
    """Which symbols may be entered, and which way. `*` and `?` are wildcards."""

    allow: Annotated[tuple[str, ...], Field(min_length=1)]
    """Patterns of symbols."""
    sides: Annotated[tuple[Literal["long", "short"], ...], Field(min_length=1)]
    """Long, short or both; spot has no short whatever stands here."""


class OrderPolicy(_Table):
    """The size of one order."""

    max_notional: Positive
    """Quote currency."""
    price_allowance: Annotated[Decimal, Field(ge=0, le=Decimal("0.1"))]
    """How much worse than the last price a market order is assumed to fill when it is sized and checked."""


class PositionPolicy(_Table):
    """The size of one position."""

    max_share: Share
    """Of equity."""


class ExposurePolicy(_Table):
    """All positions and open entries together."""

    max_gross: Annotated[Decimal, Field(gt=0, le=20)]
    """Sum of absolute notionals, as a multiple of equity."""


class CorrelatedPolicy(_Table):
    """Symbols that move as one: long positions in them are one bet, and so are short ones."""

    symbols: tuple[str, ...]
    """Patterns of symbols; `*` and `?` are wildcards."""
    max_share: Annotated[Decimal, Field(gt=0, le=20)]
    """Of equity, for all of them one way."""


class PositionsPolicy(_Table):
    """How many positions there may be at once."""

    max_open: Annotated[int, Field(ge=1, le=1000)]
    """Symbols with a position or an open entry."""


class RiskPolicy(_Table):
    """What one position may lose at its stop."""

    max_share: Share
    """Of equity, lost if the stop fills as far beyond it as the allowance says."""
    gap_allowance: Annotated[Decimal, Field(ge=0, le=Decimal("0.5"))]
    """How far beyond its price a stop is assumed to fill, as a share of the price."""


class StopPolicy(_Table):
    """The stop every entry brings along. There is no switch to turn it off."""

    max_distance: Annotated[Decimal, Field(gt=0, le=Decimal("0.5"))]
    """From the last price, as a share of it."""
    deadline_s: Annotated[int, Field(ge=1, le=600)]
    """How long a position may be without a live stop before it is closed."""
    liquidation_buffer: Annotated[Decimal, Field(ge=0, le=Decimal("0.5"))]
    """How far before the price of liquidation the stop has to lie, as a share of the last price."""


class LeveragePolicy(_Table):
    """The leverage of a position: its margin is its cost over it. Spot has none, whatever stands here."""

    max: Annotated[int, Field(ge=1, le=125)]
    """The highest that an entry may ask for."""
    usual: Annotated[int, Field(ge=1, le=125)]
    """That of an entry which asks for none."""

    @model_validator(mode="after")
    def _usual_is_allowed(self) -> Self:
        if self.usual > self.max:
            raise ValueError(f"usual ({self.usual}) is above max ({self.max})")
        return self


class MarginPolicy(_Table):
    """What is left free for bad times."""

    min_free: Annotated[Decimal, Field(ge=0, lt=1)]
    """Share of equity that no position or entry may claim as margin."""


class PricePolicy(_Table):
    """The collar around the mark price: what lies outside is a slip of the finger or a broken reading."""

    max_deviation: Annotated[Decimal, Field(gt=0, le=1)]
    """How far from the mark price, as a share of it, the limit of an entry may lie."""


class BookPolicy(_Table):
    """What the order book has to look like for an entry, where the market tells."""

    max_spread: Share
    """Distance of the best prices, as a share of their middle."""
    max_depth_share: Share
    """Of what is offered near the best price, that one entry may take."""


class MandatePolicy(_Table):
    """What a person has put in the desk's hands, and until when. On paper it may be left out."""

    amount: Positive
    """Quote currency, for all positions and open entries together."""
    symbols: Annotated[tuple[str, ...], Field(min_length=1)]
    """Patterns of symbols."""
    expires: AwareDatetime
    """No entry from then on."""


class ApprovalPolicy(_Table):
    """Which entries a person has to approve, each by itself. May be left out."""

    above_notional: Annotated[Decimal, Field(ge=0)]
    """Quote currency: larger ones need it."""
    modes: tuple[Literal["paper", "demo", "live"], ...]
    """Modes in which every entry needs it."""


class FallbackPolicy(_Table):
    """What the rules may do when they stand in for an agent that cannot decide."""

    rules: Literal["manage", "trade"]
    """Manage what is open, or enter, too. They never reverse a position of the agent's."""


class BudgetPolicy(_Table):
    """What thinking may cost. It stops no order: once it is spent, the rules decide."""

    usd_per_day: Annotated[Decimal, Field(ge=0)]
    """Of a UTC day."""
    usd_per_month: Annotated[Decimal, Field(ge=0)]
    """Of a UTC month."""


class ExitsPolicy(_Table):
    """When the guard closes a position, whoever opened it and whatever anybody thinks."""

    max_loss: Share
    """Of its average price, that it lies behind."""
    take_profit: Positive
    """Of its average price, that it lies ahead."""
    trail_from: Share
    """Once it was so far ahead, its gain is guarded:"""
    trail_gives_back: Share
    """it may give back such a share of the most that it was ahead."""
    max_hold_h: Annotated[float, Field(gt=0, le=8760)]
    """Hours after which it is closed."""


class ScorePolicy(_Table):
    """The rules' score of every open position, 0 to 1 against holding it, taken again and again."""

    every_s: Annotated[int, Field(ge=1, le=86_400)]
    """How often, at the least."""
    review: Annotated[float, Field(gt=0, le=1)]
    """Who decides is asked once it rises to this."""
    exit: Annotated[float, Field(gt=0, le=1)]
    """The position is closed once it rises to this."""

    @model_validator(mode="after")
    def _asks_before_it_closes(self) -> Self:
        if self.review > self.exit:
            raise ValueError(f"review ({self.review:g}) is above exit ({self.exit:g})")
        return self


class DailyLossPolicy(_Table):
    """The loss of a UTC day, unrealised included, that closes entries until the next day."""

    max_share: Share
    """Of the equity with which the day began."""


class DrawdownPolicy(_Table):
    """The fall of equity from its peak that halts the desk until a person resumes; the peak then begins anew."""

    max_share: Share
    """Of the peak."""


class LossesPolicy(_Table):
    """Losing trades in a row that pause entries."""

    in_a_row: Annotated[int, Field(ge=1, le=100)]
    """So many, whatever the symbols; a trade that does not lose begins the count anew."""
    pause_s: Annotated[int, Field(ge=0, le=604_800)]
    """How long entries then pause."""


class PacePolicy(_Table):
    """How much may be traded. Only entries are held to it: what lowers risk always passes, and counts."""

    entries_per_minute: Annotated[int, Field(ge=1, le=1000)]
    """Entries sent in any 60 seconds."""
    entries_per_day: Annotated[int, Field(ge=1, le=100_000)]
    """Entries sent in a UTC day."""
    max_turnover: Annotated[Decimal, Field(gt=0, le=1000)]
    """What is bought and sold in a UTC day, as a multiple of the equity with which it began."""
    max_fees: Share
    """Fees of a UTC day, as a share of the equity with which it began."""
    reductions_per_minute: Annotated[int, Field(ge=1, le=1000)]
    """Closings that an agent may ask for in any 60 seconds; the guard's own are not held to it."""
    reentry_s: Annotated[int, Field(ge=0, le=604_800)]
    """How long a symbol is left alone after its position was closed."""


class DataPolicy(_Table):
    """How old a price may be for an entry: the feed's cadence plus this slack."""

    slack_s: Annotated[int, Field(ge=0, le=3600)]
    """Beyond the length of a candle."""


class ScalePolicy(_Table):
    """What the size of every entry is multiplied by while a reading is unknown, whoever asks for it."""

    regime_unknown: Share
    """While no model tells the regime."""
    macro_unknown: Share
    """While nothing tells the macro picture."""


class GatePolicy(_Table):
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
    outlier_window: Annotated[int, Field(ge=10, le=1000)]
    """How many earlier returns make the yardstick."""
    escalation_z: Annotated[float, Field(gt=0)]
    """From here on an outlier wakes even in a cooldown."""
    condition_max_s: Annotated[int, Field(ge=60, le=604_800)]
    """The longest time that a wake condition of the agent waits."""
    cooldown_s: Annotated[int, Field(ge=0, le=3600)]
    """No wake so soon after another; what comes meanwhile is kept."""

    @model_validator(mode="after")
    def _spans_are_spans(self) -> Self:
        for text in (*self.close_wakes, *self.close_wakes_in_position):
            span_ms(text)
        if self.timer_min_s > self.timer_max_s:
            raise ValueError(f"timer_min_s ({self.timer_min_s}) is above timer_max_s ({self.timer_max_s})")
        if self.escalation_z < self.outlier_z:
            raise ValueError(f"escalation_z ({self.escalation_z}) is below outlier_z ({self.outlier_z})")
        return self


class DecisionPolicy(_Table):
    """How long a decision may take."""

    deadline_s: Annotated[int, Field(ge=1, le=900)]
    """After this the wake is held, and the answer discarded."""


class RulesPolicy(_Table):
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


class Policies(_Table):
    """A whole policy file."""

    name: Annotated[str, Field(min_length=1, max_length=40)]
    symbols: SymbolPolicy
    order: OrderPolicy
    price: PricePolicy
    book: BookPolicy
    position: PositionPolicy
    positions: PositionsPolicy
    exposure: ExposurePolicy
    correlated: CorrelatedPolicy
    leverage: LeveragePolicy
    margin: MarginPolicy
    stop: StopPolicy
    risk: RiskPolicy
    exits: ExitsPolicy
    score: ScorePolicy
    daily_loss: DailyLossPolicy
    drawdown: DrawdownPolicy
    losses: LossesPolicy
    pace: PacePolicy
    data: DataPolicy
    scale: ScalePolicy
    gate: GatePolicy
    decision: DecisionPolicy
    fallback: FallbackPolicy
    budget: BudgetPolicy
    rules: RulesPolicy
    mandate: MandatePolicy | None = None
    approval: ApprovalPolicy | None = None


_SAFETY_TABLES = (
    "symbols",
    "order",
    "price",
    "book",
    "position",
    "positions",
    "exposure",
    "correlated",
    "leverage",
    "margin",
    "stop",
    "risk",
    "exits",
    "daily_loss",
    "drawdown",
    "losses",
    "pace",
    "mandate",
    "approval",
)


def limits_in_force(policies: Policies) -> tuple[tuple[str, str], ...]:
    """The safety limits as people and models read them: the name that the file gives, and its value as text."""
    limits = []
    for table in _SAFETY_TABLES:
        for key, value in getattr(policies, table) or ():
            text = " ".join(value) if isinstance(value, tuple) else f"{value}"
            limits.append((f"{table}.{key}", text))
    return tuple(limits)

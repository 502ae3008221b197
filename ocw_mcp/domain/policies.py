"""The policy file as typed values: the only source of every limit. Read at start, hashed, and never changed by a tool.

An unknown key is an error, and so is a limit that no one could mean. Shares are fractions (0.25 is a quarter).
Who is asked when, and what the rules want, is in `policy_deciding`.
"""

from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from ocw_mcp.domain.policy_deciding import BudgetPolicy as BudgetPolicy
from ocw_mcp.domain.policy_deciding import DecisionPolicy as DecisionPolicy
from ocw_mcp.domain.policy_deciding import FallbackPolicy as FallbackPolicy
from ocw_mcp.domain.policy_deciding import GatePolicy as GatePolicy
from ocw_mcp.domain.policy_deciding import RulesPolicy as RulesPolicy
from ocw_mcp.domain.policy_table import Positive, Share, Table
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import SECOND, iso


class SymbolPolicy(Table):
    """Which symbols may be entered, and which way. `*` and `?` are wildcards."""

    allow: Annotated[tuple[str, ...], Field(min_length=1)]
    """Patterns of the symbols that may be entered."""
    sides: Annotated[tuple[Literal["long", "short"], ...], Field(min_length=1)]
    """Which ways may be entered: long, short or both. Spot has no short whatever stands here."""


class OrderPolicy(Table):
    """The size of one order."""

    max_notional: Positive
    """The largest notional of one order, in quote currency."""
    price_allowance: Annotated[Decimal, Field(ge=0, le=Decimal("0.1"))]
    """How much worse than the last price a market entry may fill: it is sized, checked and limited there."""


class PositionPolicy(Table):
    """The size of one position."""

    max_share: Share
    """The largest share of equity that one position may be."""


class ExposurePolicy(Table):
    """All positions and open entries together."""

    max_gross: Annotated[Decimal, Field(gt=0, le=20)]
    """The largest sum of absolute notionals, as a multiple of equity."""


class CorrelatedPolicy(Table):
    """Symbols that move as one: long positions in them are one bet, and so are short ones."""

    symbols: tuple[str, ...]
    """Patterns of the symbols that move as one; `*` and `?` are wildcards."""
    max_share: Annotated[Decimal, Field(gt=0, le=20)]
    """The largest share of equity that all of them together may be, one way."""


class PositionsPolicy(Table):
    """How many positions there may be at once."""

    max_open: Annotated[int, Field(ge=1, le=1000)]
    """The most symbols that may have a position or an open entry."""


class RiskPolicy(Table):
    """What one position may lose at its stop."""

    max_share: Share
    """The largest share of equity that may be lost at the stop, filled as far beyond it as the allowance says."""
    gap_allowance: Annotated[Decimal, Field(ge=0, le=Decimal("0.5"))]
    """How far beyond its price a stop is assumed to fill, as a share of the price."""


class StopPolicy(Table):
    """The stop every entry brings along. There is no switch to turn it off."""

    max_distance: Annotated[Decimal, Field(gt=0, le=Decimal("0.5"))]
    """How far a stop may lie from the price at which its entry is expected to begin, as a share of it: the last price,
    or the limit of an order that waits for a better one."""
    deadline_s: Annotated[int, Field(ge=1, le=600)]
    """How many seconds a position may be without a live stop before it is closed."""
    liquidation_buffer: Annotated[Decimal, Field(ge=0, le=Decimal("0.5"))]
    """How far before the price of liquidation the stop has to lie, as a share of the last price."""


class LeveragePolicy(Table):
    """The leverage of a position: its margin is its cost over it. Spot has none, whatever stands here."""

    max: Annotated[int, Field(ge=1, le=125)]
    """The highest leverage that an entry may ask for."""
    usual: Annotated[int, Field(ge=1, le=125)]
    """The leverage of an entry that asks for none."""

    @model_validator(mode="after")
    def _usual_is_allowed(self) -> Self:
        if self.usual > self.max:
            raise ValueError(f"usual ({self.usual}) is above max ({self.max})")
        return self


class MarginPolicy(Table):
    """What is left free for bad times."""

    min_free: Annotated[Decimal, Field(ge=0, lt=1)]
    """Share of equity that no position or entry may claim as margin."""


class PricePolicy(Table):
    """The collar around the mark price: what lies outside is a slip of the finger or a broken reading."""

    max_deviation: Annotated[Decimal, Field(gt=0, le=1)]
    """How far from the mark price, as a share of it, the limit of an entry may lie."""
    max_move: Share
    """How far the mark price may have moved since whoever asks was shown it, for a preview or an approval to hold."""


class BookPolicy(Table):
    """What the order book has to look like for an entry, where the market tells."""

    max_spread: Share
    """The largest distance of the best prices, as a share of their middle."""
    max_depth_share: Share
    """The largest share that one entry may take of what is offered near the best price."""


class MandatePolicy(Table):
    """What a person has put in the desk's hands, and until when. On paper it may be left out, elsewhere nothing may be
    entered without one."""

    amount: Positive
    """What all positions and open entries together may come to, in quote currency."""
    symbols: Annotated[tuple[str, ...], Field(min_length=1)]
    """Patterns of the symbols that the mandate covers."""
    expires: AwareDatetime
    """When the mandate ends: no entry passes from then on."""

    @cached_property
    def expires_ms(self) -> int:
        """The same as a moment in ms."""
        return round(self.expires.timestamp() * SECOND)


class ApprovalPolicy(Table):
    """Which entries a person has to approve, each by itself. May be left out."""

    above_notional: Annotated[Decimal, Field(ge=0)]
    """The notional, in quote currency, above which an entry has to be approved."""
    modes: tuple[Mode, ...]
    """The modes in which every entry has to be approved, whatever its size."""
    answer_s: Annotated[int, Field(ge=1, le=86_400)]
    """How many seconds an order waits for the answer; none until then is no."""


class TaintedPolicy(Table):
    """What holds, too, for entries that were decided on after reading what others wrote."""

    policy: Annotated[str, Field(min_length=1, max_length=40)]
    """The name of another policy file, beside this one or shipped: an entry has to pass the limits of both."""


class ExitsPolicy(Table):
    """When the guard closes a position, whoever opened it and whatever anybody thinks."""

    max_loss: Share
    """How far a position may fall behind its average price, as a share of it, before it is closed."""
    take_profit: Positive
    """How far a position has to be ahead of its average price, as a share of it, to be closed with its profit."""
    trail_from: Share
    """How far ahead, as a share of its average price, a position must have been for its gain to be guarded."""
    trail_gives_back: Share
    """The share of the most that it was ahead which a guarded position may give back before it is closed."""
    max_hold_h: Annotated[float, Field(gt=0, le=8760)]
    """How many hours after its opening a position is closed."""


class ScorePolicy(Table):
    """The rules' score of every open position, 0 to 1 against holding it, taken again and again."""

    every_s: Annotated[int, Field(ge=1, le=86_400)]
    """How many seconds may pass at most before the score is taken again."""
    review: Annotated[float, Field(gt=0, le=1)]
    """The score at which whoever decides is asked about the position."""
    exit: Annotated[float, Field(gt=0, le=1)]
    """The score at which the position is closed."""

    @model_validator(mode="after")
    def _asks_before_it_closes(self) -> Self:
        if self.review > self.exit:
            raise ValueError(f"review ({self.review:g}) is above exit ({self.exit:g})")
        return self


class DailyLossPolicy(Table):
    """The loss of a UTC day, unrealised included, that closes entries until the next day."""

    max_share: Share
    """The share of the equity with which the day began that may be lost in it."""


class DrawdownPolicy(Table):
    """The fall of equity from its peak that halts the desk until a person resumes; the peak then begins anew."""

    max_share: Share
    """The share of the peak by which equity may fall."""


class LossesPolicy(Table):
    """Losing trades in a row that pause entries."""

    in_a_row: Annotated[int, Field(ge=1, le=100)]
    """How many losing trades in a row, whatever the symbols, pause entries; one that does not lose ends the row."""
    pause_s: Annotated[int, Field(ge=0, le=604_800)]
    """How many seconds entries pause after so many losses in a row."""


class PacePolicy(Table):
    """How much may be traded. Only entries are held to it: what lowers risk always passes, and counts."""

    entries_per_minute: Annotated[int, Field(ge=1, le=1000)]
    """The most entries that may be sent in any 60 seconds."""
    entries_per_day: Annotated[int, Field(ge=1, le=100_000)]
    """The most entries that may be sent in a UTC day."""
    max_turnover: Annotated[Decimal, Field(gt=0, le=1000)]
    """The most that may be bought and sold in a UTC day, as a multiple of the equity with which it began."""
    max_fees: Share
    """The most that the fees of a UTC day may come to, as a share of the equity with which it began."""
    reductions_per_minute: Annotated[int, Field(ge=1, le=1000)]
    """The most closings that an agent may ask for in any 60 seconds; the guard's own are not held to it."""
    reentry_s: Annotated[int, Field(ge=0, le=604_800)]
    """How many seconds a symbol is left alone after its position was closed."""


class CallersPolicy(Table):
    """How much each attached caller may write into the journal. Closing, cancelling and halting are not held to it."""

    notes_per_minute: Annotated[int, Field(ge=1, le=10_000)]
    """The most notes that one caller may write in any 60 seconds."""
    refusals_per_minute: Annotated[int, Field(ge=1, le=10_000)]
    """How often one caller may be refused in any 60 seconds; its entries and notes are then turned away unread."""


class DataPolicy(Table):
    """How old a price may be for an entry, the feed's cadence plus a slack, and what a market's end does."""

    slack_s: Annotated[int, Field(ge=0, le=3600)]
    """How many seconds a price may be older than the length of a candle."""
    on_end: Literal["close", "keep"] = "close"
    """What becomes of a position whose symbol's candles end while others go on: `close` it at its last price with the
    usual fee, or `keep` it, at that price and reported as not closed."""


class ScalePolicy(Table):
    """What limits of size are multiplied by while a reading is unknown: position.max_share, risk.max_share,
    exposure.max_gross and correlated.max_share, by the product of both, at most 1. What is asked for is never scaled.
    """

    regime_unknown: Share
    """What limits of size are multiplied by while no model tells the regime."""
    macro_unknown: Share
    """What limits of size are multiplied by while nothing tells the macro picture."""


class Policies(Table):
    """A whole policy file."""

    name: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[\w .+-]+$")]
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
    callers: CallersPolicy
    data: DataPolicy
    scale: ScalePolicy
    tainted: TaintedPolicy
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
    "tainted",
)


def limits_in_force(policies: Policies) -> tuple[tuple[str, str], ...]:
    """The safety limits as people and models read them: the name that the file gives, and its value as text."""
    limits = []
    for table in _SAFETY_TABLES:
        for key, value in getattr(policies, table) or ():
            limits.append((f"{table}.{key}", value_text(value, " ")))
    return tuple(limits)


def value_text(value: object, between: str) -> str:
    """A policy's value for people; what a list holds is told with `between` in between."""
    if isinstance(value, tuple):
        return between.join(map(str, value)) or "none"
    return iso(round(value.timestamp() * SECOND)) if isinstance(value, datetime) else str(value)

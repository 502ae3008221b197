"""The snapshot that a decider gets at a wake: one immutable value. Analytics are floats, money is Decimal."""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

import msgspec

from ocw_mcp.domain.context import ContextItem
from ocw_mcp.domain.happenings import Happening, RestingOrder, StandingCondition
from ocw_mcp.domain.learning import LearningView
from ocw_mcp.domain.macro import MacroReading
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import RULES
from ocw_mcp.domain.regime import RegimeReading
from ocw_mcp.domain.snapshot_views import DerivativesView as DerivativesView
from ocw_mcp.domain.snapshot_views import Feasible as Feasible
from ocw_mcp.domain.snapshot_views import FormingCandle as FormingCandle
from ocw_mcp.domain.snapshot_views import FormingView as FormingView
from ocw_mcp.domain.snapshot_views import IndicatorValues as IndicatorValues
from ocw_mcp.domain.snapshot_views import OpenPosition as OpenPosition
from ocw_mcp.domain.snapshot_views import PositionView as PositionView
from ocw_mcp.domain.snapshot_views import Remark as Remark
from ocw_mcp.domain.snapshot_views import Sizes as Sizes
from ocw_mcp.domain.snapshot_views import SizesOnDemand as SizesOnDemand
from ocw_mcp.domain.snapshot_views import SizeStep as SizeStep
from ocw_mcp.domain.snapshot_views import SymbolView as SymbolView
from ocw_mcp.domain.snapshot_views import SymbolViews as SymbolViews
from ocw_mcp.domain.snapshot_views import TradeView as TradeView
from ocw_mcp.domain.snapshot_views import encode_sizes as encode_sizes
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.unknown import Reading, Unknown

TRADES_SHOWN = 10


class Correlation(msgspec.Struct, frozen=True):
    """The correlation of the latest hourly returns of two symbols, −1..1."""

    first: str
    second: str
    value: Reading


class WakeKind(StrEnum):
    """The kinds of reasons to wake the agent."""

    TIMER = "timer"
    """The agent's timer is due."""
    CLOSE = "close"
    """A candle closed; the subject is its timeframe."""
    OUTLIER = "outlier"
    """A price move is unusually large; the subject is the time that it took, or `since_wake`, the detail its size."""
    CONDITION = "condition"
    """A wake condition is met; the subject is its metric."""
    SCORE = "score"
    """The score of a position requires a review; the subject is the score."""
    NEAR = "near"
    """The price has come near to a position's exit; the subject is `stop` or `target`, the detail has both prices."""
    POSITION_CLOSED = "position_closed"
    """A position was closed; the subject says by what, the detail is the result (quote)."""
    ENTRY_LAPSED = "entry_lapsed"
    """An entry ended unfilled; the subject says why, the detail is its limit price."""
    WATCHDOG = "watchdog"
    """There are no market data; the subject is the time without them."""
    MORE = "more"
    """Further reasons; the detail is their number."""
    EARLIER = "earlier"
    """A reason that an earlier version journaled as text, which is the detail."""


class WakeReason(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reason to wake the agent."""

    kind: WakeKind
    subject: str = ""
    detail: str = ""
    remark: Remark | None = None
    """The remark of the principal that set the condition, if any."""

    @property
    def name(self) -> str:
        """The reason without its numbers: `close:1h`."""
        return f"{self.kind}:{self.subject}" if self.subject else self.kind.value

    def __str__(self) -> str:
        if self.kind is WakeKind.EARLIER:
            return self.detail
        if self.kind is WakeKind.MORE:
            return f"and {self.detail} more"
        return f"{self.name} {self.detail}" if self.detail else self.name


class SymbolWake(msgspec.Struct, frozen=True):
    """The reasons of one symbol to wake the agent; the symbol is None for the timer."""

    symbol: str | None
    reasons: tuple[WakeReason, ...]


class Snapshot(msgspec.Struct, frozen=True):
    """The input of a decision."""

    at: int
    product: Product
    state: TradingState
    equity: Decimal
    symbols: Mapping[str, SymbolView]
    """By name, in the engine's order."""
    wake: tuple[SymbolWake, ...]
    regime: RegimeReading | Unknown
    macro: MacroReading | Unknown
    scale: Decimal
    """The factor on the size limits that follows from `regime` and `macro`."""
    trades: tuple[TradeView, ...] = ()
    """The last closed trades, oldest first; at most `TRADES_SHOWN`."""
    note: Remark | None = None
    undone: tuple[Remark, ...] = ()
    """The parts of the last decision, other than its legs, that had no effect: one sentence each."""
    limits: tuple[tuple[str, str], ...] = ()
    """The safety limits in force, as names and texts."""
    correlations: tuple[Correlation, ...] = ()
    """The correlations of every open position with every other symbol."""
    since: tuple[Happening, ...] = ()
    """What happened since the snapshot of the last wake that the decider answered, oldest first."""
    since_wake: int = 0
    """The number of that wake; 0 if there is none."""
    since_dropped: int = 0
    """The number of older happenings that were dropped, because at most a fixed number is kept."""
    note_refused: tuple[Happening, ...] = ()
    """The legs that were refused with the decision that wrote `note`."""
    resting: tuple[RestingOrder, ...] = ()
    """The live entries, oldest first."""
    conditions: tuple[StandingCondition, ...] = ()
    """The wake conditions that wait."""
    next_check_at: int | None = None
    """The time (ms) of the next wake by the timer, unless the decision sets another; None before the first candle."""
    daily_loss: Decimal | None = None
    """The loss of the UTC day as a share of its first equity, below 0 for a gain; None before the first day."""
    context: tuple[ContextItem, ...] = ()
    """What sources outside of the exchange reported, by their names; empty if none is configured."""
    learning: LearningView | None = None
    """What was learned from closed trades; None if OCW does not learn, or if the reader does not need it."""

    def __post_init__(self) -> None:
        if type(self.symbols) is not SymbolViews:
            msgspec.structs.force_setattr(self, "symbols", SymbolViews(self.symbols))

    @property
    def positions(self) -> dict[str, PositionView]:
        """The open positions by symbol."""
        return {name: view.position for name, view in self.symbols.items() if view.position is not None}

    def quotes_others(self, reader: str) -> bool:
        """Return whether the snapshot contains texts of another author than `reader`, such as headlines."""
        if any(each.text for each in self.context):
            return True
        remarks = [self.note, *(each.remark for wake in self.wake for each in wake.reasons)]
        authors = {each.by for each in remarks if each is not None}
        authors |= {each.by for each in self.conditions if each.condition.reason}
        # The engine itself writes the reasons of the rules.
        theses = [position.thesis for position in self.positions.values()]
        authors |= {each.by for each in theses if each is not None and each.by != RULES}
        return bool(authors - {reader})

    def correlation(self, first: str, second: str) -> Reading:
        """Return the correlation of two symbols, in either order."""
        for each in self.correlations:
            if {each.first, each.second} == {first, second}:
                return each.value
        return Unknown(f"the correlation of {first} and {second} was not computed")


class DecisionRequest(msgspec.Struct, frozen=True):
    """A wake with its snapshot, sent to the decider."""

    wake_id: int
    snapshot: Snapshot
    deadline: int
    """Engine time (ms) after which an answer is not accepted."""
    version: int = 0
    """The version of the account. Equal versions mean equal positions, orders, stops and state."""
    held: "DecisionRequest | None" = None
    """The previous wake, if a model answered it with HOLD for everything."""

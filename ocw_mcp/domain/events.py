"""The events of the journal, with those of `order_events`.

Candles are not journaled; events record which market was read, and how far.
"""

from decimal import Decimal

from ocw_mcp.domain.asks import CallerRequest
from ocw_mcp.domain.causes import Cause
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.event_types import DomainEvent as DomainEvent
from ocw_mcp.domain.event_types import JournalEvent as JournalEvent
from ocw_mcp.domain.event_types import LifecycleEvent as LifecycleEvent
from ocw_mcp.domain.event_types import kind_of as kind_of
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.order_events import EntryContinued as EntryContinued
from ocw_mcp.domain.order_events import EntryLapsed as EntryLapsed
from ocw_mcp.domain.order_events import FundingBooked as FundingBooked
from ocw_mcp.domain.order_events import OrderAccepted as OrderAccepted
from ocw_mcp.domain.order_events import OrderCanceled as OrderCanceled
from ocw_mcp.domain.order_events import OrderCancelRefused as OrderCancelRefused
from ocw_mcp.domain.order_events import OrderCancelRequested as OrderCancelRequested
from ocw_mcp.domain.order_events import OrderFilled as OrderFilled
from ocw_mcp.domain.order_events import OrderIntended as OrderIntended
from ocw_mcp.domain.order_events import OrderRefused as OrderRefused
from ocw_mcp.domain.order_events import OrderRejected as OrderRejected
from ocw_mcp.domain.order_events import OrderTriggered as OrderTriggered
from ocw_mcp.domain.order_events import OrderUnknown as OrderUnknown
from ocw_mcp.domain.order_events import OutsideFilled as OutsideFilled
from ocw_mcp.domain.order_events import TransferBooked as TransferBooked
from ocw_mcp.domain.orders import RULES, OrderIntent, OrderRef
from ocw_mcp.domain.reasons import Refusal
from ocw_mcp.domain.snapshot import SymbolWake
from ocw_mcp.domain.state import TradingState


class WakeRaised(DomainEvent, frozen=True, tag="wake.raised"):
    """The gate woke the agent."""

    wake_id: int
    reasons: tuple[SymbolWake, ...]


class DecisionMade(DomainEvent, frozen=True, tag="decision.made"):
    """The decision on a wake, made `thinking_ms` after the wake. A failure to decide is a HOLD with a cause."""

    wake_id: int
    decider: str
    thinking_ms: int
    decision: Decision
    cost_usd: Decimal = ZERO
    tainted: bool = False
    """Whether the decider had read untrusted text, which another author wrote."""

    @property
    def in_its_place(self) -> Cause | None:
        """Why the agent failed to decide, if the rules decided in its place; otherwise None."""
        cause = self.decision.cause
        return cause if self.decider == RULES and cause is not None and cause.kind.failed else None


class DecisionCorrected(DomainEvent, frozen=True, tag="decision.corrected"):
    """The decider replaced legs that had been refused."""

    wake_id: int
    decider: str
    decision: Decision
    thinking_ms: int = 0
    cost_usd: Decimal = ZERO
    tainted: bool = False


class DecisionEnded(DomainEvent, frozen=True, tag="decision.ended"):
    """A decider ended a decision whose legs it had already submitted."""

    wake_id: int
    cause: Cause | None
    cost_usd: Decimal = ZERO


class DecisionDiscarded(DomainEvent, frozen=True, tag="decision.discarded"):
    """An answer had no effect, because it came too late, or after another answer."""

    wake_id: int
    why: str
    cost_usd: Decimal = ZERO


class WakeConditionsSet(DomainEvent, frozen=True, tag="wake_conditions.set"):
    """The wake conditions were replaced, or some `ended`; `refused` has the reason for each that was not accepted."""

    wake_id: int
    armed: int
    refused: tuple[str, ...]
    ended: tuple[str, ...] = ()


class BudgetSpent(DomainEvent, frozen=True, tag="budget.spent"):
    """The budget for model calls is spent; the rules decide until `until` (ms)."""

    spent_usd: Decimal
    until: int


class ScoreTaken(DomainEvent, frozen=True, tag="score.taken"):
    """The exit score of a position entered another band of `[score]`; `worst` is the part that contributes most."""

    symbol: str
    score: float
    band: str
    worst: str


class ExitDecided(DomainEvent, frozen=True, tag="exit.decided"):
    """The guard closes a position: `rule` is the exit rule in the policy file, `why` a clause that explains it."""

    symbol: str
    rule: str
    why: str


class PositionUnprotected(DomainEvent, frozen=True, tag="position.unprotected"):
    """A position has no live stop; without one, it is closed at `deadline` (ms)."""

    symbol: str
    deadline: int


class PositionProtected(DomainEvent, frozen=True, tag="position.protected"):
    """A live stop covers the position."""

    symbol: str
    stop: OrderRef
    trigger_price: Decimal


class ProtectionSet(DomainEvent, frozen=True, tag="protection.set"):
    """A decision or a client moved a position's protection. Prices and `trail` (a share) as they are now in force."""

    symbol: str
    by: str
    stop: Decimal
    target: Decimal | None
    trail: Decimal | None
    wake_id: int | None = None


class PositionClosed(DomainEvent, frozen=True, tag="position.closed"):
    """A position was closed. `pnl` (quote) is net of all fees and funding since its opening."""

    symbol: str
    opened_at: int
    pnl: Decimal
    fees: Decimal
    funding: Decimal = ZERO
    mfe: float | None = None
    mae: float | None = None
    """The largest and the smallest gain, as shares of the average price; None in books of earlier versions."""


class PoliciesLoaded(DomainEvent, frozen=True, tag="policies.loaded"):
    """The policy in force from now on, by name and hash, and the hash of the prompts."""

    name: str
    policy_hash: str
    prompts_hash: str


class DayOpened(DomainEvent, frozen=True, tag="day.opened"):
    """A UTC day began with this equity, from which the daily loss is measured."""

    day: str
    equity: Decimal


class DailyLossReached(DomainEvent, frozen=True, tag="daily_loss.reached"):
    """The daily loss limit was reached: no entries until the next UTC day. `floor` is the lowest allowed equity."""

    day: str
    equity: Decimal
    floor: Decimal


class DrawdownReached(DomainEvent, frozen=True, tag="drawdown.reached"):
    """Equity fell so far below its peak that the engine halts until a person resumes it."""

    equity: Decimal
    peak: Decimal


class EntriesPaused(DomainEvent, frozen=True, tag="entries.paused"):
    """Consecutive losing trades reached the limit: entries pause until `until` (ms)."""

    until: int


class HoleFound(DomainEvent, frozen=True, tag="market.hole"):
    """A data gap: no candle of a symbol opened in [since, until) (ms)."""

    symbol: str
    since: int
    until: int


class SymbolEnded(DomainEvent, frozen=True, tag="market.ended"):
    """The candles of a symbol ended, while other symbols continue; the last candle closed at `last` (ms)."""

    symbol: str
    last: int


class Incident(DomainEvent, frozen=True, tag="incident"):
    """An unexpected condition, described in one sentence for the operator."""

    text: str


class StateChanged(DomainEvent, frozen=True, tag="state.changed"):
    """The trading state changed, and why."""

    before: TradingState
    after: TradingState
    why: str


class CallerAsked(DomainEvent, frozen=True, tag="caller.asked"):
    """An attached client sent a request other than an answer to a wake; events with the result follow."""

    request: CallerRequest
    after_frame: int
    """The time (ms) of the frame after which the request was executed: a resumed run repeats it then."""


class RequestRefused(DomainEvent, frozen=True, tag="request.refused"):
    """The request with `key` was refused; a refused order has its own event."""

    key: str
    refusal: Refusal


class ApprovalAsked(DomainEvent, frozen=True, tag="approval.asked"):
    """An order waits for a person's approval; it passed every other limit at the mark price `price` (quote)."""

    approval_id: str
    intent: OrderIntent
    price: Decimal
    expires_at: int


class ApprovalEnded(DomainEvent, frozen=True, tag="approval.ended"):
    """An approval request ended: approved, denied, unanswered, or superseded by another one."""

    approval_id: str
    outcome: str
    by: str


class CommandTaken(DomainEvent, frozen=True, tag="command.taken"):
    """An operator's command reached the engine; `after_frame` is as in `CallerAsked`."""

    command_id: str
    verb: str
    by: str
    after_frame: int
    subject: str = ""


class RunStarted(LifecycleEvent, frozen=True, tag="run.started"):
    """A process opened the book for the first time."""

    version: str
    agent: str
    policy_hash: str


class RunResumed(LifecycleEvent, frozen=True, tag="run.resumed"):
    """A process opened the book again."""

    version: str
    agent: str
    policy_hash: str


class CheckpointSaved(LifecycleEvent, frozen=True, tag="checkpoint.saved"):
    """The state of engine and venue was saved with the events so far; `digest` is the SHA-256 of the saved bytes."""

    digest: str


class RunStopped(LifecycleEvent, frozen=True, tag="run.stopped"):
    """A process closed the book without an error."""

    why: str

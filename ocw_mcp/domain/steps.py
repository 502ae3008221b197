"""The events that a step of the engine takes, and the effects that it returns.

The shell in `runtime`, and no other module, executes the effects, in their order.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from ocw_mcp.domain.asks import CallerRequest, SubmitRequest
from ocw_mcp.domain.causes import Cause
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.context import ContextItem
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.macro import MacroReading
from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import OrderRef, OrderSeen, VenueReport
from ocw_mcp.domain.regime import FitRequest, RegimeFit
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot
from ocw_mcp.domain.unknown import Unknown


class DecisionReady(msgspec.Struct, frozen=True):
    """The decider has answered a wake, and its decision takes effect now."""

    wake_id: int
    decider: str
    thinking_ms: int
    decision: Decision
    cost_usd: Decimal = ZERO


class DecisionFailed(msgspec.Struct, frozen=True):
    """The decider could not answer a wake."""

    wake_id: int
    decider: str
    thinking_ms: int
    cause: Cause
    cost_usd: Decimal = ZERO


class DecisionSubmitted(msgspec.Struct, frozen=True):
    """The decider submits legs before it ends its decision, and may correct refused legs once."""

    request: SubmitRequest
    thinking_ms: int
    cost_usd: Decimal = ZERO
    """The cost of model calls since the wake, or since the previous submission."""


class TimerKind(StrEnum):
    """The purpose of a timer. Timers that are due at the same time fire in the order of these values."""

    APPROVAL = "approval"
    """The time to answer an approval request is over; the subject is its id."""
    CANCEL = "cancel"
    """The venue has not answered a cancel request; the subject is the order."""
    CHASE = "chase"
    """A chased entry is due to get a new price; the subject is its symbol."""
    DAY = "day"
    """The UTC day ends, even if no candle has arrived."""
    DECISION = "decision"
    """The deadline of the decision that is open."""
    EXPIRY = "expiry"
    """A limit entry expires; the subject is the order."""
    POSITIONS = "positions"
    """The check of the open positions against the exits is due, even if no candle came."""
    PROTECTION = "protection"
    """The deadline of an unprotected position; the subject is its symbol."""
    RETRY = "retry"
    """A stop or an exit that the venue rejected is due to be sent again; the subject is its symbol."""


class Timer(NamedTuple):
    """A timer of the engine; at most one with the same fields is set at a time."""

    kind: TimerKind
    subject: str | OrderRef = ""
    times: int = 0
    """The number of cancel requests so far."""


class TimerFired(msgspec.Struct, frozen=True):
    """A timer that the engine set is due."""

    timer: Timer


class Verb(StrEnum):
    """The commands of the operator."""

    HALT = "halt"
    """Refuse entries until the operator resumes."""
    FLATTEN = "flatten"
    """Halt, and close every position."""
    RESUME = "resume"
    """Allow entries again; with the subject `WITHIN_DRAWDOWN` only if the drawdown is within its limit."""
    APPROVE = "approve"
    """Approve an order that awaits approval; the subject is the approval's id."""
    DENY = "deny"
    """Deny an order that awaits approval; the subject is the approval's id."""
    PAUSE = "agent-pause"
    """Do not wake the agent until the operator resumes the agent."""
    GO_ON = "agent-resume"
    """Wake the agent again, or end the manual control of the symbol that is the subject."""
    TAKE_OVER = "takeover"
    """Put the symbol that is the subject under manual control, so that the agent does not trade it."""
    SETTLE = "settle"
    """Declare the outcome of an order whose outcome is unknown: `REF gone`, or `REF filled PRICE QUANTITY`."""


WITHIN_DRAWDOWN: Final = "within-drawdown"
"""The subject of a RESUME that has an effect only while the drawdown is within its limit."""


class Command(msgspec.Struct, frozen=True):
    """A command of the operator to the engine, which is executed once, by its unique id."""

    command_id: str
    verb: str
    by: str
    after_frame: int = -1
    """The time (ms) of the frame after which the command is executed; the shell in `runtime` sets it."""
    subject: str = ""
    """An approval's id, a symbol, an order with its outcome, or empty; see `Verb`."""


class Asked(msgspec.Struct, frozen=True):
    """An attached client sends a request."""

    request: CallerRequest
    after_frame: int = -1
    """As in `Command`."""


class RunEnds(msgspec.Struct, frozen=True):
    """The run of a book at an exchange ends: nothing watches an entry that fills later, so no entry may stay there."""


class RegimeFitted(msgspec.Struct, frozen=True):
    """The answer to `AskFit`: a fitted model, or why the days have none."""

    symbol: str
    at: int
    """The time (ms) of the last close of the request."""
    found: RegimeFit | Unknown
    failed: bool = False
    """Whether the worker failed or took too long, so that nothing is known about the days."""


class MacroSeen(msgspec.Struct, frozen=True):
    """The macro regime was read, or why it could not be."""

    reading: MacroReading | Unknown


class ContextSeen(msgspec.Struct, frozen=True):
    """The sources outside of the exchange were read. The items replace those of the same source."""

    items: tuple[ContextItem, ...]


OutlookSeen = RegimeFitted | MacroSeen | ContextSeen
"""The inputs about the market as a whole that workers and sources outside of the exchange give."""

StepEvent = (
    OutlookSeen
    | Frame
    | VenueReport
    | DecisionReady
    | DecisionFailed
    | DecisionSubmitted
    | TimerFired
    | Command
    | Asked
    | RunEnds
)


class Record(msgspec.Struct, frozen=True):
    """Append an event to the journal."""

    event: DomainEvent


class Send(msgspec.Struct, frozen=True):
    """Commit the journal, then send the order to the venue. If the commit fails, only a reduction is sent."""

    cleared: ClearedOrder


class Cancel(msgspec.Struct, frozen=True):
    """Commit the journal, then ask the venue to cancel the order."""

    ref: OrderRef


class CancelForeign(msgspec.Struct, frozen=True):
    """Ask the exchange to cancel an order that is not of this book, as the policy `adopt.orders` says."""

    order: OrderSeen


class Ask(msgspec.Struct, frozen=True):
    """Ask the decider for a decision. The decision takes effect when the decider's thinking time is over."""

    request: DecisionRequest


class GiveUp(msgspec.Struct, frozen=True):
    """Stop waiting for the decider's answer, which would come too late."""


class Keep(msgspec.Struct, frozen=True):
    """Keep the snapshot of a wake for later queries, outside the journal."""

    wake_id: int
    snapshot: Snapshot


class AskFit(msgspec.Struct, frozen=True):
    """Have a worker fit the model of the regime. `RegimeFitted` brings its answer."""

    request: FitRequest


class SetTimer(msgspec.Struct, frozen=True):
    """Set a timer, which fires `TimerFired(timer)` at a time (ms). A timer that is already set gets the new time."""

    timer: Timer
    at: int


class ClearTimer(msgspec.Struct, frozen=True):
    """Clear a timer, if it is set."""

    timer: Timer


Effect = Record | Send | Cancel | CancelForeign | Ask | AskFit | GiveUp | Keep | SetTimer | ClearTimer

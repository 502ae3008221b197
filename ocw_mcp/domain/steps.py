"""What goes into a step of the engine, and what comes out of it.

In: a frame of the market, a venue's report, a decision, a timer, a person's command. Out: effects, to be carried out in
their order. The shell in `runtime` is the only one who carries them out.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from ocw_mcp.domain.asks import CallerRequest, SubmitRequest
from ocw_mcp.domain.causes import Cause
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import OrderRef, VenueReport
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot


class DecisionReady(msgspec.Struct, frozen=True):
    """An answer to a wake takes effect now."""

    wake_id: int
    decider: str
    thinking_ms: int
    decision: Decision
    cost_usd: Decimal = ZERO


class DecisionFailed(msgspec.Struct, frozen=True):
    """The decider could not answer."""

    wake_id: int
    decider: str
    thinking_ms: int
    cause: Cause
    cost_usd: Decimal = ZERO


class DecisionSubmitted(msgspec.Struct, frozen=True):
    """Whoever was asked submits legs, and is told what came of each before its answer is over.

    It keeps the floor until `DecisionReady` or `DecisionFailed`, and may correct once what was refused.
    """

    request: SubmitRequest
    thinking_ms: int
    cost_usd: Decimal = ZERO
    """Since the wake, or since it last submitted."""


class TimerKind(StrEnum):
    """The purpose of a timer. Timers that are due at the same time fire in the order of these values."""

    APPROVAL = "approval"
    """The time to answer an approval request is over; the subject is its id."""
    CANCEL = "cancel"
    """The venue has not answered a cancel request; the subject is the order."""
    DAY = "day"
    """The UTC day ends, although no candle came."""
    DECISION = "decision"
    """The deadline of the decision that is open."""
    EXPIRY = "expiry"
    """A limit entry expires; the subject is the order."""
    POSITIONS = "positions"
    """The next check of the open positions against the exits, although no candle came."""
    PROTECTION = "protection"
    """The deadline of an unprotected position; the subject is its symbol."""


class Timer(NamedTuple):
    """A timer of the engine; at most one with the same fields is set at a time."""

    kind: TimerKind
    subject: str | OrderRef = ""
    times: int = 0
    """How often a cancel was asked for."""


class TimerFired(msgspec.Struct, frozen=True):
    """A timer that the engine set is due."""

    timer: Timer


class Verb(StrEnum):
    """What a person can tell the engine."""

    HALT = "halt"
    """Take no new risk, until a person resumes."""
    FLATTEN = "flatten"
    """Halt, and close every position."""
    RESUME = "resume"
    """Take new risk again; with `WITHIN_DRAWDOWN` as its subject only while no fall is beyond its limit."""
    APPROVE = "approve"
    """Let an order pass that waits for a person: its subject is the approval's id."""
    DENY = "deny"
    """Let it not pass."""
    PAUSE = "agent-pause"
    """Wake the agent no more, until a person lets it go on."""
    GO_ON = "agent-resume"
    """Wake the agent again; or, with a symbol as its subject, give that one back to it."""
    TAKE_OVER = "takeover"
    """Take the symbol that is its subject out of the agent's hands."""


WITHIN_DRAWDOWN: Final = "within-drawdown"
"""The subject of a resume of a person who was shown no fall beyond the drawdown limit, and confirmed none."""


class Command(msgspec.Struct, frozen=True):
    """A person's word to the engine, one of `Verb`. The id is given once, so that it is taken once."""

    command_id: str
    verb: str
    by: str
    after_frame: int = -1
    """Time (ms) of the frame after which it is taken; the shell fills it in."""
    subject: str = ""
    """What it is about: an approval's id, or a symbol."""


class Asked(msgspec.Struct, frozen=True):
    """Somebody attached asks for something."""

    request: CallerRequest
    after_frame: int = -1
    """Time (ms) of the frame after which it is taken; the shell fills it in."""


StepEvent = Frame | VenueReport | DecisionReady | DecisionFailed | DecisionSubmitted | TimerFired | Command | Asked


class Record(msgspec.Struct, frozen=True):
    """Append to the journal."""

    event: DomainEvent


class Send(msgspec.Struct, frozen=True):
    """Commit the journal, then hand the order to the venue; where the disk takes nothing, only one that lowers risk."""

    cleared: ClearedOrder


class Cancel(msgspec.Struct, frozen=True):
    """Commit the journal, then ask the venue to take the order off."""

    ref: OrderRef


class Ask(msgspec.Struct, frozen=True):
    """Ask the decider. The answer takes effect when its thinking is over."""

    request: DecisionRequest


class GiveUp(msgspec.Struct, frozen=True):
    """Wait no longer for the decider's answer; it would come too late."""


class Keep(msgspec.Struct, frozen=True):
    """Keep what a wake was shown, for people who ask later; it is no part of the journal."""

    wake_id: int
    snapshot: Snapshot


class SetTimer(msgspec.Struct, frozen=True):
    """Fire `TimerFired(timer)` at a time (ms); setting it again moves it."""

    timer: Timer
    at: int


class ClearTimer(msgspec.Struct, frozen=True):
    """Forget a timer, if it is set."""

    timer: Timer


Effect = Record | Send | Cancel | Ask | GiveUp | Keep | SetTimer | ClearTimer

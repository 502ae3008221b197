"""Events about people and callers: what they asked for, and what came of it."""

from decimal import Decimal

from ocw_mcp.domain.asks import CallerRequest
from ocw_mcp.domain.events.event import Event
from ocw_mcp.domain.orders import OrderIntent
from ocw_mcp.domain.reasons import Refusal


class CallerAsked(Event, frozen=True, tag="caller.asked"):
    """Somebody attached to the engine asked for something outside any wake; what came of it follows."""

    request: CallerRequest
    after_frame: int
    """The time (ms) of the frame after which it was taken: a resumed run gives it at the same place."""


class RequestRefused(Event, frozen=True, tag="request.refused"):
    """What was asked for under `key` was not done; a refused order has an event of its own."""

    key: str
    refusal: Refusal


class ApprovalAsked(Event, frozen=True, tag="approval.asked"):
    """An order waits for a person: it passed every other limit at the mark price `price` (quote)."""

    approval_id: str
    intent: OrderIntent
    price: Decimal
    expires_at: int
    """When (ms) no answer counts as no."""


class ApprovalEnded(Event, frozen=True, tag="approval.ended"):
    """An order waits for a person no more: approved, denied, unanswered, or superseded by another one."""

    approval_id: str
    outcome: str
    by: str


class CommandTaken(Event, frozen=True, tag="command.taken"):
    """A person's command reached the engine, at a position of the market."""

    command_id: str
    verb: str
    by: str
    after_frame: int
    """The time (ms) of the frame after which it took effect: a resumed run gives it at the same place."""
    subject: str = ""
    """What it was about: an approval, or a symbol."""

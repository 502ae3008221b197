"""Events about operators and callers: their requests and commands, and the results."""

from decimal import Decimal

from ocw_mcp.domain.asks import CallerRequest
from ocw_mcp.domain.events.event import Event
from ocw_mcp.domain.orders import OrderIntent
from ocw_mcp.domain.reasons import Refusal


class CallerAsked(Event, frozen=True, tag="caller.asked"):
    """An attached client sent a request outside any wake; events with its result follow."""

    request: CallerRequest
    after_frame: int
    """The time (ms) of the frame after which it was processed: a resumed run repeats it at the same place."""


class RequestRefused(Event, frozen=True, tag="request.refused"):
    """The request with `key` was refused; a refused order has its own event."""

    key: str
    refusal: Refusal


class ApprovalAsked(Event, frozen=True, tag="approval.asked"):
    """An order waits for a person's approval; it passed every other limit at the mark price `price` (quote)."""

    approval_id: str
    intent: OrderIntent
    price: Decimal
    expires_at: int
    """The time (ms) after which a missing answer counts as a denial."""


class ApprovalEnded(Event, frozen=True, tag="approval.ended"):
    """An approval request ended: approved, denied, unanswered, or superseded by another one."""

    approval_id: str
    outcome: str
    by: str


class CommandTaken(Event, frozen=True, tag="command.taken"):
    """An operator's command reached the engine, at a position of the market."""

    command_id: str
    verb: str
    by: str
    after_frame: int
    """The time (ms) of the frame after which it took effect: a resumed run repeats it at the same place."""
    subject: str = ""
    """The id of an approval, or a symbol, if the verb needs one."""

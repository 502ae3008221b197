"""What somebody attached to the running engine can ask for, outside any wake. All of it goes through the one door."""

from decimal import Decimal

import msgspec

from ocw_mcp.domain.decision import Leg
from ocw_mcp.domain.orders import OrderRef


class LegRequest(msgspec.Struct, frozen=True, tag="leg", tag_field="asks"):
    """Carry out one leg: enter, add, or close a whole position."""

    key: str
    """The same key of the same caller gets the same answer, however often it is sent."""
    principal: str
    """Who asks."""
    leg: Leg


class CancelRequest(msgspec.Struct, frozen=True, tag="cancel", tag_field="asks"):
    """Take a live entry off. What protects or closes a position is never taken off on request."""

    key: str
    principal: str
    ref: OrderRef


class ProtectionRequest(msgspec.Struct, frozen=True, tag="protection", tag_field="asks"):
    """Tighten a position's stop, or set its target (quote). None leaves the one or the other as it is."""

    key: str
    principal: str
    symbol: str
    stop: Decimal | None = None
    target: Decimal | None = None


CallerRequest = LegRequest | CancelRequest | ProtectionRequest


def order_key(request: CallerRequest) -> str:
    """The idempotency key of what a request does: no other caller has it, and no wake."""
    return f"asked by {request.principal!r}: {request.key}"

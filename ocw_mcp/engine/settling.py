"""A person declares the outcome of an order that no query could settle, so that its budget is free again."""

from decimal import Decimal

from ocw_mcp.core.orders.table import OrderStatus, TrackedOrder
from ocw_mcp.domain.events import Incident
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import Canceled, Filled, Rejected, RejectReason
from ocw_mcp.domain.settlement import Settlement, read_settlement
from ocw_mcp.domain.steps import Command
from ocw_mcp.engine.order_manager import OrderManager
from ocw_mcp.engine.venue_reports import VenueReports


def settle(manager: OrderManager, reports: VenueReports, command: Command, now: int) -> None:
    """Settle the order that a command names: it is gone, or a quantity of it was filled and the rest is gone.

    A fill that the venue reports later is still booked. An order whose outcome is known stays as it is.
    """
    given = read_settlement(command.subject)
    tracked = None if given is None else manager.orders.get(given.ref)
    if why := _objection(given, tracked):
        text = f"the command settle {command.subject} by {command.by} was not taken: {why}"
        manager.effects.record(Incident(text))
        return
    assert given is not None
    said = f"declared by {command.by}"
    if given.quantity is None or given.price is None:
        reports.take_order_report(Rejected(given.ref, RejectReason.NEVER_ARRIVED, said), now)
        return
    name = f"settled-{command.command_id}"
    reports.take_order_report(Filled(given.ref, name, given.quantity, given.price, ZERO, now), now)
    after = manager.orders.get(given.ref)
    if after is not None and after.status.live:
        reports.take_order_report(Canceled(given.ref, said), now)


def _objection(given: Settlement | None, tracked: TrackedOrder | None) -> str:
    """Return why an order cannot be settled so; empty if it can."""
    if given is None:
        return "expected REF gone, or REF filled PRICE QUANTITY"
    if tracked is None:
        return "no order has this reference"
    if tracked.status is not OrderStatus.UNKNOWN:
        return f"its outcome is known: {tracked.status}"
    quantity: Decimal = given.quantity or ZERO
    if quantity > tracked.remaining:
        return f"only {plain(tracked.remaining)} of it can still have traded"
    return ""

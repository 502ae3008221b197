"""The entries that may still trade, as snapshots show them: live ones, and those that wait for an approval."""

from collections.abc import Mapping

from ocw_mcp.core.orders.table import TrackedOrder
from ocw_mcp.domain.happenings import RestingOrder
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.engine.approvals import Approvals, PendingOrder
from ocw_mcp.engine.order_manager import OrderManager
from ocw_mcp.engine.since_state import THESIS_KEPT, LiveEntry


def resting_orders(
    manager: OrderManager, approvals: Approvals, entries: Mapping[str, LiveEntry]
) -> tuple[RestingOrder, ...]:
    """Return the live entries, oldest first, then those that wait for an approval. `entries` has the send times."""
    live = manager.orders.live(purpose=Purpose.ENTRY)
    return (
        *(_live(each, entries.get(str(each.ref))) for each in live),
        *(_waiting(each) for each in approvals.pending),
    )


def _live(tracked: TrackedOrder, entry: LiveEntry | None) -> RestingOrder:
    order, intent = tracked.order, tracked.intent
    first = None if entry is None else entry.first
    return RestingOrder(
        order=first or order.ref,
        symbol=order.symbol,
        side=order.side,
        quantity=tracked.remaining,
        filled=tracked.filled if entry is None else tracked.filled + entry.before,
        limit=None if order.immediate else order.limit_price,
        stop=intent.protect_at,
        target=intent.target_at,
        by=intent.principal,
        sent_at=entry.sent_at if entry is not None else None,
        expires_at=intent.expires_at,
        cancelling=tracked.cancel_requested,
        thesis=entry.thesis.text if entry is not None and entry.thesis is not None else "",
    )


def _waiting(pending: PendingOrder) -> RestingOrder:
    intent, given = pending.intent, pending.given
    return RestingOrder(
        order=None,
        symbol=intent.symbol,
        side=intent.side,
        quantity=intent.quantity,
        filled=ZERO,
        limit=intent.limit_price,
        stop=intent.protect_at,
        target=intent.target_at,
        by=intent.principal,
        sent_at=None,
        expires_at=pending.expires_at,
        approval=pending.approval_id,
        thesis="" if given.tainted or given.wake_id is None else given.leg.reasoning[:THESIS_KEPT],
    )

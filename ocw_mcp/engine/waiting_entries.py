"""The second check of an entry that waited to be sent to an exchange."""

from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.engine.exposure import NO_PRICE, account_view
from ocw_mcp.engine.order_manager import OrderManager


def clear_again(manager: OrderManager, cleared: ClearedOrder, now: int) -> ClearedOrder | Refusal:
    """Check an entry that waited against every limit at the present price; nothing is recorded.

    Return its new clearance, or the reason why it must not be sent any more. The account is seen without the budget
    that the entry itself reserves.
    """
    ref, tracked = cleared.order.ref, manager.orders.get(cleared.order.ref)
    if tracked is None or not tracked.status.live or tracked.cancel_requested:
        return Refusal(RefusalCode.NO_ORDER, limit="a live entry", actual=f"{ref} is cancelled or over")
    symbol, quote = tracked.order.symbol, manager.prices.get(tracked.order.symbol, now)
    if quote is None:
        return NO_PRICE
    view = account_view(manager, symbol, quote, now, manager.orders.without(ref))
    return manager.officer.clear_again(cleared, tracked.intent, view)

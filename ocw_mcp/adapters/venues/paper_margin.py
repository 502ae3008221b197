"""What the paper venue's money carries: isolated margin on futures; on spot the cash, and the assets that are owned.

A resting order locks what it would need. A market order locks nothing but what it sells: it is looked at when it comes,
and again when it trades.
"""

from decimal import Decimal

from ocw_mcp.adapters.venues.paper_account import PaperAccount
from ocw_mcp.adapters.venues.paper_orders import NO_MONEY, TOO_LARGE, PaperOrders, Refused, Resting
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Order, Side


def unaffordable(
    order: Order,
    quantity: Decimal,
    price: Decimal,
    fee: Decimal,
    account: PaperAccount,
    orders: PaperOrders,
    own: Resting | None = None,
) -> Refused | None:
    """Why the money does not carry an order for a quantity (base asset) at a price, if it does not.

    `fee` is what it pays in quote currency, on top of the price; `own` is the order itself, if it is there already.
    """
    others = [each for each in orders if each is not own]
    if account.product is Product.SPOT:
        carried = _spot(order, quantity, price, account, others)
    else:
        carried = order.reduce_only or _margin(order, quantity, price, fee, account, others)
    return None if carried else NO_MONEY[account.product]


def too_large(
    order: Order,
    quantity: Decimal,
    price: Decimal,
    account: PaperAccount,
    orders: PaperOrders,
    own: Resting | None = None,
) -> Refused | None:
    """Why an entry on futures may not have its leverage, if it may not.

    The bracket counts what is held, and the entries of the same side that rest.
    """
    brackets = account.instrument(order.symbol, float(price)).brackets
    if brackets is None or order.reduce_only:
        return None
    after = account.ledger.quantity(order.symbol) * order.side.sign + quantity
    if after <= 0:
        return None
    notional = after * price
    for each in orders:
        if each is not own and each.order.symbol == order.symbol and each.order.side is order.side:
            notional += _resting_notional(each)
    return TOO_LARGE if account.leverage(order) > brackets.max_leverage(notional) else None


def _spot(order: Order, quantity: Decimal, price: Decimal, account: PaperAccount, others: list[Resting]) -> bool:
    if order.side is Side.BUY:
        locked = sum((_resting_notional(each) for each in others if each.order.side is Side.BUY), ZERO)
        return quantity * price <= account.ledger.free() - locked
    selling = (each.remaining for each in others if each.order.symbol == order.symbol and each.order.side is Side.SELL)
    return quantity <= account.ledger.quantity(order.symbol) - sum(selling, ZERO)


def _margin(
    order: Order, quantity: Decimal, price: Decimal, fee: Decimal, account: PaperAccount, others: list[Resting]
) -> bool:
    free = account.ledger.free()
    for each in others:
        if not each.order.reduce_only:
            free -= _resting_notional(each) / account.leverage(each.order)
    position = account.ledger.positions.get(order.symbol)
    opens = quantity
    if position is not None and position.quantity * order.side.sign < 0:
        # It closes first, which needs nothing, and what it opens beyond may be opened with what that gives back.
        opens -= min(quantity, abs(position.quantity))
        free += position.margin + position.unrealised(price)
    return not opens or opens * price / account.leverage(order) + fee <= free


def _resting_notional(resting: Resting) -> Decimal:
    """What is left of a limit order, at its limit; 0 for any other."""
    limit = resting.order.limit_price
    return ZERO if limit is None else resting.remaining * limit

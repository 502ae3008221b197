"""What the paper venue does not take, whatever its money: the exchange's filters, with the exchange's codes."""

from decimal import Decimal
from typing import Final

from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.orders import Order, Rejected

_STEP: Final = {
    Product.SPOT: ("-1013", "Filter failure: LOT_SIZE"),
    Product.UM: ("-1111", "Precision is over the maximum defined for this asset."),
}
_TICK: Final = {
    Product.SPOT: ("-1013", "Filter failure: PRICE_FILTER"),
    Product.UM: ("-4014", "Price not increased by tick size."),
}
_SMALLEST: Final = {
    Product.SPOT: ("-1013", "Filter failure: LOT_SIZE"),
    Product.UM: ("-4003", "Quantity less than or equal to zero."),
}


def filtered(order: Order, instrument: Instrument, last: Decimal | None) -> Rejected | None:
    """The filter that an order fails, if it fails one. A market order's notional is held against the last price.

    What reduces is exempt from the smallest notional, as it is on futures: a position must never be too small to close.
    """
    product = instrument.product
    if order.quantity < instrument.min_quantity:
        return Rejected(order.ref, *_SMALLEST[product])
    if order.quantity % instrument.step:
        return Rejected(order.ref, *_STEP[product])
    prices = (order.limit_price, order.trigger_price, order.take_at)
    if any(price is not None and price % instrument.tick for price in prices):
        return Rejected(order.ref, *_TICK[product])
    price = order.limit_price or last
    if order.reduce_only or price is None or order.quantity * price >= instrument.min_notional:
        return None
    if product is Product.SPOT:
        return Rejected(order.ref, "-1013", "Filter failure: NOTIONAL")
    least = plain(instrument.min_notional)
    return Rejected(
        order.ref, "-4164", f"Order's notional must be no smaller than {least} (unless you choose reduce only)."
    )

"""What the paper venue keeps of an order, and the words with which it refuses one: the exchange's own."""

from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Order, OrderType, Side

STOP_CROSSED: Final = ("-2021", "Order would immediately trigger.")
WOULD_TAKE: Final = {
    Product.SPOT: ("-2010", "Order would immediately match and take."),
    Product.UM: ("-5022", "Due to the order could not be executed as maker, the Post Only order will be rejected."),
}
NO_MONEY: Final = {
    Product.SPOT: ("-2010", "Account has insufficient balance for requested action."),
    Product.UM: ("-2019", "Margin is insufficient."),
}


class Resting(msgspec.Struct):
    """An order at the venue: its id there and when it came (ms)."""

    order: Order
    venue_order_id: str
    since: int
    trigger: float = 0.0
    """The trigger or limit price, near enough to see at a glance that a price has not come to it."""
    falls: bool = False
    """Whether it waits for the price to fall to it, rather than to rise."""
    takes: bool = False
    """A limit order that had crossed the last price when it came: it trades as a taker at the next opening."""
    filled: Decimal = ZERO
    fills: int = 0

    @property
    def remaining(self) -> Decimal:
        """What has not traded, in the base asset."""
        return self.order.quantity - self.filled


class Swept(msgspec.Struct, frozen=True):
    """How far the price went against an entry after it was filled within a candle."""

    at: int
    """When (ms) that was told: a stop that is laid in answer to it was laid under way."""
    closing: Side
    price: Decimal


def touched(orders: list[Resting], symbol: str, low: float, high: float) -> list[Resting]:
    """Those of a symbol that a range of prices may have come to, stops first."""
    found = [
        each
        for each in orders
        if (low <= each.trigger if each.falls else high >= each.trigger) and each.order.symbol == symbol
    ]
    return sorted(found, key=lambda each: each.order.type is not OrderType.STOP_MARKET) if found else found

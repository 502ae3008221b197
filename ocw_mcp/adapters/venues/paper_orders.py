"""What the paper venue keeps of an order, and the words with which it refuses one: the exchange's own."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Order, OrderRef, OrderType

Refused = tuple[str, str]
"""A code of the exchange, and its words."""

STOP_CROSSED: Final = ("-2021", "Order would immediately trigger.")
WOULD_TAKE: Final = {
    Product.SPOT: ("-2010", "Order would immediately match and take."),
    Product.UM: ("-5022", "Due to the order could not be executed as maker, the Post Only order will be rejected."),
}
NO_MONEY: Final = {
    Product.SPOT: ("-2010", "Account has insufficient balance for requested action."),
    Product.UM: ("-2019", "Margin is insufficient."),
}
TOO_LARGE: Final = ("-2027", "Exceeded the maximum allowable position at current leverage.")
OCO_PRICES: Final = ("-2010", "The relationship of the prices for the orders is not correct.")
NO_IMMEDIATE: Final = ("-1115", "Invalid timeInForce.")
NO_OCO: Final = ("-1106", "Parameter 'take_at' sent when not required.")


class Resting(msgspec.Struct):
    """An order at the venue: its id there, when it came and when it had arrived (ms).

    The two differ by what it takes to send it. Whoever has begun to trade is patient anew, from `since` on.
    """

    order: Order
    venue_order_id: str
    since: int
    arrives: int
    trigger: float = 0.0
    """The trigger or limit price, near enough to see at a glance that a price has not come to it."""
    falls: bool = False
    """Whether it waits for the price to fall to it, rather than to rise."""
    take: float | None = None
    """The same of the other side of an OCO, which waits for the price to go the other way."""
    takes: bool = False
    """A limit order that had crossed the last price when it came: it trades as a taker at the next opening."""
    filled: Decimal = ZERO
    fills: int = 0
    before: tuple[tuple[Decimal, int], ...] = ()
    """Of a stop: the triggers of the looser ones that it took the place of, and since when (ms) each was there."""

    def stood(self, since: int) -> Decimal | None:
        """Return the tightest trigger of the stops before this one that had come by `since` (ms); None without one."""
        return next((trigger for trigger, came in reversed(self.before) if came <= since), None)

    @property
    def remaining(self) -> Decimal:
        """What has not traded, in the base asset."""
        return self.order.quantity - self.filled


class PaperOrders(msgspec.Struct):
    """All orders at the venue: those that wait for an opening, limits, and those that wait for a trigger."""

    waiting: list[Resting] = []
    limits: list[Resting] = []
    conditional: list[Resting] = []

    def __iter__(self) -> Iterator[Resting]:
        yield from self.waiting
        yield from self.limits
        yield from self.conditional

    def find(self, ref: OrderRef) -> Resting | None:
        """The order of a name, if it is there."""
        return next((each for each in self if each.order.ref == ref), None)

    def state(self) -> "PaperOrders":
        """Return all orders."""
        return self

    def restore(self, state: "PaperOrders", /) -> None:
        """Take back what `state` returned."""
        self.waiting, self.limits, self.conditional = state.waiting, state.limits, state.conditional

    def forget(self, resting: Resting) -> None:
        """It has traded or gone."""
        for orders in (self.waiting, self.limits, self.conditional):
            if resting in orders:
                orders.remove(resting)


def touched(orders: list[Resting], symbol: str, low: float, high: float) -> list[Resting]:
    """Those of a symbol that a range of prices may have come to, stops first."""
    found = [each for each in orders if each.order.symbol == symbol and _may_touch(each, low, high)]
    return sorted(found, key=lambda each: each.order.type is not OrderType.STOP_MARKET) if found else found


def _may_touch(resting: Resting, low: float, high: float) -> bool:
    take = resting.take
    if low <= resting.trigger if resting.falls else high >= resting.trigger:
        return True
    return take is not None and (high >= take if resting.falls else low <= take)

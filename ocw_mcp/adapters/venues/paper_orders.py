"""The orders of the paper venue, and which of them a range of prices may reach."""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Order, OrderRef, OrderType


class Resting(msgspec.Struct):
    """An order at the venue: its id there, when it was sent and when it arrives (ms).

    The two differ by the latency. After each fill, the patience of the rest counts anew from `since`.
    """

    order: Order
    venue_order_id: str
    since: int
    arrives: int
    trigger: float = 0.0
    """The trigger or limit price as a float, for a fast comparison."""
    falls: bool = False
    """Whether it waits for the price to fall to it, rather than to rise."""
    take: float | None = None
    """The take-profit price of an OCO as a float; the price must move away from the stop to reach it."""
    takes: bool = False
    """Whether a limit order had crossed the last price when it came: it trades as a taker at the next opening."""
    filled: Decimal = ZERO
    fills: int = 0
    before: tuple[tuple[Decimal, int], ...] = ()
    """For a stop: the triggers of the looser stops that it replaced, each with the time (ms) since when it rested."""

    def earlier_trigger(self, since: int) -> Decimal | None:
        """Return the tightest trigger of the replaced stops that rested by `since` (ms); None without one."""
        return next((trigger for trigger, came in reversed(self.before) if came <= since), None)

    @property
    def remaining(self) -> Decimal:
        """The quantity that has not traded, in the base asset."""
        return self.order.quantity - self.filled


class PaperOrders(msgspec.Struct):
    """All orders at the venue: those that wait for an opening, limit orders, and conditional orders."""

    waiting: list[Resting] = []
    limits: list[Resting] = []
    conditional: list[Resting] = []

    def __iter__(self) -> Iterator[Resting]:
        yield from self.waiting
        yield from self.limits
        yield from self.conditional

    def find(self, ref: OrderRef) -> Resting | None:
        """Return the order of a reference, or None."""
        return next((each for each in self if each.order.ref == ref), None)

    def restore(self, state: "PaperOrders") -> None:
        """Restore a saved state."""
        self.waiting, self.limits, self.conditional = state.waiting, state.limits, state.conditional

    def remove(self, resting: Resting) -> None:
        """Remove an order that is filled or cancelled."""
        for orders in (self.waiting, self.limits, self.conditional):
            if resting in orders:
                orders.remove(resting)


def reachable(orders: list[Resting], symbol: str, low: float, high: float) -> list[Resting]:
    """Return the orders of a symbol that a range of prices may reach, stops first."""
    found = [each for each in orders if each.order.symbol == symbol and _may_reach(each, low, high)]
    return sorted(found, key=lambda each: each.order.type is not OrderType.STOP_MARKET) if found else found


def _may_reach(resting: Resting, low: float, high: float) -> bool:
    take = resting.take
    if low <= resting.trigger if resting.falls else high >= resting.trigger:
        return True
    return take is not None and (high >= take if resting.falls else low <= take)

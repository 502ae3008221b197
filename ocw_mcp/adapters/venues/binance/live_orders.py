"""The orders of the book that may be live at the exchange, as far as their reports say."""

from collections import deque
from collections.abc import Callable, Collection, Iterator
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.adapters.venues.binance.orders import is_algo
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    Filled,
    Order,
    OrderRef,
    OrderReport,
    OutcomeUnknown,
    Rejected,
    Triggered,
)

MOST_FINISHED: Final = 1_000
"""The number of finished orders that are kept."""


class LiveOrder(msgspec.Struct):
    """An order that may be live. Times in ms, of the exchange."""

    order: Order
    sent_at: int
    """The time at which, or before which, its request was sent."""
    seen: bool = False
    """Whether the exchange has shown that it has, or had, the order."""
    unknown: bool = False
    """True while the outcome of its request is unknown."""
    recovered: bool = False
    """Whether the order was live when another process ended, and has not been looked for yet."""
    filled: Decimal = ZERO
    changed_at: int = 0
    """The time of the last report on it."""

    @property
    def is_algo(self) -> bool:
        """Whether the order is an algo order, which other endpoints know."""
        return is_algo(self.order)


class LiveOrders:
    """The live orders of the book: an order is removed when a report says that it is over."""

    def __init__(self) -> None:
        self._orders: dict[OrderRef, LiveOrder] = {}

    def __contains__(self, ref: object) -> bool:
        return ref in self._orders

    def __iter__(self) -> Iterator[LiveOrder]:
        return iter(tuple(self._orders.values()))

    def add(self, order: Order, now: int, *, seen: bool = False) -> LiveOrder:
        """Add an order that is sent at a time (ms), or that was known before."""
        return self._orders.setdefault(order.ref, LiveOrder(order, now, seen=seen))

    def get(self, ref: OrderRef) -> LiveOrder | None:
        """Return a live order, or None."""
        return self._orders.get(ref)

    def remove(self, ref: OrderRef) -> None:
        """Forget an order that is over, as a query has shown."""
        self._orders.pop(ref, None)

    def waiting_algos(self, symbol: str, side: str) -> Collection[LiveOrder]:
        """Return the algo orders of a symbol and a side."""
        return [
            each
            for each in self._orders.values()
            if each.is_algo and each.order.symbol == symbol and each.order.side == side
        ]

    def apply(self, report: OrderReport, now: int) -> None:
        """Take a report on an order; `now` (ms) is the exchange's time."""
        live = self._orders.get(report.ref)
        if live is None:
            return
        live.changed_at = now
        match report:
            case Accepted() | Triggered():
                live.seen = True
            case Filled():
                live.seen = True
                live.filled += report.quantity
                if live.filled >= live.order.quantity:
                    del self._orders[report.ref]
            case Canceled() | Rejected():
                del self._orders[report.ref]
            case OutcomeUnknown():
                live.unknown = not live.seen
        if live.seen:
            live.unknown = False


class KnownOrders:
    """The orders of a book that the adapter may have to name to the exchange, by their references.

    One that is sent is live from then on; a finished one is kept for a time.
    """

    def __init__(self, live: LiveOrders, now_ms: Callable[[], int]) -> None:
        """`now_ms` returns the exchange's time."""
        self._live, self._now_ms = live, now_ms
        self._orders: dict[OrderRef, Order] = {}
        self._finished: deque[OrderRef] = deque()

    def add(self, order: Order) -> None:
        """Keep an order, which may be live from now on."""
        self._orders[order.ref] = order
        self._live.add(order, self._now_ms())

    def get(self, ref: OrderRef) -> Order | None:
        """Return an order; None if it is not kept."""
        return self._orders.get(ref)

    def forget(self, ref: OrderRef) -> None:
        """Drop an order that is over."""
        self._orders.pop(ref, None)

    def __len__(self) -> int:
        return len(self._orders)

    def finished(self, ref: OrderRef) -> None:
        """Keep an order that is over for a time: it may yet show up again."""
        self._finished.append(ref)
        if len(self._finished) > MOST_FINISHED:
            self.forget(self._finished.popleft())

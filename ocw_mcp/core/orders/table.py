"""The orders of a book: the live ones, and enough of the finished ones to recognise a late report."""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from ocw_mcp.core.orders.machine import OrderStatus, after, word_of
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Filled, Order, OrderIntent, OrderRef, OrderReport, Purpose

_FINISHED_KEPT = 256


class TrackedOrder(msgspec.Struct):
    """An order with all that is known of it. Quantities in the base asset."""

    order: Order
    intent: OrderIntent
    worst_price: Decimal
    """The price (quote) at which its budget is reserved until it is over."""
    status: OrderStatus = OrderStatus.INTENDED
    filled: Decimal = ZERO
    fill_ids: list[str] = []
    cancel_requested: bool = False
    cleared_equity: Decimal = ZERO
    """Equity (quote) when it was cleared."""
    cost: Decimal = ZERO
    """Notional (quote) of its fills."""
    beyond: Decimal = ZERO
    """Notional (quote) that its fills took beyond what was cleared for them; below 0 they took less."""

    @property
    def ref(self) -> OrderRef:
        """The order's name in the book."""
        return self.order.ref

    @property
    def purpose(self) -> Purpose:
        """What the order is for."""
        return self.intent.purpose

    @property
    def remaining(self) -> Decimal:
        """What may still trade."""
        return max(ZERO, self.order.quantity - self.filled)

    def count(self, fill: Filled, reserved: Decimal) -> Decimal:
        """Add a fill to the cost, and return by how much (quote) the order went beyond what was cleared for it.

        `reserved` is the quantity (base asset) for which the budget was still reserved when the fill came.
        """
        notional, before = fill.quantity * fill.price, max(ZERO, self.beyond)
        self.cost += notional
        self.beyond += notional - min(fill.quantity, reserved) * self.worst_price
        return max(ZERO, self.beyond) - before


class TableState(msgspec.Struct):
    """All orders, to be restored."""

    last_n: int
    live: list[TrackedOrder]
    finished: list[TrackedOrder]


class OrderTable:
    """Orders by name. Live ones are few, finished ones are forgotten after a while."""

    def __init__(self) -> None:
        self.last_n = 0
        self._live: dict[OrderRef, TrackedOrder] = {}
        self._finished: dict[OrderRef, TrackedOrder] = {}

    def add(self, tracked: TrackedOrder) -> None:
        """Track an order from its intent on."""
        self._live[tracked.ref] = tracked
        self.last_n = max(self.last_n, tracked.ref.n)

    def get(self, ref: OrderRef) -> TrackedOrder | None:
        """An order, live or lately finished."""
        return self._live.get(ref) or self._finished.get(ref)

    def live(self, symbol: str | None = None, purpose: Purpose | None = None) -> Iterator[TrackedOrder]:
        """Orders that may still trade, oldest first, by symbol and purpose where given."""
        for tracked in list(self._live.values()):
            if symbol in (None, tracked.order.symbol) and purpose in (None, tracked.purpose):
                yield tracked

    def apply(self, report: OrderReport) -> TrackedOrder | None:
        """Move an order on. None when the report changes nothing: a repetition, or nothing we know or believe.

        A fill is taken once by its id, and never beyond the order's quantity.
        """
        tracked = self.get(report.ref)
        if tracked is None:
            return None
        completes = False
        if isinstance(report, Filled):
            if report.fill_id in tracked.fill_ids or report.quantity > tracked.remaining or report.quantity <= ZERO:
                return None
            completes = report.quantity == tracked.remaining
        status = after(tracked.status, word_of(report, completes=completes))
        if status is None or (status is tracked.status and not isinstance(report, Filled)):
            return None
        if isinstance(report, Filled):
            tracked.fill_ids.append(report.fill_id)
            tracked.filled += report.quantity
        tracked.status = status
        if not status.live and report.ref in self._live:
            self._finished[report.ref] = self._live.pop(report.ref)
            while len(self._finished) > _FINISHED_KEPT:
                del self._finished[next(iter(self._finished))]
        return tracked

    def state(self) -> TableState:
        """All orders."""
        return TableState(self.last_n, list(self._live.values()), list(self._finished.values()))

    def restore(self, state: TableState) -> None:
        """Put back what `state` gave."""
        self.last_n = state.last_n
        self._live = {tracked.ref: tracked for tracked in state.live}
        self._finished = {tracked.ref: tracked for tracked in state.finished}

"""The orders of a book: the live ones, and enough of the finished ones to book a late fill.

The latest 256 finished orders are kept whole, and of the 4,096 before them a record is kept. A fill of an older order
cannot be booked, because its symbol is not known any more.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from ocw_mcp.core.orders.machine import OrderStatus, after, kind_of_report
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Filled, Order, OrderIntent, OrderRef, OrderReport, OrderType, Purpose, Side

_FINISHED_KEPT = 256
_RECORDS_KEPT = 4_096


class TrackedOrder(msgspec.Struct):
    """An order with its intent, its status and its fills. Quantities in the base asset."""

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
    """Notional (quote) by which its fills exceeded the cleared amount; below 0 if they took less."""

    @property
    def ref(self) -> OrderRef:
        """The order's id in the book."""
        return self.order.ref

    @property
    def purpose(self) -> Purpose:
        """The purpose of the order."""
        return self.intent.purpose

    @property
    def remaining(self) -> Decimal:
        """The quantity that may still trade."""
        return max(ZERO, self.order.quantity - self.filled)

    def count(self, fill: Filled, reserved: Decimal) -> Decimal:
        """Add a fill to the cost. Return the notional (quote) by which the order further exceeds its cleared amount.

        `reserved` is the quantity (base asset) for which the budget was still reserved when the fill came.
        """
        notional, before = fill.quantity * fill.price, max(ZERO, self.beyond)
        self.cost += notional
        self.beyond += notional - min(fill.quantity, reserved) * self.worst_price
        return max(ZERO, self.beyond) - before


class OrderRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The record of an order that finished long ago, from which a late fill is booked."""

    ref: OrderRef
    symbol: str
    side: Side
    quantity: Decimal
    leverage: int
    status: OrderStatus
    filled: Decimal
    fill_ids: list[str]
    principal: str
    protect_at: Decimal | None
    target_at: Decimal | None
    tainted: bool = False


class TableState(msgspec.Struct):
    """All orders in a saved state."""

    last_n: int
    live: list[TrackedOrder]
    finished: list[TrackedOrder]
    records: list[OrderRecord]


class OrderTable:
    """Orders by id. Live ones are few; finished ones are kept whole for a while, and then as a record."""

    def __init__(self) -> None:
        self.last_n = 0
        self._live: dict[OrderRef, TrackedOrder] = {}
        self._finished: dict[OrderRef, TrackedOrder] = {}
        self._records: dict[OrderRef, OrderRecord] = {}

    def add(self, tracked: TrackedOrder) -> None:
        """Add an order whose intent is journaled."""
        self._live[tracked.ref] = tracked
        self.last_n = max(self.last_n, tracked.ref.n)

    def get(self, ref: OrderRef) -> TrackedOrder | None:
        """Return an order that is live or among the latest finished ones."""
        return self._live.get(ref) or self._finished.get(ref)

    def recall(self, ref: OrderRef) -> TrackedOrder | None:
        """Return an order that finished long ago, from its record; None if there is no record."""
        record = self._records.get(ref)
        return None if record is None else _from_record(record)

    def live(self, symbol: str | None = None, purpose: Purpose | None = None) -> Iterator[TrackedOrder]:
        """Yield the orders that may still trade, oldest first, of a symbol and of a purpose if given."""
        for tracked in list(self._live.values()):
            if symbol in (None, tracked.order.symbol) and purpose in (None, tracked.purpose):
                yield tracked

    def apply(self, report: OrderReport) -> TrackedOrder | None:
        """Apply a report, and return its order. None if it changes nothing: it is a repetition, or does not fit.

        Each fill of a known order with a quantity counts once, by its id, in any status and of any size.
        """
        tracked = self.get(report.ref)
        if tracked is None and isinstance(report, Filled):
            tracked = self.recall(report.ref)
        if tracked is None:
            return None
        fill = report if isinstance(report, Filled) else None
        if fill and (fill.fill_id in tracked.fill_ids or not (fill.quantity.is_finite() and fill.quantity > ZERO)):
            return None
        completes = fill is not None and fill.quantity >= tracked.remaining
        status = after(tracked.status, kind_of_report(report, completes=completes))
        if status is None or (status is tracked.status and fill is None):
            return None
        if fill is not None:
            tracked.fill_ids.append(fill.fill_id)
            tracked.filled += fill.quantity
        tracked.status = status
        self._put(tracked)
        return tracked

    def _put(self, tracked: TrackedOrder) -> None:
        """Keep a finished order, a record of an older one, and nothing of the oldest."""
        if tracked.status.live:
            return
        ref = tracked.ref
        self._live.pop(ref, None)
        self._records.pop(ref, None)
        self._finished[ref] = tracked
        while len(self._finished) > _FINISHED_KEPT:
            oldest = self._finished.pop(next(iter(self._finished)))
            self._records[oldest.ref] = _record(oldest)
        while len(self._records) > _RECORDS_KEPT:
            del self._records[next(iter(self._records))]

    def state(self) -> TableState:
        """Return all orders for a checkpoint."""
        finished, records = list(self._finished.values()), list(self._records.values())
        return TableState(self.last_n, list(self._live.values()), finished, records)

    def restore(self, state: TableState) -> None:
        """Restore a state that `state` returned."""
        self.last_n = state.last_n
        self._live = {tracked.ref: tracked for tracked in state.live}
        self._finished = {tracked.ref: tracked for tracked in state.finished}
        self._records = {record.ref: record for record in state.records}


def _record(tracked: TrackedOrder) -> OrderRecord:
    order, intent = tracked.order, tracked.intent
    terms = (order.ref, order.symbol, order.side, order.quantity, order.leverage)
    result = (tracked.status, tracked.filled, tracked.fill_ids)
    return OrderRecord(*terms, *result, intent.principal, intent.protect_at, intent.target_at, intent.tainted)


def _from_record(record: OrderRecord) -> TrackedOrder:
    terms = (record.symbol, record.side, OrderType.MARKET)
    purpose, quantity = record.ref.leg, record.quantity
    order = Order(record.ref, *terms, quantity, reduce_only=purpose.reduces, leverage=record.leverage)
    intent = OrderIntent(
        "",
        record.principal,
        *terms,
        purpose,
        quantity,
        protect_at=record.protect_at,
        target_at=record.target_at,
        tainted=record.tainted,
    )
    return TrackedOrder(order, intent, ZERO, record.status, record.filled, list(record.fill_ids))

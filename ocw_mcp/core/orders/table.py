"""The orders of a book: the live ones, and enough of the finished ones to book a late fill.

The latest 256 finished orders are kept whole, and of the 4,096 before them a record that a fill can be booked by. A
fill of an order that is older than both cannot be booked, since nothing says which symbol it traded.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from ocw_mcp.core.orders.machine import OrderStatus, after, word_of
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Filled, Order, OrderIntent, OrderRef, OrderReport, OrderType, Purpose, Side

_FINISHED_KEPT = 256
_RECORDS_KEPT = 4_096


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


class OrderRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is kept of an order that finished long ago: as much as booking a late fill takes."""

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
    """All orders, to be restored."""

    last_n: int
    live: list[TrackedOrder]
    finished: list[TrackedOrder]
    records: list[OrderRecord]


class OrderTable:
    """Orders by name. Live ones are few, finished ones are kept whole for a while and then as a record."""

    def __init__(self) -> None:
        self.last_n = 0
        self._live: dict[OrderRef, TrackedOrder] = {}
        self._finished: dict[OrderRef, TrackedOrder] = {}
        self._records: dict[OrderRef, OrderRecord] = {}

    def add(self, tracked: TrackedOrder) -> None:
        """Track an order from its intent on."""
        self._live[tracked.ref] = tracked
        self.last_n = max(self.last_n, tracked.ref.n)

    def get(self, ref: OrderRef) -> TrackedOrder | None:
        """An order, live or lately finished."""
        return self._live.get(ref) or self._finished.get(ref)

    def recall(self, ref: OrderRef) -> TrackedOrder | None:
        """An order that finished long ago, as its record says; None where there is no record."""
        record = self._records.get(ref)
        return None if record is None else _from_record(record)

    def live(self, symbol: str | None = None, purpose: Purpose | None = None) -> Iterator[TrackedOrder]:
        """Orders that may still trade, oldest first, by symbol and purpose where given."""
        for tracked in list(self._live.values()):
            if symbol in (None, tracked.order.symbol) and purpose in (None, tracked.purpose):
                yield tracked

    def apply(self, report: OrderReport) -> TrackedOrder | None:
        """Move an order on. None when the report changes nothing: a repetition, or nothing that fits the order.

        Each fill of an order that is known counts once, by its id, whatever the order's status and size. Only a fill of
        no quantity does not.
        """
        tracked = self.get(report.ref)
        if tracked is None and isinstance(report, Filled):
            tracked = self.recall(report.ref)
        if tracked is None:
            return None
        completes = False
        if isinstance(report, Filled):
            if report.fill_id in tracked.fill_ids or not (report.quantity.is_finite() and report.quantity > ZERO):
                return None
            completes = report.quantity >= tracked.remaining
        status = after(tracked.status, word_of(report, completes=completes))
        if status is None or (status is tracked.status and not isinstance(report, Filled)):
            return None
        if isinstance(report, Filled):
            tracked.fill_ids.append(report.fill_id)
            tracked.filled += report.quantity
        tracked.status = status
        self._put(tracked)
        return tracked

    def _put(self, tracked: TrackedOrder) -> None:
        """Keep a finished order, and of the oldest ones a record, or nothing."""
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
        """All orders."""
        finished, records = list(self._finished.values()), list(self._records.values())
        return TableState(self.last_n, list(self._live.values()), finished, records)

    def restore(self, state: TableState, /) -> None:
        """Put back what `state` gave."""
        self.last_n = state.last_n
        self._live = {tracked.ref: tracked for tracked in state.live}
        self._finished = {tracked.ref: tracked for tracked in state.finished}
        self._records = {record.ref: record for record in state.records}


def _record(tracked: TrackedOrder) -> OrderRecord:
    order, intent = tracked.order, tracked.intent
    return OrderRecord(
        order.ref,
        order.symbol,
        order.side,
        order.quantity,
        order.leverage,
        tracked.status,
        tracked.filled,
        tracked.fill_ids,
        intent.principal,
        intent.protect_at,
        intent.target_at,
        intent.tainted,
    )


def _from_record(record: OrderRecord) -> TrackedOrder:
    purpose, quantity = record.ref.leg, record.quantity
    order = Order(
        record.ref,
        record.symbol,
        record.side,
        OrderType.MARKET,
        quantity,
        reduce_only=purpose.reduces,
        leverage=record.leverage,
    )
    intent = OrderIntent(
        "",
        record.principal,
        record.symbol,
        record.side,
        OrderType.MARKET,
        purpose,
        quantity,
        protect_at=record.protect_at,
        target_at=record.target_at,
        tainted=record.tainted,
    )
    return TrackedOrder(order, intent, ZERO, record.status, record.filled, list(record.fill_ids))

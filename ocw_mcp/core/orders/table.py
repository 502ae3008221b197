"""The orders of a book, the table of their legal status transitions, and the check for reports with impossible amounts.

The latest 256 finished orders are kept complete; of each of the 4,096 finished before them, a short record is kept. A
fill of an even older order cannot be booked, because the symbol of the order is no longer known.
"""

from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum

import msgspec

from ocw_mcp.domain.macro import Quadrant
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    CancelRefused,
    Filled,
    FundingPaid,
    Order,
    OrderIntent,
    OrderRef,
    OrderReport,
    OrderType,
    OutcomeUnknown,
    OutsideFill,
    Purpose,
    Rejected,
    Side,
    Transferred,
    Triggered,
    VenueReport,
)
from ocw_mcp.domain.regime import Level
from ocw_mcp.domain.unknown import Unknown

HIGHEST_REBATE = Decimal("0.001")
"""The largest plausible rebate, as a share of the notional: every exchange pays makers less than this."""


class OrderStatus(StrEnum):
    """The status of an order, as far as the venue has reported it."""

    INTENDED = "intended"
    """The intent is stored durably, and the venue has not answered."""
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    """The order was sent, and its outcome is not known: the budget stays reserved."""

    @property
    def live(self) -> bool:
        """Whether the order may still trade."""
        return self not in (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED)


_S = OrderStatus

_ANSWERED: dict[type[OrderReport], OrderStatus] = {
    Accepted: _S.ACCEPTED,
    # A triggered stop is live until it has filled, or is cancelled.
    Triggered: _S.ACCEPTED,
    Rejected: _S.REJECTED,
    Canceled: _S.CANCELED,
    Filled: _S.PARTIALLY_FILLED,
}

TRANSITIONS: dict[OrderStatus, dict[type[OrderReport], OrderStatus]] = {
    # A fill on the stream can come before the answer to the request.
    _S.INTENDED: {**_ANSWERED, OutcomeUnknown: _S.UNKNOWN, CancelRefused: _S.INTENDED},
    # A stop that was accepted can still be rejected when it triggers.
    _S.ACCEPTED: {**_ANSWERED, CancelRefused: _S.ACCEPTED},
    _S.PARTIALLY_FILLED: {
        **dict.fromkeys((Accepted, Triggered, Filled, CancelRefused), _S.PARTIALLY_FILLED),
        Canceled: _S.CANCELED,
    },
    # Late reports change nothing. A venue that trades more than was ordered moves money, so the fill counts.
    _S.FILLED: dict.fromkeys((Accepted, Triggered, Canceled, CancelRefused, Filled), _S.FILLED),
    # A fill from before the cancel can be reported after it, and counts.
    _S.CANCELED: dict.fromkeys((Accepted, Triggered, Canceled, CancelRefused, Filled), _S.CANCELED),
    # A fill shows that the rejection was wrong: money moved, so it counts. Then its cancel may be refused.
    _S.REJECTED: dict.fromkeys((Rejected, CancelRefused, Filled), _S.REJECTED),
    # An order that appears late at the venue is adopted.
    _S.UNKNOWN: {**_ANSWERED, OutcomeUnknown: _S.UNKNOWN, CancelRefused: _S.UNKNOWN},
}
"""The next status, by present status and type of report. A fill that completes its order always leads to FILLED."""


def after(status: OrderStatus, report: OrderReport, *, completes: bool) -> OrderStatus | None:
    """Return the status after a report: FILLED if it `completes` the order; None if the report is not allowed then."""
    return OrderStatus.FILLED if completes else TRANSITIONS[status].get(type(report))


def invalid_report(report: VenueReport) -> str:
    """Return a clause that names the first impossible amount of a report; empty if all amounts are possible."""
    match report:
        case Filled(quantity=quantity, price=price, fee=fee) | OutsideFill(quantity=quantity, price=price, fee=fee):
            for name, value in (("a quantity", quantity), ("a price", price)):
                if not (value.is_finite() and value > ZERO):
                    return f"{name} of {value}"
            if not fee.is_finite():
                return f"a fee of {fee}"
            if fee < -HIGHEST_REBATE * quantity * price:
                return f"a rebate of {plain(-fee)} on {plain(quantity)} at {plain(price)}"
            if not report.fee_amount.is_finite():
                return f"a fee of {report.fee_amount} {report.fee_asset}"
            if not (report.base_fee.is_finite() and ZERO <= report.base_fee <= quantity):
                return f"a fee of {report.base_fee} taken out of {plain(quantity)}"
        case FundingPaid(amount=amount) | Transferred(amount=amount):
            if not amount.is_finite():
                return f"{'funding' if isinstance(report, FundingPaid) else 'a transfer'} of {amount}"
    return ""


_FINISHED_KEPT = 256
_RECORDS_KEPT = 4_096


class TrackedOrder(msgspec.Struct):
    """An order with its intent, its status and its fills. Quantities in the base asset."""

    order: Order
    intent: OrderIntent
    worst_price: Decimal
    """The price (quote) at which the order's budget is reserved while the order is live."""
    status: OrderStatus = OrderStatus.INTENDED
    filled: Decimal = ZERO
    fill_ids: list[str] = []
    cancel_requested: bool = False
    """Whether the order's cancel was requested, and the venue has not refused it."""
    venue_order_ids: list[str] = []
    """All ids under which the venue knows the order, oldest first: an OCO and a triggered order have several."""
    triggered: bool = False
    cancels_refused: int = 0
    cancel_refused_at: int = 0
    """How often the venue refused to cancel the order, and the time (ms) of the last refusal."""
    unknown_since: int | None = None
    """The time (ms) of the first report that its outcome is unknown: its request was sent, or given up, before."""
    cleared_equity: Decimal = ZERO
    cleared_regime: Level | Unknown = Unknown("not recorded")
    cleared_macro: Quadrant | Unknown = Unknown("not recorded")
    """The market regime and the macro regime with which the entry was cleared."""
    cost: Decimal = ZERO
    beyond: Decimal = ZERO
    """Notional (quote) of the fills minus the notional that was reserved for them."""

    @property
    def ref(self) -> OrderRef:
        """The reference of the order."""
        return self.order.ref

    @property
    def purpose(self) -> Purpose:
        """The purpose of the order."""
        return self.intent.purpose

    @property
    def remaining(self) -> Decimal:
        """The quantity that may still trade."""
        return max(ZERO, self.order.quantity - self.filled)

    @property
    def follows_position(self) -> bool:
        """Whether the order closes the whole position and has not triggered: its quantity is that of the position."""
        return self.order.close_position and not (self.triggered or self.filled)

    def fix_quantity(self, held: Decimal) -> None:
        """Give a stop that closes the whole position the quantity `held` of the position, until it triggers."""
        if self.follows_position:
            self.order = msgspec.structs.replace(self.order, quantity=held)

    def covers(self, quantity: Decimal) -> bool:
        """Return whether the order, once it triggers, closes a position of this quantity (base asset)."""
        return self.follows_position or self.remaining >= quantity

    def count(self, fill: Filled, reserved: Decimal) -> Decimal:
        """Add a fill to the cost, and return the notional (quote) that it adds beyond the reserved budget.

        `reserved` is the quantity (base asset) for which the budget was still reserved when the fill came.
        """
        notional, before = fill.quantity * fill.price, max(ZERO, self.beyond)
        self.cost += notional
        self.beyond += notional - min(fill.quantity, reserved) * self.worst_price
        return max(ZERO, self.beyond) - before

    def misfit(self, fill: Filled, *, long_over: bool) -> str:
        """Return a clause that says why a fill does not fit the order; empty if it fits."""
        if fill.quantity > self.remaining:
            return f"{plain(fill.quantity)} of {plain(self.remaining)} that were left"
        if self.status is OrderStatus.REJECTED:
            return "a rejected one"
        return "which was over long ago" if long_over else ""

    def note(self, report: OrderReport) -> bool:
        """Take from a report what does not depend on the status. Return whether that changed anything."""
        match report:
            case Accepted(venue_order_id=name) | Triggered(venue_order_id=name):
                triggers = isinstance(report, Triggered) and not self.triggered
                new = bool(name) and name not in self.venue_order_ids
                if new:
                    self.venue_order_ids.append(name)
                self.triggered |= triggers
                return new or triggers
            case CancelRefused():
                refused, self.cancel_requested = self.cancel_requested, False
                self.cancels_refused += refused
                return refused
        return False


class OrderRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A short record of an order that finished long ago, sufficient to book a late fill."""

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
    """The saved state of an `OrderTable`."""

    last_n: int
    live: list[TrackedOrder]
    finished: list[TrackedOrder]
    records: list[OrderRecord]


class OrderTable:
    """Orders by reference: the live ones, the latest finished ones, and short records of older ones."""

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
        """Yield the live orders, oldest first; only those of a symbol or purpose, if given."""
        for tracked in list(self._live.values()):
            if symbol in (None, tracked.order.symbol) and purpose in (None, tracked.purpose):
                yield tracked

    def without(self, ref: OrderRef) -> "OrderTable":
        """Return a table of the live orders except one, for a check of that order against the others."""
        others = OrderTable()
        others._live = {each: tracked for each, tracked in self._live.items() if each != ref}
        return others

    def apply(self, report: OrderReport) -> TrackedOrder | None:
        """Apply a report, and return its order; None if the report is repeated or impossible."""
        tracked = self.get(report.ref)
        if tracked is None and isinstance(report, Filled):
            tracked = self.recall(report.ref)
        if tracked is None:
            return None
        fill = report if isinstance(report, Filled) else None
        if fill and (fill.fill_id in tracked.fill_ids or not (fill.quantity.is_finite() and fill.quantity > ZERO)):
            return None
        completes = fill is not None and fill.quantity >= tracked.remaining
        status = after(tracked.status, report, completes=completes)
        if status is None:
            return None
        noted = tracked.note(report)
        if status is tracked.status and fill is None and not noted:
            return None
        if fill is not None:
            tracked.fill_ids.append(fill.fill_id)
            tracked.filled += fill.quantity
        tracked.status = status
        self._put(tracked)
        return tracked

    def _put(self, tracked: TrackedOrder) -> None:
        """Store an order if it has finished; turn the oldest finished ones into records, delete the oldest records."""
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

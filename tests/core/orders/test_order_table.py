"""The orders of a book: fills count once, in any order, and never beyond the ordered quantity."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ocw_mcp.core.orders.table import OrderStatus, OrderTable, TableState, TrackedOrder
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    Filled,
    Order,
    OrderIntent,
    OrderRef,
    OrderReport,
    OrderType,
    OutcomeUnknown,
    Purpose,
    Rejected,
    Side,
)
from ocw_mcp.domain.reject_reasons import RejectReason
from tests.support.examples import examples

REF = OrderRef(1, Purpose.ENTRY)


def tracked(ref: OrderRef = REF, quantity: str = "10", symbol: str = "BTCUSDT") -> TrackedOrder:
    """An entry as the order manager adds it."""
    side = Side.BUY if ref.leg is Purpose.ENTRY else Side.SELL
    size = Decimal(quantity)
    intent = OrderIntent(f"key-{ref}", "test", symbol, side, OrderType.MARKET, ref.leg, size, protect_at=Decimal(90))
    order = Order(ref, symbol, side, OrderType.MARKET, size, reduce_only=ref.leg.reduces)
    return TrackedOrder(order, intent, worst_price=Decimal("100.2"))


def table_with(*orders: TrackedOrder) -> OrderTable:
    table = OrderTable()
    for order in orders or (tracked(),):
        table.add(order)
    return table


def fill(fill_id: str, quantity: str, ref: OrderRef = REF) -> Filled:
    return Filled(ref, fill_id, Decimal(quantity), Decimal(100), Decimal("0.05"), 1_000)


def found(table: OrderTable, ref: OrderRef = REF) -> TrackedOrder:
    order = table.get(ref)
    assert order is not None
    return order


def told(table: OrderTable, reports: Iterable[OrderReport]) -> tuple[OrderStatus, Decimal]:
    """The status of the order after the reports, and its traded quantity."""
    for report in reports:
        table.apply(report)
    return found(table).status, found(table).filled


def test_an_order_is_live_from_its_intent_until_it_is_filled() -> None:
    table = table_with()
    assert [order.ref for order in table.live()] == [REF]
    assert table.apply(Accepted(REF, "v1")) is found(table)
    assert told(table, [fill("a", "4")]) == (OrderStatus.PARTIALLY_FILLED, Decimal(4))
    assert found(table).remaining == 6
    assert told(table, [fill("b", "6")]) == (OrderStatus.FILLED, Decimal(10))
    assert list(table.live()) == []


def test_a_fill_reported_twice_counts_once() -> None:
    table = table_with()
    assert table.apply(fill("a", "4")) is not None
    assert table.apply(fill("a", "4")) is None
    assert told(table, [fill("b", "4")]) == (OrderStatus.PARTIALLY_FILLED, Decimal(8))


def test_two_equal_fills_with_different_ids_both_count() -> None:
    assert told(table_with(), [fill("a", "5"), fill("b", "5")]) == (OrderStatus.FILLED, Decimal(10))


def test_a_fill_after_the_cancellation_still_counts() -> None:
    table = table_with()
    assert told(table, [fill("a", "3"), Canceled(REF, "on request")]) == (OrderStatus.CANCELED, Decimal(3))
    assert table.apply(fill("b", "2")) is found(table)
    assert told(table, []) == (OrderStatus.CANCELED, Decimal(5))
    assert told(table, [fill("c", "5")]) == (OrderStatus.FILLED, Decimal(10))
    assert list(table.live()) == []


@pytest.mark.parametrize("quantity", ["0", "-1", "NaN"])
def test_a_fill_with_an_invalid_quantity_does_not_count(quantity: str) -> None:
    table = table_with()
    assert table.apply(fill("a", quantity)) is None
    assert (found(table).filled, found(table).status) == (Decimal(0), OrderStatus.INTENDED)


@pytest.mark.parametrize("before", [[], [fill("b", "7")], [fill("b", "10")], [Canceled(REF, "on request")]])
def test_a_fill_beyond_the_ordered_quantity_ends_the_order(before: list[OrderReport]) -> None:
    table = table_with()
    status, filled = told(table, [*before, fill("a", "11"), fill("a", "11")])
    traded = sum(each.quantity for each in before if isinstance(each, Filled))
    assert (status, filled) == (OrderStatus.FILLED, 11 + traded)
    assert not list(table.live())
    assert found(table).remaining == 0


def test_a_fill_of_a_rejected_order_counts_and_leaves_it_ended() -> None:
    table = table_with()
    assert told(table, [Rejected(REF, RejectReason.INSUFFICIENT_MARGIN, "no"), fill("a", "4"), fill("a", "4")]) == (
        OrderStatus.REJECTED,
        Decimal(4),
    )
    assert told(table, [fill("b", "6")]) == (OrderStatus.FILLED, Decimal(10))


def test_order_of_unknown_outcome_stays_live_until_a_report() -> None:
    table = table_with()
    assert told(table, [OutcomeUnknown(REF, "timeout")])[0] is OrderStatus.UNKNOWN
    assert [order.ref for order in table.live()] == [REF]
    assert table.apply(OutcomeUnknown(REF, "again")) is None
    assert told(table, [Accepted(REF, "v1"), fill("a", "10")]) == (OrderStatus.FILLED, Decimal(10))


def test_a_repeated_report_changes_nothing() -> None:
    table = table_with()
    assert table.apply(Accepted(REF, "v1")) is not None
    assert table.apply(Accepted(REF, "v1")) is None
    assert table.apply(Canceled(REF, "on request")) is not None
    assert table.apply(Canceled(REF, "on request")) is None
    assert table.apply(Accepted(REF, "v1")) is None


def test_a_report_on_an_order_not_in_the_table_changes_nothing() -> None:
    table = table_with()
    assert table.apply(fill("a", "1", OrderRef(2, Purpose.ENTRY))) is None
    assert table.apply(fill("a", "1", OrderRef(1, Purpose.ENTRY, 1))) is None
    assert found(table).filled == 0


def test_live_orders_are_listed_by_symbol_and_purpose() -> None:
    stop = OrderRef(1, Purpose.STOP)
    other = OrderRef(2, Purpose.ENTRY)
    table = table_with(tracked(), tracked(stop), tracked(other, symbol="ETHUSDT"))
    assert [order.ref for order in table.live()] == [REF, stop, other]
    assert [order.ref for order in table.live("BTCUSDT")] == [REF, stop]
    assert [order.ref for order in table.live(purpose=Purpose.ENTRY)] == [REF, other]
    assert [order.ref for order in table.live("BTCUSDT", Purpose.STOP)] == [stop]
    assert list(table.live("SOLUSDT")) == []
    assert table.last_n == 2


def test_an_order_can_be_cancelled_while_live_orders_are_listed() -> None:
    table = table_with(*(tracked(OrderRef(n, Purpose.ENTRY)) for n in range(1, 6)))
    for order in table.live():
        table.apply(Canceled(order.ref, "halted"))
    assert list(table.live()) == []


def test_latest_finished_orders_are_kept_and_older_ones_recorded() -> None:
    table = OrderTable()
    for n in range(1, 1_001):
        ref = OrderRef(n, Purpose.ENTRY)
        table.add(tracked(ref))
        table.apply(fill("a", "10", ref))
    kept = [n for n in range(1, 1_001) if table.get(OrderRef(n, Purpose.ENTRY))]
    assert kept == list(range(1_000 - len(kept) + 1, 1_001))
    assert 200 <= len(kept) <= 300
    assert table.last_n == 1_000
    assert table.apply(fill("a", "10", REF)) is None, "it was booked before the order was put away"
    late = table.apply(fill("b", "2", REF))
    assert late is not None
    assert (late.order.symbol, late.order.side, late.filled) == ("BTCUSDT", Side.BUY, Decimal(12))


def test_the_table_does_not_grow_with_finished_orders() -> None:
    table = OrderTable()
    for n in range(1, 4_401):
        table.add(tracked(OrderRef(n, Purpose.ENTRY)))
        table.apply(Canceled(OrderRef(n, Purpose.ENTRY), "halted"))
    state = table.state()
    assert (len(state.finished), len(state.records)) == (256, 4_096)
    assert table.recall(OrderRef(1, Purpose.ENTRY)) is None
    assert table.recall(OrderRef(100, Purpose.ENTRY)) is not None


def test_the_record_of_an_old_order_keeps_its_stop_and_target() -> None:
    plain = tracked()
    intent = msgspec.structs.replace(plain.intent, tainted=True, target_at=Decimal(120))
    table = table_with(TrackedOrder(plain.order, intent, plain.worst_price))
    table.apply(Canceled(REF, "halted"))
    for n in range(2, 300):
        table.add(tracked(OrderRef(n, Purpose.ENTRY)))
        table.apply(Canceled(OrderRef(n, Purpose.ENTRY), "halted"))
    again = OrderTable()
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(table.state()), type=TableState))
    late = again.recall(REF)
    assert again.get(REF) is None
    assert late is not None
    kept = late.intent
    assert (kept.protect_at, kept.target_at, kept.tainted) == (Decimal(90), Decimal(120), True)


def test_a_restored_order_table_has_the_same_orders() -> None:
    table = table_with(tracked(), tracked(OrderRef(2, Purpose.ENTRY)), tracked(OrderRef(3, Purpose.ENTRY)))
    table.apply(fill("a", "4"))
    table.apply(Rejected(OrderRef(2, Purpose.ENTRY), RejectReason.INSUFFICIENT_MARGIN, "no"))
    found(table).cancel_requested = True
    again = OrderTable()
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(table.state()), type=TableState))
    assert again.state() == table.state()
    assert again.last_n == 3
    assert [order.ref.n for order in again.live()] == [1, 3]
    assert again.apply(fill("a", "4")) is None
    assert again.apply(fill("b", "6")) is not None
    assert found(again).cancel_requested


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[Filled], bool, Sequence[OrderReport]]:
    """The reports of a venue, in the true order, and as they arrive: in any order, some of them repeated."""
    sizes = draw(st.lists(st.integers(1, 4), max_size=4).filter(lambda sizes: sum(sizes) <= 10))
    fills = [fill(f"f{index}", str(size)) for index, size in enumerate(sizes)]
    canceled = draw(st.booleans()) or sum(sizes) < 10
    happened: list[OrderReport] = [Accepted(REF, "v1"), *fills, *([Canceled(REF, "on request")] if canceled else [])]
    extra = draw(st.lists(st.sampled_from(happened), max_size=5))
    return fills, canceled, draw(st.permutations(happened + extra))


@examples(50, slow=200)
@given(stories())
def test_repeated_and_reordered_reports_give_the_same_status(
    story: tuple[list[Filled], bool, Sequence[OrderReport]],
) -> None:
    fills, canceled, reports = story
    status, filled = told(table_with(), reports)
    traded = sum(each.quantity for each in fills)
    assert filled == traded
    assert status is (OrderStatus.FILLED if traded == 10 else OrderStatus.CANCELED)
    assert canceled or traded == 10


class VenueAndTable(RuleBasedStateMachine):
    """A venue that trades, and a connection that repeats, reorders and delays its reports."""

    @initialize(quantity=st.integers(1, 12))
    def start(self, quantity: int) -> None:
        self.table = table_with(tracked(quantity=str(quantity)))
        self.open = quantity
        self.traded: dict[str, Decimal] = {}
        self.wire: list[OrderReport] = [Accepted(REF, "v1")]
        self.delivered: list[OrderReport] = []
        self.over = False

    @precondition(lambda self: not self.over and self.open)
    @rule(share=st.integers(1, 5))
    def trade(self, share: int) -> None:
        size = min(share, self.open)
        self.open -= size
        report = fill(f"f{len(self.traded)}", str(size))
        self.traded[report.fill_id] = report.quantity
        self.wire.append(report)

    @precondition(lambda self: not self.over)
    @rule()
    def cancel(self) -> None:
        self.over = True
        self.wire.append(Canceled(REF, "on request"))

    @precondition(lambda self: self.wire)
    @rule(data=st.data())
    def deliver_any(self, data: st.DataObject) -> None:
        report = self.wire.pop(data.draw(st.integers(0, len(self.wire) - 1)))
        self.table.apply(report)
        self.delivered.append(report)

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        before = self.table.state()
        bytes_before = msgspec.msgpack.encode(before)
        assert self.table.apply(data.draw(st.sampled_from(self.delivered))) is None
        assert msgspec.msgpack.encode(self.table.state()) == bytes_before

    @rule()
    def restart(self) -> None:
        stored = msgspec.msgpack.encode(self.table.state())
        self.table = OrderTable()
        self.table.restore(msgspec.msgpack.decode(stored, type=TableState))

    @invariant()
    def what_was_told_is_what_counts(self) -> None:
        fills = [report for report in self.delivered if isinstance(report, Filled)]
        order = found(self.table)
        assert order.filled == sum((self.traded[report.fill_id] for report in fills), Decimal(0))
        assert order.filled <= order.order.quantity
        if any(isinstance(report, Canceled) for report in self.delivered):
            assert not order.status.live

    def teardown(self) -> None:
        if not hasattr(self, "table"):
            return
        for report in reversed(self.wire):
            self.table.apply(report)
        order = found(self.table)
        assert order.filled == sum(self.traded.values(), Decimal(0))
        if not self.open:
            assert order.status is OrderStatus.FILLED
        elif self.over:
            assert order.status is OrderStatus.CANCELED
        else:
            assert order.status is (OrderStatus.PARTIALLY_FILLED if self.traded else OrderStatus.ACCEPTED)


test_order_table_agrees_with_the_venue_for_any_report_order = VenueAndTable.TestCase
VenueAndTable.TestCase.settings = settings(deadline=None, max_examples=50, stateful_step_count=25)

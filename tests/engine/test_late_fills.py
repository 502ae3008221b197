"""A fill with an id of the engine is booked and protected in every status of its order; an id is used once."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlite_utils import Database

from ocw_mcp.adapters.store.projections import apply, register_functions, remake_tables
from ocw_mcp.core.orders.ledger import Dust
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Accepted, Canceled, Filled, Order, OutcomeUnknown, Purpose, Rejected, Side
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.state import TradingState
from ocw_mcp.engine.protection import protection_timer
from tests.support.examples import examples
from tests.support.wire import Wire, by_the_fills, replaced

D = Decimal


def sent(answer: object) -> Order:
    assert isinstance(answer, Order), answer
    return answer


def rejected(wire: Wire, order: Order) -> None:
    wire.give(Rejected(order.ref, RejectReason.INSUFFICIENT_MARGIN, "no"))


def forgotten(wire: Wire, order: Order, newer: int = 300) -> None:
    """Cancel an order and `newer` later orders, so that only its record is kept."""
    wire.give(Canceled(order.ref, "its time is up"))
    for _ in range(newer):
        wire.give(Canceled(sent(wire.enter()).ref, "its time is up"))


@pytest.mark.parametrize("product", Product)
@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(("ends", "told"), [(rejected, "a rejected one"), (forgotten, "which was over long ago")])
def test_fill_of_an_ended_entry_is_booked_and_gets_a_stop(
    ends: Callable[[Wire, Order], None], told: str, restarts: bool, product: Product
) -> None:
    wire = Wire(product)
    order = sent(wire.enter())
    ends(wire, order)
    if restarts:
        wire.restart()
    late = wire.fill(order, "4")
    assert (wire.held(), wire.last(Purpose.STOP).quantity, wire.last(Purpose.STOP).trigger_price) == (D(4), D(4), D(97))
    (incident,) = [each for each in wire.journal if isinstance(each, events.Incident)]
    assert incident.text == f"the venue reported Filled on order {order.ref}, {told}; it is booked"
    assert wire.engine.account.trading_state is TradingState.REDUCING
    before = len(wire.journal)
    wire.give(late)
    assert (wire.held(), len(wire.journal)) == (D(4), before)


def test_a_repeated_fill_of_an_archived_order_is_booked_once() -> None:
    wire = Wire()
    order = sent(wire.enter())
    early = wire.fill(order, "4")
    wire.fill(sent(wire.close()))
    forgotten(wire, order)
    wire.restart()
    wire.give(early)
    assert wire.held() == 0
    assert wire.engine.account.trading_state is TradingState.ACTIVE


def test_an_order_that_trades_after_its_rejection_is_cancelled() -> None:
    wire = Wire()
    order = sent(wire.enter())
    rejected(wire, order)
    wire.fill(order, "4")
    assert wire.canceled == [order.ref]


@pytest.mark.parametrize("product", Product)
def test_an_overfilled_entry_gets_a_stop_for_the_whole_fill(product: Product) -> None:
    wire = Wire(product)
    wire.fill(sent(wire.enter()), "12")
    assert (wire.held(), wire.last(Purpose.STOP).quantity) == (D(12), D(12))
    assert wire.engine.account.trading_state is TradingState.REDUCING


@pytest.mark.parametrize("action", [Action.BUY, Action.SHORT])
@pytest.mark.parametrize("purpose", [Purpose.EXIT, Purpose.STOP])
def test_the_excess_of_an_overfilled_exit_is_closed(purpose: Purpose, action: Action) -> None:
    wire = Wire()
    entry = sent(wire.enter(action))
    wire.fill(entry)
    stop = wire.last(Purpose.STOP)
    wire.give(Accepted(stop.ref, "v1"))
    wire.fill(stop if purpose is Purpose.STOP else sent(wire.close()), "13")
    assert wire.held() == -3 * entry.side.sign
    closing = wire.last(Purpose.EXIT)
    assert (closing.quantity, closing.side, closing.reduce_only) == (D(3), entry.side, True)
    (trade,) = [each for each in wire.journal if isinstance(each, events.PositionClosed)]
    # Opened and closed at 100: the fees of 10 in and of 13 out.
    assert trade.pnl == D("-1.15")
    assert protection_timer("BTCUSDT") in wire.engine.timers
    wire.fill(closing)
    assert (wire.held(), wire.stands()) == (D(0), [])


@pytest.mark.parametrize("product", Product)
def test_a_position_opened_by_a_late_stop_fill_is_closed(product: Product) -> None:
    wire = Wire(product)
    wire.fill(sent(wire.enter()))
    stop = wire.last(Purpose.STOP)
    wire.give(Accepted(stop.ref, "v1"))
    wire.fill(sent(wire.close()))
    wire.give(Canceled(stop.ref, "on request"))
    wire.fill(stop, "2")
    assert (wire.held(), wire.last(Purpose.EXIT).quantity, wire.last(Purpose.EXIT).side) == (D(-2), D(2), Side.BUY)


def test_a_late_buy_fill_that_shrinks_a_short_keeps_its_stop() -> None:
    wire = Wire()
    late = sent(wire.enter())
    wire.give(Canceled(late.ref, "on request"))
    wire.fill(sent(wire.enter(Action.SHORT)))
    wire.fill(late, "4")
    assert (wire.held(), [each.trigger_price for each in wire.stands()]) == (D(-6), [D(103)])
    wire.fill(late, "10")
    assert (wire.held(), wire.last(Purpose.STOP).trigger_price, wire.last(Purpose.STOP).quantity) == (D(4), D(97), D(4))


@pytest.mark.parametrize("size", ["0", "-1", "NaN", "Infinity"])
def test_an_invalid_fill_of_an_ended_order_changes_no_position(size: str) -> None:
    wire = Wire()
    order = sent(wire.enter())
    rejected(wire, order)
    wire.give(replaced(Filled(order.ref, "f1", D(1), D(100), D(0), 5), quantity=D(size)))
    assert wire.held() == 0
    assert wire.engine.account.trading_state is TradingState.REDUCING


def test_orders_of_a_reopened_position_get_new_names() -> None:
    wire = Wire()
    entry = sent(wire.enter())
    for _ in range(3):
        wire.fill(entry, "2")
        wire.fill(wire.last(Purpose.STOP))
        wire.restart()
    assert len(set(wire.names())) == len(wire.sent)
    db = Database(memory=True)
    register_functions(db)
    remake_tables(db)
    for seq, event in enumerate(wire.journal):
        apply(db, "wire00", seq, seq, event)
    assert db["orders"].count == len(wire.sent)


class Story:
    """Random reports on random orders, with the invariants after each."""

    def __init__(self, product: Product) -> None:
        self.wire = Wire(product, symbols=("BTCUSDT", "ETHUSDT"))
        self.price = D(100)

    def go_on(self, what: str, pick: int, size: int) -> None:
        wire = self.wire
        symbol = ("BTCUSDT", "ETHUSDT")[pick % 2]
        order = wire.sent[-1 - pick % len(wire.sent)] if wire.sent else None
        if what == "enter":
            wire.enter((Action.BUY, Action.SHORT, Action.ADD)[size % 3], str(size), symbol=symbol)
        elif what == "close":
            wire.close(symbol)
        elif what == "tick":
            self.price = D(96 + size)
            wire.tick({"BTCUSDT": float(self.price), "ETHUSDT": float(self.price)})
        elif what == "fire":
            wire.fire()
        elif what == "restart":
            wire.restart()
        elif what == "resume":
            wire.command("resume")
        elif what == "again" and wire.reported:
            wire.give(wire.reported[-1 - pick % len(wire.reported)][1])
        elif what == "fill" and order is not None:
            wire.fill(order, D(size), str(self.price))
        elif order is not None and what in ENDS:
            wire.give(ENDS[what](order))
        self.check()

    def check(self) -> None:
        wire = self.wire
        assert len(set(wire.names())) == len(wire.sent), "a client order id is used twice"
        ledger, profit = wire.engine.account.ledger, D(0)
        for symbol in ("BTCUSDT", "ETHUSDT"):
            mark = ledger.marks.get(symbol, D(100))
            quantity, gained = by_the_fills(wire, symbol, mark)
            profit += gained
            dust = ledger.dust.get(symbol, Dust(D(0), D(0)))
            profit -= dust.quantity * mark - dust.cost
            assert wire.held(symbol) + dust.quantity == quantity
            if wire.held(symbol):
                protection = wire.engine.guard.protections[symbol]
                assert protection.protected or protection.deadline is not None
                assert wire.stands(symbol) or protection_timer(symbol) in wire.engine.timers
        assert abs(ledger.equity() - 10_000 - profit) < D("1e-9")


ENDS: dict[str, Callable[[Order], Accepted | Canceled | Rejected | OutcomeUnknown]] = {
    "accept": lambda order: Accepted(order.ref, "v1"),
    "cancel": lambda order: Canceled(order.ref, "on request"),
    "reject": lambda order: Rejected(order.ref, RejectReason.INSUFFICIENT_MARGIN, "no"),
    "lose": lambda order: OutcomeUnknown(order.ref, "timeout"),
}
KINDS = ("enter", "enter", "fill", "fill", "fill", "close", "tick", "fire", "restart", "resume", "again", *ENDS)
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 5), st.integers(1, 8)), min_size=5, max_size=30)


@examples(15, slow=60)
@given(st.sampled_from(Product), STEPS)
@example(
    Product.UM,
    [
        *(("enter", 0, 1), ("fill", 0, 1), ("fill", 0, 4), ("cancel", 0, 1), ("fill", 0, 2), ("fill", 2, 2)),
        *(("fill", 1, 1), ("accept", 0, 1), ("fill", 3, 1), ("fill", 0, 2)),
    ],
)
@example(Product.SPOT, [("enter", 0, 3), ("fill", 0, 3), ("close", 0, 1), ("fill", 0, 8), ("fire", 0, 1)])
def test_order_names_are_unique_and_money_exact_for_any_reports(
    product: Product, steps: list[tuple[str, int, int]]
) -> None:
    story = Story(product)
    for what, pick, size in steps:
        story.go_on(what, pick, size)

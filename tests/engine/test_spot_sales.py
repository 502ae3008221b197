"""On spot, where nothing is reduce-only, the book never sells more than it owns, and states what is too small."""

from collections.abc import Sequence
from decimal import Decimal
from hashlib import shake_256

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Accepted, Canceled, Order, OrderRef, OutcomeUnknown, Purpose, Rejected
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.steps import TimerFired
from ocw_mcp.engine.protection import protection_timer, retry_timer
from tests.support.account_at_exchange import AccountAtExchange, exchange_wire
from tests.support.dice import Dice
from tests.support.wire import Wire

D = Decimal
BTC = "BTCUSDT"


class Account:
    """A spot account, perhaps with coins of its owner. It refuses a sale for which the free balance is too small.

    It loses answers to exits: such an exit was executed, or is executed later if the balance allows it, or never is.
    """

    def __init__(self, seed: int, foreign: str) -> None:
        self.wire, self.dice = Wire(Product.SPOT), Dice(shake_256(bytes([seed])).digest(3_000))
        self.foreign = D(foreign)
        if self.foreign:
            self.wire.engine.account.exchange.shared = [BTC]
        self.bought = self.sold = D(0)
        self.live: dict[OrderRef, Order] = {}
        self.unseen: dict[OrderRef, tuple[Order, str]] = {}
        """The exits of unknown outcome, and what became of them: executed, late or lost."""
        self.seen = self.asked = self.under_unknown = 0

    def free(self) -> Decimal:
        """Return what can be sold of all coins: resting stops lock theirs."""
        return self.foreign + self.bought - self.sold - sum((each.quantity for each in self.live.values()), D(0))

    def serve(self) -> None:
        while self.seen < len(self.wire.sent) or self.asked < len(self.wire.canceled):
            if self.asked < len(self.wire.canceled):
                self.asked += 1
                ref = self.wire.canceled[self.asked - 1]
                if self.live.pop(ref, None) is not None:
                    self.wire.give(Canceled(ref, "on request"))
                continue
            self.seen += 1
            self.answer(self.wire.sent[self.seen - 1])

    def answer(self, order: Order) -> None:
        luck = self.dice.pick(range(8))
        if order.ref.leg is Purpose.ENTRY:
            self.bought += order.quantity
            self.wire.fill(order)
        elif order.ref.leg is Purpose.EXIT and luck < 4:
            fate = ("executed", "late", "lost", "executed")[luck]
            if fate == "executed" and order.quantity <= self.free():
                self.sold += order.quantity
            elif fate == "executed":
                fate = "lost"
            self.unseen[order.ref] = order, fate
            self.wire.give(OutcomeUnknown(order.ref, "timeout"))
        elif luck == 4:
            self.wire.give(Rejected(order.ref, RejectReason.OTHER, "no"))
        elif order.quantity > self.free():
            self.wire.give(Rejected(order.ref, RejectReason.INSUFFICIENT_BALANCE, "insufficient balance"))
        elif order.ref.leg is Purpose.EXIT:
            self.sold += order.quantity
            self.wire.fill(order)
        else:
            self.live[order.ref] = order
            self.under_unknown += bool(self.unseen)
            self.wire.give(Accepted(order.ref, "v"))

    def move(self) -> None:
        """An entry, a request to close, a stop that triggers, a deadline, or the end of an unknown outcome."""
        kind = self.dice.pick("xxtkkuu") if self.wire.held() else self.dice.pick("eu")
        if kind == "e":
            self.wire.enter(quantity="10")
        elif kind == "x":
            self.wire.close()
        elif kind == "t" and self.live:
            order = self.live.pop(self.dice.pick(sorted(self.live)))
            self.sold += order.quantity
            self.wire.fill(order)
        elif kind == "k":
            self.wire.tick({BTC: 100.0})
            if protection_timer(BTC) in self.wire.engine.timers:
                self.wire.give(TimerFired(protection_timer(BTC)))
        elif kind == "u" and self.unseen:
            order, fate = self.unseen.pop(self.dice.pick(sorted(self.unseen)))
            if fate == "late" and order.quantity <= self.free():
                self.sold += order.quantity
                fate = "executed"
            if fate == "executed":
                self.wire.fill(order)
            else:
                self.wire.give(Rejected(order.ref, RejectReason.NEVER_ARRIVED, "it was never there"))


@pytest.mark.parametrize("foreign", ["0", "10", "25"])
@pytest.mark.parametrize("seed", range(8))
def test_spot_never_sells_more_than_the_book_bought(seed: int, foreign: str) -> None:
    account = Account(seed, foreign)
    for _ in range(60):
        account.move()
        account.serve()
        assert account.sold <= account.bought
        late = sum((order.quantity for order, fate in account.unseen.values() if fate == "executed"), D(0))
        assert account.bought - account.sold == account.wire.held() - late


@pytest.mark.parametrize(("foreign", "stops"), [("0", True), ("10", False)])
def test_a_stop_rests_under_an_unknown_exit_only_if_all_coins_are_the_books(foreign: str, stops: bool) -> None:
    wire = Wire(Product.SPOT)
    wire.engine.account.exchange.shared = [BTC] if D(foreign) else []
    wire.fill(wire.enter(quantity="10"))  # type: ignore[arg-type]
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v1"))
    lost = wire.close()
    assert isinstance(lost, Order)
    wire.give(Canceled(wire.last(Purpose.STOP).ref, "on request"))
    wire.give(OutcomeUnknown(lost.ref, "timeout"))
    stop = wire.last(Purpose.STOP)
    assert (stop.ref.revision == 1) is stops
    if stops:
        wire.give(Accepted(stop.ref, "v2"))
        wire.give(Rejected(lost.ref, RejectReason.NEVER_ARRIVED, "it was never there"))
        assert [each.ref for each in wire.stands()] == [stop.ref]
    assert wire.engine.guard.protections[BTC].protected is stops


def test_coins_of_the_owner_keep_an_unknown_exit_alone_until_they_are_in_the_books() -> None:
    wire, account = exchange_wire(Product.SPOT), AccountAtExchange(Product.SPOT)
    wire.give(account.seen(wire.now))
    wire.tick({BTC: 100.0})
    entry = wire.enter(quantity="10")
    assert isinstance(entry, Order)
    fill = wire.fill(entry)
    account.trade(fill.quantity, fill.price, fill.fee)
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v1"))
    account.quantity += 5
    # A report of the time of the last trade may be older than that trade.
    wire.give(account.seen(wire.now))
    shared = wire.engine.account.exchange
    assert shared.shared == [BTC]
    lost = wire.close()
    assert isinstance(lost, Order)
    wire.give(Canceled(wire.last(Purpose.STOP).ref, "on request"))
    wire.give(OutcomeUnknown(lost.ref, "timeout"))
    assert [each.ref for each in wire.stands()] == [lost.ref]
    for _ in range(2):
        wire.tick({BTC: 100.0})
        account.take(wire.last(Purpose.STOP))
        wire.give(account.seen(wire.now))
    assert (wire.held(), shared.shared) == (D(15), [BTC])
    wire.give(Rejected(lost.ref, RejectReason.NEVER_ARRIVED, "it was never there"))
    wire.tick({BTC: 100.0})
    wire.give(account.seen(wire.now))
    assert shared.shared == []


def doubted(shared: Sequence[str] = ()) -> tuple[Wire, Order]:
    """Return a book with a position, and its stop of unknown outcome; `shared` are symbols that the owner also has."""
    wire = Wire(Product.SPOT)
    wire.engine.account.exchange.shared = list(shared)
    entry = wire.enter(quantity="10")
    assert isinstance(entry, Order)
    wire.fill(entry)
    stop = wire.last(Purpose.STOP)
    wire.give(OutcomeUnknown(stop.ref, "timeout"))
    return wire, stop


def test_stop_of_unknown_outcome_is_replaced_once_before_the_deadline() -> None:
    wire, first = doubted()
    timers = wire.engine.timers
    assert timers[retry_timer(BTC)] < timers[protection_timer(BTC)]
    wire.give(TimerFired(retry_timer(BTC)))
    second = wire.last(Purpose.STOP)
    assert (second.quantity, second.trigger_price) == (first.quantity, first.trigger_price)
    assert (second.ref != first.ref, wire.canceled) == (True, [first.ref])
    wire.give(OutcomeUnknown(second.ref, "timeout"))
    assert retry_timer(BTC) not in wire.engine.timers, "of two, one arrives, or the position is closed"
    wire.give(Accepted(second.ref, "v2"))
    assert wire.engine.guard.protections[BTC].protected


def test_stop_of_unknown_outcome_that_is_found_is_not_replaced() -> None:
    wire, stop = doubted()
    wire.give(Accepted(stop.ref, "v1"))
    wire.give(TimerFired(retry_timer(BTC)))
    assert wire.last(Purpose.STOP) is stop
    assert wire.canceled == []


def test_unknown_stop_waits_if_the_account_has_more_than_the_book() -> None:
    wire, _ = doubted(shared=[BTC])
    assert protection_timer(BTC) in wire.engine.timers
    assert retry_timer(BTC) not in wire.engine.timers


def tiny() -> tuple[Wire, Order]:
    """A resting entry of ten units, of which a few cents' worth has filled: too little to be sold."""
    wire = Wire(Product.SPOT)
    entry = wire.enter(limit=D(99))
    assert isinstance(entry, Order)
    wire.fill(entry, "0.01", "99")
    return wire, entry


def incidents(wire: Wire) -> list[str]:
    return [each.text for each in wire.journal if isinstance(each, events.Incident)]


def test_a_fill_too_small_for_a_stop_is_stated_once_and_sends_no_order() -> None:
    wire, entry = tiny()
    wire.fill(entry, "0.01", "99")
    assert [each.ref.leg for each in wire.sent] == [Purpose.ENTRY]
    (stated,) = incidents(wire)
    assert stated == (
        "the position of 0.01 BTCUSDT is too small for a stop; it is closed with the rest of its entry, or kept as dust"
    )
    assert wire.engine.guard.protections[BTC].deadline is not None


def test_the_stop_comes_once_enough_of_the_entry_has_filled() -> None:
    wire, entry = tiny()
    wire.fill(entry, "4", "99")
    stop = wire.last(Purpose.STOP)
    assert stop.quantity == D("4.01")
    wire.give(Accepted(stop.ref, "v"))
    assert wire.engine.guard.protections[BTC].protected


def test_at_the_deadline_the_entry_is_cancelled_and_the_rest_becomes_dust() -> None:
    wire, entry = tiny()
    wire.tick({BTC: 99.5})
    wire.give(TimerFired(protection_timer(BTC)))
    assert wire.canceled == [entry.ref]
    assert protection_timer(BTC) in wire.engine.timers
    wire.give(Canceled(entry.ref, "on request"))
    assert wire.held() == 0
    assert wire.engine.account.ledger.dust[BTC].quantity == D("0.01")
    assert [each.ref.leg for each in wire.sent] == [Purpose.ENTRY]

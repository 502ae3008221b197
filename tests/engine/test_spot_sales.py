"""On spot, where nothing is reduce-only, the book never sells more than it owns, and states what is too small."""

from decimal import Decimal
from hashlib import shake_256

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Accepted, Canceled, Order, OrderRef, OutcomeUnknown, Purpose, Rejected
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.steps import TimerFired
from ocw_mcp.engine.protection import protection_timer
from tests.support.dice import Dice
from tests.support.wire import Wire

D = Decimal
BTC = "BTCUSDT"


class Account:
    """A spot account with other coins of its owner: the venue refuses no sale. It counts what the book sold."""

    def __init__(self, seed: int) -> None:
        self.wire, self.dice = Wire(Product.SPOT), Dice(shake_256(bytes([seed])).digest(2_000))
        self.bought = self.sold = D(0)
        self.live: dict[OrderRef, Order] = {}
        self.unseen: dict[OrderRef, tuple[Order, bool]] = {}
        """The exits of unknown outcome, and whether they were executed."""
        self.seen = self.asked = 0

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
        if order.ref.leg is Purpose.EXIT and luck < 4:
            self.unseen[order.ref] = (order, luck < 2)
            self.sold += order.quantity * (luck < 2)
            self.wire.give(OutcomeUnknown(order.ref, "timeout"))
        elif order.ref.leg is not Purpose.ENTRY and luck == 4:
            self.wire.give(Rejected(order.ref, RejectReason.OTHER, "no"))
        elif order.ref.leg is Purpose.ENTRY:
            self.bought += order.quantity
            self.wire.fill(order)
        elif order.ref.leg is Purpose.EXIT:
            self.sold += order.quantity
            self.wire.fill(order)
        else:
            self.live[order.ref] = order
            self.wire.give(Accepted(order.ref, "v"))

    def move(self) -> None:
        """An entry, a request to close, a stop that triggers, a deadline, or the end of an unknown outcome."""
        kind = self.dice.pick("xxtkkuu") if self.wire.held() else "e"
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
            order, executed = self.unseen.pop(self.dice.pick(sorted(self.unseen)))
            if executed:
                self.wire.fill(order)
            else:
                self.wire.give(Rejected(order.ref, RejectReason.NEVER_ARRIVED, "it was never there"))


@pytest.mark.parametrize("seed", range(8))
def test_spot_never_sells_more_than_the_book_bought(seed: int) -> None:
    account = Account(seed)
    for _ in range(60):
        account.move()
        account.serve()
        assert account.sold <= account.bought
        late = sum((order.quantity for order, executed in account.unseen.values() if executed), D(0))
        assert account.bought - account.sold == account.wire.held() - late


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

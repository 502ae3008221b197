"""At a venue that behaves at random, the live stops keep what was promised: an oracle that reads only the requests.

- The first stop of a position closes the whole position; while it stands, no second one is sent, and it never moves.
- A tighter stop never loosens, and has the quantity of the position once it is called protected.
- Orders that reduce a position never reverse it, whatever fills.
- A position is covered by an accepted stop at its planned trigger, or its deadline or its exit is running.
"""

from decimal import Decimal
from hashlib import shake_256

import pytest

from ocw_mcp.core.orders.table import OrderStatus
from ocw_mcp.domain.asks import ProtectionRequest
from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.orders import Accepted, Canceled, Order, OrderRef, OutcomeUnknown, Purpose, Rejected
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.steps import Asked
from ocw_mcp.engine.protection import protection_timer, retry_timer
from tests.support.dice import Dice
from tests.support.wire import Wire

D = Decimal
BTC = "BTCUSDT"
REASONS = (RejectReason.OVERLOADED, RejectReason.RATE_LIMITED, RejectReason.TOO_MANY_STOPS, RejectReason.OTHER)


class Exchange:
    """A venue with its own books, which cuts reductions down to the position and ends wide stops with it."""

    def __init__(self, way: int, seed: int) -> None:
        self.wire, self.dice, self.way = Wire(), Dice(shake_256(bytes([seed])).digest(2_000)), way
        self.position = D(0)
        self.live: dict[OrderRef, Order] = {}
        self.left: dict[OrderRef, Decimal] = {}
        self.seen = self.asked = 0
        self.tightest: dict[int, Decimal] = {}
        """The tightest trigger of a stop with a quantity, by position."""

    def serve(self) -> None:
        """Answer every request since the last call: accept it, reject it, or leave its outcome unknown for a while."""
        while self.seen < len(self.wire.sent) or self.asked < len(self.wire.canceled):
            if self.seen < len(self.wire.sent):
                self.seen += 1
                self.answer(self.wire.sent[self.seen - 1])
            else:
                self.asked += 1
                self.end(self.wire.canceled[self.asked - 1], "on request")

    def answer(self, order: Order) -> None:
        self.check(order)
        luck = self.dice.pick(range(16))
        if luck < 4 and order.ref.leg is not Purpose.ENTRY:
            if luck < 2:
                self.wire.give(OutcomeUnknown(order.ref, "timeout"))
            self.wire.give(Rejected(order.ref, self.dice.pick(REASONS), "no"))
            return
        wide = [each for each in self.live.values() if each.close_position]
        if order.close_position and wide:
            self.wire.give(Rejected(order.ref, RejectReason.STOP_EXISTS, "one rests"))
            return
        if order.close_position and not self.position:
            self.wire.give(Rejected(order.ref, RejectReason.NO_POSITION, "flat"))
            return
        self.live[order.ref], self.left[order.ref] = order, order.quantity
        self.wire.give(Accepted(order.ref, f"v{order.ref}"))
        if order.trigger_price is None:
            self.trade(order.ref)

    def check(self, order: Order) -> None:
        """What each stop has to be, from the requests alone."""
        if order.ref.leg is not Purpose.STOP:
            return
        trigger, stops = order.trigger_price, [each for each in self.live.values() if each.ref.leg is Purpose.STOP]
        assert trigger is not None
        wide = [each for each in stops if each.close_position and each.ref.n == order.ref.n]
        assert not (order.close_position and wide), "a second stop of the whole position"
        if not order.close_position:
            tightest = self.tightest.setdefault(order.ref.n, trigger)
            assert (trigger - tightest) * self.way >= 0, "it loosens"
            self.tightest[order.ref.n] = trigger

    def trade(self, ref: OrderRef) -> None:
        """Fill an order in one or two parts; a reduction at most down to flat."""
        order = self.live[ref]
        if order.close_position:
            self.left[ref] = abs(self.position)
        for share in self.dice.pick(((D(1),), (D("0.3"), D(1)))):
            if ref not in self.live:
                return
            size = min(self.left[ref], max(D("0.001"), (self.left[ref] * share).quantize(D("0.001"))))
            if order.reduce_only:
                size = min(size, abs(self.position)) if self.position * order.side.sign < 0 else D(0)
            if not size:
                break
            self.left[ref] -= size
            self.position += size * order.side.sign
            if not self.left[ref]:
                del self.live[ref]
            self.wire.fill(order, size)
            self.over()
            assert self.wire.held() == self.position
        if order.reduce_only and ref in self.live:
            self.end(ref, "expired")

    def over(self) -> None:
        """End the stops of the whole position with it."""
        if not self.position:
            for each in [each for each in self.live.values() if each.close_position]:
                self.end(each.ref, "expired")

    def end(self, ref: OrderRef, why: str) -> None:
        if self.live.pop(ref, None) is not None:
            self.wire.give(Canceled(ref, why))

    def move(self, number: int) -> None:
        """Something happens: an entry, an addition, a tighter stop, a lost stop, a triggered stop, an exit, time."""
        wire, dice, sign = self.wire, self.dice, self.way
        stops = [each for each in self.live.values() if each.ref.leg is Purpose.STOP]
        kind = dice.pick("aaatttttlgxck") if self.position else "e"
        if kind == "e":
            wire.enter(Action.BUY if sign > 0 else Action.SHORT, stop=D(100 - 5 * sign), quantity="10")
        elif kind == "a":
            wire.enter(Action.ADD, quantity="1")
        elif kind == "t":
            step = D(dice.pick(range(1, 40))) / 10
            wire.give(Asked(ProtectionRequest(f"t{number}", "anna", BTC, stop=100 - (D("4.5") - step) * sign)))
        elif kind == "l" and stops:
            self.end(dice.pick(stops).ref, "by hand, in the app")
        elif kind == "g" and stops:
            first = max(stops, key=lambda each: (each.trigger_price or D(0)) * sign)
            self.trade(first.ref)
        elif kind == "x":
            wire.close()
        elif kind == "c":
            wire.tick({BTC: 100.0})
        elif kind == "k":
            for timer in (retry_timer(BTC), protection_timer(BTC)):
                if timer in wire.engine.timers:
                    wire.fire()
                    break

    def holds(self) -> None:
        """The position is covered, or its deadline or an exit is running."""
        assert self.wire.held() == self.position
        assert self.position * self.way >= 0, "it was reversed"
        engine = self.wire.engine
        if not self.position:
            assert not [each for each in engine.orders.live(BTC) if not each.cancel_requested]
            return
        protection = engine.guard.protections[BTC]
        covers = [
            each
            for each in self.live.values()
            if each.ref.leg is Purpose.STOP
            and each.trigger_price is not None
            and (each.trigger_price - protection.trigger) * self.way >= 0
            and (each.close_position or each.quantity >= abs(self.position))
        ]
        unknown = any(each.status is OrderStatus.UNKNOWN for each in engine.orders.live(BTC))
        timed = {protection_timer(BTC), retry_timer(BTC)} & engine.timers.keys()
        assert bool(covers) or timed or engine.manager.exit_under_way(BTC) or unknown
        assert not protection.protected or covers, "it is called protected"


@pytest.mark.parametrize("way", [1, -1])
@pytest.mark.parametrize("seed", range(6))
def test_live_stops_keep_what_was_promised(seed: int, way: int) -> None:
    exchange = Exchange(way, seed)
    for number in range(60):
        exchange.move(number)
        exchange.serve()
        exchange.holds()

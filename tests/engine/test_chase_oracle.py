"""On an exchange that behaves at random, a chased entry keeps what was promised: an oracle that reads only requests.

- All orders of an entry together fill no more than the quantity that was checked, also if fills are reported late.
- No order has a worse price than the one that was checked, and no more orders are sent than the policy says.
- Two orders of an entry are never at the exchange together.
- What has filled is covered by stops; in the end, no entry rests and no other one is sent.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from hashlib import shake_256

import pytest

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import (
    CancelRefused,
    Filled,
    Order,
    OrderRef,
    OutcomeUnknown,
    Purpose,
    Rejected,
    RejectReason,
    Side,
)
from tests.support.chasing import Exchange, chasing
from tests.support.dice import Dice

D = Decimal
QUANTITY = D(10)
REPRICES = 3
REASONS = (RejectReason.WOULD_TAKE, RejectReason.WOULD_TAKE, RejectReason.WOULD_TAKE, RejectReason.OTHER)


class Moody(Exchange):
    """An exchange that fills, rejects, delays and forgets at random."""

    def __init__(self, product: Product, side: Side, seed: int, at_end: str) -> None:
        self.dice, self.side = Dice(shake_256(f"{product} {side} {seed}".encode()).digest(4_000)), side
        self.late: list[Filled] = []
        self.slow: list[OrderRef] = []
        """Cancels that are answered later."""
        self.checked: Decimal | None = None
        self.after_cancel = False
        """Whether a fill was reported after its order had ended."""
        policy = chasing(reprices=REPRICES, follow=("0.0015", "0.01")[seed % 3 > 0], at_end=at_end)
        super().__init__(product, policy)

    def place(self, order: Order) -> None:
        if order.ref.leg is Purpose.ENTRY:
            self.check(order)
            luck = self.dice.pick(range(16))
            if luck == 0:
                self.give(
                    Rejected(order.ref, self.dice.pick((*[RejectReason.WOULD_TAKE] * 3, RejectReason.OTHER)), "no")
                )
                return
            if luck == 1:
                self.give(OutcomeUnknown(order.ref, "timeout"))
                if self.dice.yes():
                    self.give(Rejected(order.ref, RejectReason.NEVER_ARRIVED, "never arrived"))
                    return
        super().place(order)

    def check(self, order: Order) -> None:
        """Compare an order with the price at the first one, and with what the exchange has."""
        worst = D("0.002") * self.side.sign * D(100)
        if self.checked is None:
            rounding = ROUND_FLOOR if self.side is Side.BUY else ROUND_CEILING
            self.checked = (D(100) + worst).quantize(D("0.01"), rounding)
        assert order.limit_price is not None
        assert (order.limit_price - self.checked) * self.side.sign <= 0
        assert order.quantity + self.total() <= QUANTITY
        assert not self.book
        assert len(self.entries) <= REPRICES + 2

    def cancel(self, ref: OrderRef) -> None:
        if ref in self.book and self.dice.pick(range(4)) == 0:
            self.slow.append(ref)
        elif ref in self.book and self.dice.pick(range(8)) == 0:
            self.give(CancelRefused(ref, "try again"))
        else:
            super().cancel(ref)

    def live(self) -> None:
        """Let a second pass in which anything may happen."""
        for ref in list(self.book):
            order = self.book[ref]
            left = order.quantity - self.filled.get(ref, D(0))
            if self.dice.pick(range(16)) == 0:
                part = (
                    left
                    if self.dice.pick(range(4)) == 0
                    else max(D("0.001"), (left / 3).quantize(D("0.001"), ROUND_FLOOR))
                )
                fill = self.match(ref, part)
                if self.dice.yes():
                    self.late.append(fill)
                else:
                    self.give(fill)
        self.serve()
        if self.slow and self.dice.yes():
            super().cancel(self.slow.pop(0))
            self.serve()
        if self.late and self.dice.pick(range(8)) == 0:
            fill = self.late.pop(0)
            self.after_cancel |= self.filled[fill.ref] < self.order_of(fill.ref).quantity and fill.ref not in self.book
            self.give(fill)
            if self.dice.yes():
                self.give(fill)
            self.serve()
        if self.dice.pick(range(12)) == 0:
            self.restart()
        self.move(self.at + self.side.sign * self.dice.pick((D(0), D("0.1"), D("0.1"), D("-0.1"))))
        self.wait(1)
        assert self.total() <= QUANTITY
        self.covered()

    def order_of(self, ref: OrderRef) -> Order:
        return next(each for each in self.sent if each.ref == ref)

    def covered(self) -> None:
        """Compare the stops with the fills that were reported."""
        held = abs(self.held())
        too_small = self.engine.manager.spot and held * self.at < 5
        if held and not too_small:
            stops = [each for each in self.stops.values() if each.ref.leg is Purpose.STOP]
            assert stops, held
            assert any(each.close_position for each in stops) or max(each.quantity for each in stops) >= held

    def settle(self) -> None:
        """Report all that was held back, and let time pass until everything has ended."""
        for ref in self.slow:
            super().cancel(ref)
        self.slow.clear()
        for fill in self.late:
            self.give(fill)
        self.late.clear()
        self.serve()
        self.wait(180)


CASES = [
    (product, side, at_end, seed)
    for seed in range(12)
    for product, side in ((Product.UM, Side.BUY), (Product.UM, Side.SELL), (Product.SPOT, Side.BUY))
    for at_end in (("take", "give_up")[seed % 2],)
]


@pytest.mark.parametrize(("product", "side", "at_end", "seed"), CASES)
def test_a_chased_entry_keeps_its_bounds_at_a_random_exchange(
    product: Product, side: Side, at_end: str, seed: int
) -> None:
    exchange = Moody(product, side, seed, at_end)
    exchange.chase(side, str(QUANTITY))
    for _ in range(60):
        exchange.live()
    exchange.settle()
    assert exchange.total() <= QUANTITY
    assert exchange.over()
    reported = sum((fill.quantity for order, fill in exchange.reported if order.ref.leg is Purpose.ENTRY), D(0))
    assert reported == exchange.total()
    exchange.covered()


def test_random_exchange_reaches_every_way_of_a_chase() -> None:
    seen: set[str] = set()
    for product, side, at_end, seed in CASES[:12]:
        exchange = Moody(product, side, seed, at_end)
        exchange.chase(side, str(QUANTITY))
        for _ in range(60):
            exchange.live()
        seen |= {f"{min(len(exchange.entries), 3)} orders"}
        seen |= {"took"} if exchange.entries[-1].immediate else set()
        seen |= {"partial"} if 0 < exchange.total() < QUANTITY else set()
        seen |= {"late"} if exchange.after_cancel else set()
        seen |= {"all"} if exchange.total() == QUANTITY else set()
    assert seen == {"1 orders", "2 orders", "3 orders", "took", "partial", "late", "all"}

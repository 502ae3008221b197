"""Fifty trailing stops that could all move with every price need few of the requests that an exchange allows."""

from decimal import Decimal

from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.market import Frame, Mark
from ocw_mcp.domain.orders import Accepted, Canceled, Order, OrderRef, Purpose
from ocw_mcp.domain.time import MINUTE, SECOND
from tests.support.markets import START, candle
from tests.support.runs import policies
from tests.support.wire import Wire

D = Decimal
SYMBOLS = tuple(f"C{number:02d}USDT" for number in range(50))
ORDERS_A_MINUTE = 1_200
"""The limit of Binance on orders of one account on futures."""


class Rising(Wire):
    """An exchange that accepts every stop, and prices that rise within each minute."""

    def __init__(self) -> None:
        self.later_ms = self.seen = self.asked = 0
        self.standing: dict[OrderRef, Order] = {}
        wide = policies(order={"max_notional": 10**6}, position={"max_share": 1}, symbols={"allow": ["*"]})
        super().__init__(policy=wide, symbols=SYMBOLS, live=True)

    @property
    def now(self) -> int:
        return START + (self.minute + 1) * MINUTE + self.later_ms

    def serve(self) -> int:
        """Answer every request since the last call, and return their number."""
        before = self.seen + self.asked
        while self.seen < len(self.sent) or self.asked < len(self.canceled):
            if self.seen < len(self.sent):
                order = self.sent[self.seen]
                self.seen += 1
                if order.ref.leg is Purpose.ENTRY:
                    self.fill(order)
                else:
                    self.standing[order.ref] = order
                    self.give(Accepted(order.ref, f"v{order.ref}"))
            else:
                ref = self.canceled[self.asked]
                self.asked += 1
                del self.standing[ref]
                self.give(Canceled(ref, "on request"))
        return self.seen + self.asked - before

    def rise(self, price: float) -> int:
        """Let a minute pass in which every price rises, and return the requests; each candle comes on its own."""
        before = self.seen + self.asked
        for second in (15, 30, 45):
            self.later_ms = second * SECOND
            at = price - (60 - second) / 60
            self.give(Frame(self.now, marks=tuple(Mark(each, self.now, at, at) for each in SYMBOLS)))
            self.serve()
        self.later_ms, self.minute = 0, self.minute + 1
        for symbol in SYMBOLS:
            # Between two candles the marks rise on, and the other stops could follow.
            self.later_ms += 20
            price += 0.05
            self.give(
                Frame(
                    self.now,
                    (candle(self.minute, price, symbol=symbol),),
                    marks=tuple(Mark(each, self.now, price, price) for each in SYMBOLS),
                )
            )
            self.serve()
        self.later_ms = 0
        return self.seen + self.asked - before


def test_fifty_trailing_stops_need_two_requests_a_minute_each() -> None:
    wire = Rising()
    for symbol in SYMBOLS:
        assert isinstance(wire.enter(quantity="1", symbol=symbol), Order)
        wire.serve()
        wire.enter(Action.PROTECT, None, symbol=symbol, size=None, stop=None, trail=D("0.005"))
        wire.serve()
    counted = [wire.rise(price) for price in (101.0, 105.0)]
    assert counted[0] >= 50, "each of them has moved"
    assert max(counted) <= 2 * len(SYMBOLS) <= ORDERS_A_MINUTE / 10


def test_a_small_rise_moves_no_trailing_stop() -> None:
    wire = Rising()
    for symbol in SYMBOLS[:3]:
        assert isinstance(wire.enter(quantity="1", symbol=symbol), Order)
        wire.serve()
        wire.enter(Action.PROTECT, None, symbol=symbol, size=None, stop=None, trail=D("0.02"))
        wire.serve()
    before = len(wire.sent)
    for minute in range(5):
        wire.tick(dict.fromkeys(SYMBOLS, 100 + 0.03 * minute))
    assert len(wire.sent) == before

"""The order in which a candle's price reaches resting orders, compared with a walk over every tick of it."""

from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st

from ocw_mcp.domain.market import Candle, Opening, Product
from ocw_mcp.domain.orders import Filled, OrderRef, OutsideFill, Purpose, Side
from ocw_mcp.domain.time import MINUTE
from tests.adapters.venues.papers import BUY, ETH, SELL, T0, cleared_order, send, venue_with
from tests.support.examples import examples

D = Decimal
STOP, TARGET, ENTRY = Purpose.STOP, Purpose.TARGET, Purpose.ENTRY


class Laid(NamedTuple):
    """An order of one unit near an open of 1,000."""

    purpose: Purpose
    side: Side
    price: int
    ref: OrderRef

    @property
    def falls(self) -> bool:
        return (self.side is BUY) == (self.purpose is not STOP)

    def met(self, price: float) -> bool:
        """Return whether a price reaches the order: a conditional order at its price, a limit only beyond it."""
        if self.purpose is ENTRY:
            return price < self.price if self.falls else price > self.price
        return price <= self.price if self.falls else price >= self.price


def walked(held: int, orders: list[Laid], low: int, high: int, close: int) -> tuple[list[tuple[OrderRef, int]], int]:
    """Return the fills of a walk over every half tick, as order and price, and the position at the end."""
    reached = [each for each in orders if each.met(low if each.falls else high)]
    if held:
        stopped = any(each.purpose is STOP for each in reached)
        down_first = (held > 0) == stopped
    else:
        below = [each.price - low for each in reached if each.purpose is ENTRY and each.side is BUY]
        above = [high - each.price for each in reached if each.purpose is ENTRY and each.side is SELL]
        down_first = not below or bool(above and max(below) >= max(above))
    corners = [1_000, *((low, high) if down_first else (high, low)), close]
    left, fills = list(orders), []
    for begin, end in pairwise(corners):
        way = 1 if end >= begin else -1
        for half in range(2 * begin, 2 * end + way, way):
            for each in sorted(left, key=lambda each: (each.purpose is ENTRY, each.purpose is TARGET)):
                if each in left and each.met(half / 2):
                    left.remove(each)
                    if each.purpose is not ENTRY and held * each.side.sign >= 0:
                        continue
                    held += each.side.sign
                    fills.append((each.ref, each.price))
    return fills, held


ORDERS = st.lists(
    st.tuples(st.sampled_from([STOP, TARGET, ENTRY, ENTRY]), st.integers(1, 30), st.booleans()), max_size=5
)


@examples(30, slow=150)
@given(st.integers(-2, 2), ORDERS, st.integers(0, 32), st.integers(0, 32), st.floats(0, 1))
@example(2, [(STOP, 1, True), (ENTRY, 4, True)], 7, 0, 0.1)
@example(-2, [(STOP, 1, True), (ENTRY, 4, False)], 0, 7, 0.9)
@example(1, [(TARGET, 5, True), (ENTRY, 4, True)], 7, 7, 0.5)
@example(0, [(ENTRY, 5, True), (ENTRY, 4, False)], 7, 7, 0.5)
async def test_candle_fills_orders_in_the_sequence_of_its_tick_by_tick_path(
    held: int, drawn: list[tuple[Purpose, int, bool]], down: int, up: int, where: float
) -> None:
    venue = venue_with(wallet=10**6)
    venue.on_opening(Opening(ETH, T0 - MINUTE, 1_000.0), T0 - MINUTE)
    if held:
        entry = cleared_order(BUY if held > 0 else SELL, str(abs(held)), n=900, now=T0 - MINUTE)
        await send(venue, entry)
        venue.on_opening(Opening(ETH, T0 - MINUTE, 1_000.0), T0 - MINUTE)
    orders: list[Laid] = []
    for number, (purpose, away, buys) in enumerate(drawn, 1):
        if purpose is not ENTRY and not held:
            continue
        side = (BUY if buys else SELL) if purpose is ENTRY else (SELL if held > 0 else BUY)
        falls = (side is BUY) == (purpose is not STOP)
        price = 1_000 - away if falls else 1_000 + away
        ref = OrderRef(number, purpose)
        limit, trigger = (str(price), None) if purpose is ENTRY else (None, str(price))
        await send(venue, cleared_order(side, "1", purpose, n=number, now=T0, limit=limit, trigger=trigger))
        orders.append(Laid(purpose, side, price, ref))
    low, high = 1_000 - down, 1_000 + up
    close = low + round(where * (high - low))
    candle = Candle(ETH, T0, MINUTE, 1_000.0, float(high), float(low), float(close), 1e6)
    reports = list(venue.on_candle(candle, T0 + MINUTE))
    assert not any(isinstance(each, OutsideFill) for each in reports)
    expected, left = walked(held, orders, low, high, close)
    fills = [each for each in reports if isinstance(each, Filled)]
    assert [each.ref for each in fills] == [ref for ref, _ in expected]
    for fill, (_, price) in zip(fills, expected, strict=True):
        assert abs(fill.price - price) <= (0 if fill.maker else D("0.0006") * price)
    assert venue.account.ledger.quantity(ETH) == left
    assert venue.product is Product.UM

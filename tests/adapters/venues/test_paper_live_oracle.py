"""Fills on random quotes, mark prices and latencies, compared with an oracle that uses no code of the venue."""

from bisect import bisect_left
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from math import ceil
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.core.matching.on_candles import FillTerms
from ocw_mcp.domain.market import Candle, Mark, OrderBook, Product
from ocw_mcp.domain.orders import Accepted, Filled, OrderRef, Purpose, Side, TriggerBy, VenueReport
from ocw_mcp.domain.time import HOUR, MINUTE
from tests.adapters.venues.papers import ETH, T0, cleared_order
from tests.support.dice import Dice, dice
from tests.support.examples import examples

D, ZERO = Decimal, Decimal(0)
TAKER, MAKER, HALF_SPREAD, SLIPPAGE, TICK = D("0.0005"), D("0.0002"), D("0.0001"), D("0.0004"), D("0.01")
WALLET = D(10**8)
RECENT = 10_000
"""The age (ms) up to which a quote or a mark price counts."""
MARKET, EXIT, LIMIT, POST_ONLY, IOC, STOP, TARGET = "market", "exit", "limit", "post-only", "ioc", "stop", "target"
PURPOSES = {EXIT: Purpose.EXIT, STOP: Purpose.STOP, TARGET: Purpose.TARGET}


class Sent:
    """An order that the venue accepted."""

    def __init__(self, n: int, kind: str, sign: int, left: int, price: int, by: TriggerBy, arrives: int) -> None:
        self.n, self.kind, self.sign, self.left, self.price = n, kind, sign, D(left), D(price)
        self.by, self.arrives, self.matched = by, arrives, False


class Oracle:
    """Walks through the events in the order of time; the arrival of an order at the venue is an event of its own."""

    def __init__(self, product: Product, volume: int | None) -> None:
        self.spot = product is Product.SPOT
        self.step = D("0.0001") if self.spot else D("0.001")
        self.share = None if volume is None else D(volume) / 10
        self.held, self.cash, self.orders = D(0), WALLET, list[Sent]()
        self.fills = list[tuple[int, Decimal, Decimal, bool, Decimal]]()
        self.quote: dict[int, Any] = {}
        self.now, self.quote_made, self.marks = -1, -10 * MINUTE, (D(0), D(0))
        self.quoted = self.marked = -RECENT - 1

    def at_quote(self, t: int, book: OrderBook | None) -> None:
        """Take new best prices, or look at the known ones again."""
        if book is not None:
            bid, ask = D(book.bid), D(book.ask)
            self.quote = {1: [ask, book.ask_quantity, D(0)], -1: [bid, book.bid_quantity, D(0)]}
            self.distance, self.spread = max(ask - bid, TICK), (ask - bid) / (ask + bid)
            self.quote_made = t
        self.quoted = t
        for one in sorted((o for o in self.orders if o.matched), key=lambda o: -o.sign * o.price):
            self.make(one)
        for one in sorted(self.orders, key=lambda o: o.arrives):
            if one.kind not in (STOP, TARGET) and one.arrives <= t and not one.matched:
                self.arrive(one, t)
        self.trigger(t)

    def pass_time(self, until: int) -> None:
        """Let all orders arrive that do so by `until` (ms)."""
        for one in sorted(self.orders, key=lambda o: o.arrives):
            if self.now < one.arrives <= until and one in self.orders and not one.matched:
                self.arrive(one, one.arrives)
        self.now = until

    def at_mark(self, t: int, mark: int, last: int) -> None:
        self.marked, self.marks = t, (D(mark), D(last))
        self.trigger(t)
        for one in [o for o in self.orders if o.kind == EXIT and o.arrives < t]:
            self.arrive(one, t)

    def arrive(self, one: Sent, t: int) -> None:
        if one.kind in (STOP, TARGET):
            self.trigger(t)
        elif t - self.quoted > RECENT:
            if one.kind == EXIT and t - self.marked <= RECENT:
                self.take_without_quote(one, self.marks[1], t)
        elif one.kind in (MARKET, EXIT, IOC):
            self.take(one, one.price if one.kind == IOC else None)
            self.drop(one)
        else:
            one.matched = True
            crosses = one.sign * (one.price - self.quote[one.sign][0]) >= 0
            if t - one.arrives > RECENT:
                self.make(one)
            elif crosses and one.kind == POST_ONLY:
                self.drop(one)
            elif crosses:
                self.take(one, one.price)

    def trigger(self, t: int) -> None:
        for one in sorted((o for o in self.orders if o.kind in (STOP, TARGET)), key=lambda o: o.kind == TARGET):
            if one.arrives > t or one not in self.orders:
                continue
            if t - self.marked <= RECENT:
                price = self.marks[one.by is TriggerBy.LAST]
            elif one.by is TriggerBy.LAST and t - self.quoted <= RECENT:
                price = self.quote[one.sign][0]
            else:
                continue
            if (one.sign if one.kind == STOP else -one.sign) * (price - one.price) >= 0:
                if t - self.quoted <= RECENT:
                    self.take(one, None)
                    self.drop(one)
                else:
                    self.take_without_quote(one, price, t)

    def make(self, one: Sent) -> None:
        best, size, used = self.quote[one.sign]
        bound = self.share if size is None else D(size)
        if one.sign * (one.price - best) >= 0:
            room = one.left if bound is None else min(one.left, max(D(0), bound - used))
            self.fill(one, room, one.price, maker=True)

    def slipped(self, price: Decimal, sign: int, quantity: Decimal, spread: Decimal = ZERO) -> Decimal:
        """Return a price worsened by the square root of a quantity over the share of the volume."""
        shares = max(D(1), quantity / self.share) if self.share is not None else D(1)
        return rounded(price * (1 + sign * (spread + SLIPPAGE * shares.sqrt())), sign)

    def take(self, one: Sent, limit: Decimal | None) -> None:
        best, offered, used = self.quote[one.sign]
        size = None if offered is None else D(offered)
        wanted = self.wanted(one)
        if limit is not None and one.sign * (best - limit) > 0:
            return
        first = min(wanted, max(D(0), size - used)) if size is not None else D(0)

        def deep(rest: Decimal) -> Decimal:
            through = used + first + rest
            if size is not None and self.share is None:
                return D(best + one.sign * self.distance * (ceil(through / size) - 1))
            least = best if size is None else best + one.sign * self.distance
            return D(one.sign * max(one.sign * least, one.sign * self.slipped(best, one.sign, through)))

        rest = wanted - first
        if limit is not None and one.sign * (deep(rest) - limit) > 0:
            steps = range(int(rest / self.step) + 1)
            beyond = bisect_left(steps, True, key=lambda n: n > 0 and one.sign * (deep(n * self.step) - limit) > 0)
            rest = (beyond - 1) * self.step
        parts = [(first, best), (rest, deep(rest))]
        for quantity, price in parts:
            if not self.fill(one, quantity, price):
                return

    def take_without_quote(self, one: Sent, price: Decimal, t: int) -> None:
        spread = max(HALF_SPREAD, TICK / 2 / price) if t - self.quote_made > MINUTE else self.spread
        wanted = self.wanted(one)
        self.fill(one, wanted, self.slipped(price, one.sign, wanted, spread), quoted=False)
        self.drop(one)

    def wanted(self, one: Sent) -> Decimal:
        if one.kind not in PURPOSES:
            return one.left
        return min(one.left, abs(self.held)) if self.held * one.sign < 0 else D(0)

    def fill(self, one: Sent, quantity: Decimal, price: Decimal, *, maker: bool = False, quoted: bool = True) -> bool:
        if not quantity:
            return True
        others = sum((o.left for o in self.orders if o is not one and o.sign < 0), D(0))
        if self.spot and one.sign < 0 and quantity > self.held - others:
            self.drop(one)
            return False
        fee = quantity * (MAKER if maker else TAKER) * price
        in_base = fee / price if self.spot and one.sign > 0 else D(0)
        self.held += one.sign * quantity - in_base
        self.cash -= one.sign * quantity * price + (0 if in_base else fee)
        self.fills.append((one.n, quantity, price, maker, fee))
        one.left -= quantity
        if quoted:
            self.quote[one.sign][2] += quantity
        if not one.left:
            self.drop(one)
        return True

    def drop(self, one: Sent) -> None:
        self.orders = [o for o in self.orders if o is not one]


def rounded(price: Decimal, sign: int) -> Decimal:
    return (price / TICK).to_integral_value(ROUND_CEILING if sign > 0 else ROUND_FLOOR) * TICK


PRICES = range(997, 1_004)
SIZES = (None, None, None, None, 1, 2, 3, 4)
KINDS = (MARKET, MARKET, EXIT, LIMIT, LIMIT, POST_ONLY, IOC, STOP, STOP, TARGET)
BEGIN = [(1, ("quote", 1_000, 1, 4, 4)), (1, ("mark", 1_000, 1_000)), (1, ("order", MARKET, True, 9, 0, None))]
WAITS = (1, 100, 249, 250, 251, 1_000, 4_000, 11_000, 70_000)
FEWEST, MOST = 12, 40


def events_of(roll: Dice) -> list[tuple[int, Any]]:
    return [(roll.pick(WAITS), event_of(roll)) for _ in range(roll.pick(range(FEWEST, MOST + 1)))]


def event_of(roll: Dice) -> tuple[Any, ...]:
    match roll.pick(("quote", "quote", "mark", "order", "order", "other")):
        case "quote":
            return "quote", roll.pick(PRICES), roll.pick(range(4)), roll.pick(SIZES), roll.pick(SIZES)
        case "mark":
            return "mark", roll.pick(PRICES), roll.pick(PRICES)
        case "order":
            kind, buys, quantity = roll.pick(KINDS), roll.yes(), roll.pick(range(1, 10))
            return "order", kind, buys, quantity, roll.pick(PRICES), roll.pick(list(TriggerBy))
        case _:
            return (roll.pick(("again", "due", "restart", "cancel")),)


@examples(60, slow=400)
@given(
    st.sampled_from(Product),
    st.sampled_from([0, 250, 3_000]),
    st.sampled_from([None, 20, 90]),
    dice(7 * MOST).map(events_of),
)
async def test_fills_on_random_quotes_equal_those_of_the_oracle(
    product: Product, latency: int, volume: int | None, events: list[tuple[int, Any]]
) -> None:
    terms = FillTerms(TAKER, HALF_SPREAD, SLIPPAGE, MAKER, latency_ms=latency)

    def new() -> PaperVenue:
        return PaperVenue(product, WALLET, HOUR, terms, live=True)

    venue, oracle, reports, t = new(), Oracle(product, volume), list[VenueReport](), 0
    if volume is not None:
        flat = Candle(ETH, T0 - MINUTE, MINUTE, 1_000.0, 1_000.0, 1_000.0, 1_000.0, float(volume))
        assert list(venue.on_candle(flat, T0)) == []
    book = OrderBook(ETH, T0, 1_000.0, 1_001.0)
    refs = list[OrderRef]()
    for wait, (name, *values) in [*BEGIN, *events, (4_000, ("due",))]:
        t += wait
        now = T0 + t
        oracle.pass_time(t - 1)
        if name == "quote":
            bid, spread, *sizes = values
            book = OrderBook(ETH, now, float(bid), float(bid + spread), None, None, *sizes)
            reports += venue.on_books([book], now)
            oracle.at_quote(t, book)
        elif name == "again" and oracle.quote:
            reports += venue.on_books([book], now)
            oracle.at_quote(t, None)
        elif name == "mark":
            mark, last = values
            reports += venue.on_marks([Mark(ETH, now, float(mark), float(last))], now)
            oracle.at_mark(t, mark, last)
        elif name == "order":
            kind, buys, quantity, price, by = values
            purpose, conditional = PURPOSES.get(kind, Purpose.ENTRY), kind in (STOP, TARGET)
            sign = 1 if buys or product is Product.SPOT else -1
            if purpose is not Purpose.ENTRY:
                # Most orders that reduce a position come while it is open.
                sign = -1 if oracle.held > 0 or (product is Product.SPOT or not buys) else 1
            if conditional:
                away = sign if kind == STOP else -sign
                price = int(oracle.marks[by is TriggerBy.LAST]) + away * (1 + price % 3)
            cleared = cleared_order(
                Side.BUY if sign > 0 else Side.SELL,
                str(quantity),
                purpose,
                n=len(refs) + 1,
                now=now,
                product=product,
                trigger=str(price) if conditional else None,
                limit=str(price) if kind in (LIMIT, POST_ONLY, IOC) else None,
                post_only=kind == POST_ONLY,
                immediate=kind == IOC,
                trigger_by=by if conditional else None,
            )
            refs.append(cleared.order.ref)
            await venue.submit(cleared, now)
            answers = venue.collect()
            reports += answers
            if any(isinstance(each, Accepted) and each.ref == cleared.order.ref for each in answers):
                oracle.orders.append(Sent(len(refs), kind, sign, quantity, price, by, t + latency))
        elif name == "due":
            reports += venue.due(now)
        elif name == "cancel" and refs:
            await venue.cancel(refs[-1], now)
            reports += venue.collect()
            oracle.orders = [one for one in oracle.orders if one.n != len(refs)]
        elif name == "restart":
            state, venue = venue.state(), new()
            venue.restore(state)
    oracle.pass_time(t)
    fills = [each for each in reports if isinstance(each, Filled)]
    assert [(fill.ref.n, fill.quantity, fill.price, fill.maker, fill.fee) for fill in fills] == oracle.fills
    ledger = venue.account.ledger
    assert ledger.quantity(ETH) == oracle.held
    position = ledger.positions.get(ETH)
    assert round(ledger.wallet - (position.cost if position else 0) - oracle.cash, 8) == 0
    assert {order.ref.n for order in venue.orders} == {one.n for one in oracle.orders}

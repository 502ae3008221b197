"""The paper venue: an exchange in this process, trading against the frames of the feed.

It keeps an account of its own and believes nobody: reduce-only is cut down to the position it knows, and what its money
cannot carry is rejected. Fills are `core.matching`'s.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from ocw_mcp.adapters.venues.instruments import paper_instrument
from ocw_mcp.adapters.venues.paper_account import PaperAccount, PaperAccountState
from ocw_mcp.adapters.venues.paper_filters import filtered
from ocw_mcp.adapters.venues.paper_orders import NO_MONEY, STOP_CROSSED, WOULD_TAKE, Resting, Swept, touched
from ocw_mcp.core.matching.on_candles import (
    TERMS,
    Terms,
    beyond_limit,
    falls_to,
    passed,
    pressure,
    room,
    within_limit,
    worsened,
    would_take,
)
from ocw_mcp.domain.approved import ApprovedOrder
from ocw_mcp.domain.market import Candle, Funding, Instrument, Opening, Product
from ocw_mcp.domain.money import ZERO, exact
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    Filled,
    Order,
    OrderRef,
    OrderType,
    Rejected,
    Side,
    VenueReport,
)
from ocw_mcp.domain.time import SECOND


class PaperState(msgspec.Struct):
    """The venue, to be restored."""

    counter: int
    account: PaperAccountState
    waiting: list[Resting]
    limits: list[Resting]
    resting: list[Resting]
    instruments: dict[str, Instrument]
    closed: dict[str, Candle]


class PaperVenue:
    """One paper account; an entry at the market waits `patience_ms` at most for a price to be filled at."""

    name = "paper"

    def __init__(
        self,
        product: Product,
        wallet: Decimal,
        patience_ms: int,
        terms: Terms | None = None,
    ) -> None:
        self.product = product
        self.terms = terms or TERMS[product]
        self.account = PaperAccount(product, wallet, self.terms.leverage)
        self.next_funding = self.account.next_funding
        """The next stamp (ms) at which funding is assumed where none is told. Asked for at every frame."""
        self._patience_ms = patience_ms
        self._counter = 0
        self._waiting: list[Resting] = []
        self._limits: list[Resting] = []
        self._resting: list[Resting] = []
        self._instruments: dict[str, Instrument] = {}
        self._closed: dict[str, Candle] = {}
        self._swept: dict[str, Swept] = {}

    def instrument(self, symbol: str, price: float) -> Instrument:
        """The filters of a symbol; the first price it is asked with decides where they have to be guessed."""
        if symbol not in self._instruments:
            self._instruments[symbol] = paper_instrument(self.product, symbol, price)
        return self._instruments[symbol]

    @property
    def orders(self) -> list[Order]:
        """All that has not traded or gone: market orders, limits, then conditional ones."""
        return [each.order for each in (*self._waiting, *self._limits, *self._resting)]

    async def submit(self, approved: ApprovedOrder, now: int) -> Sequence[VenueReport]:
        """Take an order: a market order waits for the next opening, a limit and a conditional one rest.

        One whose name is there already is not taken again. The answer is the order that is there, and no rejection,
        which would say that there is none.
        """
        order = approved.redeem(now)
        there = self._find(order.ref)
        if there is not None:
            return [Accepted(order.ref, there.venue_order_id)]
        swept = self._swept_past(order, now)
        refused = None if swept else self._refusal(order)
        if refused is not None:
            return [refused]
        self._counter += 1
        resting = Resting(order, f"paper-{self._counter}", now)
        accepted = Accepted(order.ref, resting.venue_order_id)
        if order.trigger_price is not None:
            if swept:
                return [accepted, *self._take(resting, order.trigger_price, now)]
            resting.trigger, resting.falls = float(order.trigger_price), falls_to(order)
            self._resting.append(resting)
        elif order.limit_price is not None:
            resting.trigger, resting.falls = float(order.limit_price), order.side is Side.BUY
            last = self.account.last.get(order.symbol)
            resting.takes = last is not None and would_take(order, exact(last))
            self._limits.append(resting)
        else:
            self._waiting.append(resting)
        return [accepted]

    async def cancel(self, ref: OrderRef, now: int) -> Sequence[VenueReport]:
        """Take an order off; an order that is not there any more answers nothing."""
        there = self._find(ref)
        if there is None:
            return []
        self._forget(there)
        return [Canceled(ref, "on request")]

    def settle_funding(self, until: int, told: Sequence[Funding] = ()) -> Sequence[VenueReport]:
        """Settle what was `told`, then the assumed stamps up to `until` (ms) for symbols of which nothing ever was.

        The mark is the last price. Spot has no funding.
        """
        reports = self.account.settle_funding(until, told)
        self.next_funding = self.account.next_funding
        return reports

    def on_opening(self, opening: Opening, now: int) -> Sequence[VenueReport]:
        """Fill what waited for a price, then trigger what the opening has passed."""
        symbol = opening.symbol
        self.account.last[symbol] = opening.price
        if self._swept:
            self._swept.pop(symbol, None)
        if not (self._waiting or self._limits) and not (
            self._resting and touched(self._resting, symbol, opening.price, opening.price)
        ):
            return ()
        reports: list[VenueReport] = []
        price = exact(opening.price)
        for resting in [each for each in self._waiting if each.order.symbol == symbol]:
            if not resting.order.reduce_only and opening.at - resting.since > self._patience_ms:
                self._waiting.remove(resting)
                reports.append(Canceled(resting.order.ref, "expired: no price came while it waited"))
            else:
                reports += self._take(resting, price, opening.at, self._room(symbol, price))
        for resting in [each for each in self._limits if each.order.symbol == symbol]:
            reports += self._limit_at_opening(resting, opening, price)
        for resting in touched(self._resting, symbol, opening.price, opening.price):
            if passed(resting.order, price):
                reports += self._take(resting, price, opening.at)
        return reports

    def on_candle(self, candle: Candle, now: int) -> Sequence[VenueReport]:
        """Fill limits, then trigger what the candle's range reached, stops before targets.

        An order that came after the candle had opened knows nothing of its range before that; for such a one only the
        close counts.
        """
        symbol = candle.symbol
        self.account.last[symbol] = candle.close
        self._closed[symbol] = candle
        if not self._resting and not self._limits:
            return ()
        self._swept.pop(symbol, None)
        reports: list[VenueReport] = []
        for resting in touched(self._limits, symbol, candle.low, candle.high):
            reports += self._limit_within(resting, candle, now)
        for resting in touched(self._resting, symbol, candle.low, candle.high):
            order = resting.order
            assert order.trigger_price is not None
            if resting.since > candle.open_time:
                close = exact(candle.close)
                if passed(order, close):
                    reports += self._take(resting, close, now)
            elif passed(order, exact(candle.low if resting.falls else candle.high)):
                reports += self._take(resting, order.trigger_price, now)
        return reports

    def state(self) -> bytes:
        """All of the venue."""
        return msgspec.msgpack.encode(
            PaperState(
                self._counter,
                self.account.state(),
                self._waiting,
                self._limits,
                self._resting,
                self._instruments,
                self._closed,
            )
        )

    def restore(self, state: bytes) -> None:
        """Put back what `state` gave."""
        saved = msgspec.msgpack.decode(state, type=PaperState)
        self._counter = saved.counter
        self.account.restore(saved.account)
        self.next_funding = self.account.next_funding
        self._waiting = saved.waiting
        self._limits = saved.limits
        self._resting = saved.resting
        self._instruments = saved.instruments
        self._closed = saved.closed

    def _refusal(self, order: Order) -> Rejected | None:
        seen = self.account.last.get(order.symbol)
        last = None if seen is None else exact(seen)
        price = last or order.limit_price or order.trigger_price
        if order.symbol in self._instruments or price is not None:
            refused = filtered(order, self.instrument(order.symbol, float(price or 0)), last)
            if refused is not None:
                return refused
        if order.trigger_price is not None:
            crossed = last is not None and passed(order, last)
            return Rejected(order.ref, *STOP_CROSSED) if crossed else None
        if order.limit_price is None:
            return None
        if order.post_only and last is not None and would_take(order, last):
            return Rejected(order.ref, *WOULD_TAKE[self.product])
        fee = order.quantity * order.limit_price * self.terms.taker_fee
        if not self.account.affords(order.symbol, order.side, order.quantity, order.limit_price, fee):
            return Rejected(order.ref, *NO_MONEY[self.product])
        return None

    def _swept_past(self, order: Order, now: int) -> bool:
        """Whether a stop is laid in answer to a fill within a candle after which the price went on through it.

        In the market it would have been laid at once, and hit.
        """
        swept = self._swept.get(order.symbol)
        return (
            swept is not None
            and now - swept.at <= SECOND
            and order.type is OrderType.STOP_MARKET
            and order.side is swept.closing
            and passed(order, swept.price)
        )

    def _limit_at_opening(self, resting: Resting, opening: Opening, price: Decimal) -> list[VenueReport]:
        order, takes = resting.order, resting.takes
        resting.takes = False
        if not beyond_limit(order, price):
            return []
        share = self._room(order.symbol, price)
        if takes:
            return self._take(resting, price, opening.at, share)
        before = self._closed.get(order.symbol)
        if before is not None and before.close_time < opening.at and resting.since < opening.at:
            assert order.limit_price is not None
            price = order.limit_price
        return self._fill(resting, _at_most(resting.remaining, share), price, opening.at, maker=True)

    def _limit_within(self, resting: Resting, candle: Candle, now: int) -> list[VenueReport]:
        order = resting.order
        assert order.limit_price is not None
        farthest = candle.low if resting.falls else candle.high
        extreme = exact(candle.close if resting.since > candle.open_time else farthest)
        if not beyond_limit(order, extreme):
            return []
        share = self._room(order.symbol, extreme)
        reports = self._fill(resting, _at_most(resting.remaining, share), order.limit_price, now, maker=True)
        if any(isinstance(report, Filled) for report in reports):
            self._swept[order.symbol] = Swept(now, order.side.opposite, extreme)
        return reports

    def _room(self, symbol: str, price: Decimal) -> Decimal | None:
        return room(self._closed.get(symbol), self.instrument(symbol, float(price)).step, self.terms)

    def _take(self, resting: Resting, price: Decimal, at: int, share: Decimal | None = None) -> list[VenueReport]:
        """Trade as a taker, up to a share of the volume where one is given; reduce-only no more than there is."""
        order = resting.order
        quantity = resting.remaining
        if order.reduce_only:
            held = self.account.ledger.quantity(order.symbol)
            quantity = min(quantity, abs(held)) if held * order.side.sign < 0 else ZERO
            if not quantity:
                self._forget(resting)
                return [Canceled(order.ref, "expired: reduce-only, and there is no position to reduce")]
        quantity = _at_most(quantity, share)
        instrument = self.instrument(order.symbol, float(price))
        shares = pressure(resting.filled + quantity, self._closed.get(order.symbol), instrument.step, self.terms)
        paid = worsened(order.side, price, instrument.tick, self.terms, shares)
        if order.limit_price is not None:
            paid = within_limit(order, paid)
        reports = self._fill(resting, quantity, paid, at)
        if order.reduce_only and resting.remaining and not self.account.ledger.quantity(order.symbol):
            self._forget(resting)
            reports.append(Canceled(order.ref, "expired: reduce-only, and nothing is left to reduce"))
        return reports

    def _fill(
        self, resting: Resting, quantity: Decimal, paid: Decimal, at: int, *, maker: bool = False
    ) -> list[VenueReport]:
        order = resting.order
        if not quantity:
            return []
        fee = quantity * paid * (self.terms.maker_fee if maker else self.terms.taker_fee)
        if not order.reduce_only and not self.account.affords(order.symbol, order.side, quantity, paid, fee):
            self._forget(resting)
            if resting.fills:
                return [Canceled(order.ref, "expired: the money does not carry the rest")]
            return [Rejected(order.ref, *NO_MONEY[self.product])]
        self.account.ledger.book(order.symbol, order.side, quantity, paid, fee, at)
        resting.filled += quantity
        resting.fills += 1
        # Whoever has begun to trade is patient anew.
        resting.since = at
        if not resting.remaining:
            self._forget(resting)
        return [Filled(order.ref, f"{resting.venue_order_id}-{resting.fills}", quantity, paid, fee, at, maker)]

    def _find(self, ref: OrderRef) -> Resting | None:
        books = (self._waiting, self._limits, self._resting)
        return next((each for book in books for each in book if each.order.ref == ref), None)

    def _forget(self, resting: Resting) -> None:
        for book in (self._waiting, self._limits, self._resting):
            if resting in book:
                book.remove(resting)


def _at_most(quantity: Decimal, share: Decimal | None) -> Decimal:
    return quantity if share is None else min(quantity, share)

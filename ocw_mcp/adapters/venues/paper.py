"""The paper venue: an exchange in this process, trading against the frames of the feed.

It keeps an account of its own and believes nobody: reduce-only is cut down to the position it knows, and what its money
cannot carry is rejected. Fills are `core.matching`'s.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from ocw_mcp.adapters.venues.instruments import paper_instrument
from ocw_mcp.core.matching.funding import ASSUMED_EVERY, ASSUMED_RATE, assumed_payment, next_stamp, payment
from ocw_mcp.core.matching.on_candles import TERMS, Terms, falls_to, passed, worsened
from ocw_mcp.core.orders.ledger import Ledger, LedgerState
from ocw_mcp.domain.approved import ApprovedOrder
from ocw_mcp.domain.market import Candle, Funding, Instrument, Opening, Product
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    Filled,
    FundingPaid,
    Order,
    OrderRef,
    OrderType,
    Rejected,
    Side,
    VenueReport,
)

STOP_CROSSED = ("-2021", "Order would immediately trigger.")
NO_MONEY = {
    Product.SPOT: ("-2010", "Account has insufficient balance for requested action."),
    Product.UM: ("-2019", "Margin is insufficient."),
}


NEVER = 1 << 62


class Resting(msgspec.Struct):
    """An order at the venue: its id there and when it came (ms)."""

    order: Order
    venue_order_id: str
    since: int
    trigger: float = 0.0
    """The trigger price, near enough to see at a glance that a price has not come to it."""
    falls: bool = False
    """Whether it triggers at or below its price, rather than at or above."""


class PaperState(msgspec.Struct):
    """The venue, to be restored."""

    counter: int
    last: dict[str, float]
    waiting: list[Resting]
    resting: list[Resting]
    ledger: LedgerState
    instruments: dict[str, Instrument]
    next_funding: int
    settled: dict[str, int]


class PaperVenue:
    """One paper account; an entry waits `patience_ms` at most for a price to be filled at."""

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
        self._patience_ms = patience_ms
        self._counter = 0
        self._last: dict[str, float] = {}
        self._waiting: list[Resting] = []
        self._resting: list[Resting] = []
        self._ledger = Ledger(wallet)
        self._instruments: dict[str, Instrument] = {}
        self.next_funding = NEVER if product is Product.SPOT else 0
        """The next stamp (ms) at which funding is assumed where none is told."""
        self._settled: dict[str, int] = {}
        """The last stamp (ms) of each symbol whose funding is told."""

    def instrument(self, symbol: str, price: float) -> Instrument:
        """The filters of a symbol; the first price it is asked with decides where they have to be guessed."""
        if symbol not in self._instruments:
            self._instruments[symbol] = paper_instrument(self.product, symbol, price)
        return self._instruments[symbol]

    async def submit(self, approved: ApprovedOrder, now: int) -> Sequence[VenueReport]:
        """Take an order: a market order waits for the next opening, a conditional one rests."""
        order = approved.redeem(now)
        if order.trigger_price is not None and self._crossed(order):
            return [Rejected(order.ref, *STOP_CROSSED)]
        self._counter += 1
        venue_order_id = f"paper-{self._counter}"
        if order.trigger_price is None:
            self._waiting.append(Resting(order, venue_order_id, now))
        else:
            trigger = float(order.trigger_price)
            self._resting.append(Resting(order, venue_order_id, now, trigger, falls_to(order)))
        return [Accepted(order.ref, venue_order_id)]

    async def cancel(self, ref: OrderRef, now: int) -> Sequence[VenueReport]:
        """Take an order off; an order that is not there any more answers nothing."""
        for book in (self._waiting, self._resting):
            for resting in book:
                if resting.order.ref == ref:
                    book.remove(resting)
                    return [Canceled(ref, "on request")]
        return []

    def settle_funding(self, until: int, told: Sequence[Funding] = ()) -> Sequence[VenueReport]:
        """Settle what was `told`, then the assumed stamps up to `until` (ms) for symbols of which nothing ever was.

        The mark is the last price. Spot has no funding.
        """
        if self.product is Product.SPOT:
            return ()
        reports: list[VenueReport] = []
        for funding in told:
            if funding.at > self._settled.get(funding.symbol, -1):
                self._settled[funding.symbol] = funding.at
                rate = exact(funding.rate)
                reports += self._fund(funding.symbol, rate, funding.at, assumed=False)
        if not self._ledger.positions:
            self.next_funding = max(self.next_funding, next_stamp(until))
        while self.next_funding <= until:
            for symbol in sorted(self._ledger.positions.keys() - self._settled.keys()):
                reports += self._fund(symbol, ASSUMED_RATE, self.next_funding, assumed=True)
            self.next_funding += ASSUMED_EVERY
        return reports

    def on_opening(self, opening: Opening, now: int) -> Sequence[VenueReport]:
        """Fill what waited for a price, then trigger what the opening has passed."""
        symbol = opening.symbol
        self._last[symbol] = opening.price
        if not self._waiting and not (self._resting and self._touched(symbol, opening.price, opening.price)):
            return ()
        reports: list[VenueReport] = []
        price = exact(opening.price)
        for resting in [each for each in self._waiting if each.order.symbol == symbol]:
            self._waiting.remove(resting)
            if not resting.order.reduce_only and opening.at - resting.since > self._patience_ms:
                reports.append(Canceled(resting.order.ref, "expired: no price came while it waited"))
            else:
                reports += self._fill(resting, price, opening.at)
        for resting in self._touched(symbol, opening.price, opening.price):
            if passed(resting.order, price):
                reports += self._trigger(resting, price, opening.at)
        return reports

    def on_candle(self, candle: Candle, now: int) -> Sequence[VenueReport]:
        """Trigger what the candle's range reached, stops before targets.

        An order that came after the candle had opened knows nothing of its range before that; for such a one only the
        close counts.
        """
        self._last[candle.symbol] = candle.close
        if not self._resting:
            return ()
        reports: list[VenueReport] = []
        for resting in self._touched(candle.symbol, candle.low, candle.high):
            order = resting.order
            assert order.trigger_price is not None
            if resting.since > candle.open_time:
                close = exact(candle.close)
                if passed(order, close):
                    reports += self._trigger(resting, close, now)
            elif passed(order, exact(candle.low if resting.falls else candle.high)):
                reports += self._trigger(resting, order.trigger_price, now)
        return reports

    def state(self) -> bytes:
        """All of the venue."""
        return msgspec.msgpack.encode(
            PaperState(
                self._counter,
                self._last,
                self._waiting,
                self._resting,
                self._ledger.state(),
                self._instruments,
                self.next_funding,
                self._settled,
            )
        )

    def restore(self, state: bytes) -> None:
        """Put back what `state` gave."""
        saved = msgspec.msgpack.decode(state, type=PaperState)
        self._counter = saved.counter
        self._last = saved.last
        self._waiting = saved.waiting
        self._resting = saved.resting
        self._ledger.restore(saved.ledger)
        self._instruments = saved.instruments
        self.next_funding = saved.next_funding
        self._settled = saved.settled

    def _touched(self, symbol: str, low: float, high: float) -> list[Resting]:
        """Conditional orders of a symbol that a range of prices may have triggered, stops first."""
        touched = [
            each
            for each in self._resting
            if (low <= each.trigger if each.falls else high >= each.trigger) and each.order.symbol == symbol
        ]
        return sorted(touched, key=lambda each: each.order.type is not OrderType.STOP_MARKET) if touched else touched

    def _crossed(self, order: Order) -> bool:
        last = self._last.get(order.symbol)
        return last is not None and passed(order, exact(last))

    def _trigger(self, resting: Resting, price: Decimal, at: int) -> list[VenueReport]:
        self._resting.remove(resting)
        return self._fill(resting, price, at)

    def _fill(self, resting: Resting, price: Decimal, at: int) -> list[VenueReport]:
        order = resting.order
        held = self._ledger.quantity(order.symbol)
        quantity = order.quantity
        if order.reduce_only:
            quantity = min(quantity, abs(held)) if held * order.side.sign < 0 else Decimal(0)
            if not quantity:
                return [Canceled(order.ref, "expired: reduce-only, and there is no position to reduce")]
        paid = worsened(order.side, price, self.instrument(order.symbol, float(price)).tick, self.terms)
        fee = quantity * paid * self.terms.taker_fee
        if not order.reduce_only and not self._affordable(order, quantity * paid, fee):
            return [Rejected(order.ref, *NO_MONEY[self.product])]
        self._ledger.book(order.symbol, order.side, quantity, paid, fee, at)
        filled = Filled(order.ref, f"{resting.venue_order_id}-1", quantity, paid, fee, at)
        if quantity < order.quantity:
            return [filled, Canceled(order.ref, "expired: reduce-only, and nothing is left to reduce")]
        return [filled]

    def _fund(self, symbol: str, rate: Decimal, at: int, *, assumed: bool) -> list[VenueReport]:
        held = self._ledger.quantity(symbol)
        if not held:
            return []
        mark = exact(self._last[symbol])
        amount = assumed_payment(held, mark) if assumed else payment(held, mark, rate)
        self._ledger.fund(symbol, amount)
        return [FundingPaid(symbol, amount, rate, held, mark, at, assumed)]

    def _affordable(self, order: Order, notional: Decimal, fee: Decimal) -> bool:
        if self.product is Product.SPOT and order.side is Side.SELL:
            return order.quantity <= self._ledger.quantity(order.symbol)
        for held in self._ledger.positions:
            if held in self._last:
                self._ledger.mark(held, exact(self._last[held]))
        room = self._ledger.equity() * self.terms.leverage - self._ledger.gross()
        return notional + fee <= room

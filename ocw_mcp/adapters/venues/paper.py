"""The paper venue: a simulated exchange in this process that trades against the frames of the feed.

On a tape and on the simulated market it trades against candles and opening prices; on a live market, against quotes and
mark prices, and against candles only for the time in which no prices arrived.

It keeps its own account and checks every order itself: it cuts a reduce-only order down to the position, rejects an
order that the account cannot pay for, and liquidates a position whose margin is used up. `core.matching` models fills.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.adapters.venues.paper_account import NEVER, PaperAccount, PaperAccountState
from ocw_mcp.adapters.venues.paper_live import LiveMarketState, LiveMatching
from ocw_mcp.adapters.venues.paper_matching import PaperMarketState, PaperMatching
from ocw_mcp.adapters.venues.paper_orders import MarketPrices, PaperOrders, Resting, submit_refusal
from ocw_mcp.core.matching.on_candles import TERMS, FillTerms, falls_to, passed, would_take
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.market import Candle, Funding, Instrument, Mark, Opening, OrderBook, Product
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    CancelRefused,
    Order,
    OrderRef,
    OrderType,
    Rejected,
    Side,
    VenueReport,
)

_REPLACED_KEPT: Final = 16
"""Largest number of replaced stops whose triggers are stored with a stop."""
STATE_FORMAT: Final = 5
"""Raise this number when the saved fields or their meaning change."""


class PaperState(msgspec.Struct):
    """The saved state of the venue."""

    format: int
    counter: int
    account: PaperAccountState
    orders: PaperOrders
    market: PaperMarketState
    live: LiveMarketState | None = None


def read_state(state: bytes) -> PaperState:
    """Return a decoded state. Raises ValueError, or msgspec's subclasses of it, for a state of another version."""
    saved = msgspec.msgpack.decode(state, type=PaperState)
    if saved.format != STATE_FORMAT:
        raise ValueError(f"the state of the paper venue has format {saved.format}, expected {STATE_FORMAT}")
    return saved


class PaperVenue:
    """One paper account. A market entry waits at most `patience_ms` for a price."""

    name = "paper"

    def __init__(
        self,
        product: Product,
        wallet: Decimal,
        patience_ms: int,
        terms: FillTerms | None = None,
        *,
        live: bool = False,
    ) -> None:
        """`live` is True for a live market, which reports quotes and mark prices, and no opening prices."""
        self.product = product
        self.terms = terms or TERMS[product]
        self.account = PaperAccount(product, wallet, live=live)
        self.next_funding = self.account.next_funding
        """The next funding time (ms) that may have to be settled; a plain attribute, because every frame reads it."""
        self._counter = 0
        self._canceled: tuple[Resting, int] | None = None
        """The last cancelled order, and the time (ms) of its cancel."""
        self._orders = PaperOrders()
        self._said = deque[VenueReport]()
        self._spoke = asyncio.Event()
        self._live = LiveMatching(self.account, self._orders, self.terms, patience_ms) if live else None
        self._matching = self._live or PaperMatching(self.account, self._orders, self.terms, patience_ms)

    def instrument(self, symbol: str, price: float) -> Instrument:
        """Return the current filters of a symbol; `price` is its first price if the market has shown none."""
        return self.account.instruments.get(symbol, price)

    @property
    def pays_funding(self) -> bool:
        """Whether a position is open on which funding is settled."""
        return self.product is not Product.SPOT and bool(self.account.ledger.positions)

    @property
    def orders(self) -> list[Order]:
        """All live orders: market orders, limit orders, then conditional orders."""
        return [each.order for each in self._orders]

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        """Accept or reject an order; market and immediate-or-cancel orders wait for a price, and others rest.

        An order with the reference of a live order is reported as accepted, but not placed again.
        """
        order = cleared.redeem(now)
        self._let_arrive(now)
        live = self._orders.find(order.ref)
        if live is not None:
            self.say(Accepted(order.ref, live.venue_order_id))
            return
        prices = self._prices(order, now)
        if (refused := submit_refusal(order, self.account, self._orders, self.terms, prices)) is not None:
            self.say(Rejected(order.ref, *refused))
            return
        self._counter += 1
        resting = Resting(order, f"paper-{self._counter}", now, now + self.terms.latency_ms)
        self._place(resting)
        self.say(Accepted(order.ref, resting.venue_order_id))

    async def cancel(self, ref: OrderRef, now: int) -> None:
        """Cancel an order, or refuse that if the order is not live."""
        self._let_arrive(now)
        live = self._orders.find(ref)
        if live is not None:
            self._orders.remove(live)
            self._canceled = live, now
            self.say(Canceled(ref, "on request", live.filled))
        else:
            self.say(CancelRefused(ref, "Unknown order sent."))

    def say(self, *reports: VenueReport) -> None:
        """Add reports that `reports` yields, or the next call of `collect` returns."""
        self._said.extend(reports)
        self._spoke.set()

    async def reports(self) -> AsyncIterator[VenueReport]:
        """Yield every report that `collect` has not returned, as soon as it is there; the iteration never ends."""
        while True:
            while self._said:
                yield self._said.popleft()
            self._spoke.clear()
            await self._spoke.wait()

    def collect(self) -> list[VenueReport]:
        """Return every report that `reports` has not yielded, oldest first, and forget it."""
        reports = list(self._said)
        self._said.clear()
        return reports

    @property
    def next_due(self) -> int:
        """The next time (ms) at which `due` has reports if no price arrives until then; NEVER on a simulated market."""
        return NEVER if self._live is None else self._live.next_due

    def due(self, now: int) -> Iterable[VenueReport]:
        """Yield the reports on orders that arrive at the venue or expire by `now` (ms); see `on_candle`."""
        return () if self._live is None else self._live.due(now)

    def set_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Use the filters that the exchange reports from now on. Raises ValueError for another product."""
        self.account.set_instruments(instruments)

    def settle_funding(
        self, until: int, rates: Sequence[Funding] = (), symbols: Collection[str] | None = None
    ) -> Sequence[VenueReport]:
        """Settle funding as `PaperAccount.settle_funding` does.

        On a live market, funding is settled up to the newest market data at most: what the position was at a funding
        time during an outage is known only when the candles before it are matched.
        """
        if self._live is not None:
            until = min(until, self._live.market_at)
        reports = self.account.settle_funding(until, rates, symbols)
        self.next_funding = self.account.next_funding
        return reports

    def on_books(self, books: Sequence[OrderBook], now: int | None = None) -> Iterable[VenueReport]:
        """Record the current best prices, in whose spread a taker pays half. On a live market, orders trade at them.

        On a live market, the caller gives the time `now` (ms), and reads all reports; see `on_candle`.
        """
        if self._live is not None:
            return self._live.on_books(books, max((book.at for book in books), default=0) if now is None else now)
        for book in books:
            self._matching.market.books[book.symbol] = book
        return ()

    def on_marks(self, marks: Sequence[Mark], now: int) -> Iterable[VenueReport]:
        """Liquidate and trigger at the mark prices of a live market; yield the reports as `on_candle` does."""
        if self._live is None:
            return ()
        return self._on_marks(self._live, marks, now)

    def on_opening(self, opening: Opening, now: int) -> Sequence[VenueReport]:
        """Liquidate, fill waiting orders, then trigger the orders whose price the opening has passed."""
        self.account.instruments.observe(opening.symbol, opening.price)
        return self._matching.on_opening(opening)

    def fill_reductions(self, now: int) -> Sequence[VenueReport]:
        """Fill the waiting reduce-only orders of each symbol whose latest candle closed at `now` (ms)."""
        return self._matching.fill_reductions(now)

    def on_candle(self, candle: Candle, now: int) -> Iterable[VenueReport]:
        """Fill, trigger and liquidate along the candle's path, which continues as the reports are consumed.

        An order sent between two reports takes part in the rest of the path; a cancelled one no longer does.
        """
        return self._matching.on_candle(candle, now)

    def close_out(self, symbol: str, quantity: Decimal, now: int) -> Sequence[VenueReport]:
        """Close a signed quantity of a position at its last price, as a taker, because its market has ended."""
        closed = self.account.close_out(symbol, quantity, self.terms.taker_fee, now)
        return [closed, *self._matching.size_stops(symbol)]

    def state(self) -> bytes:
        """Return the state to save."""
        return msgspec.msgpack.encode(
            PaperState(
                STATE_FORMAT,
                self._counter,
                self.account.state(),
                self._orders,
                self._matching.market,
                None if self._live is None else self._live.live,
            )
        )

    def restore(self, state: bytes) -> None:
        """Restore a saved state. Raises as `read_state` does."""
        saved = read_state(state)
        self._counter = saved.counter
        self.account.restore(saved.account)
        self.next_funding = self.account.next_funding
        self._orders = self._matching.orders = saved.orders
        self._matching.market = saved.market
        if self._live is not None:
            self._live.live = saved.live or LiveMarketState()

    def _let_arrive(self, now: int) -> None:
        """Execute what arrived at the venue before `now` (ms), if the caller of `due` is late."""
        if self._live is not None:
            self.say(*self._live.due(now - 1))

    def _on_marks(self, live: LiveMatching, marks: Sequence[Mark], now: int) -> Iterable[VenueReport]:
        yield from live.on_marks(marks, now)
        self.next_funding = self.account.next_funding

    def _prices(self, order: Order, now: int) -> MarketPrices:
        if self._live is not None:
            return self._live.prices(order, now)
        last = self.account.last_price(order.symbol)
        return MarketPrices(last, last, last)

    def _place(self, resting: Resting) -> None:
        order = resting.order
        if order.trigger_price is not None:
            resting.trigger, resting.falls = float(order.trigger_price), falls_to(order)
            resting.take = None if order.take_at is None else float(order.take_at)
            resting.before = self._replaced(resting)
            self._orders.conditional.append(resting)
        elif order.limit_price is not None and not order.immediate:
            resting.trigger, resting.falls = float(order.limit_price), order.side is Side.BUY
            last = self.account.last_price(order.symbol)
            # On a live market, the first quote shows whether the order takes.
            resting.takes = self._live is not None or (last is not None and would_take(order, last))
            self._orders.limits.append(resting)
        else:
            self._orders.waiting.append(resting)
            return
        self._matching.on_placed(resting)

    def _replaced(self, stop: Resting) -> tuple[tuple[Decimal, int], ...]:
        """Return the triggers of the looser stops that a new stop replaces, including a stop cancelled just before."""
        canceled = [self._canceled[0]] if self._canceled is not None and self._canceled[1] == stop.since else []
        order = stop.order
        for each in [*reversed(self._orders.conditional), *canceled]:
            known, looser = each.order, each.order.trigger_price
            same = (known.symbol, known.side, known.type) == (order.symbol, order.side, OrderType.STOP_MARKET)
            if same and order.type is known.type and looser is not None and passed(order, looser):
                return (*each.before, (looser, each.since))[-_REPLACED_KEPT:]
        return ()

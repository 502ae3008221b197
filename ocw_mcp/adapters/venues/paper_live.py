"""Trades the paper venue's orders on a live market's quotes and mark prices, by the rules of `core.matching.on_quotes`.

What happened while no prices arrived is matched along the candles that close later, by the rules of
`core.matching.on_candles`: a stop that was passed in that time fills at its trigger price or worse.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

import msgspec

from ocw_mcp.adapters.venues.paper_account import NEVER, Liquidation, PaperAccount
from ocw_mcp.adapters.venues.paper_matching import PaperMatching
from ocw_mcp.adapters.venues.paper_orders import MarketPrices, PaperOrders, Resting
from ocw_mcp.adapters.venues.paper_watch import SeenRange, UnseenPart, Watch, unseen_part
from ocw_mcp.core.matching.on_candles import CandlePath, FillTerms, limit_of, passed, would_take
from ocw_mcp.core.matching.on_quotes import (
    QUOTE_MAX_AGE_MS,
    Liquidity,
    Quote,
    liquidity,
    outdated,
    plausible,
    usable,
)
from ocw_mcp.domain.market import Candle, Mark, Opening, OrderBook, Product
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.orders import Filled, Order, OrderType, Side, TriggerBy, VenueReport
from ocw_mcp.domain.time import HOUR


class SeenMark(msgspec.Struct, frozen=True):
    """A mark price, and the engine time (ms) at which it arrived."""

    mark: Mark
    seen: int


class LiveMarketState(msgspec.Struct):
    """The saved state of a live market: the newest quotes and mark prices, and the times without any."""

    quotes: dict[str, Quote] = {}
    marks: dict[str, SeenMark] = {}
    watches: dict[str, Watch] = {}
    ignored: dict[str, int] = {}
    """The number of quotes and mark prices that were ignored, by symbol."""


class LiveMatching(PaperMatching):
    """Matches the orders of one account on a live market."""

    def __init__(self, account: PaperAccount, orders: PaperOrders, terms: FillTerms, patience_ms: int) -> None:
        super().__init__(account, orders, terms, patience_ms)
        self._patience_ms = patience_ms
        self.live = LiveMarketState()
        account.known_until = self._known_until
        self._path_begins = NEVER
        """The beginning (ms) of the unseen part of a candle that is being matched."""

    @property
    def next_due(self) -> int:
        """The next time (ms) at which an order fills or expires, if only time passes; NEVER if there is none."""
        coming = [each.arrives for each in self.orders if not each.arrived]
        coming += [each.since + self._patience_ms + 1 for each in self.orders.waiting if not each.order.reduce_only]
        return min(coming, default=NEVER)

    @property
    def market_at(self) -> int:
        """The time (ms) of the newest quote, mark price or closed candle; -1 before the first."""
        times = [quote.seen for quote in self.live.quotes.values()]
        times += [mark.seen for mark in self.live.marks.values()]
        times += [candle.close_time for candle in self.market.closed.values()]
        return max(times, default=-1)

    def prices(self, order: Order, now: int) -> MarketPrices:
        """Return the prices against which an order is checked at `now` (ms)."""
        last, quote = self.account.last_price(order.symbol), self._quote(order.symbol, now)
        taking = last if quote is None else quote.best(order.side)
        trigger = self._trigger_price(order, now)
        return MarketPrices(last or taking, taking if trigger is None else trigger, taking)

    def on_placed(self, resting: Resting) -> None:
        """Do nothing: an order takes part in the rest of a past candle's path only if it was sent before that path."""

    def on_marks(self, marks: Sequence[Mark], now: int) -> Iterator[VenueReport]:
        """Yield the reports after new mark prices: liquidations, then stops, then targets."""
        yield from self.due(now - 1)
        for mark in marks:
            if self._take_mark(mark, now):
                yield from self._at_mark(mark.symbol, now)

    def on_books(self, books: Sequence[OrderBook], now: int) -> Iterator[VenueReport]:
        """Yield the reports after new best prices: resting orders, then orders that have arrived since."""
        yield from self.due(now - 1)
        for book in books:
            if self._take_book(book, now):
                yield from self._at_quote(book.symbol, now)

    def due(self, now: int) -> Iterator[VenueReport]:
        """Yield the reports on the orders that arrive, or expire, by `now` (ms), while the market does not change."""
        coming = [each for each in self.orders if not each.arrived and each.arrives <= now]
        for resting in sorted(coming, key=lambda each: each.arrives):
            if resting.arrived or not self._is_live(resting):
                continue
            if resting.order.trigger_price is None:
                yield from self._arrive(resting, resting.arrives)
            else:
                resting.arrived = True
                yield from self._trigger(resting.order.symbol, resting.arrives)
        for resting in list(self.orders.waiting):
            if self._is_impatient(resting, now) and self._is_live(resting):
                yield from self._cancel(resting, "no price came while it waited")

    def fill_reductions(self, now: int) -> list[VenueReport]:
        """Return no report: an order that reduces a position fills when it arrives."""
        return []

    def on_candle(self, candle: Candle, now: int) -> Iterable[VenueReport]:
        """Yield the reports on the part of a closed candle in which no prices arrived, along its path."""
        symbol = candle.symbol
        watch = self.live.watches.get(symbol)
        unseen = unseen_part(watch, candle)
        last = self.account.last.get(symbol)
        if watch is not None:
            watch.covered(candle.close_time)
        newer = last if watch is not None and watch.seen.at >= candle.close_time else candle.close
        if unseen is None:
            self.market.closed[symbol] = candle
            self.account.last[symbol] = candle.close if newer is None else newer
            return ()
        return self._unseen(candle, unseen, newer, now)

    def _unseen(self, candle: Candle, unseen: UnseenPart, newer: float | None, now: int) -> Iterator[VenueReport]:
        """Match the unseen part of a candle as if it were a candle of a tape; the last price becomes `newer`."""
        symbol = candle.symbol
        yield from self.due(now - 1)
        self._path_begins = unseen.candle.open_time
        if unseen.opening:
            yield from self.on_opening(Opening(symbol, candle.open_time, candle.open))
        reports = super().on_candle(unseen.candle, candle.close_time)
        self.market.closed[symbol] = candle
        yield from reports
        if candle.close_time % HOUR == 0:
            # Later candles or prices may change the position before a funding of this time is settled.
            self.account.note_position(symbol, candle.close_time)
        self._path_begins = NEVER
        if newer is not None:
            self.account.last[symbol] = newer

    def _known_until(self, symbol: str, now: int) -> int:
        """Return the time (ms) until which the prices of a symbol were seen or shown by candles; at most `now` (ms)."""
        watch, closed = self.live.watches.get(symbol), self.market.closed.get(symbol)
        if watch is None:
            return now
        seen = watch.seen_until(now)
        return seen if closed is None else max(seen, min(closed.close_time, now))

    def _take_mark(self, mark: Mark, now: int) -> bool:
        """Record a mark price; return False if it is ignored."""
        symbol, known = mark.symbol, self.live.marks.get(mark.symbol)
        last = self.account.last.get(symbol)
        if not plausible(mark.price, last) or (known is not None and outdated(mark.at, known.mark.at, now)):
            return self._ignore(symbol)
        if mark.last is not None and not plausible(mark.last, last):
            return self._ignore(symbol)
        self.account.take_mark(mark, now)
        self.live.marks[symbol] = SeenMark(mark, now)
        price = self.account.last[symbol]
        self.account.instruments.observe(symbol, price)
        if (watch := self.live.watches.get(symbol)) is None:
            self.live.watches[symbol] = Watch(SeenRange(now, price, price, price))
        else:
            watch.see(now, price)
        return True

    def _take_book(self, book: OrderBook, now: int) -> bool:
        """Record best prices; return False if they are ignored."""
        symbol, known = book.symbol, self.live.quotes.get(book.symbol)
        if not usable(book, self.account.last.get(symbol)):
            return self._ignore(symbol)
        if known is not None and book == known.book:
            # The same update again has no new quantity, but its prices are those of now.
            known.seen = now
            return True
        if known is not None and outdated(book.at, known.book.at, now):
            return self._ignore(symbol)
        self.live.quotes[symbol] = Quote(book, now)
        self.market.books[symbol] = book
        return True

    def _ignore(self, symbol: str) -> bool:
        self.live.ignored[symbol] = self.live.ignored.get(symbol, 0) + 1
        return False

    def _at_mark(self, symbol: str, now: int) -> Iterator[VenueReport]:
        price = self.account.marks[symbol]
        if self._liquidation(symbol, price, price) is not None:
            yield from self._liquidate(symbol, now)
        yield from self._trigger(symbol, now)
        for resting in [each for each in self.orders.waiting if each.order.symbol == symbol and each.arrived]:
            if self._is_live(resting):
                yield from self._arrive(resting, now)

    def _at_quote(self, symbol: str, now: int) -> Iterator[VenueReport]:
        for resting in self._makers(symbol):
            if self._is_live(resting):
                yield from self._make(resting, now)
        for resting in sorted(self._pending(), key=lambda each: each.arrives):
            if resting.order.symbol == symbol and resting.arrives <= now and self._is_live(resting):
                yield from self._arrive(resting, now)
        yield from self._trigger(symbol, now)

    def _trigger(self, symbol: str, now: int) -> Iterator[VenueReport]:
        """Fill the conditional orders whose trigger price the market has passed, stops first."""
        found = [each for each in self.orders.conditional if each.order.symbol == symbol and each.arrives <= now]
        for resting in sorted(found, key=lambda each: each.order.type is not OrderType.STOP_MARKET):
            price = self._trigger_price(resting.order, now)
            if price is None or not self._is_live(resting) or not passed(resting.order, price):
                continue
            quote = self._quote(symbol, now)
            yield from self._fill_as_taker(resting, price, now) if quote is None else self._take(resting, quote, now)

    def _trigger_price(self, order: Order, now: int) -> Decimal | None:
        """Return the price (quote) that triggers a conditional order; None if there is none of now.

        Without a recent last price, it is the best price at which the order would trade.
        """
        known = self.live.marks.get(order.symbol)
        by = order.trigger_by or (TriggerBy.LAST if self.account.product is Product.SPOT else TriggerBy.MARK)
        if known is not None and now - known.seen <= QUOTE_MAX_AGE_MS:
            return exact(known.mark.price if by is TriggerBy.MARK else self.account.last[order.symbol])
        quote = self._quote(order.symbol, now)
        return None if quote is None or by is TriggerBy.MARK else quote.best(order.side)

    def _arrive(self, resting: Resting, now: int) -> list[VenueReport]:
        """Match an order that arrives at the venue, or that has waited for a quote since."""
        order, quote = resting.order, self.live.quotes.get(resting.order.symbol)
        at = resting.arrives if quote is None else max(resting.arrives, quote.seen)
        resting.arrived = True
        if self._is_impatient(resting, at):
            return self._cancel(resting, "no price came while it waited")
        rests = order.limit_price is not None and not order.immediate
        if quote is None or at - quote.seen > QUOTE_MAX_AGE_MS:
            return [] if rests else self._fill_without_quote(resting, now)
        if not rests:
            reports = self._take(resting, quote, at)
            if order.immediate and self._is_live(resting):
                reports += self._cancel_rest(resting, quote.best(order.side))
            return reports
        resting.takes = False
        if at - resting.arrives > QUOTE_MAX_AGE_MS:
            # The order rested while no quote came.
            return self._make(resting, at)
        if not would_take(order, quote.best(order.side)):
            return []
        if order.post_only:
            return self._cancel(resting, "post-only, and it would have taken when it arrived")
        return self._take(resting, quote, at)

    def _fill_without_quote(self, resting: Resting, now: int) -> list[VenueReport]:
        """Fill an order that reduces a position at a recent mark price, worsened by the usual spread and slippage."""
        order, known = resting.order, self.live.marks.get(resting.order.symbol)
        if not order.reduce_only or order.limit_price is not None:
            return []
        if known is None or now - known.seen > QUOTE_MAX_AGE_MS:
            return []
        return self._fill_as_taker(resting, exact(self.account.last[order.symbol]), now)

    def _take(self, resting: Resting, quote: Quote, at: int) -> list[VenueReport]:
        """Take from a quote up to the order's quantity and limit, in at most two fills."""
        order, reports = resting.order, list[VenueReport]()
        quantity = self._fillable(resting)
        if not quantity:
            return self._cancel(resting, "reduce-only, and there is no position to reduce")
        limit = order.limit_price if order.trigger_price is None else None
        for part in self._liquidity(quote, order.side).parts(quantity, limit):
            done = self._fill(resting, part.quantity, part.price, at)
            reports += done
            if not any(isinstance(report, Filled) for report in done):
                return reports
            quote.use(order.side, part.quantity)
        if order.reduce_only and self._is_live(resting) and not self.account.ledger.quantity(order.symbol):
            reports += self._cancel(resting, "reduce-only, and nothing is left to reduce")
        return reports

    def _make(self, resting: Resting, at: int) -> list[VenueReport]:
        """Fill a resting limit order, or the take-profit side of an OCO, as a maker at its limit."""
        order, quote = resting.order, self.live.quotes[resting.order.symbol]
        if not would_take(order, quote.best(order.side)):
            return []
        found = self._liquidity(quote, order.side)
        quantity, left = self._fillable(resting), found.left_for_maker
        quantity = quantity if left is None else min(quantity, left)
        reports = self._fill(resting, quantity, limit_of(order), at, maker=True)
        if any(isinstance(report, Filled) for report in reports):
            quote.use(order.side, quantity)
        return reports

    def _liquidity(self, quote: Quote, side: Side) -> Liquidity:
        symbol = quote.book.symbol
        instrument = self.account.instruments.get(symbol, quote.book.bid)
        return liquidity(quote, side, instrument, self.terms, self.market.closed.get(symbol))

    def _quote(self, symbol: str, at: int) -> Quote | None:
        """Return the quote of a symbol, if it is recent at `at` (ms)."""
        quote = self.live.quotes.get(symbol)
        return quote if quote is not None and at - quote.seen <= QUOTE_MAX_AGE_MS else None

    def _pending(self) -> list[Resting]:
        """Return the orders that are on their way, and those that wait for a quote."""
        return self.orders.waiting + [each for each in self.orders.limits if each.takes]

    def _makers(self, symbol: str) -> list[Resting]:
        """Return the resting limit orders and OCOs of a symbol, best limits first."""
        limits = [each for each in self.orders.limits if not each.takes]
        found = limits + [each for each in self.orders.conditional if each.take is not None and each.arrived]
        found = [each for each in found if each.order.symbol == symbol]
        return sorted(found, key=lambda each: -each.order.side.sign * limit_of(each.order))

    def _is_live(self, resting: Resting) -> bool:
        return any(each is resting for each in self.orders)

    def _is_impatient(self, resting: Resting, at: int) -> bool:
        """Return whether a market entry has waited too long for a quote."""
        waits = resting.order.limit_price is None or resting.order.immediate
        return waits and not resting.order.reduce_only and at - resting.since > self._patience_ms

    def _fill(
        self, resting: Resting, quantity: Decimal, paid: Decimal, at: int, *, maker: bool = False
    ) -> list[VenueReport]:
        # A fill on a candle's path has the time of the candle's close, but is before a funding at this time.
        self.account.pass_time(resting.order.symbol, at if self._path_begins == NEVER else at - 1)
        return super()._fill(resting, quantity, paid, at, maker=maker)

    def _resting_at(self, resting: Resting, opening: Opening, price: Decimal) -> list[VenueReport]:
        return [] if resting.since > opening.at else super()._resting_at(resting, opening, price)

    def _waiting_at(self, resting: Resting, opening: Opening, price: Decimal) -> list[VenueReport]:
        return [] if resting.arrives > opening.at else super()._waiting_at(resting, opening, price)

    def _liquidation(self, symbol: str, low: float, high: float) -> Liquidation | None:
        gone = super()._liquidation(symbol, low, high)
        return gone if gone is not None and self._was_open(symbol) else None

    def _threat(self, symbol: str) -> Liquidation | None:
        return super()._threat(symbol) if self._was_open(symbol) else None

    def _was_open(self, symbol: str) -> bool:
        """Return whether the present position was open when the path that is being matched began."""
        position = self.account.ledger.positions.get(symbol)
        return position is not None and max(position.opened_at, position.added_at) <= self._path_begins

    def _came_late(self, path: CandlePath) -> list[Resting]:
        """Return no order: the next prices trigger what was sent while the candle was open."""
        return []

"""Trades the paper venue's orders against openings and candles, by the rules of `core.matching`."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from ocw_mcp.adapters.venues.paper_account import Liquidation, PaperAccount
from ocw_mcp.adapters.venues.paper_margin import too_large, unaffordable
from ocw_mcp.adapters.venues.paper_orders import PaperOrders, Refused, Resting, Swept, touched
from ocw_mcp.core.matching.on_candles import (
    Terms,
    beyond_limit,
    expected_move,
    half_spread,
    limit_of,
    passed,
    pressure,
    room,
    slippage,
    within_limit,
    worsened,
)
from ocw_mcp.domain.market import Book, Candle, Opening, Product
from ocw_mcp.domain.money import ZERO, exact
from ocw_mcp.domain.orders import Canceled, Filled, Order, OrderType, Rejected, Side, VenueReport
from ocw_mcp.domain.time import MINUTE, SECOND

BOOK_BELIEVED_MS = MINUTE
"""How old the best prices may be for their spread to be paid."""


class PaperMarketState(msgspec.Struct):
    """What is known of the market, to be restored."""

    closed: dict[str, Candle]
    books: dict[str, Book]
    swept: dict[str, Swept]
    liquidations: int


class PaperMatching:
    """Fills of one account's orders. An entry at the market waits `patience_ms` at most for an opening."""

    def __init__(self, account: PaperAccount, orders: PaperOrders, terms: Terms, patience_ms: int) -> None:
        self.terms = terms
        self.account = account
        self.orders = orders
        self._patience_ms = patience_ms
        self._closed: dict[str, Candle] = {}
        self._books: dict[str, Book] = {}
        self._swept: dict[str, Swept] = {}
        self._liquidations = 0

    def on_books(self, books: Sequence[Book]) -> None:
        """Note the best prices of this moment."""
        for book in books:
            self._books[book.symbol] = book

    def on_opening(self, opening: Opening) -> Sequence[VenueReport]:
        """Liquidate, fill what waited for a price, then trigger what the opening has passed."""
        symbol, orders = opening.symbol, self.orders
        seen = opening.price
        self.account.last[symbol] = seen
        swept = self._swept.pop(symbol, None) if self._swept else None
        gone = self._liquidation(symbol, seen, seen, swept)
        if not (orders.waiting or orders.limits or gone) and not (
            orders.conditional and touched(orders.conditional, symbol, seen, seen)
        ):
            return ()
        reports = self._liquidate(symbol, opening.at) if gone else []
        price = exact(seen)
        for resting in [each for each in orders.waiting if each.order.symbol == symbol]:
            reports += self._waiting_at(resting, opening, price)
        for resting in [each for each in orders.limits if each.order.symbol == symbol]:
            reports += self._limit_at(resting, opening, price)
        for resting in touched(orders.conditional, symbol, seen, seen):
            if passed(resting.order, price):
                reports += self.take(resting, price, opening.at)
            elif _takes_profit(resting.order, price):
                paid = self._price_at(resting, opening, price)
                reports += self._fill(resting, resting.remaining, paid, opening.at, maker=True)
        return reports

    def on_candle(self, candle: Candle, now: int) -> Sequence[VenueReport]:
        """Fill limits, then trigger what the candle's range reached, stops before targets, and liquidate.

        An order that came after the candle had opened knows nothing of its range before that; for such a one only the
        close counts, unless the price must have passed it on its way to the liquidation.
        """
        symbol, orders = candle.symbol, self.orders
        self.account.last[symbol] = candle.close
        self._closed[symbol] = candle
        if not (orders.conditional or orders.limits or self.account.liquidations):
            return ()
        self._swept.pop(symbol, None)
        reports: list[VenueReport] = []
        for resting in touched(orders.limits, symbol, candle.low, candle.high):
            reports += self._limit_within(resting, candle, now)
        for resting in touched(orders.conditional, symbol, candle.low, candle.high):
            gone = self._liquidation(symbol, candle.low, candle.high)
            if gone and not _nearer(resting.order, gone):
                reports += self._liquidate(symbol, now)
                break
            reports += self._conditional_within(resting, candle, now, certainly=gone is not None)
        # Under a position that was just entered a stop may still be laid, which would have come first.
        if symbol not in self._swept and self._liquidation(symbol, candle.low, candle.high):
            reports += self._liquidate(symbol, now)
        return reports

    def lays_into_the_sweep(self, resting: Resting, now: int) -> list[VenueReport] | None:
        """Trade a stop that is laid in answer to a fill within a candle after which the price went on through it.

        In the market it would have been laid at once, and hit, unless the liquidation came before it. None for any
        other order.
        """
        order = resting.order
        swept = self._swept.get(order.symbol)
        if (
            swept is None
            or order.trigger_price is None
            or now - swept.at > SECOND
            or order.type is not OrderType.STOP_MARKET
            or order.side is not swept.closing
            or not passed(order, swept.price)
        ):
            return None
        gone = self._liquidation(order.symbol, float(swept.price), float(swept.price))
        if gone and not _nearer(order, gone):
            self.orders.conditional.append(resting)
            return self._liquidate(order.symbol, now)
        return self.take(resting, order.trigger_price, now)

    def take(self, resting: Resting, price: Decimal, at: int, share: Decimal | None = None) -> list[VenueReport]:
        """Trade as a taker, up to a share of the volume where one is given; reduce-only no more than there is."""
        order = resting.order
        quantity = self._reducible(resting)
        if not quantity:
            self.orders.forget(resting)
            return [Canceled(order.ref, "expired: reduce-only, and there is no position to reduce")]
        quantity = quantity if share is None else min(quantity, share)
        closed, instrument = self._closed.get(order.symbol), self.account.instrument(order.symbol, float(price))
        shares = pressure(resting.filled + quantity, closed, instrument.step, self.terms)
        late = expected_move(closed, resting.arrives - at) if order.trigger_price is None else ZERO
        cost = self._half_spread(order.symbol, at, price, instrument.tick) + slippage(self.terms, shares) + late
        paid = worsened(order.side, price, instrument.tick, cost)
        if order.limit_price is not None:
            paid = within_limit(order, paid)
        reports = self._fill(resting, quantity, paid, at)
        if order.reduce_only and resting.remaining and not self.account.ledger.quantity(order.symbol):
            self.orders.forget(resting)
            reports.append(Canceled(order.ref, "expired: reduce-only, and nothing is left to reduce"))
        return reports

    def state(self) -> PaperMarketState:
        """What is known of the market."""
        return PaperMarketState(self._closed, self._books, self._swept, self._liquidations)

    def restore(self, state: PaperMarketState) -> None:
        """Put back what `state` gave."""
        self._closed = state.closed
        self._books = state.books
        self._swept = state.swept
        self._liquidations = state.liquidations

    def _waiting_at(self, resting: Resting, opening: Opening, price: Decimal) -> list[VenueReport]:
        order = resting.order
        if not order.reduce_only and opening.at - resting.since > self._patience_ms:
            self.orders.forget(resting)
            return [Canceled(order.ref, "expired: no price came while it waited")]
        if self._under_way(resting, opening):
            return []
        return self.take(resting, price, opening.at, self._room(order.symbol, price))

    def _limit_at(self, resting: Resting, opening: Opening, price: Decimal) -> list[VenueReport]:
        order = resting.order
        if self._under_way(resting, opening):
            return []
        takes, resting.takes = resting.takes or resting.arrives > opening.at, False
        if not beyond_limit(order, price):
            return []
        if takes and order.post_only:
            self.orders.forget(resting)
            return [Canceled(order.ref, "expired: post-only, and it would have taken when it arrived")]
        share = self._room(order.symbol, price)
        if takes:
            return self.take(resting, price, opening.at, share)
        paid = self._price_at(resting, opening, price)
        return self._fill(resting, _at_most(self._reducible(resting), share), paid, opening.at, maker=True)

    def _price_at(self, resting: Resting, opening: Opening, price: Decimal) -> Decimal:
        """What a limit that an opening is beyond trades at: after a hole its own, which the price passed unseen."""
        before = self._closed.get(opening.symbol)
        unseen = before is not None and before.close_time < opening.at and resting.since < opening.at
        return limit_of(resting.order) if unseen else price

    def _limit_within(self, resting: Resting, candle: Candle, now: int) -> list[VenueReport]:
        order = resting.order
        farthest = candle.low if resting.falls else candle.high
        extreme = exact(candle.close if resting.since > candle.open_time else farthest)
        if not beyond_limit(order, extreme):
            return []
        quantity = _at_most(self._reducible(resting), self._room(order.symbol, extreme))
        reports = self._fill(resting, quantity, limit_of(order), now, maker=True)
        if any(isinstance(report, Filled) for report in reports):
            self._swept[order.symbol] = Swept(now, order.side.opposite, extreme)
        return reports

    def _conditional_within(self, resting: Resting, candle: Candle, now: int, *, certainly: bool) -> list[VenueReport]:
        order, close = resting.order, exact(candle.close)
        assert order.trigger_price is not None
        late = resting.since > candle.open_time
        low, high = (close, close) if late else (exact(candle.low), exact(candle.high))
        if certainly or passed(order, low if resting.falls else high):
            return self.take(resting, close if late and not certainly else order.trigger_price, now)
        if _takes_profit(order, high if resting.falls else low):
            return self._fill(resting, resting.remaining, limit_of(order), now, maker=True)
        return []

    def _fill(
        self, resting: Resting, quantity: Decimal, paid: Decimal, at: int, *, maker: bool = False
    ) -> list[VenueReport]:
        if not quantity:
            return []
        order, spot = resting.order, self.account.product is Product.SPOT
        if not spot and self.account.ledger.quantity(order.symbol) * order.side.sign < 0:
            # Whatever closes a position, reduce-only or not, loses no more than its margin.
            worst = self.account.bankruptcy(order.symbol)
            paid = max(paid, worst) if order.side is Side.SELL else min(paid, worst)
        rate = self.terms.maker_fee if maker else self.terms.taker_fee
        # On spot the fee of a purchase is kept from what was bought.
        base_fee = quantity * rate if spot and order.side is Side.BUY else ZERO
        fee = (base_fee or quantity * rate) * paid
        refused = self._refusal(resting, quantity, paid, ZERO if base_fee else fee)
        if refused is not None:
            self.orders.forget(resting)
            if resting.fills:
                return [Canceled(order.ref, f"expired: the rest was refused: {refused[1]}")]
            return [Rejected(order.ref, *refused)]
        resting.filled += quantity
        resting.fills += 1
        resting.since = at
        fill_id = f"{resting.venue_order_id}-{resting.fills}"
        filled = Filled(order.ref, fill_id, quantity, paid, fee, at, maker, base_fee)
        self.account.book(order, filled)
        if not resting.remaining:
            self.orders.forget(resting)
        return [filled]

    def _refusal(self, resting: Resting, quantity: Decimal, paid: Decimal, fee: Decimal) -> Refused | None:
        order = resting.order
        if order.type is OrderType.MARKET:
            large = too_large(order, quantity, paid, self.account, self.orders, resting)
            if large is not None:
                return large
        return unaffordable(order, quantity, paid, fee, self.account, self.orders, resting)

    def _reducible(self, resting: Resting) -> Decimal:
        """What is left of an order, if it is reduce-only no more than the position that it reduces."""
        order = resting.order
        if not order.reduce_only:
            return resting.remaining
        held = self.account.ledger.quantity(order.symbol)
        return min(resting.remaining, abs(held)) if held * order.side.sign < 0 else ZERO

    def _liquidation(self, symbol: str, low: float, high: float, swept: Swept | None = None) -> Liquidation | None:
        """The liquidation of a position, if a range of prices reached it, or what `swept` past an entry did."""
        there = self.account.liquidations.get(symbol)
        if there is None:
            return None
        if swept is not None:
            low, high = min(low, float(swept.price)), max(high, float(swept.price))
        return there if there.reached(low, high) else None

    def _liquidate(self, symbol: str, at: int) -> list[VenueReport]:
        """The venue takes a position over, and what was to reduce it goes."""
        self._liquidations += 1
        reports: list[VenueReport] = [self.account.liquidate(symbol, f"liquidation-{self._liquidations}", at)]
        for resting in [each for each in self.orders if each.order.symbol == symbol and each.order.reduce_only]:
            self.orders.forget(resting)
            reports.append(Canceled(resting.order.ref, "expired: the position is gone"))
        return reports

    def _under_way(self, resting: Resting, opening: Opening) -> bool:
        """Whether an order that takes longer to arrive than a candle lasts has not arrived yet."""
        closed = self._closed.get(opening.symbol)
        return resting.arrives > opening.at and closed is not None and self.terms.latency_ms > closed.interval

    def _half_spread(self, symbol: str, at: int, price: Decimal, tick: Decimal) -> Decimal:
        """What a taker pays of the spread, as a share. Where no order book tells it, a spread has one tick at least."""
        book = self._books.get(symbol)
        told = half_spread(book) if book is not None and at - book.at <= BOOK_BELIEVED_MS else None
        if told is not None or not self.terms.half_spread:
            return self.terms.half_spread if told is None else told
        return max(self.terms.half_spread, tick / 2 / price)

    def _room(self, symbol: str, price: Decimal) -> Decimal | None:
        return room(self._closed.get(symbol), self.account.instrument(symbol, float(price)).step, self.terms)


def _at_most(quantity: Decimal, share: Decimal | None) -> Decimal:
    return quantity if share is None else min(quantity, share)


def _takes_profit(order: Order, price: Decimal) -> bool:
    """Whether a price is through the other side of an OCO."""
    return order.take_at is not None and beyond_limit(order, price)


def _nearer(order: Order, liquidation: Liquidation) -> bool:
    """Whether an order is a stop that the price comes to before the liquidation."""
    assert order.trigger_price is not None
    return order.type is OrderType.STOP_MARKET and not liquidation.before(order.trigger_price)

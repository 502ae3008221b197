"""How one order of the paper venue trades: how much, at which price and fee; and how a position is liquidated."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from ocw_mcp.adapters.venues.paper_account import Liquidation, PaperAccount
from ocw_mcp.adapters.venues.paper_margin import too_large, unaffordable
from ocw_mcp.adapters.venues.paper_orders import PaperOrders, Refused, Resting
from ocw_mcp.core.matching.on_candles import (
    FillTerms,
    expected_move,
    fillable_volume,
    half_spread,
    largest_within,
    limit_of,
    slippage,
    volume_shares,
    worsened,
    would_take,
)
from ocw_mcp.domain.market import Candle, OrderBook, Product
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import Canceled, Filled, OrderType, Rejected, Side, VenueReport
from ocw_mcp.domain.time import MINUTE

BOOK_BELIEVED_MS = MINUTE
"""How old the best prices may be for their spread to be paid."""
_WORSE = {Side.BUY: "cost more than", Side.SELL: "bring less than"}


class PaperMarketState(msgspec.Struct):
    """What is known of the market, to be restored."""

    closed: dict[str, Candle]
    books: dict[str, OrderBook]
    liquidations: int


class PaperTrading:
    """Trades orders of one account at prices that it is given."""

    def __init__(self, account: PaperAccount, orders: PaperOrders, terms: FillTerms) -> None:
        self.terms = terms
        self.account = account
        self.orders = orders
        self.closed: dict[str, Candle] = {}
        """Each symbol's last closed candle."""
        self._books: dict[str, OrderBook] = {}
        self._liquidations = 0

    def on_books(self, books: Sequence[OrderBook]) -> None:
        """Note the best prices of this moment."""
        for book in books:
            self._books[book.symbol] = book

    def take(self, resting: Resting, price: Decimal, at: int, share: Decimal | None = None) -> list[VenueReport]:
        """Trade as a taker at `price` (quote) and what taking costs, up to a share of the volume where one is given.

        A reduce-only order trades no more than there is to reduce, an order with a limit no more than its limit allows.
        """
        order = resting.order
        quantity = self._reducible(resting)
        if not quantity:
            self.orders.forget(resting)
            return [Canceled(order.ref, "expired: reduce-only, and there is no position to reduce")]
        quantity = quantity if share is None else min(quantity, share)
        if order.limit_price is not None:

            def fits(part: Decimal) -> bool:
                return would_take(order, self._modelled(resting, part, price, at))

            step = self.account.instrument(order.symbol, float(price)).step
            quantity = largest_within(fits, quantity, step)
        reports = self._fill(resting, quantity, self._modelled(resting, quantity, price, at), at)
        if order.reduce_only and resting.remaining and not self.account.ledger.quantity(order.symbol):
            self.orders.forget(resting)
            reports.append(Canceled(order.ref, "expired: reduce-only, and nothing is left to reduce"))
        return reports

    def take_at_once(self, resting: Resting, price: Decimal, at: int) -> list[VenueReport]:
        """Trade an immediate-or-cancel order as deep as its limit allows; the rest is cancelled."""
        order = resting.order
        reports = self.take(resting, price, at)
        if resting.remaining and self.orders.find(order.ref) is resting:
            self.orders.forget(resting)
            rest = plain(resting.remaining)
            why = f"at {plain(price)}, {rest} would {_WORSE[order.side]} its limit of {plain(limit_of(order))}"
            reports.append(Canceled(order.ref, f"expired: immediate or cancel: {why}"))
        return reports

    def make(self, resting: Resting, at: int) -> list[VenueReport]:
        """Trade a resting limit at its own price, up to a share of the volume."""
        limit = limit_of(resting.order)
        share, quantity = self.room(resting.order.symbol, limit), self._reducible(resting)
        return self._fill(resting, quantity if share is None else min(quantity, share), limit, at, maker=True)

    def take_profit(self, resting: Resting, at: int) -> list[VenueReport]:
        """Trade the side of an OCO that takes a profit: whole, at its own price."""
        return self._fill(resting, resting.remaining, limit_of(resting.order), at, maker=True)

    def liquidation(self, symbol: str, low: float, high: float) -> Liquidation | None:
        """The liquidation of a position, if a range of prices reached it."""
        there = self.account.liquidations.get(symbol)
        return there if there is not None and there.reached(low, high) else None

    def liquidate(self, symbol: str, at: int) -> list[VenueReport]:
        """The venue takes a position over, and what was to reduce it goes."""
        self._liquidations += 1
        reports: list[VenueReport] = [self.account.liquidate(symbol, f"liquidation-{self._liquidations}", at)]
        for resting in [each for each in self.orders if each.order.symbol == symbol and each.order.reduce_only]:
            self.orders.forget(resting)
            reports.append(Canceled(resting.order.ref, "expired: the position is gone"))
        return reports

    def room(self, symbol: str, price: Decimal) -> Decimal | None:
        """How much (base asset) one order can trade against the volume; None where no candle is known."""
        return fillable_volume(self.closed.get(symbol), self.account.instrument(symbol, float(price)).step, self.terms)

    def state(self) -> PaperMarketState:
        """What is known of the market."""
        return PaperMarketState(self.closed, self._books, self._liquidations)

    def restore(self, state: PaperMarketState) -> None:
        """Put back what `state` gave."""
        self.closed = state.closed
        self._books = state.books
        self._liquidations = state.liquidations

    def _modelled(self, resting: Resting, quantity: Decimal, price: Decimal, at: int) -> Decimal:
        """What taking a quantity costs (quote): the price, half the spread, the slippage and the move on the way."""
        order = resting.order
        closed, instrument = self.closed.get(order.symbol), self.account.instrument(order.symbol, float(price))
        shares = volume_shares(resting.filled + quantity, closed, instrument.step, self.terms)
        late = expected_move(closed, resting.arrives - at) if order.trigger_price is None else ZERO
        cost = self._half_spread(order.symbol, at, price, instrument.tick) + slippage(self.terms, shares) + late
        return worsened(order.side, price, instrument.tick, cost)

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
        if order.type is OrderType.MARKET or order.immediate:
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

    def _half_spread(self, symbol: str, at: int, price: Decimal, tick: Decimal) -> Decimal:
        """What a taker pays of the spread, as a share. Where no order book tells it, a spread has one tick at least."""
        book = self._books.get(symbol)
        told = half_spread(book) if book is not None and at - book.at <= BOOK_BELIEVED_MS else None
        if told is not None or not self.terms.half_spread:
            return self.terms.half_spread if told is None else told
        return max(self.terms.half_spread, tick / 2 / price)

"""Fills one order of the paper venue: quantity, price and fee; and liquidates a position."""

from decimal import Decimal

import msgspec

from ocw_mcp.adapters.venues.paper_account import Liquidation, PaperAccount
from ocw_mcp.adapters.venues.paper_orders import PaperOrders, Resting, leverage_refusal, money_refusal
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

QUOTE_MAX_AGE_MS = MINUTE
"""Age of the best prices up to which their spread counts."""
_WORSE = {Side.BUY: "cost more than", Side.SELL: "bring less than"}


class PaperMarketState(msgspec.Struct):
    """The state of the market, which is saved."""

    closed: dict[str, Candle] = {}
    """Each symbol's last closed candle."""
    books: dict[str, OrderBook] = {}
    liquidations: int = 0


class PaperTrading:
    """Trades the orders of one account at given prices."""

    def __init__(self, account: PaperAccount, orders: PaperOrders, terms: FillTerms) -> None:
        self.terms = terms
        self.account = account
        self.orders = orders
        self.market = PaperMarketState()

    def fill_as_taker(
        self, resting: Resting, price: Decimal, at: int, *, within_volume: bool = False
    ) -> list[VenueReport]:
        """Fill at `price` (quote) plus the cost of taking; if `within_volume`, up to a share of the volume.

        A reduce-only order trades at most the position, an order with a limit at most the quantity within its limit.
        """
        order = resting.order
        quantity = self._fillable(resting)
        if not quantity:
            return self.cancel(resting, "reduce-only, and there is no position to reduce")
        if within_volume:
            quantity = self._within_volume(order.symbol, price, quantity)
        if order.limit_price is not None:
            step = self.account.instruments.get(order.symbol, float(price)).step
            quantity = largest_within(
                lambda part: would_take(order, self._taker_price(resting, part, price, at)), quantity, step
            )
        reports = self._fill(resting, quantity, self._taker_price(resting, quantity, price, at), at)
        if order.reduce_only and resting.remaining and not self.account.ledger.quantity(order.symbol):
            reports += self.cancel(resting, "reduce-only, and nothing is left to reduce")
        return reports

    def fill_immediate(self, resting: Resting, price: Decimal, at: int) -> list[VenueReport]:
        """Fill an immediate-or-cancel order as far as its limit allows; the rest is cancelled."""
        order = resting.order
        reports = self.fill_as_taker(resting, price, at)
        if resting.remaining and self.orders.find(order.ref) is resting:
            why = f"{plain(resting.remaining)} would {_WORSE[order.side]} its limit of {plain(limit_of(order))}"
            reports += self.cancel(resting, f"immediate or cancel: at {plain(price)}, {why}")
        return reports

    def fill_as_maker(self, resting: Resting, at: int) -> list[VenueReport]:
        """Fill a resting limit order at its own price, up to a share of the volume."""
        limit = limit_of(resting.order)
        quantity = self._within_volume(resting.order.symbol, limit, self._fillable(resting))
        return self._fill(resting, quantity, limit, at, maker=True)

    def fill_take_profit(self, resting: Resting, at: int) -> list[VenueReport]:
        """Fill the take-profit side of an OCO whole, at its own price."""
        return self._fill(resting, resting.remaining, limit_of(resting.order), at, maker=True)

    def liquidation(self, symbol: str, low: float, high: float) -> Liquidation | None:
        """Return the liquidation of a position if a range of prices reached it."""
        there = self.account.liquidations.get(symbol)
        return there if there is not None and there.reached(low, high) else None

    def liquidate(self, symbol: str, at: int) -> list[VenueReport]:
        """Liquidate a position, and cancel its reduce-only orders."""
        self.market.liquidations += 1
        reports: list[VenueReport] = [self.account.liquidate(symbol, f"liquidation-{self.market.liquidations}", at)]
        for resting in [each for each in self.orders if each.order.symbol == symbol and each.order.reduce_only]:
            reports += self.cancel(resting, "the position is gone")
        return reports

    def cancel(self, resting: Resting, why: str) -> list[VenueReport]:
        """Remove an order that has expired."""
        self.orders.remove(resting)
        return [Canceled(resting.order.ref, f"expired: {why}")]

    def _within_volume(self, symbol: str, price: Decimal, quantity: Decimal) -> Decimal:
        """Return the part of a quantity (base asset) that one order can trade at once; all before the first candle."""
        step = self.account.instruments.get(symbol, float(price)).step
        share = fillable_volume(self.market.closed.get(symbol), step, self.terms)
        return quantity if share is None else min(quantity, share)

    def _taker_price(self, resting: Resting, quantity: Decimal, price: Decimal, at: int) -> Decimal:
        """Return the price (quote) of taking a quantity: with half the spread, slippage and the move in the latency."""
        order = resting.order
        closed = self.market.closed.get(order.symbol)
        instrument = self.account.instruments.get(order.symbol, float(price))
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
            # Any order that closes a position, reduce-only or not, loses at most its margin.
            worst = self.account.bankruptcy(order.symbol)
            paid = max(paid, worst) if order.side is Side.SELL else min(paid, worst)
        rate = self.terms.maker_fee if maker else self.terms.taker_fee
        # On spot the fee of a purchase is deducted from the bought quantity.
        base_fee = quantity * rate if spot and order.side is Side.BUY else ZERO
        fee = (base_fee or quantity * rate) * paid
        refused = None
        others = [each for each in self.orders if each is not resting]
        if order.type is OrderType.MARKET or order.immediate:
            refused = leverage_refusal(order, quantity, paid, self.account, others)
        refused = refused or money_refusal(order, quantity, paid, ZERO if base_fee else fee, self.account, others)
        if refused is not None:
            expired = self.cancel(resting, f"the rest was refused: {refused[1]}")
            return expired if resting.fills else [Rejected(order.ref, *refused)]
        resting.filled += quantity
        resting.fills += 1
        resting.since = at
        fill_id = f"{resting.venue_order_id}-{resting.fills}"
        filled = Filled(order.ref, fill_id, quantity, paid, fee, at, maker, base_fee)
        self.account.book(order, filled)
        if not resting.remaining:
            self.orders.remove(resting)
        return [filled]

    def _fillable(self, resting: Resting) -> Decimal:
        """Return the rest of an order; for a reduce-only order at most the position that it reduces."""
        order = resting.order
        if not order.reduce_only:
            return resting.remaining
        held = self.account.ledger.quantity(order.symbol)
        return min(resting.remaining, abs(held)) if held * order.side.sign < 0 else ZERO

    def _half_spread(self, symbol: str, at: int, price: Decimal, tick: Decimal) -> Decimal:
        """Return the taker's half of the spread, as a share. Without a recent order book it is at least half a tick."""
        book = self.market.books.get(symbol)
        quoted = half_spread(book) if book is not None and at - book.at <= QUOTE_MAX_AGE_MS else None
        if quoted is not None:
            return quoted
        usual = self.terms.half_spread
        return max(usual, tick / 2 / price) if usual else usual

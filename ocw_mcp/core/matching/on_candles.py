"""Simulated fills of orders, given only candles. No assumption favours the trader.

- A market order fills at the first opening at or after the time it was sent, at that price worsened by half the spread
  and slippage. If it arrives after that opening, its price is also worsened by the move expected until its arrival. An
  order that takes longer to arrive than a candle lasts fills at the first opening after its arrival. Orders that rest
  at the venue have no such delay.
- A conditional order whose trigger price an opening has passed triggers at the opening's price: a gap costs its full
  size. Within a candle such an order triggers if the range reached its trigger price, at that price, worsened.
- A resting limit order fills at its limit price, as a maker, and only if the price went beyond its limit: a price that
  only touches the limit may have filled other orders first. Openings beyond the limit fill the order at the limit, too.
- A limit order is a taker if it crossed the last price when it was placed, or if an opening is beyond its limit before
  it has arrived. A taker fills the quantity whose modelled price is within its limit, at this price; the rest waits.
- An immediate-or-cancel order can fill at one opening only, like a market order. The largest quantity whose modelled
  price is within its limit fills, and the rest is cancelled. The candle's volume does not bound the filled quantity.
- Except for immediate-or-cancel, an order fills at most a share of a candle's volume at an opening or at its limit: of
  the candle that has just closed, since the volume of the next one is not known. The remaining quantity can fill at the
  next opening, or when the price goes through the limit again. Slippage grows with the square root of the order's
  filled quantity, once this quantity exceeds the share `volume_share` of a candle's volume.
- A triggered stop or target fills completely, since the exchange sends it into the order book at once. The slippage of
  a stop or target grows with the square root of its quantity, too, so a thin market worsens its price.
- Within a candle the orders fill one by one, in the order of `CandlePath`: of the prices on one side of the open, the
  nearest first. If both sides are reached, the side that is worse for the account comes first: the stop before the
  target, also between the two sides of an OCO. The OCO's profit-taking side is a limit order, but fills completely.
- An order that was placed while the candle was open, and not in reaction to a fill, meets only the candle's close. A
  stop that replaced a looser stop within the candle also triggers at the looser price, since one of both was live then.
- An order placed in reaction to a fill meets the rest of the candle's path. A stop whose trigger the price has already
  passed is rejected.
- A position is liquidated if the last price, used as the mark price, reaches its liquidation price, and closed at
  its bankruptcy price: it loses its margin and no more. Within a candle a stop nearer than the liquidation price comes
  first. At an opening beyond both, the liquidation comes first: the venue checks mark prices before it takes orders,
  and cancels the position's orders. A target never comes before a liquidation. No close costs more than the margin.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal

import msgspec

from ocw_mcp.domain.market import Candle, OrderBook, Product
from ocw_mcp.domain.money import ONE, ZERO, ceil_to, exact, floor_to
from ocw_mcp.domain.orders import Order, OrderRef, OrderType, Side


class FillTerms(msgspec.Struct, frozen=True):
    """The costs of trading, as shares of the price or notional."""

    taker_fee: Decimal
    half_spread: Decimal
    """Half of the bid-ask spread, used if no order book is known."""
    slippage: Decimal
    maker_fee: Decimal = Decimal("0.001")
    volume_share: Decimal = Decimal("0.1")
    """The share of a candle's volume that one order can fill with no more slippage than `slippage`."""
    latency_ms: int = 250
    """Assumed time from the engine to the venue: slow for a server, fast for a home connection."""


TERMS: dict[Product, FillTerms] = {
    # The exchange's base fee tier. Half spread and slippage are assumptions, rather high for the largest symbols.
    Product.SPOT: FillTerms(Decimal("0.001"), Decimal("0.0001"), Decimal("0.0001")),
    Product.UM: FillTerms(Decimal("0.0005"), Decimal("0.0001"), Decimal("0.0001"), Decimal("0.0002")),
}

_MEAN_MOVE = Decimal("0.4791785")
"""1 / sqrt(2π ln 2): the mean absolute move of a candle over its log range."""


def fillable_volume(candle: Candle | None, step: Decimal, terms: FillTerms) -> Decimal | None:
    """Return the quantity (base asset) of an order that can fill against a candle's volume; None without a candle."""
    return None if candle is None else floor_to(exact(candle.volume) * terms.volume_share, step)


def volume_shares(filled: Decimal, candle: Candle | None, step: Decimal, terms: FillTerms) -> Decimal:
    """Return the filled quantity of an order as a multiple of `fillable_volume`, at least 1."""
    share = fillable_volume(candle, step, terms)
    return ONE if share is None else max(ONE, filled / max(share, step))


def expected_move(candle: Candle | None, ms: int) -> Decimal:
    """Return the expected absolute move of a price within `ms`, as a share of the price; 0 without a candle.

    The candle's range gives the standard deviation, ln(high / low) / sqrt(4 ln 2) (M. Parkinson, The Extreme Value
    Method for Estimating the Variance of the Rate of Return, Journal of Business 53, 1980), and grows with the square
    root of time. The mean absolute move of a normal distribution is sqrt(2 / π) times its standard deviation.
    """
    if candle is None or ms <= 0 or candle.high <= candle.low:
        return ZERO
    span = (exact(candle.high) / exact(candle.low)).ln()
    return span * _MEAN_MOVE * (Decimal(ms) / candle.interval).sqrt()


def half_spread(book: OrderBook) -> Decimal | None:
    """Return half of the bid-ask spread as a share of the mid price; None if the prices are not valid."""
    if not 0 < book.bid <= book.ask < float("inf"):
        return None
    bid, ask = exact(book.bid), exact(book.ask)
    return (ask - bid) / (ask + bid)


def worsened(side: Side, price: Decimal, tick: Decimal, cost: Decimal) -> Decimal:
    """Return a price worsened by `cost`, a share of it, and rounded to the tick against the trader."""
    if side is Side.BUY:
        return ceil_to(price * (ONE + cost), tick)
    return max(tick, floor_to(price * (ONE - cost), tick))


def slippage(terms: FillTerms, shares: Decimal) -> Decimal:
    """Return the slippage, as a share of the price, of an order that fills `shares` times the `fillable_volume`.

    Slippage grows with the square root of `shares` (B. Tóth et al., Anomalous Price Impact and the Critical Nature of
    Liquidity in Financial Markets, Physical Review X 1, 2011).
    """
    return terms.slippage * shares.sqrt()


def largest_within(fits: Callable[[Decimal], bool], quantity: Decimal, step: Decimal) -> Decimal:
    """Return the largest quantity on the step, at most `quantity`, that `fits` accepts with all smaller ones; or 0."""
    if fits(quantity):
        return quantity
    least, most = 0, int(quantity // step)
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if fits(middle * step) else (least, middle - 1)
    return least * step


def limit_of(order: Order) -> Decimal:
    """Return the limit price of an order, or the price of an OCO's profit-taking side (quote)."""
    limit = order.take_at if order.limit_price is None else order.limit_price
    assert limit is not None
    return limit


def beyond_limit(order: Order, price: Decimal) -> bool:
    """Return whether a price is strictly better for the trader than the order's limit."""
    return price != limit_of(order) and would_take(order, price)


def would_take(order: Order, price: Decimal) -> bool:
    """Return whether a limit order placed at this price would be a taker: its limit is at or across the price."""
    return price <= limit_of(order) if order.side is Side.BUY else price >= limit_of(order)


def falls_to(order: Order) -> bool:
    """Return whether a conditional order triggers on a fall of the price: a long's stop, a short's target."""
    return (order.side is Side.SELL) == (order.type is OrderType.STOP_MARKET)


def passed(order: Order, price: Decimal) -> bool:
    """Return whether a price is at or beyond a conditional order's trigger."""
    trigger = order.trigger_price
    assert trigger is not None
    return price <= trigger if falls_to(order) else price >= trigger


class PathSegment(msgspec.Struct, frozen=True):
    """One part of the path, in which the price only falls, or only rises, to `end` (quote)."""

    end: Decimal
    falls: bool

    def reaches(self, price: Decimal) -> bool:
        """Return whether the path has reached `price` by the end of this segment."""
        return self.end <= price if self.falls else self.end >= price

    def goes_beyond(self, limit: Decimal, begin: Decimal) -> bool:
        """Return whether the segment ends strictly beyond both prices: `limit`, and `begin`, at which it begins."""
        return self.end < min(limit, begin) if self.falls else self.end > max(limit, begin)

    def nearness(self, price: Decimal) -> Decimal:
        """Return a sort key of prices: the segment reaches prices with a smaller key first."""
        return -price if self.falls else price

    def moved(self, begin: Decimal, price: Decimal) -> Decimal:
        """Return the current price after an order was met: `begin` or `price`, whichever is farther along the path."""
        return min(begin, price) if self.falls else max(begin, price)


class CandlePath:
    """The assumed price path through one candle: from the open to one extreme, to the other, to the close.

    A candle does not show which extreme came first; `down_first` says which one the matching assumes.
    """

    def __init__(self, candle: Candle, *, down_first: bool) -> None:
        self.candle = candle
        self.price = exact(candle.open)
        """The current price (quote)."""
        self.met: set[OrderRef] = set()
        """Orders whose price the path has reached; each is met once."""
        self.laid: set[OrderRef] = set()
        """Orders placed in reaction to fills on this path; they meet the rest of it."""
        low, high, close = exact(candle.low), exact(candle.high), exact(candle.close)
        first, second = PathSegment(low, falls=True), PathSegment(high, falls=False)
        self._segments = (first, second, PathSegment(close, falls=True))
        if not down_first:
            self._segments = (second, first, PathSegment(close, falls=False))

    def segments(self) -> Iterator[PathSegment]:
        """Yield the segments in order. Before the next is yielded, `price` becomes the end of the previous one."""
        for segment in self._segments:
            yield segment
            self.price = segment.end

    def knows(self, ref: OrderRef, since: int) -> bool:
        """Return whether an order placed at `since` (ms) can meet prices of this candle other than its close."""
        return since <= self.candle.open_time or ref in self.laid

"""Simulated fills of orders, given only candles. No assumption favours the trader.

- A market order fills at the first candle opening at or after the time it was sent, at the opening price worsened by
  half the spread and slippage. If the order arrives after that opening, its price is also worsened by the price move
  expected until its arrival. If its arrival takes longer than a candle, it fills at the first opening after that.
- A conditional order (stop or target) whose trigger price was passed by an opening price triggers at the opening price:
  a price gap costs its full size. Within a candle, a conditional order triggers if the candle's range reaches the
  trigger price, and fills at the trigger price, worsened like a market order.
- A resting limit order fills at its limit price, as a maker and without delay, if the price went beyond its limit: at
  the limit itself, other orders may have filled first. An opening beyond the limit fills the order at its limit, too.
- A limit order is a taker if its limit crossed the last price when it was placed, or if an opening is beyond its limit
  before the order has arrived. A taker fills the quantity whose modelled price is within its limit, at the modelled
  price; the remaining quantity rests at the venue.
- An immediate-or-cancel order can fill at one opening only: the largest quantity whose modelled price is within its
  limit fills, and the remaining quantity is cancelled. A candle's volume does not bound an immediate-or-cancel order.
- A market or limit order that is not immediate-or-cancel fills, at one opening or at its limit, at most a share of the
  volume of the candle that has just closed, since the volume of the next candle is not known. An unfilled quantity can
  fill at the next opening, or when the price goes through the limit again.
- A triggered stop or target fills completely, since the exchange sends it as a market order.
- Slippage grows with the square root of an order's filled quantity, once this quantity exceeds the share `volume_share`
  of a candle's volume.
- Within a candle, orders fill one by one, in the order in which the assumed price path (`CandlePath`) reaches their
  prices. If a candle reaches prices on both sides of its open, the side that is worse for the account comes first: a
  stop before a target, also within an OCO. The profit-taking side of an OCO is a limit order, but fills completely.
- An order that was placed while a candle was open, and not in reaction to a fill, can fill only at that candle's close.
  A stop that replaced a looser stop while the candle was open also triggers at the price of the looser stop.
- An order placed in reaction to a fill can fill on the rest of the candle's path. A stop is rejected if the price has
  already passed its trigger price.
- A position is liquidated if the last price, used as the mark price, reaches the liquidation price. A liquidated
  position is closed at its bankruptcy price, so its loss is its margin. Within a candle, a stop nearer than the
  liquidation price triggers first. At an opening beyond the stop and the liquidation price, the position is liquidated:
  the venue checks mark prices before it takes orders, and cancels the position's orders. A target never fills before a
  liquidation. No closing order loses more than the position's margin.
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
    """The assumed delay from the engine to the venue: long for a server, short for a home connection."""


TERMS: dict[Product, FillTerms] = {
    # The exchange's base fee tier. Half spread and slippage are assumptions, rather high for the largest symbols.
    Product.SPOT: FillTerms(Decimal("0.001"), Decimal("0.0001"), Decimal("0.0001")),
    Product.UM: FillTerms(Decimal("0.0005"), Decimal("0.0001"), Decimal("0.0001"), Decimal("0.0002")),
}

_MEAN_MOVE = Decimal("0.4791785")
"""1 / sqrt(2π ln 2): the mean absolute move of a candle over its log range."""


def fillable_volume(candle: Candle | None, step: Decimal, terms: FillTerms) -> Decimal | None:
    """Return the largest fill (base asset) of one order against a candle's volume; None without a candle."""
    return None if candle is None else floor_to(exact(candle.volume) * terms.volume_share, step)


def volume_shares(filled: Decimal, candle: Candle | None, step: Decimal, terms: FillTerms) -> Decimal:
    """Return the filled quantity of an order as a multiple of `fillable_volume`, at least 1."""
    share = fillable_volume(candle, step, terms)
    return ONE if share is None else max(ONE, filled / max(share, step))


def expected_move(candle: Candle | None, ms: int) -> Decimal:
    """Return the expected absolute move of a price within `ms`, as a share of the price; 0 without a candle.

    The candle's range gives the move's standard deviation, ln(high / low) / sqrt(4 ln 2) (M. Parkinson, The Extreme
    Value Method for Estimating the Variance of the Rate of Return, Journal of Business 53, 1980), times the square root
    of time. The mean absolute move of a normal distribution is sqrt(2 / π) times its standard deviation.
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
    """Return a price worsened by `cost` (a share of the price) and rounded to the tick, both against the trader."""
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
    """Return the largest quantity (a multiple of `step`, or `quantity`) up to which `fits` accepts every quantity."""
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
    """Return whether a limit order would be a taker if it were placed while the market is at `price`."""
    return price <= limit_of(order) if order.side is Side.BUY else price >= limit_of(order)


def falls_to(order: Order) -> bool:
    """Return whether a falling price triggers a conditional order: a long's stop or a short's target."""
    return (order.side is Side.SELL) == (order.type is OrderType.STOP_MARKET)


def passed(order: Order, price: Decimal) -> bool:
    """Return whether a price is at or beyond a conditional order's trigger."""
    trigger = order.trigger_price
    assert trigger is not None
    return price <= trigger if falls_to(order) else price >= trigger


class PathSegment(msgspec.Struct, frozen=True):
    """One part of a candle's price path, in which the price only falls, or only rises, to `end` (quote)."""

    end: Decimal
    falls: bool

    def reaches(self, price: Decimal) -> bool:
        """Return whether the path has reached `price` by the end of this segment."""
        return self.end <= price if self.falls else self.end >= price

    def goes_beyond(self, limit: Decimal, begin: Decimal) -> bool:
        """Return whether the segment ends strictly beyond `limit`, and beyond `begin`, the price at which it begins."""
        return self.end < min(limit, begin) if self.falls else self.end > max(limit, begin)

    def nearness(self, price: Decimal) -> Decimal:
        """Return a sort key of prices: the segment reaches prices with a smaller key first."""
        return -price if self.falls else price

    def moved(self, begin: Decimal, price: Decimal) -> Decimal:
        """Return `begin` or the price of an order that the path reached, whichever is farther along the path."""
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
        """Orders placed in reaction to fills on this path; they can fill on the rest of the path."""
        low, high, close = exact(candle.low), exact(candle.high), exact(candle.close)
        first, second = PathSegment(low, falls=True), PathSegment(high, falls=False)
        self._segments = (first, second, PathSegment(close, falls=True))
        if not down_first:
            self._segments = (second, first, PathSegment(close, falls=False))

    def segments(self) -> Iterator[PathSegment]:
        """Yield the segments in order. At the end of each segment, `price` becomes the end price."""
        for segment in self._segments:
            yield segment
            self.price = segment.end

    def knows(self, ref: OrderRef, since: int) -> bool:
        """Return whether an order placed at `since` (ms) can fill within this candle, and not only at its close."""
        return since <= self.candle.open_time or ref in self.laid

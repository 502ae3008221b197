"""What a venue would have done with an order, given candles only, and nothing assumed in the trader's favour.

- A market order meets the first opening at or after the moment it was sent, at that price worsened by half the spread
  and slippage. Where it arrives only after that opening, since sending takes a while, it pays besides what the price is
  expected to have moved by then, always against it. What takes longer to arrive than a candle lasts meets the first
  opening after it has arrived. Orders that rest at the venue are there already and pay nothing for the way.
- A conditional order that an opening has already passed triggers there, at the opening's price: a gap is not forgiven.
- Within a candle it triggers when the range reached its price, and trades at that price, worsened.
- A limit order that rests trades at its own price, as a maker, and only where the price went beyond its limit: what
  merely touches it may have filled others before. That holds at an opening beyond it, too: the price passed the limit
  on the way there.
- A limit order is a taker if it had crossed the last price when it came, or if an opening is beyond it before it has
  arrived. It pays the price as modelled for its quantity, and trades only the quantity whose price is within its limit.
  The limit never makes a price better. What is left rests.
- An immediate-or-cancel order meets one opening, as a market order does. It trades the largest quantity whose modelled
  price is within its limit, and what is left is cancelled. The impact bounds it, so no share of the volume does.
- At an opening or at its limit, any other order takes a share of a candle's volume at most: of the candle that has just
  closed, since nobody knows the next one's. What is left of it goes on at the next opening, or when the price goes
  through the limit again. The slippage grows with the square root of all that it has taken, from one share on.
- A triggered stop or target trades whole: the exchange sends it into the book at once, and does not wait for others to
  come. What a thin market costs it is the price, by the same square root; to leave a part of it for later would let it
  gain from a price that comes back.
- Within a candle the orders are met one by one, in the order of `path.py`: on one side of the open the nearest price
  first. Where both sides are reached, the side that is worse for the account comes first: the stop before the target,
  also between the two sides of an OCO. The side of an OCO that takes a profit is a limit, but trades whole.
- An order that came while the candle was open, from outside, meets its close only. A stop that took the place of a
  looser one meets the candle where that one stood, too: the price passed the one or the other.
- What is laid in answer to a fill meets the rest of that way: a stop that the price had passed before is refused, one
  that lies ahead triggers when the price comes to it.
- A position is liquidated where the last price, taken for the mark, reaches its liquidation price: it is taken over at
  its bankruptcy price, so its margin is lost, and no more. Within a candle a stop that is nearer comes first, since the
  price passed it on the way. At an opening beyond both the liquidation does: the venue looks at marks before it takes
  orders, and cancels those of the position; it is the worse answer, too. A target never comes before a liquidation.
  Nor does closing cost more than the margin, however thin the market: it trades at the bankruptcy price at worst.
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from ocw_mcp.domain.market import Candle, OrderBook, Product
from ocw_mcp.domain.money import ONE, ZERO, ceil_to, exact, floor_to
from ocw_mcp.domain.orders import Order, OrderType, Side


class FillTerms(msgspec.Struct, frozen=True):
    """What trading costs, as fractions of the price or notional."""

    taker_fee: Decimal
    half_spread: Decimal
    """Where no order book tells it."""
    slippage: Decimal
    maker_fee: Decimal = Decimal("0.001")
    volume_share: Decimal = Decimal("0.1")
    """How much of a candle's volume one order can have at no more than `slippage`."""
    latency_ms: int = 250
    """From the desk to the venue: an assumption, on the slow side for a server and the quick one for a home."""


TERMS: dict[Product, FillTerms] = {
    # The exchange's base fee tier. Half spread and slippage are assumptions, on the dear side for large symbols.
    Product.SPOT: FillTerms(Decimal("0.001"), Decimal("0.0001"), Decimal("0.0001")),
    Product.UM: FillTerms(Decimal("0.0005"), Decimal("0.0001"), Decimal("0.0001"), Decimal("0.0002")),
}

_MEAN_MOVE = Decimal("0.4791785")
"""1 / sqrt(2π ln 2): from a candle's log range to the mean size of its move."""


def room(candle: Candle | None, step: Decimal, terms: FillTerms) -> Decimal | None:
    """How much (base asset) of an order can trade against a candle's volume; None where no candle is known."""
    return None if candle is None else floor_to(exact(candle.volume) * terms.volume_share, step)


def pressure(taken: Decimal, candle: Candle | None, step: Decimal, terms: FillTerms) -> Decimal:
    """How many of a candle's shares of volume an order has taken, at least one."""
    share = room(candle, step, terms)
    return ONE if share is None else max(ONE, taken / max(share, step))


def expected_move(candle: Candle | None, ms: int) -> Decimal:
    """How far a price is expected to move within `ms`, as a share of it, up or down; 0 where no candle is known.

    The candle's range tells the deviation, ln(high / low) / sqrt(4 ln 2) (M. Parkinson, The Extreme Value Method for
    Estimating the Variance of the Rate of Return, Journal of Business 53, 1980), time scales it by its square root, and
    the mean size of a normal move is sqrt(2 / π) of its deviation.
    """
    if candle is None or ms <= 0 or candle.high <= candle.low:
        return ZERO
    span = (exact(candle.high) / exact(candle.low)).ln()
    return span * _MEAN_MOVE * (Decimal(ms) / candle.interval).sqrt()


def half_spread(book: OrderBook) -> Decimal | None:
    """Half of what lies between the best prices, as a share of their middle; None where they make no sense."""
    if not 0 < book.bid <= book.ask < float("inf"):
        return None
    bid, ask = exact(book.bid), exact(book.ask)
    return (ask - bid) / (ask + bid)


def worsened(side: Side, price: Decimal, tick: Decimal, cost: Decimal) -> Decimal:
    """A price after a `cost` that is a share of it, rounded to the tick against the trader."""
    if side is Side.BUY:
        return ceil_to(price * (ONE + cost), tick)
    return max(tick, floor_to(price * (ONE - cost), tick))


def slippage(terms: FillTerms, shares: Decimal) -> Decimal:
    """What an order that takes so many `shares` of volume moves the price by.

    It grows with their square root (B. Tóth et al., Anomalous Price Impact and the Critical Nature of Liquidity in
    Financial Markets, Physical Review X 1, 2011).
    """
    return terms.slippage * shares.sqrt()


def largest_within(fits: Callable[[Decimal], bool], quantity: Decimal, step: Decimal) -> Decimal:
    """Return the largest quantity (base asset, on the step) up to `quantity` that `fits`; 0 where none does.

    What fits must fit for every smaller quantity, too, as a price does that grows with what is taken.
    """
    if fits(quantity):
        return quantity
    least, most = 0, int(quantity // step)
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if fits(middle * step) else (least, middle - 1)
    return least * step


def limit_of(order: Order) -> Decimal:
    """The price of an order's limit, or of the side of an OCO that takes a profit."""
    limit = order.take_at if order.limit_price is None else order.limit_price
    assert limit is not None
    return limit


def beyond_limit(order: Order, price: Decimal) -> bool:
    """Whether a price is strictly better for the trader than the order's limit."""
    return price != limit_of(order) and would_take(order, price)


def would_take(order: Order, price: Decimal) -> bool:
    """Whether a limit order that comes at this price would meet others at once: its limit is at or across it."""
    return price <= limit_of(order) if order.side is Side.BUY else price >= limit_of(order)


def falls_to(order: Order) -> bool:
    """Whether a conditional order waits for the price to fall to its trigger: a long's stop, a short's target."""
    return (order.side is Side.SELL) == (order.type is OrderType.STOP_MARKET)


def passed(order: Order, price: Decimal) -> bool:
    """Whether a price is at or beyond a conditional order's trigger."""
    trigger = order.trigger_price
    assert trigger is not None
    return price <= trigger if falls_to(order) else price >= trigger

"""What a venue would have done with an order, given candles only, and nothing assumed in the trader's favour.

- A market order meets the first opening after it was sent, at that price worsened by half the spread and slippage.
- A conditional order that an opening has already passed triggers there, at the opening's price: a gap is not forgiven.
- Within a candle it triggers when the range reached its price, and trades at that price, worsened.
- A limit order trades only where the price went beyond its limit: what merely touches it may have filled others
  before. Within a candle it trades at its limit. At an opening beyond it, at the opening's price; but after a hole at
  its limit, since the price passed that unseen. It pays as a taker if it had crossed the last price when it came.
- A limit entry is filled before the stop beyond it is reached, and a stop laid under it at once counts for the rest of
  the way that the price went within the candle.
- At an opening or at its limit, an order takes a share of a candle's volume at most: of the candle that has just
  closed, since nobody knows the next one's. What is left of it goes on at the next opening, or when the price goes
  through the limit again. The slippage grows with the square root of all that it has taken, from one share on.
- A triggered stop or target trades whole: the exchange sends it into the book at once, and does not wait for others to
  come. What a thin market costs it is the price, by the same square root; to leave a part of it for later would let it
  gain from a price that comes back.
- Where a candle reached both a stop and a target, the stop came first: nobody knows, and that is the worse answer.
"""

from decimal import Decimal

import msgspec

from ocw_mcp.domain.market import Candle, Product
from ocw_mcp.domain.money import ONE, ceil_to, exact, floor_to
from ocw_mcp.domain.orders import Order, OrderType, Side


class Terms(msgspec.Struct, frozen=True):
    """What trading costs, as fractions of the price or notional."""

    taker_fee: Decimal
    half_spread: Decimal
    slippage: Decimal
    leverage: Decimal
    """How many times the equity the venue lends against; 1 on spot."""
    maker_fee: Decimal = Decimal("0.001")
    volume_share: Decimal = Decimal("0.1")
    """How much of a candle's volume one order can have at no more than `slippage`."""


TERMS: dict[Product, Terms] = {
    # The exchange's base fee tier. Half spread and slippage are assumptions, on the dear side for large symbols.
    Product.SPOT: Terms(Decimal("0.001"), Decimal("0.0001"), Decimal("0.0001"), Decimal(1)),
    Product.UM: Terms(Decimal("0.0005"), Decimal("0.0001"), Decimal("0.0001"), Decimal(20), Decimal("0.0002")),
}


def room(candle: Candle | None, step: Decimal, terms: Terms) -> Decimal | None:
    """How much (base asset) of an order can trade against a candle's volume; None where no candle is known."""
    return None if candle is None else floor_to(exact(candle.volume) * terms.volume_share, step)


def pressure(taken: Decimal, candle: Candle | None, step: Decimal, terms: Terms) -> Decimal:
    """How many of a candle's shares of volume an order has taken, at least one."""
    share = room(candle, step, terms)
    return ONE if share is None else max(ONE, taken / max(share, step))


def worsened(side: Side, price: Decimal, tick: Decimal, terms: Terms, shares: Decimal = ONE) -> Decimal:
    """A price after half the spread and slippage, rounded to the tick against the trader.

    Slippage grows with the square root of the `shares` of volume that an order takes (B. Tóth et al., Anomalous Price
    Impact and the Critical Nature of Liquidity in Financial Markets, Physical Review X 1, 2011).
    """
    cost = terms.half_spread + terms.slippage * shares.sqrt()
    if side is Side.BUY:
        return ceil_to(price * (ONE + cost), tick)
    return max(tick, floor_to(price * (ONE - cost), tick))


def within_limit(order: Order, price: Decimal) -> Decimal:
    """A price, or the order's limit where that is better for the trader."""
    limit = order.limit_price
    assert limit is not None
    return min(price, limit) if order.side is Side.BUY else max(price, limit)


def beyond_limit(order: Order, price: Decimal) -> bool:
    """Whether a price is strictly better for the trader than the order's limit."""
    return price != order.limit_price and within_limit(order, price) == price


def would_take(order: Order, price: Decimal) -> bool:
    """Whether a limit order that comes at this price would meet others at once: its limit is at or across it."""
    return within_limit(order, price) == price


def falls_to(order: Order) -> bool:
    """Whether a conditional order waits for the price to fall to its trigger: a long's stop, a short's target."""
    return (order.side is Side.SELL) == (order.type is OrderType.STOP_MARKET)


def passed(order: Order, price: Decimal) -> bool:
    """Whether a price is at or beyond a conditional order's trigger."""
    trigger = order.trigger_price
    assert trigger is not None
    return price <= trigger if falls_to(order) else price >= trigger

"""What a venue would have done with an order, given candles only, and nothing assumed in the trader's favour.

- A market order meets the first opening after it was sent, at that price worsened by half the spread and slippage.
- A conditional order that an opening has already passed triggers there, at the opening's price: a gap is not forgiven.
- Within a candle it triggers when the range reached its price, and trades at that price, worsened.
- Where a candle reached both a stop and a target, the stop came first: nobody knows, and that is the worse answer.
"""

from decimal import Decimal

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import ONE, ceil_to, floor_to
from ocw_mcp.domain.orders import Order, OrderType, Side


class Terms(msgspec.Struct, frozen=True):
    """What trading costs, as fractions of the price or notional."""

    taker_fee: Decimal
    half_spread: Decimal
    slippage: Decimal
    leverage: Decimal
    """How many times the equity the venue lends against; 1 on spot."""


TERMS: dict[Product, Terms] = {
    # The exchange's base fee tier. Half spread and slippage are assumptions, on the dear side for large symbols.
    Product.SPOT: Terms(Decimal("0.001"), Decimal("0.0001"), Decimal("0.0001"), Decimal(1)),
    Product.UM: Terms(Decimal("0.0005"), Decimal("0.0001"), Decimal("0.0001"), Decimal(20)),
}


def worsened(side: Side, price: Decimal, tick: Decimal, terms: Terms) -> Decimal:
    """A price after half the spread and slippage, rounded to the tick against the trader."""
    cost = terms.half_spread + terms.slippage
    if side is Side.BUY:
        return ceil_to(price * (ONE + cost), tick)
    return max(tick, floor_to(price * (ONE - cost), tick))


def falls_to(order: Order) -> bool:
    """Whether a conditional order waits for the price to fall to its trigger: a long's stop, a short's target."""
    return (order.side is Side.SELL) == (order.type is OrderType.STOP_MARKET)


def passed(order: Order, price: Decimal) -> bool:
    """Whether a price is at or beyond a conditional order's trigger."""
    trigger = order.trigger_price
    assert trigger is not None
    return price <= trigger if falls_to(order) else price >= trigger

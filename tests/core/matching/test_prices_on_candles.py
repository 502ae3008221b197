"""Nothing is assumed in the trader's favour."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.core.matching.on_candles import TERMS, Terms, falls_to, passed, worsened
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Order, OrderRef, OrderType, Purpose, Side

D = Decimal
COSTS = Terms(taker_fee=D("0.0005"), half_spread=D("0.0001"), slippage=D("0.0002"))


def conditional(side: Side, kind: OrderType, trigger: str) -> Order:
    return Order(OrderRef(1, Purpose.STOP), "ETHUSDT", side, kind, D(1), reduce_only=True, trigger_price=D(trigger))


@pytest.mark.parametrize(
    ("side", "price", "tick", "paid"),
    [
        (Side.BUY, "1000", "0.01", "1000.3"),
        (Side.SELL, "1000", "0.01", "999.7"),
        (Side.BUY, "1000", "1", "1001"),
        (Side.SELL, "1000", "1", "999"),
        (Side.BUY, "33.33", "0.01", "33.34"),
        (Side.SELL, "33.33", "0.01", "33.32"),
        (Side.SELL, "0.0001", "0.0001", "0.0001"),
    ],
)
def test_a_price_is_worsened_by_spread_and_slippage_and_rounded_against_the_trader(
    side: Side, price: str, tick: str, paid: str
) -> None:
    assert worsened(side, D(price), D(tick), COSTS) == D(paid)


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(Side),
    st.decimals("0.01", "99999", places=4, allow_nan=False, allow_infinity=False),
    st.sampled_from(["0.0001", "0.01", "0.1", "1"]),
)
def test_nobody_ever_trades_better_than_the_market(side: Side, price: Decimal, tick_text: str) -> None:
    tick = D(tick_text)
    paid = worsened(side, price, tick, COSTS)
    assert paid > 0
    assert paid % tick == 0
    if side is Side.BUY:
        assert price * D("1.0003") <= paid < price * D("1.0003") + tick
    elif paid > tick:
        assert price * D("0.9997") - tick < paid <= price * D("0.9997")


@pytest.mark.parametrize(
    ("side", "kind", "falls"),
    [
        (Side.SELL, OrderType.STOP_MARKET, True),
        (Side.BUY, OrderType.STOP_MARKET, False),
        (Side.SELL, OrderType.TAKE_PROFIT_MARKET, False),
        (Side.BUY, OrderType.TAKE_PROFIT_MARKET, True),
    ],
)
def test_a_trigger_is_passed_at_its_price_and_beyond(side: Side, kind: OrderType, falls: bool) -> None:
    order = conditional(side, kind, "100")
    assert falls_to(order) is falls
    assert passed(order, D(100))
    assert passed(order, D("99.99")) is falls
    assert passed(order, D("100.01")) is not falls


@pytest.mark.parametrize("product", Product)
def test_trading_costs_something_on_every_product(product: Product) -> None:
    terms = TERMS[product]
    assert terms.taker_fee > 0
    assert terms.half_spread + terms.slippage > 0
    assert terms.leverage >= 1


def test_spot_lends_nothing() -> None:
    assert TERMS[Product.SPOT].leverage == 1

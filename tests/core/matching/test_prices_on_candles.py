"""Prices of simulated fills: no assumption favours the trader."""

import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.core.matching.on_candles import (
    TERMS,
    expected_move,
    falls_to,
    half_spread,
    passed,
    slippage,
    worsened,
)
from ocw_mcp.domain.market import Candle, OrderBook, Product
from ocw_mcp.domain.orders import Order, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.time import MINUTE

D = Decimal
COST = D("0.0003")


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
def test_price_is_worsened_and_rounded_against_the_trader(side: Side, price: str, tick: str, paid: str) -> None:
    assert worsened(side, D(price), D(tick), COST) == D(paid)


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(Side),
    st.decimals("0.01", "99999", places=4, allow_nan=False, allow_infinity=False),
    st.sampled_from(["0.0001", "0.01", "0.1", "1"]),
)
def test_fill_price_is_never_better_than_the_market(side: Side, price: Decimal, tick_text: str) -> None:
    tick = D(tick_text)
    paid = worsened(side, price, tick, COST)
    assert paid > 0
    assert paid % tick == 0
    if side is Side.BUY:
        assert price * D("1.0003") <= paid < price * D("1.0003") + tick
    elif paid > tick:
        assert price * D("0.9997") - tick < paid <= price * D("0.9997")


@pytest.mark.parametrize(
    ("side", "kind", "on_fall"),
    [
        (Side.SELL, OrderType.STOP_MARKET, True),
        (Side.BUY, OrderType.STOP_MARKET, False),
        (Side.SELL, OrderType.TAKE_PROFIT_MARKET, False),
        (Side.BUY, OrderType.TAKE_PROFIT_MARKET, True),
    ],
)
def test_conditional_order_triggers_at_its_trigger_and_beyond(side: Side, kind: OrderType, on_fall: bool) -> None:
    order = conditional(side, kind, "100")
    assert falls_to(order) is on_fall
    assert passed(order, D(100))
    assert passed(order, D("99.99")) is on_fall
    assert passed(order, D("100.01")) is not on_fall


@pytest.mark.parametrize("product", Product)
def test_fees_and_spread_are_above_0_on_spot_and_futures(product: Product) -> None:
    terms = TERMS[product]
    assert terms.taker_fee > 0
    assert terms.half_spread + terms.slippage > 0


def test_slippage_grows_with_the_square_root_of_filled_volume() -> None:
    terms = TERMS[Product.UM]
    assert slippage(terms, D(1)) == terms.slippage
    assert slippage(terms, D(9)) == 3 * terms.slippage


def flat(high: float, low: float) -> Candle:
    return Candle("ETHUSDT", 0, MINUTE, low, high, low, low, 1.0)


def test_expected_move_follows_from_the_candle_range() -> None:
    deviation = math.log(1_010 / 1_000) / math.sqrt(4 * math.log(2)) * math.sqrt(250 / MINUTE)
    moved = expected_move(flat(1_010.0, 1_000.0), 250)
    assert float(moved) == pytest.approx(deviation * math.sqrt(2 / math.pi), rel=1e-6)
    assert expected_move(flat(1_010.0, 1_000.0), 1_000) == pytest.approx(2 * moved)


@pytest.mark.parametrize(("candle", "ms"), [(None, 250), (flat(1_000.0, 1_000.0), 250), (flat(1_010.0, 1_000.0), 0)])
def test_expected_move_is_0_without_range_or_time(candle: Candle | None, ms: int) -> None:
    assert expected_move(candle, ms) == 0


@pytest.mark.parametrize(
    ("bid", "ask", "expected"),
    [
        (999.0, 1_001.0, "0.001"),
        (1_000.0, 1_000.0, "0"),
        (1_001.0, 999.0, None),
        (0.0, 1.0, None),
        (math.nan, 1.0, None),
        (1.0, math.nan, None),
        (1.0, math.inf, None),
    ],
)
def test_half_spread_is_a_share_or_none_for_invalid_prices(bid: float, ask: float, expected: str | None) -> None:
    assert half_spread(OrderBook("ETHUSDT", 0, bid, ask)) == (None if expected is None else D(expected))

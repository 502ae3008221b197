"""Isolated margin: liquidation prices, and the largest position whose stop is reached before its liquidation."""

from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ocw_mcp.domain.margin import CAUTIOUS, Bracket, Brackets, allowed_maintenance, bankruptcy_price
from ocw_mcp.domain.market import Product
from tests.support.accounts import ETH

D = Decimal
BRACKETS = Brackets(
    (Bracket(D(50_000), 125, D("0.004")), Bracket(D(600_000), 100, D("0.005")), Bracket(D(3_000_000), 50, D("0.01")))
)
ROWS = Brackets((Bracket(D(1_000), 50, D("0.01")), Bracket(D(9_000), 20, D("0.02")), Bracket(D(50_000), 5, D("0.1"))))


def test_maintenance_margin_is_continuous_between_brackets() -> None:
    assert BRACKETS.amounts == (D(0), D(50), D(3_050))
    for cap in (D(50_000), D(600_000)):
        assert BRACKETS.maintenance(cap) == pytest.approx(BRACKETS.maintenance(cap + D("0.000001")))


def test_liquidation_price_equals_the_exchange_example() -> None:
    # 1 BTC at 50,000 with 20x: margin 2,500; (50,000 - 2,500) / (1 - 0.004) in the first bracket.
    price = BRACKETS.liquidation_price(D(1), D(50_000), D(2_500))
    assert price is not None
    assert round(price, 2) == D("47690.76")
    short = BRACKETS.liquidation_price(D(-1), D(-50_000), D(2_500))
    assert short is not None
    # Its notional there is in the second bracket: (50,000 + 2,500 + 50) / (1 + 0.005).
    assert round(short, 2) == D("52288.56")


def test_fully_paid_long_has_no_liquidation_price() -> None:
    assert BRACKETS.liquidation_price(D(1), D(50_000), D(50_000)) is None
    assert bankruptcy_price(D(1), D(50_000), D(50_000)) == 0


def test_max_leverage_falls_with_notional_to_0_beyond_brackets() -> None:
    assert [BRACKETS.max_leverage(D(n)) for n in (50_000, 50_001, 3_000_000, 3_000_001)] == [125, 100, 50, 0]


@given(
    price=st.decimals("0.1", "100000", places=2),
    quantity=st.decimals("0.001", "100", places=3),
    leverage=st.integers(1, 50),
    sign=st.sampled_from([1, -1]),
)
def test_margin_left_at_the_liquidation_price_equals_maintenance(
    price: Decimal, quantity: Decimal, leverage: int, sign: int
) -> None:
    cost = sign * quantity * price
    margin = abs(cost) / leverage
    found = BRACKETS.liquidation_price(sign * quantity, cost, margin)
    assume(found is not None)
    assert found is not None
    left = margin + sign * quantity * found - cost
    assert left == pytest.approx(BRACKETS.maintenance(quantity * found), abs=D("1e-9"))
    # The liquidation price is reached before the margin is 0.
    assert (found - bankruptcy_price(sign * quantity, cost, margin)) * sign >= 0


@given(
    entry=st.decimals("10", "1000", places=2),
    distance=st.decimals("0.001", "0.2", places=3),
    leverage=st.integers(1, 50),
    sign=st.sampled_from([1, -1]),
)
def test_largest_notional_is_not_liquidated_before_its_stop(
    entry: Decimal, distance: Decimal, leverage: int, sign: int
) -> None:
    stop = entry * (1 - sign * distance)
    largest = BRACKETS.largest(allowed_maintenance(entry, stop, leverage, sign))

    def survives(notional_at_stop: Decimal) -> bool:
        quantity = notional_at_stop / stop
        left = quantity * entry / leverage + sign * quantity * (stop - entry)
        return left >= BRACKETS.maintenance(notional_at_stop)

    if largest > 0:
        assert survives(largest * D("0.999999"))
    if largest < BRACKETS.rows[-1].cap:
        assert not survives(max(largest, D(1)) * D("1.001"))


@pytest.mark.parametrize(
    ("leverage", "cap"), [(51, 0), (50, 1_000), (21, 1_000), (20, 9_000), (6, 9_000), (5, 50_000), (1, 50_000)]
)
def test_each_leverage_has_a_maximum_notional(leverage: int, cap: int) -> None:
    assert ROWS.cap(leverage) == cap
    assert cap == 0 or ROWS.max_leverage(D(cap)) >= leverage > ROWS.max_leverage(D(cap) + 1)


def test_future_without_brackets_gets_assumed_ones_but_spot_none() -> None:
    assert ETH.brackets is None
    assert ETH.margin_brackets is CAUTIOUS
    assert type(ETH)("ETHUSDT", Product.UM, ETH.tick, ETH.step, ETH.step, D(5), ROWS).margin_brackets is ROWS
    assert type(ETH)("ETHUSDT", Product.SPOT, ETH.tick, ETH.step, ETH.step, D(5)).margin_brackets is None


@given(st.integers(1, 130), st.decimals(0, 60_000, places=2))
def test_leverage_steps_agree_with_the_max_leverage(wanted: int, notional: Decimal) -> None:
    steps = ROWS.steps(wanted)
    found = next((leverage for leverage, cap in steps if notional <= cap), 0)
    assert found == min(wanted, ROWS.max_leverage(notional))
    assert [leverage for leverage, _ in steps] == sorted({leverage for leverage, _ in steps}, reverse=True)


@settings(max_examples=50, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(1, 150), st.integers(0, 120)), min_size=1, max_size=5),
    share=st.decimals("-0.01", "0.5", places=3),
)
def test_largest_notional_for_a_maintenance_share_is_exact(steps: list[tuple[int, int]], share: Decimal) -> None:
    rows, cap, rate = [], 0, D("0.004")
    for wide, more in steps:
        cap, rate = cap + wide, rate + D(more) / 1_000
        rows.append(Bracket(D(cap), 20, rate))

    def maintenance(notional: int) -> Decimal:
        """Return the sum over the brackets, each slice of the notional at its own rate, as income tax is computed."""
        slices, below = D(0), D(0)
        for row in rows:
            slices += max(D(0), min(D(notional), row.cap) - below) * row.rate
            below = row.cap
        return slices

    fits = [notional for notional in range(1, cap + 1) if maintenance(notional) <= share * notional]
    found = Brackets(tuple(rows)).largest(share)
    assert int(found) == (fits[-1] if fits else 0)
    assert found <= cap

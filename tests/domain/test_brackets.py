"""How much may be held at which leverage, and what holds where nobody tells."""

from decimal import Decimal

import pytest

from ocw_mcp.domain.margin import CAUTIOUS, Bracket, Brackets
from ocw_mcp.domain.market import Product
from tests.support.accounts import ETH

D = Decimal
ROWS = Brackets((Bracket(D(1_000), 50, D("0.01")), Bracket(D(9_000), 20, D("0.02")), Bracket(D(50_000), 5, D("0.1"))))


@pytest.mark.parametrize(
    ("leverage", "cap"), [(51, 0), (50, 1_000), (21, 1_000), (20, 9_000), (6, 9_000), (5, 50_000), (1, 50_000)]
)
def test_a_leverage_has_a_largest_notional(leverage: int, cap: int) -> None:
    assert ROWS.cap(leverage) == cap
    assert cap == 0 or ROWS.max_leverage(D(cap)) >= leverage > ROWS.max_leverage(D(cap) + 1)


def test_a_perpetual_without_brackets_is_held_to_cautious_ones_and_spot_to_none() -> None:
    assert ETH.brackets is None
    assert ETH.margin_brackets is CAUTIOUS
    assert type(ETH)("ETHUSDT", Product.UM, ETH.tick, ETH.step, ETH.step, D(5), ROWS).margin_brackets is ROWS
    assert type(ETH)("ETHUSDT", Product.SPOT, ETH.tick, ETH.step, ETH.step, D(5)).margin_brackets is None

"""Funding: the amount, the paying side and the settlement times."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.core.matching.funding import ASSUMED_EVERY, assumed_payment, next_stamp, payment
from ocw_mcp.domain.time import HOUR

D = Decimal


@pytest.mark.parametrize(
    ("quantity", "rate", "gained"),
    [("2", "0.0003", "-0.6"), ("-2", "0.0003", "0.6"), ("2", "-0.0003", "0.6"), ("-2", "-0.0003", "-0.6")],
)
def test_longs_pay_a_positive_rate_to_shorts(quantity: str, rate: str, gained: str) -> None:
    assert payment(D(quantity), D(1_000), D(rate)) == D(gained)


@pytest.mark.parametrize("quantity", ["2", "-2"])
def test_longs_and_shorts_both_pay_an_assumed_funding_rate(quantity: str) -> None:
    assert assumed_payment(D(quantity), D(1_000)) == D("-0.2")


@given(st.integers(0, 1 << 42))
def test_next_assumed_settlement_is_at_00_08_or_16_utc(at: int) -> None:
    stamp = next_stamp(at)
    assert stamp % (8 * HOUR) == 0
    assert at < stamp <= at + ASSUMED_EVERY

"""What a limit tells people, as they read it."""

from decimal import Decimal

import pytest

from ocw_mcp.core.risk.verdict import Amount, Share, Span

D = Decimal


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (Share(D("0.25")), "25%"),
        (Share(D("0.0312345678")), "3.1235%"),
        (Share(D(1) / 3), "33.3333%"),
        (Share(D(10) ** 30), "1" + 32 * "0" + "%"),
        (Span(90_000), "90s"),
        (Span(899_999), "899.999s"),
        (Amount(D("5000.00")), "5000"),
        (Amount(D("5000.126")), "5000.13"),
    ],
)
def test_a_value_is_told_as_short_as_it_stays_true(told: Share | Span | Amount, text: str) -> None:
    assert str(told) == text

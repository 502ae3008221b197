"""The texts of a limit's verdict."""

from decimal import Decimal

import pytest

from ocw_mcp.core.risk.verdict import AmountText, DurationText, ShareText

D = Decimal


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (ShareText(D("0.25")), "25%"),
        (ShareText(D("0.0312345678")), "3.1235%"),
        (ShareText(D(1) / 3), "33.3333%"),
        (ShareText(D(10) ** 30), "1" + 32 * "0" + "%"),
        (DurationText(90_000), "90s"),
        (DurationText(899_999), "899.999s"),
        (AmountText(D("5000.00")), "5000"),
        (AmountText(D("5000.126")), "5000.13"),
    ],
)
def test_a_value_is_shown_rounded_without_trailing_zeros(
    told: ShareText | DurationText | AmountText, text: str
) -> None:
    assert str(told) == text

"""Reports with impossible amounts are recognised before they are booked."""

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from ocw_mcp.core.orders.table import invalid_report
from ocw_mcp.domain.orders import (
    Accepted,
    Filled,
    FundingPaid,
    OrderRef,
    OutsideCause,
    OutsideFill,
    Purpose,
    Side,
    Transferred,
    VenueReport,
)

D = Decimal
REF = OrderRef(1, Purpose.ENTRY)
FILL = Filled(REF, "f1", D("0.5"), D(200), D("0.05"), 1)
OUTSIDE = OutsideFill("o1", "BTCUSDT", Side.BUY, D("0.5"), D(200), D("0.05"), 1, OutsideCause.OTHER_TRADER)
FUNDING = FundingPaid("BTCUSDT", D(-1), D("0.0001"), D(1), D(100), 1)

SOUND = [
    FILL, replace(FILL, fee=D(0)), replace(FILL, fee=D("-0.1")), replace(FILL, base_fee=D("0.001")), OUTSIDE,
    FUNDING, replace(FUNDING, rate=None, quantity=None, mark=None), Transferred("t1", D(-5), 1), Accepted(REF, "v1"),
]  # fmt: skip


@pytest.mark.parametrize("report", SOUND)
def test_a_report_with_possible_amounts_is_valid(report: VenueReport) -> None:
    assert invalid_report(report) == ""


@pytest.mark.requirement("D07")
@pytest.mark.parametrize("report", [FILL, OUTSIDE])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"quantity": D("NaN")}, "a quantity of NaN"),
        ({"quantity": D(0)}, "a quantity of 0"),
        ({"quantity": D(-1)}, "a quantity of -1"),
        ({"price": D("Infinity")}, "a price of Infinity"),
        ({"price": D("sNaN")}, "a price of sNaN"),
        ({"price": D(0)}, "a price of 0"),
        ({"fee": D("NaN")}, "a fee of NaN"),
        ({"fee": D("-0.11")}, "a rebate of 0.11 on 0.5 at 200"),
        ({"fee_asset": "BNB", "fee_amount": D("NaN")}, "a fee of NaN BNB"),
        ({"base_fee": D("0.6")}, "a fee of 0.6 taken out of 0.5"),
    ],
)
def test_a_report_with_an_impossible_amount_is_invalid(report: Any, change: dict[str, Decimal], told: str) -> None:
    assert invalid_report(replace(report, **change)) == told


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (replace(FUNDING, amount=D("NaN")), "funding of NaN"),
        (Transferred("t1", D("Infinity"), 1), "a transfer of Infinity"),
        (replace(FILL, base_fee=D("NaN")), "a fee of NaN taken out of 0.5"),
        (replace(FILL, base_fee=D(1)), "a fee of 1 taken out of 0.5"),
    ],
)
def test_a_report_with_an_infinite_or_nan_amount_is_invalid(report: VenueReport, told: str) -> None:
    assert invalid_report(report) == told

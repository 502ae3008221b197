"""What every limit tells of an entry that passes, as a check before an order shows it; and the largest size."""

import pytest
from msgspec.structs import replace

from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.domain.market import Product
from tests.support.accounts import CALM, ETH
from tests.support.entries import APPROVAL, CASES, LIMITED, LONG, Case, account, refusal, under

TOLD = {
    "NOT_ACTIVE": ("ACTIVE", "ACTIVE"),
    "SYMBOL_NOT_ALLOWED": ("*USDT,ETHBTC", "ETHUSDT"),
    "SIDE_NOT_ALLOWED": ("long,short", "long"),
    "SPOT_CANNOT_SHORT": ("um", "long"),
    "FALLBACK": ("trade", "test decides"),
    "STALE_DATA": ("150s", "0s"),
    "PRICE_COLLAR": ("5%", "no limit price"),
    "PRICE_MOVED": ("0.5%", "no price was shown"),
    "SPREAD": ("0.2%", "not told"),
    "DAILY_LOSS": ("3%", "0%"),
    "LOSSES_IN_A_ROW": ("a pause of 600s", "no pause"),
    "ENTRY_RATE": ("20 a day", "0"),
    "REENTRY": ("900s after the last", "long ago"),
    "FEES": ("1%", "0%"),
    "STOP_REQUIRED": ("a stop within 5%", "3%"),
    "LEVERAGE": ("20 for a position so large", "3"),
    "OPEN_POSITIONS": ("3", "1"),
    "ORDER_NOTIONAL": ("5000", "1002"),
    "POSITION_SHARE": ("25%", "10.02%"),
    "GROSS_EXPOSURE": ("100%", "10.02%"),
    "CORRELATED_EXPOSURE": ("40%", "not one of them"),
    "RISK_PER_TRADE": ("1%", "0.34%"),
    "LIQUIDATION": ("beyond 950", "at 703.15"),
    "FREE_MARGIN": ("20%", "96.66%"),
    "DEPTH": ("25%", "not told"),
    "TURNOVER": ("500%", "10.02%"),
    "MANDATE": ("a mandate in mode paper", "none"),
    "APPROVAL_REQUIRED": ("none needed", ""),
}
"""Limit and actual value, in the order in which they are asked."""


def test_each_limit_tells_its_figures_of_an_entry_that_passes() -> None:
    verdicts = RiskOfficer(LIMITED).verdicts(LONG, CALM)
    assert {each.code.value: (str(each.limit), str(each.actual)) for each in verdicts} == TOLD
    assert [each.code.value for each in verdicts] == list(TOLD)


def test_on_spot_leverage_and_liquidation_say_that_there_is_none() -> None:
    spot = account(product=Product.SPOT, instrument=replace(ETH, product=Product.SPOT))
    told = {each.code.value: (str(each.limit), str(each.actual)) for each in RiskOfficer(LIMITED).verdicts(LONG, spot)}
    assert told["LIQUIDATION"] == ("none", "none on spot")
    assert told["LEVERAGE"][0] == "1 on spot"


def test_an_approval_that_is_there_is_shown() -> None:
    cleared = replace(LONG, approval="a-7")
    told = RiskOfficer(under(approval=APPROVAL)).verdicts(cleared, CALM)[-1]
    assert (str(told.limit), str(told.actual)) == ("none needed", "a-7")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}")
def test_the_largest_size_is_the_one_that_a_refusal_tells(case: Case) -> None:
    officer = RiskOfficer(case.under)
    assert officer.largest(case.intent, case.view) == refusal(case.intent, case.view, case.under).largest

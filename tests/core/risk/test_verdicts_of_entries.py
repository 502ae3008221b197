"""The verdict of every limit on an entry that passes, as a check shows it; and the largest size."""

import pytest
from msgspec.structs import replace

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.officer import Assessment, RiskOfficer
from ocw_mcp.core.risk.verdict import Verdict
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import OrderIntent
from ocw_mcp.domain.policies import Policies
from tests.support.accounts import CALM, ETH
from tests.support.entries import APPROVAL, LIMITED, LONG, account, refusal, under
from tests.support.limit_cases import CASES, EACH_LIMIT, Case


def verdicts(policies: Policies, intent: OrderIntent, view: AccountView) -> tuple[Verdict, ...]:
    """Return the verdict of every limit on an entry."""
    assessed = RiskOfficer(policies).assess(intent, view)
    assert isinstance(assessed, Assessment)
    return assessed.verdicts


def test_each_verdict_of_a_passing_entry_shows_limit_and_actual() -> None:
    found = verdicts(LIMITED, LONG, CALM)
    assert {each.code.value: (str(each.limit), str(each.actual)) for each in found} == EACH_LIMIT
    assert [each.code.value for each in found] == list(EACH_LIMIT)


def test_spot_verdicts_show_leverage_1_and_no_liquidation() -> None:
    spot = account(product=Product.SPOT, instrument=replace(ETH, product=Product.SPOT))
    told = {each.code.value: (str(each.limit), str(each.actual)) for each in verdicts(LIMITED, LONG, spot)}
    assert told["LIQUIDATION"] == ("none", "none on spot")
    assert told["LEVERAGE"][0] == "1 on spot"


def test_the_approval_verdict_shows_the_given_approval() -> None:
    cleared = replace(LONG, approval="a-7")
    told = verdicts(under(approval=APPROVAL), cleared, CALM)[-1]
    assert (str(told.limit), str(told.actual)) == ("none needed", "a-7")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}")
def test_the_largest_size_equals_the_size_in_the_refusal(case: Case) -> None:
    officer = RiskOfficer(case.under)
    assert officer.largest(case.intent, case.view) == refusal(case.intent, case.view, case.under).largest

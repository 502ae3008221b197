"""On spot an entry has to be large enough to be sold again at its stop; on futures closing has no smallest size."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import OrderIntent, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from tests.support.accounts import CALM, ETH
from tests.support.runs import policies

D = Decimal
POLICIES = policies(risk={"gap_allowance": "0.01"}, stop={"max_distance": "0.1"})
SPOT = replace(CALM, product=Product.SPOT, instrument=replace(ETH, product=Product.SPOT))


def entry(quantity: str) -> OrderIntent:
    return OrderIntent(
        "k", "test", "ETHUSDT", Side.BUY, OrderType.MARKET, Purpose.ENTRY, D(quantity), protect_at=D(950)
    )


@pytest.mark.parametrize(("quantity", "passes"), [("0.020", False), ("0.021", False), ("0.022", True)])
def test_a_spot_buy_too_small_to_be_sold_at_its_stop_is_refused(quantity: str, passes: bool) -> None:
    # 20 is the smallest notional: 0.021 x 950 x 0.99 is below it, 0.022 is above.
    answer = RiskOfficer(POLICIES).check_entry(entry(quantity), SPOT, OrderRef(1, Purpose.ENTRY), 0)
    assert isinstance(answer, ClearedOrder) == passes
    if isinstance(answer, Refusal):
        assert answer.code is RefusalCode.BELOW_MINIMUM


def test_futures_minimum_notional_is_checked_at_the_entry_price() -> None:
    answer = RiskOfficer(POLICIES).check_entry(entry("0.020"), CALM, OrderRef(1, Purpose.ENTRY), 0)
    assert isinstance(answer, ClearedOrder)


def test_smallest_feasible_size_passes_and_one_step_less_does_not() -> None:
    officer = RiskOfficer(POLICIES)
    told = officer.feasible("ETHUSDT", SPOT).min
    assert isinstance(officer.check_entry(entry(str(told)), SPOT, OrderRef(1, Purpose.ENTRY), 0), ClearedOrder)
    less = entry(str(told - ETH.step))
    assert isinstance(officer.check_entry(less, SPOT, OrderRef(1, Purpose.ENTRY), 0), Refusal)

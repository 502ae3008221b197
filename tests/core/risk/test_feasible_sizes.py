"""The sizes that a snapshot calls feasible are those that the risk officer then lets pass, and no larger ones."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import OrderIntent, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.reasons import Refusal
from ocw_mcp.domain.snapshot import Feasible
from ocw_mcp.domain.state import TradingState
from tests.support.accounts import CALM, ETH
from tests.support.examples import examples
from tests.support.runs import policies

D = Decimal
OFFICER = RiskOfficer(policies(position={"max_share": "0.25"}, stop={"max_distance": "0.05"}))


def sizes(**changes: Any) -> Feasible:
    return OFFICER.feasible("ETHUSDT", msgspec.structs.replace(CALM, **changes))


def asked(
    side: Side, quantity: Decimal, account: AccountView, officer: RiskOfficer = OFFICER, distance: str = "0.03"
) -> ClearedOrder | Refusal:
    stop = account.price * (1 - side.sign * D(distance))
    intent = OrderIntent("k", "test", "ETHUSDT", side, OrderType.MARKET, Purpose.ENTRY, quantity, protect_at=stop)
    return officer.check_entry(intent, account, OrderRef(1, Purpose.ENTRY), 0)


def test_feasible_size_of_a_flat_account_assumes_the_worst_fill() -> None:
    found = sizes()
    assert (found.long_max, found.short_max, found.min) == (D("2.495"), D("2.495"), D("0.020"))


def test_feasible_sizes_allow_an_addition_and_no_reversal() -> None:
    held = sizes(quantity=D(-1), symbol_notional=D(1_000), gross=D(1_000))
    assert (held.long_max, held.short_max) == (D(0), D("1.497"))


@pytest.mark.parametrize(
    "changes",
    [
        {"state": TradingState.HALTED},
        {"daily_loss_reached": True},
        {"price_age_ms": 150_001},
        {"equity": D(-5)},
        {"equity": D(50)},
        {"symbol_notional": D(2_500)},
        {"gross": D(10_000)},
    ],
)
def test_no_size_is_feasible_if_every_entry_is_refused(changes: dict[str, Any]) -> None:
    found = sizes(**changes)
    assert (found.long_max, found.short_max) == (D(0), D(0))


def test_feasible_size_assumes_half_the_largest_stop_distance() -> None:
    careful = RiskOfficer(policies(stop={"max_distance": "0.05"}, risk={"max_share": "0.005", "gap_allowance": 0}))
    found = careful.feasible("ETHUSDT", CALM)
    for side, largest in ((Side.BUY, found.long_max), (Side.SELL, found.short_max)):
        assert 0 < largest < sizes().long_max
        assert isinstance(asked(side, largest, CALM, careful, "0.025"), ClearedOrder)
        assert isinstance(asked(side, largest + ETH.step, CALM, careful, "0.025"), Refusal)


def test_the_feasible_short_size_on_spot_is_0() -> None:
    found = sizes(product=Product.SPOT)
    assert found.long_max > 0
    assert found.short_max == 0


@examples(60, slow=200)
@given(
    price=st.decimals("0.01", "90000", places=2),
    equity=st.decimals("0", "100000", places=2),
    share=st.decimals("0", "0.3", places=3),
    others=st.decimals("0", "1.1", places=3),
    side=st.sampled_from(Side),
)
def test_the_largest_feasible_size_is_exact_and_tradable(
    price: Decimal, equity: Decimal, share: Decimal, others: Decimal, side: Side
) -> None:
    held = equity * share
    account = msgspec.structs.replace(
        CALM,
        price=price,
        equity=equity,
        symbol_notional=held,
        gross=held + equity * others,
        quantity=side.sign * held / price,
    )
    found = OFFICER.feasible("ETHUSDT", account)
    largest = found.long_max if side is Side.BUY else found.short_max
    if largest > 0:
        assert isinstance(asked(side, largest, account), ClearedOrder)
        assert isinstance(asked(side, min(largest, found.min), account), ClearedOrder)
    assert isinstance(asked(side, largest + ETH.step, account), Refusal)
    assert isinstance(asked(side, found.min - ETH.step, account), Refusal)

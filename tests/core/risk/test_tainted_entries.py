"""A tainted entry is sent at the terms of both policies: the lower leverage, and the nearer bound of its price."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.orders import Order, OrderIntent, OrderType, Side
from ocw_mcp.domain.policies import Policies
from tests.support.accounts import CALM
from tests.support.entries import LONG, NOW, REF, SHORT, asks, bracketed
from tests.support.runs import policies

D = Decimal


def sent(officer: RiskOfficer, intent: OrderIntent) -> Order:
    answer = officer.check_entry(asks(intent, tainted=True), bracketed((10**6, 100, "0.005")), REF, NOW)
    assert isinstance(answer, ClearedOrder), answer
    return answer.order


def levered(most: int, usual: int) -> Policies:
    return policies(leverage={"max": most, "usual": usual})


@pytest.mark.parametrize(
    ("usual", "strict", "leverage"),
    [
        (levered(50, 20), levered(2, 2), 2),
        (levered(50, 20), levered(50, 3), 3),
        (levered(5, 1), levered(50, 20), 1),
    ],
)
def test_entry_after_untrusted_text_gets_the_lower_leverage(usual: Policies, strict: Policies, leverage: int) -> None:
    assert sent(RiskOfficer(usual, strict), LONG).leverage == leverage
    untainted = RiskOfficer(usual, strict).check_entry(LONG, bracketed((10**6, 100, "0.005")), REF, NOW)
    assert isinstance(untainted, ClearedOrder)
    assert untainted.order.leverage == usual.leverage.usual


@pytest.mark.parametrize(("intent", "bound"), [(LONG, "1001"), (SHORT, "999")])
def test_market_entry_after_untrusted_text_has_the_nearer_bound(intent: OrderIntent, bound: str) -> None:
    low, high = (policies(order={"price_allowance": each}) for each in ("0.001", "0.01"))
    assert sent(RiskOfficer(low, high), intent).limit_price == D(bound)
    assert sent(RiskOfficer(high, low), intent).limit_price == D(bound)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(Side), st.integers(-30, 30), st.sampled_from(["0.97", "0.94", "0.9"]))
def test_loss_at_the_stop_is_measured_from_the_limit_price(side: Side, ticks: int, at: str) -> None:
    """Wherever an entry with a limit fills within it, its stop loses no more than the policy allows."""
    way, price = side.sign, CALM.price
    officer = RiskOfficer(policies(risk={"max_share": "0.01", "gap_allowance": 0}, stop={"max_distance": "0.2"}))
    stop = price * (1 - way * (1 - D(at)))
    limit = price + way * ticks
    if (limit - stop) * way <= 0:
        return
    intent = asks(LONG, side=side, type=OrderType.LIMIT, limit_price=limit, protect_at=stop)
    largest = officer.largest(intent, CALM)
    assert largest * abs(limit - stop) <= D("0.01") * CALM.equity


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([LONG, SHORT]),
    st.none() | st.decimals("990", "1010", places=1),
    st.sampled_from(["0", "0.0001"]),
    st.booleans(),
)
def test_the_largest_size_named_for_a_refused_entry_passes(
    intent: OrderIntent, quoted: Decimal | None, quantity: str, tainted: bool
) -> None:
    officer = RiskOfficer(policies(price={"max_move": "0.005"}), policies(price={"max_move": "0.003"}))
    asked = asks(intent, quantity=D(quantity), quoted=quoted, tainted=tainted)
    largest = officer.largest(asked, CALM)
    answer = officer.check_entry(asks(asked, quantity=largest or D(1)), CALM, REF, NOW)
    assert isinstance(answer, ClearedOrder) == bool(largest)
    if quoted is not None:
        fresh = officer.largest(asks(asked, quoted=CALM.price), CALM)
        assert largest in (0, fresh)

"""A limit entry is checked at its own prices: its worst price, and its expected first price."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.core.risk.prices import expected_fill, sane_limit, worst_fill
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.orders import Order, OrderIntent, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.policies import StopPolicy
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from tests.support.accounts import CALM as ACCOUNT
from tests.support.runs import policies

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
OFFICER = RiskOfficer(policies(order={"max_notional": 2_000, "price_allowance": "0.01"}, stop={"max_distance": "0.05"}))
"""Prices are about 1,000 here."""


def check(
    side: Side, limit: str | None, stop: str, quantity: str = "1", type_: OrderType = OrderType.LIMIT
) -> Order | Refusal:
    intent = msgspec.structs.replace(meant(side, limit), type=type_, quantity=D(quantity), protect_at=D(stop))
    answer = OFFICER.check_entry(intent, ACCOUNT, OrderRef(1, Purpose.ENTRY), 0)
    return answer.redeem(0) if isinstance(answer, ClearedOrder) else answer


def meant(side: Side, limit: str | None) -> OrderIntent:
    """An entry with a limit, or at the market without one."""
    return OrderIntent(
        "k",
        "test",
        ACCOUNT.instrument.symbol,
        side,
        OrderType.MARKET if limit is None else OrderType.LIMIT,
        Purpose.ENTRY,
        D(1),
        limit_price=None if limit is None else D(limit),
    )


@pytest.mark.parametrize(("side", "limit", "rounded"), [(BUY, "990.019", "990.01"), (SELL, "1009.991", "1010")])
def test_limit_price_is_rounded_to_the_tick_for_the_trader(side: Side, limit: str, rounded: str) -> None:
    order = check(side, limit, "960" if side is BUY else "1040")
    assert isinstance(order, Order)
    assert (order.type, order.limit_price) == (OrderType.LIMIT, D(rounded))


def test_buy_is_sized_at_its_limit_or_at_last_price_plus_allowance() -> None:
    assert isinstance(check(BUY, "1000", "960", "2"), Order)
    assert isinstance(check(BUY, "1001", "960", "2"), Refusal)
    market = check(BUY, None, "960", "2", OrderType.MARKET)
    assert isinstance(market, Refusal)
    assert market.largest < 2


def test_a_short_with_a_limit_below_market_is_sized_at_last_price() -> None:
    refused = check(SELL, "1000", "1040", "2")
    assert isinstance(refused, Refusal)
    assert refused.code == "ORDER_NOTIONAL"


@pytest.mark.parametrize(
    ("side", "limit", "stop", "passes"),
    [
        (BUY, "980", "985", False),  # below the price, but above where it would begin
        (BUY, "980", "975", True),
        (BUY, "980", "940", True),  # too far from the price, near enough to the limit
        (BUY, "1020", "1005", False),  # it would begin at the price
        (SELL, "1020", "1010", False),
        (SELL, "1020", "1065", True),
    ],
)
def test_a_stop_must_lie_beyond_the_expected_fill_price(side: Side, limit: str, stop: str, passes: bool) -> None:
    answer = check(side, limit, stop)
    assert isinstance(answer, Order) == passes
    assert isinstance(answer, Order) or answer.code == "STOP_REQUIRED"


@pytest.mark.parametrize(
    ("side", "limit", "farthest"),
    [
        (BUY, None, "950"),
        (SELL, None, "1050"),
        (BUY, "980", "931"),
        (SELL, "1020", "1071"),
        (BUY, "1020", "950"),  # it need not wait: the last price counts
        (SELL, "980", "1050"),
    ],
)
def test_the_farthest_stop_is_measured_from_expected_fill_price(side: Side, limit: str | None, farthest: str) -> None:
    type_ = OrderType.MARKET if limit is None else OrderType.LIMIT
    assert isinstance(check(side, limit, farthest, type_=type_), Order)
    beyond = check(side, limit, str(D(farthest) - side.sign * ACCOUNT.instrument.tick), type_=type_)
    assert isinstance(beyond, Refusal)
    assert beyond.code == "STOP_REQUIRED"
    meaning = StopPolicy.model_fields["max_distance"].description
    assert meaning is not None
    assert "the last price, or the limit of a resting order" in " ".join(meaning.split())


@pytest.mark.parametrize("limit", ["0", "-5", "NaN", "Infinity", "0.001", None])
def test_an_invalid_limit_price_is_refused(limit: str | None) -> None:
    assert check(BUY, limit, "960") == Refusal(RefusalCode.BAD_LIMIT, "a price above 0", str(limit))


@pytest.mark.parametrize(("limit", "sane"), [("0.01", True), ("0", False), ("-1", False), ("NaN", False)])
def test_only_a_finite_number_above_0_is_a_price(limit: str, sane: bool) -> None:
    assert sane_limit(D(limit)) is sane


@pytest.mark.parametrize(
    ("side", "limit", "worst"),
    [
        (BUY, None, "1010"),
        (SELL, None, "1010"),
        (BUY, "990.019", "990.01"),
        (BUY, "1020", "1020"),
        (SELL, "990", "1010"),
        (SELL, "1019.991", "1030.2"),
    ],
)
def test_budget_of_an_entry_is_reserved_at_its_highest_price(side: Side, limit: str | None, worst: str) -> None:
    assert OFFICER.worst_of(meant(side, limit), ACCOUNT) == D(worst)


def test_minimum_notional_is_checked_at_the_limit_price() -> None:
    refused = check(BUY, "990", "960", "0.020")
    assert refused == Refusal(RefusalCode.BELOW_MINIMUM, "20 quote", "19.8 quote", largest=D("2.020"))
    assert isinstance(check(BUY, "1000", "960", "0.020"), Order)


@given(st.sampled_from(Side), st.decimals("1", "2000", places=2), st.decimals("1", "2000", places=2))
def test_the_worst_fill_price_is_at_least_the_expected_one(side: Side, limit: Decimal, price: Decimal) -> None:
    assert worst_fill(side, limit, price, D("0.002")) >= expected_fill(side, limit, price)
    assert side is SELL or worst_fill(side, limit, price, D("0.002")) == limit

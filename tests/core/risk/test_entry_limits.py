"""Every limit on an entry refuses a violation, and names the size that would have passed."""

from decimal import Decimal

import msgspec
import pytest

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.limits import LIMITS
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.domain.margin import CAUTIOUS, Brackets
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Order, OrderIntent, OrderType, Side
from ocw_mcp.domain.policies import LeveragePolicy, Policies
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.state import Mode, TradingState
from ocw_mcp.domain.time import HOUR
from tests.support.accounts import CALM, ETH, QUIET
from tests.support.entries import (
    APPROVAL,
    LIMITED,
    LONG,
    MANAGED,
    MANDATE,
    NOW,
    REF,
    SHORT,
    account,
    asks,
    bracketed,
    check,
    holding,
    paced,
    refusal,
    under,
    waits,
)
from tests.support.limit_cases import CASES, Case

D = Decimal


@pytest.mark.parametrize("intent", [LONG, SHORT])
def test_a_small_entry_with_a_stop_passes_unchanged(intent: OrderIntent) -> None:
    limit = D(1_002) if intent.side is Side.BUY else D(998)
    meant = Order(REF, "ETHUSDT", intent.side, OrderType.LIMIT, D(1), reduce_only=False, leverage=3)
    assert check(intent) == msgspec.structs.replace(meant, limit_price=limit, immediate=True)


def test_a_quantity_is_rounded_down_to_the_step() -> None:
    order = check(asks(LONG, quantity=D("1.23456")))
    assert isinstance(order, Order)
    assert order.quantity == D("1.234")


@pytest.mark.parametrize("case", CASES, ids=[f"{case.code}-{index}" for index, case in enumerate(CASES)])
def test_a_refusal_has_code_limit_actual_and_largest_size(case: Case) -> None:
    largest = D(case.largest)
    assert check(case.intent, case.view, case.under) == Refusal(case.code, case.limit, case.actual, largest)
    if largest:
        passed = check(asks(case.intent, quantity=largest), case.view, case.under)
        assert isinstance(passed, Order)
        assert passed.quantity == largest
        assert isinstance(check(asks(case.intent, quantity=largest + ETH.step), case.view, case.under), Refusal)


def test_each_entry_limit_has_a_test_case_that_exceeds_it() -> None:
    assert {case.code for case in CASES} == {limit.code for limit in LIMITS} | {RefusalCode.BELOW_MINIMUM}


@pytest.mark.parametrize(
    ("intent", "view"),
    [
        (LONG, account(price_age_ms=150_000)),
        (asks(LONG, protect_at=D(950)), CALM),
        (asks(SHORT, protect_at=D(1_050)), CALM),
        (asks(LONG, symbol="ETHBTC"), CALM),
        (LONG, account(product=Product.SPOT)),
        (asks(LONG, quantity=D("4.99")), account(equity=D(10**6), free_margin=D(10**6))),
        (asks(LONG, quantity=D("2.495")), CALM),
        (asks(LONG, quantity=D("0.02")), CALM),
        (LONG, account(daily_loss=D("0.0299"))),
        (LONG, account(other_symbols=2)),
        (LONG, account(correlated_long=D(2_998), correlated_short=D(9_999))),
        (SHORT, account(correlated_long=D(9_999), correlated_short=D(2_998))),
        (LONG, paced(entries_last_minute=1, entries_today=19)),
        (LONG, paced(since_close_ms=900_000)),
        (asks(LONG, protect_at=D(990)), account(quantity=D(1), pace=msgspec.structs.replace(QUIET, since_close_ms=0))),
        (LONG, paced(fees_today=D("99.99"))),
        (LONG, paced(turnover_today=D(48_998))),
        (LONG, paced(losses_in_a_row=2)),
        (asks(LONG, leverage=5), CALM),
        (asks(LONG, leverage=3), holding("1", "1000", 3)),
        (LONG, holding("1", "1000", 5, lost="10")),
        (asks(LONG, quantity=D(2_000), protect_at=D("0.49")), account(price=D("0.5"))),
        (LONG, account(free_margin=D(2_334))),
        (asks(LONG, leverage=1), account(product=Product.SPOT)),
        (asks(LONG, leverage=1, protect_at=D(951)), bracketed((10**6, 5, "0.9"))),
        (waits(LONG, "1050"), CALM),
        (waits(LONG, "950", protect_at=D(920)), CALM),
        (LONG, account(spread=D("0.002"), ask_depth=D(4), bid_depth=D(0))),
        (waits(LONG, "1000", post_only=True), account(ask_depth=D(0))),
        (asks(LONG, principal="rules"), account(agent="rules", opened=Side.SELL)),
        (asks(LONG, principal="rules"), CALM),
        (asks(LONG, principal="rules"), account(opened=Side.BUY)),
        (LONG, account(opened=Side.SELL)),
    ],
)
def test_an_entry_exactly_at_a_limit_passes(intent: OrderIntent, view: AccountView) -> None:
    assert isinstance(check(intent, view), Order)


def test_a_limit_price_of_a_market_order_is_ignored() -> None:
    assert check(asks(LONG, limit_price=D(1))) == check(LONG)


def test_a_post_only_entry_is_sent_post_only() -> None:
    order = check(waits(LONG, "1000", post_only=True))
    assert isinstance(order, Order)
    assert order.post_only


def test_the_position_limit_is_checked_at_the_worst_price() -> None:
    officer = RiskOfficer(LIMITED)
    assert officer.worst_of(LONG, CALM) == D(1_002)
    assert refusal(asks(LONG, quantity=D("2.496"))).code is RefusalCode.POSITION_SHARE
    assert D("2.496") * 1_000 < 2_500


def test_refusal_names_first_limit_and_size_within_all_limits() -> None:
    told = refusal(asks(LONG, quantity=D(50)), account(gross=D(9_000), equity=D(10_000)))
    assert told.code is RefusalCode.ORDER_NOTIONAL
    assert told.largest == D("0.998")


def test_largest_size_below_the_smallest_order_is_0() -> None:
    assert refusal(LONG, account(symbol_notional=D("2480.01"))).largest == 0
    assert refusal(LONG, account(symbol_notional=D("2479.9"))).largest == D("0.02")


def test_largest_size_that_rounds_above_its_limit_loses_a_step() -> None:
    almost = under(order=LIMITED.order.model_copy(update={"max_notional": D("1001.99999999999999999999999999")}))
    assert refusal(LONG, CALM, almost).largest == D("0.999")
    assert isinstance(
        check(LONG, CALM, under(order=LIMITED.order.model_copy(update={"max_notional": D(1_002)}))), Order
    )


def test_a_halted_engine_refuses_even_an_entry_of_quantity_0() -> None:
    told = refusal(asks(LONG, quantity=D(0)), account(state=TradingState.HALTED))
    assert told.code is RefusalCode.NOT_ACTIVE


@pytest.mark.parametrize(
    ("intent", "view", "limited"),
    [
        (LONG, account(gross=D(498), now=NOW + HOUR - 1), under(mandate=MANDATE)),
        (LONG, account(mode=Mode.LIVE), under(mandate=MANDATE)),
        (asks(LONG, quantity=D("0.798")), CALM, under(approval=APPROVAL)),
        (asks(LONG, approval="a-1"), CALM, under(approval=APPROVAL)),
        (asks(LONG, approval="a-1"), account(mode=Mode.LIVE), under(mandate=MANDATE, approval=APPROVAL)),
        (asks(LONG, principal="rules"), account(agent="rules"), MANAGED),
        (LONG, CALM, MANAGED),
    ],
)
def test_an_entry_within_mandate_approval_and_fallback_passes(
    intent: OrderIntent, view: AccountView, limited: Policies
) -> None:
    assert isinstance(check(intent, view, limited), Order)


@pytest.mark.parametrize(
    ("intent", "view", "leverage"),
    [
        (LONG, CALM, 3),
        (asks(LONG, leverage=5), CALM, 5),
        (LONG, holding("1", "1000", 2), 2),
        (LONG, account(product=Product.SPOT), 1),
        (LONG, bracketed((2_000, 2, "0.01"), (9_000, 1, "0.02")), 2),
        (asks(LONG, quantity=D(2)), bracketed((2_000, 2, "0.01"), (9_000, 1, "0.02")), 1),
    ],
)
def test_entry_gets_the_leverage_of_position_request_or_policy(
    intent: OrderIntent, view: AccountView, leverage: int
) -> None:
    order = check(intent, view)
    assert isinstance(order, Order)
    assert order.leverage == leverage


def test_future_without_brackets_is_checked_with_assumed_brackets() -> None:
    assert ETH.brackets is None
    wide = under(leverage=LeveragePolicy(max=125, usual=3))
    assert refusal(asks(LONG, leverage=21), CALM, wide).limit == "20 for a position so large"
    assert check(asks(LONG, leverage=10), CALM, wide) == check(asks(LONG, leverage=10), told(CAUTIOUS), wide)


def told(brackets: Brackets) -> AccountView:
    return account(instrument=msgspec.structs.replace(ETH, brackets=brackets))

"""Every limit on an entry refuses what breaks it, and says what would have passed."""

from collections.abc import Callable
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.limits import LIMITS
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.domain.approved import ApprovedOrder
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.orders import Order, OrderIntent, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.state import DeskState
from tests.support.accounts import CALM, ETH, QUIET
from tests.support.runs import policies

D = Decimal
NOW = 1_767_225_600_000
REF = OrderRef(1, Purpose.ENTRY)

LIMITED = policies(
    symbols={"allow": ("*USDT", "ETHBTC"), "sides": ("long", "short")},
    order={"max_notional": 5_000, "price_allowance": "0.002"},
    position={"max_share": "0.25"},
    positions={"max_open": 3},
    exposure={"max_gross": 1},
    correlated={"max_share": "0.4"},
    stop={"max_distance": "0.05"},
    risk={"max_share": "0.01", "gap_allowance": "0.002"},
    daily_loss={"max_share": "0.03"},
    losses={"in_a_row": 3, "pause_s": 600},
    pace={
        "entries_per_minute": 2,
        "entries_per_day": 20,
        "max_turnover": 5,
        "max_fees": "0.01",
        "reentry_s": 900,
    },
)


LONG_ONLY = LIMITED.model_copy(
    update={"symbols": LIMITED.symbols.model_copy(update={"sides": ("long",)})},
)

LONG = OrderIntent(
    idempotency_key="k",
    principal="test",
    symbol="ETHUSDT",
    side=Side.BUY,
    type=OrderType.MARKET,
    purpose=Purpose.ENTRY,
    quantity=D(1),
    protect_at=D(970),
)
SHORT = msgspec.structs.replace(LONG, side=Side.SELL, protect_at=D(1_030))


def account(**changes: Any) -> AccountView:
    return msgspec.structs.replace(CALM, **changes)


def paced(**changes: Any) -> AccountView:
    return account(pace=msgspec.structs.replace(QUIET, **changes))


def asks(intent: OrderIntent, **changes: Any) -> OrderIntent:
    return msgspec.structs.replace(intent, **changes)


def check(intent: OrderIntent, view: AccountView = CALM, limited: Policies = LIMITED) -> Order | Refusal:
    """The order that was approved, or the refusal."""
    answer = RiskOfficer(limited).check_entry(intent, view, REF, NOW)
    return answer.order if isinstance(answer, ApprovedOrder) else answer


def refusal(intent: OrderIntent, view: AccountView = CALM) -> Refusal:
    answer = check(intent, view)
    assert isinstance(answer, Refusal), f"passed: {answer}"
    return answer


@pytest.mark.parametrize("intent", [LONG, SHORT])
def test_a_modest_entry_with_a_stop_passes_as_it_was_meant(intent: OrderIntent) -> None:
    assert check(intent) == Order(REF, "ETHUSDT", intent.side, OrderType.MARKET, D(1), reduce_only=False)


def test_a_quantity_is_rounded_down_to_the_step() -> None:
    order = check(asks(LONG, quantity=D("1.23456")))
    assert isinstance(order, Order)
    assert order.quantity == D("1.234")


# What breaks one limit and no other: code, intent, account, limit as told, actual as told, largest that would pass.
Case = tuple[RefusalCode, OrderIntent, AccountView, str, str, str]
CODE = RefusalCode
CASES: list[Case] = [
    (CODE.NOT_ACTIVE, LONG, account(state=DeskState.REDUCING), "ACTIVE", "REDUCING", "0"),
    (CODE.NOT_ACTIVE, LONG, account(state=DeskState.HALTED), "ACTIVE", "HALTED", "0"),
    (CODE.SYMBOL_NOT_ALLOWED, asks(LONG, symbol="ETHEUR"), CALM, "*USDT,ETHBTC", "ETHEUR", "0"),
    (CODE.SYMBOL_NOT_ALLOWED, asks(LONG, symbol="ethusdt"), CALM, "*USDT,ETHBTC", "ethusdt", "0"),
    (CODE.SPOT_CANNOT_SHORT, SHORT, account(product=Product.SPOT), "spot", "short", "0"),
    (CODE.STALE_DATA, LONG, account(price_age_ms=150_001), "150s", "150.001s", "0"),
    (CODE.DAILY_LOSS, LONG, account(daily_loss_reached=True, daily_loss=D("0.0312")), "3%", "3.12%", "0"),
    (CODE.DAILY_LOSS, LONG, account(daily_loss_reached=True, daily_loss=D("-0.01")), "3%", "-1%", "0"),
    (CODE.STOP_REQUIRED, asks(LONG, protect_at=None), CALM, "a stop within 5%", "none", "0"),
    (CODE.STOP_REQUIRED, asks(LONG, protect_at=D("949.99")), CALM, "a stop within 5%", "5.001%", "0"),
    (CODE.STOP_REQUIRED, asks(LONG, protect_at=D(1_000)), CALM, "a stop within 5%", "0%", "0"),
    (CODE.STOP_REQUIRED, asks(LONG, protect_at=D(1_030)), CALM, "a stop within 5%", "-3%", "0"),
    (CODE.STOP_REQUIRED, asks(SHORT, protect_at=D(970)), CALM, "a stop within 5%", "-3%", "0"),
    (CODE.STOP_REQUIRED, asks(SHORT, protect_at=D(1_060)), CALM, "a stop within 5%", "6%", "0"),
    (CODE.STOP_REQUIRED, asks(SHORT, protect_at=D(1_000)), CALM, "a stop within 5%", "0%", "0"),
    (CODE.ORDER_NOTIONAL, asks(LONG, quantity=D(5)), account(equity=D(10**6)), "5000", "5010", "4.99"),
    (CODE.POSITION_SHARE, asks(LONG, quantity=D(3)), CALM, "25%", "30.06%", "2.495"),
    (CODE.POSITION_SHARE, LONG, account(symbol_notional=D(2_000), gross=D(2_000)), "25%", "30.02%", "0.499"),
    (CODE.POSITION_SHARE, LONG, account(symbol_notional=D(2_500), gross=D(2_500)), "25%", "35.02%", "0"),
    (CODE.POSITION_SHARE, LONG, account(equity=D(0)), "25%", "no equity", "0"),
    (CODE.POSITION_SHARE, LONG, account(equity=D(-50)), "25%", "no equity", "0"),
    (CODE.GROSS_EXPOSURE, LONG, account(gross=D(9_500)), "100%", "105.02%", "0.499"),
    (CODE.GROSS_EXPOSURE, LONG, account(gross=D(10_500)), "100%", "115.02%", "0"),
    (CODE.OPEN_POSITIONS, LONG, account(other_symbols=3), "3", "4", "0"),
    (
        CODE.CORRELATED_EXPOSURE,
        LONG,
        account(correlated_long=D(3_500), correlated_short=D(0)),
        "40%",
        "45.02%",
        "0.499",
    ),
    (CODE.CORRELATED_EXPOSURE, SHORT, account(correlated_short=D(4_000)), "40%", "50.02%", "0"),
    (CODE.RISK_PER_TRADE, asks(LONG, quantity=D("2.4"), protect_at=D(950)), CALM, "1%", "1.2961%", "1.851"),
    (CODE.SIDE_NOT_ALLOWED, SHORT, CALM, "long", "short", "0"),
    (CODE.LOSSES_IN_A_ROW, LONG, paced(paused_ms=1_500), "a pause of 600s", "1.5s of it left", "0"),
    (CODE.ENTRY_RATE, LONG, paced(entries_last_minute=2, entries_today=2), "2 a minute", "2", "0"),
    (CODE.ENTRY_RATE, LONG, paced(entries_today=20), "20 a day", "20", "0"),
    (CODE.REENTRY, LONG, paced(since_close_ms=899_999), "900s after the last", "899.999s", "0"),
    (CODE.FEES, LONG, paced(fees_today=D(100)), "1%", "1%", "0"),
    (CODE.FEES, LONG, account(day_opening=D(0)), "1%", "no equity", "0"),
    (CODE.TURNOVER, LONG, paced(turnover_today=D(49_500)), "500%", "505.02%", "0.499"),
    (CODE.BELOW_MINIMUM, asks(LONG, quantity=D("0.0009")), CALM, "0.001 units", "0 units", "2.495"),
    (CODE.BELOW_MINIMUM, asks(LONG, quantity=D("0.019")), CALM, "20 quote", "19 quote", "2.495"),
    (CODE.BELOW_MINIMUM, asks(LONG, quantity=D(0)), CALM, "0.001 units", "0 units", "2.495"),
    (CODE.BELOW_MINIMUM, asks(LONG, quantity=D(-1)), CALM, "0.001 units", "-1 units", "2.495"),
]


@pytest.mark.parametrize(
    ("code", "intent", "view", "limit", "actual", "largest"),
    CASES,
    ids=[f"{case[0]}-{index}" for index, case in enumerate(CASES)],
)
def test_what_breaks_a_limit_is_refused_with_code_limit_actual_and_what_would_pass(
    code: RefusalCode, intent: OrderIntent, view: AccountView, limit: str, actual: str, largest: str
) -> None:
    limited = LONG_ONLY if code is CODE.SIDE_NOT_ALLOWED else LIMITED
    assert check(intent, view, limited) == Refusal(code, limit, actual, D(largest))
    if D(largest):
        passed = check(asks(intent, quantity=D(largest)), view)
        assert isinstance(passed, Order)
        assert passed.quantity == D(largest)
        assert isinstance(check(asks(intent, quantity=D(largest) + ETH.step), view), Refusal)


def test_every_limit_there_is_has_a_case_that_breaks_it() -> None:
    assert {case[0] for case in CASES} == {limit(LONG, CALM, LIMITED, D(1_000)).code for limit in LIMITS} | {
        RefusalCode.BELOW_MINIMUM
    }


@pytest.mark.parametrize(
    ("intent", "view"),
    [
        (LONG, account(price_age_ms=150_000)),
        (asks(LONG, protect_at=D(950)), CALM),
        (asks(SHORT, protect_at=D(1_050)), CALM),
        (asks(LONG, symbol="ETHBTC"), CALM),
        (LONG, account(product=Product.SPOT)),
        (asks(LONG, quantity=D("4.99")), account(equity=D(10**6))),
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
    ],
)
def test_what_just_keeps_a_limit_passes(intent: OrderIntent, view: AccountView) -> None:
    assert isinstance(check(intent, view), Order)


def test_the_worst_price_counts_and_not_the_last_one() -> None:
    officer = RiskOfficer(LIMITED)
    assert officer.worst_price(D(1_000)) == D(1_002)
    assert refusal(asks(LONG, quantity=D("2.496"))).code is RefusalCode.POSITION_SHARE
    assert D("2.496") * 1_000 < 2_500


def test_the_first_limit_that_says_no_is_told_and_what_passes_is_what_all_let_pass() -> None:
    told = refusal(asks(LONG, quantity=D(50)), account(gross=D(9_000), equity=D(10_000)))
    assert told.code is RefusalCode.ORDER_NOTIONAL
    assert told.largest == D("0.998")


def test_a_room_below_the_smallest_order_is_no_room() -> None:
    assert refusal(LONG, account(symbol_notional=D("2480.01"))).largest == 0
    assert refusal(LONG, account(symbol_notional=D("2479.9"))).largest == D("0.02")


DECIDERS: list[Callable[[AccountView], AccountView]] = [
    lambda view: msgspec.structs.replace(view, state=DeskState.HALTED),
    lambda view: msgspec.structs.replace(view, price_age_ms=view.price_age_limit_ms + 1),
    lambda view: msgspec.structs.replace(view, daily_loss_reached=True),
]


def money(low: str, high: str, places: int = 2) -> st.SearchStrategy[Decimal]:
    return st.decimals(low, high, places=places, allow_nan=False, allow_infinity=False)


@st.composite
def situations(draw: st.DrawFn) -> tuple[OrderIntent, AccountView, Policies]:
    """An entry on an account with positions and reservations, under limits that may be anything."""
    limited = policies(
        order={"max_notional": draw(money("10", "9000")), "price_allowance": draw(money("0", "0.1", 4))},
        position={"max_share": draw(money("0.01", "1", 3))},
        correlated={"max_share": draw(money("0.05", "3"))},
        risk={"max_share": draw(money("0.01", "1", 3)), "gap_allowance": draw(money("0", "0.1", 3))},
        pace={"max_turnover": draw(money("0.1", "20"))},
        exposure={"max_gross": draw(money("0.05", "3"))},
        stop={"max_distance": D("0.5")},
    )
    price = draw(money("0.0100", "70000", 4))
    step = D(draw(st.sampled_from(["0.00001", "0.001", "0.1", "1", "10"])))
    instrument = Instrument(
        "ETHUSDT", Product.UM, D("0.0001"), step, step * draw(st.integers(1, 5)), D(draw(st.sampled_from([5, 20, 100])))
    )
    held = draw(money("0", "9000"))
    view = account(
        instrument=instrument,
        equity=draw(money("-100", "20000")),
        gross=held + draw(money("0", "9000")),
        symbol_notional=held,
        price=price,
        correlated_long=draw(st.none() | money("0", "9000")),
        correlated_short=draw(st.none() | money("0", "9000")),
        pace=msgspec.structs.replace(QUIET, turnover_today=draw(money("0", "50000"))),
    )
    side = draw(st.sampled_from(Side))
    worth = draw(money("1", "20000"))
    stop = price * (1 - side.sign * D("0.1"))
    return asks(LONG, side=side, protect_at=stop, quantity=worth / price), view, limited


@settings(deadline=None, max_examples=300)
@given(situations())
def test_what_passes_breaks_no_limit_at_the_worst_price(
    situation: tuple[OrderIntent, AccountView, Policies],
) -> None:
    intent, view, limited = situation
    order = check(intent, view, limited)
    if isinstance(order, Refusal):
        event("refused")
        return
    event("passed")
    notional = order.quantity * view.price * (1 + limited.order.price_allowance)
    assert notional <= limited.order.max_notional
    assert view.symbol_notional + notional <= limited.position.max_share * view.equity
    assert view.gross + notional <= limited.exposure.max_gross * view.equity
    together = view.correlated_long if order.side is Side.BUY else view.correlated_short
    assert together is None or together + notional <= limited.correlated.max_share * view.equity
    assert view.pace.turnover_today + notional <= limited.pace.max_turnover * view.day_opening
    worst = view.price * (1 + order.side.sign * limited.order.price_allowance)
    assert intent.protect_at is not None
    lost = abs(worst - intent.protect_at) / worst + limited.risk.gap_allowance
    assert (view.symbol_notional + notional) * lost <= limited.risk.max_share * view.equity * D("1.000001")
    assert order.quantity % view.instrument.step == 0
    assert order.quantity <= intent.quantity < order.quantity + view.instrument.step
    assert order.quantity >= view.instrument.min_quantity
    assert order.quantity * view.price >= view.instrument.min_notional


@settings(deadline=None, max_examples=300)
@given(situations())
def test_the_largest_that_is_named_passes_and_one_step_more_does_not(
    situation: tuple[OrderIntent, AccountView, Policies],
) -> None:
    intent, view, limited = situation
    told = check(intent, view, limited)
    assume(isinstance(told, Refusal))
    assert isinstance(told, Refusal)
    event(f"{told.code}, {'some' if told.largest else 'no'} room")
    if told.largest:
        passed = check(asks(intent, quantity=told.largest), view, limited)
        assert isinstance(passed, Order)
        assert passed.quantity == told.largest
        assert isinstance(check(asks(intent, quantity=told.largest + view.instrument.step), view, limited), Refusal)
        for closed in DECIDERS:
            assert refusal_of(intent, closed(view), limited).largest == 0
    else:
        smallest = view.instrument.min_quantity
        enough = (view.instrument.min_notional / view.price / view.instrument.step).to_integral_value(ROUND_FLOOR) + 1
        for quantity in (smallest, max(smallest, enough * view.instrument.step)):
            assert isinstance(check(asks(intent, quantity=quantity), view, limited), Refusal)


def refusal_of(intent: OrderIntent, view: AccountView, limited: Policies) -> Refusal:
    answer = check(intent, view, limited)
    assert isinstance(answer, Refusal)
    return answer

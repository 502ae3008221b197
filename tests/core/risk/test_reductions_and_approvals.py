"""Reductions always pass; a cleared order is made by the risk officer only, for one use and a limited time."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.counters import DailyLoss, DayState
from ocw_mcp.core.risk.officer import CLEARED_MS, Assessment, RiskOfficer
from ocw_mcp.core.risk.sizes import exposure_scale
from ocw_mcp.domain.cleared import ClearedOrder, claim_risk_seal
from ocw_mcp.domain.errors import InvariantError
from ocw_mcp.domain.orders import Order, OrderIntent, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.policies import DailyLossPolicy, ScalePolicy
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import DAY, HOUR
from ocw_mcp.domain.unknown import Unknown
from tests.support.accounts import CALM, QUIET
from tests.support.entries import LIMITED
from tests.support.entries import LONG as ENTRY
from tests.support.runs import policies

D = Decimal
NOW = 1_767_225_600_000
EXIT = OrderRef(1, Purpose.EXIT)
OFFICER = RiskOfficer(policies(symbols={"allow": ("BTCUSDT",)}, order={"max_notional": 50}))
OFFICER_OF_ENTRIES = RiskOfficer(LIMITED)

LONG_TWO = msgspec.structs.replace(CALM, gross=D(2_000), quantity=D(2), symbol_notional=D(2_000))


def account(**changes: Any) -> AccountView:
    return msgspec.structs.replace(LONG_TWO, **changes)


def reduction(side: Side, quantity: str, purpose: Purpose = Purpose.EXIT, trigger: str | None = None) -> OrderIntent:
    types = {Purpose.STOP: OrderType.STOP_MARKET, Purpose.TARGET: OrderType.TAKE_PROFIT_MARKET}
    return OrderIntent(
        "k",
        "test",
        "ETHUSDT",
        side,
        types.get(purpose, OrderType.MARKET),
        purpose,
        D(quantity),
        trigger_price=None if trigger is None else D(trigger),
    )


def approve(intent: OrderIntent, view: AccountView = LONG_TWO, now: int = NOW) -> ClearedOrder:
    answer = OFFICER.clear_reduction(intent, view, OrderRef(1, intent.purpose), now)
    assert isinstance(answer, ClearedOrder), str(answer)
    return answer


@pytest.mark.parametrize("state", TradingState)
@pytest.mark.parametrize(
    "trouble",
    [
        {},
        {"price_age_ms": 10**9},
        {"price": None},
        {"daily_loss_reached": True, "daily_loss": D("0.5")},
        {"equity": D(-500)},
        {"gross": D(10**6), "symbol_notional": D(10**6)},
    ],
)
def test_a_reduction_passes_in_every_state_and_past_every_limit(state: TradingState, trouble: dict[str, Any]) -> None:
    order = approve(reduction(Side.SELL, "2"), account(state=state, **trouble)).order
    assert order == Order(EXIT, "ETHUSDT", Side.SELL, OrderType.MARKET, D(2), reduce_only=True)


@pytest.mark.parametrize(
    ("changes", "passes"),
    [({}, False), ({"principal": "guard"}, True), ({"idempotency_key": ""}, True), ({"principal": "rules"}, False)],
)
def test_limit_on_closings_per_minute_spares_guard_and_flatten(changes: dict[str, str], passes: bool) -> None:
    busy = account(pace=msgspec.structs.replace(QUIET, reductions_last_minute=1_000))
    intent = msgspec.structs.replace(reduction(Side.SELL, "2"), **changes)
    answer = OFFICER.clear_reduction(intent, busy, EXIT, NOW)
    if passes:
        assert isinstance(answer, ClearedOrder)
    else:
        assert answer == Refusal(RefusalCode.REDUCTION_RATE, "1000 a minute", "1000")
    assert approve(reduction(Side.SELL, "2"), account(pace=msgspec.structs.replace(QUIET, reductions_last_minute=999)))


@pytest.mark.parametrize("purpose", [Purpose.STOP, Purpose.TARGET])
def test_stop_and_target_keep_their_trigger_and_are_reduce_only(purpose: Purpose) -> None:
    order = approve(reduction(Side.SELL, "2", purpose, "970")).order
    assert order.reduce_only
    assert order.trigger_price == 970


@pytest.mark.parametrize(
    ("purpose", "take_at"), [(Purpose.STOP, D(1_100)), (Purpose.TARGET, None), (Purpose.EXIT, None)]
)
def test_target_price_is_sent_with_a_stop_and_no_other_order(purpose: Purpose, take_at: Decimal | None) -> None:
    intent = msgspec.structs.replace(reduction(Side.SELL, "2", purpose, "970"), target_at=D(1_100))
    assert approve(intent).order.take_at == take_at


def test_a_reduction_below_the_smallest_notional_passes() -> None:
    assert approve(reduction(Side.SELL, "0.001"), account(quantity=D("0.001"))).order.quantity == D("0.001")


@settings(deadline=None, max_examples=200)
@given(
    held=st.decimals("-50", "50", places=4, allow_nan=False, allow_infinity=False),
    wanted=st.decimals("-1", "120", places=5, allow_nan=False, allow_infinity=False),
    side=st.sampled_from(Side),
    state=st.sampled_from(TradingState),
)
def test_a_reduction_never_enlarges_flips_or_exceeds_a_position(
    held: Decimal, wanted: Decimal, side: Side, state: TradingState
) -> None:
    intent = reduction(side, str(wanted))
    answer = OFFICER.clear_reduction(intent, account(quantity=held, state=state), EXIT, NOW)
    step = LONG_TWO.instrument.step
    if isinstance(answer, Refusal):
        assert answer.code is RefusalCode.NO_POSITION
        assert side.sign * held >= 0 or min(wanted, abs(held)) < step
        return
    quantity = answer.order.quantity
    after = held + side.sign * quantity
    assert 0 < quantity <= min(wanted, abs(held))
    assert abs(after) < abs(held)
    assert after * held >= 0
    assert quantity % step == 0
    assert answer.order.reduce_only


@pytest.mark.parametrize(("held", "side"), [("0", Side.SELL), ("0", Side.BUY), ("2", Side.BUY), ("-2", Side.SELL)])
def test_order_in_the_direction_of_its_position_is_no_reduction(held: str, side: Side) -> None:
    answer = OFFICER.clear_reduction(reduction(side, "1"), account(quantity=D(held)), EXIT, NOW)
    assert answer == Refusal(RefusalCode.NO_POSITION, f"a position to {side}", held)


def cleared_entry(intent: OrderIntent = ENTRY) -> ClearedOrder:
    cleared = OFFICER_OF_ENTRIES.check_entry(intent, CALM, OrderRef(1, Purpose.ENTRY), NOW)
    assert isinstance(cleared, ClearedOrder), str(cleared)
    return cleared


def test_a_cleared_entry_is_valid_once_and_for_five_seconds() -> None:
    cleared = cleared_entry()
    assert cleared.expires_at == NOW + CLEARED_MS == NOW + 5_000
    assert cleared.version == 3
    assert cleared.redeem(NOW + CLEARED_MS) == cleared.order
    with pytest.raises(InvariantError, match="used twice"):
        cleared.redeem(NOW)


def test_a_cleared_entry_cannot_be_used_when_expired() -> None:
    cleared = cleared_entry()
    with pytest.raises(InvariantError, match="was cleared until"):
        cleared.redeem(NOW + CLEARED_MS + 1)
    assert cleared.redeem(NOW).quantity == 1


@pytest.mark.parametrize("purpose", [Purpose.STOP, Purpose.TARGET, Purpose.EXIT])
def test_a_cleared_reduction_never_expires_and_is_valid_once(purpose: Purpose) -> None:
    cleared = approve(reduction(Side.SELL, "1", purpose, None if purpose is Purpose.EXIT else "990"))
    assert cleared.redeem(NOW + 365 * DAY) == cleared.order
    with pytest.raises(InvariantError, match="used twice"):
        cleared.redeem(NOW + 365 * DAY)


def again(cleared: ClearedOrder, intent: OrderIntent = ENTRY, **changes: Any) -> ClearedOrder | Refusal:
    later = msgspec.structs.replace(CALM, now=NOW + HOUR, version=7, **changes)
    return OFFICER_OF_ENTRIES.clear_again(cleared, intent, later)


def test_an_entry_that_passes_again_is_the_same_order_with_a_new_time() -> None:
    first = cleared_entry()
    second = again(first)
    assert isinstance(second, ClearedOrder)
    assert (second.order, second.version, second.expires_at) == (first.order, 7, NOW + HOUR + CLEARED_MS)
    with pytest.raises(InvariantError, match="used twice"):
        first.redeem(NOW)
    assert second.redeem(NOW + HOUR) == first.order


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"price": D(1_010)}, RefusalCode.PRICE_MOVED),
        ({"price": D(969)}, RefusalCode.STOP_REQUIRED),
        ({"state": TradingState.HALTED}, RefusalCode.NOT_ACTIVE),
        ({"price_age_ms": 200_000}, RefusalCode.STALE_DATA),
        ({"equity": D(900)}, RefusalCode.POSITION_SHARE),
        ({"price": D(952)}, RefusalCode.PRICE_COLLAR),
    ],
)
def test_an_entry_is_refused_again_by_what_changed(changes: dict[str, Any], code: RefusalCode) -> None:
    first, intent = cleared_entry(), ENTRY
    if code is RefusalCode.PRICE_COLLAR:
        # The stop still fits the price, and only the limit price of the order does not.
        intent = msgspec.structs.replace(ENTRY, protect_at=D(951))
        first = cleared_entry(intent)
    refused = again(first, intent, **changes)
    assert isinstance(refused, Refusal)
    assert refused.code is code
    assert first.redeem(NOW) == first.order, "a refusal leaves the clearance as it is"


def test_an_entry_does_not_count_against_its_own_pace() -> None:
    first = cleared_entry()
    own = msgspec.structs.replace(QUIET, entries_last_minute=2, entries_today=20)
    at_the_limit = msgspec.structs.replace(CALM, now=NOW + 30_000, pace=own)
    assert isinstance(OFFICER_OF_ENTRIES.clear_again(first, ENTRY, at_the_limit), ClearedOrder)
    # An hour later the two entries of the last minute are others.
    refused = again(cleared_entry(), pace=own)
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.ENTRY_RATE


def test_a_cleared_order_cannot_be_changed() -> None:
    cleared = approve(reduction(Side.SELL, "1"))
    with pytest.raises(AttributeError):
        cleared.order = cleared.order  # type: ignore[misc]
    with pytest.raises(AttributeError):
        cleared.order.quantity = D(100)  # type: ignore[misc]


@pytest.mark.parametrize("seal", [None, object()])
def test_a_cleared_order_cannot_be_made_without_the_seal(seal: Any) -> None:
    order = Order(EXIT, "ETHUSDT", Side.SELL, OrderType.MARKET, D(1), reduce_only=True)
    with pytest.raises(InvariantError, match=r"only core\.risk"):
        ClearedOrder(seal, order, 1, NOW, NOW + 5_000)


def test_the_risk_seal_can_be_claimed_once() -> None:
    with pytest.raises(InvariantError, match="once"):
        claim_risk_seal()


def day(max_share: str = "0.03") -> DailyLoss:
    daily = DailyLoss(DailyLossPolicy(max_share=D(max_share)))
    daily.open("2026-01-01", D(10_000))
    return daily


def test_daily_loss_limit_stays_reached_until_the_next_day() -> None:
    daily = day()
    assert daily.floor == 9_700
    assert [daily.watch(D(equity)) for equity in ("10000", "9700.01", "9700", "9000", "12000")] == [
        False,
        False,
        True,
        False,
        False,
    ]
    assert daily.today == DayState("2026-01-01", D(10_000), reached=True)
    daily.open("2026-01-02", D(9_000))
    assert daily.today == DayState("2026-01-02", D(9_000), reached=False)
    assert daily.watch(D(8_730))


def test_after_a_gain_daily_loss_is_still_measured_from_opening() -> None:
    daily = day()
    assert not daily.watch(D(12_000))
    assert not daily.watch(D("9700.01"))
    assert daily.loss(D(12_000)) == D("-0.2")
    assert daily.loss(D(9_700)) == D("0.03")


def test_daily_loss_limit_is_reached_at_an_opening_equity_of_0() -> None:
    daily = day()
    daily.open("2026-01-02", D(0))
    assert daily.loss(D(0)) == 1
    assert daily.watch(D(0))


def test_daily_loss_is_measured_for_equity_below_1() -> None:
    daily = day()
    daily.open("2026-01-02", D("0.8"))
    assert daily.loss(D("0.72")) == D("0.1")


def test_daily_loss_before_the_first_day_counts_as_total() -> None:
    daily = DailyLoss(DailyLossPolicy(max_share=D("0.03")))
    assert daily.today.day == ""
    assert daily.loss(D(10_000)) == 1
    assert not daily.watch(D("0.01"))
    assert daily.watch(D(0))


def test_a_transfer_does_not_change_the_lost_share_of_the_day() -> None:
    daily = day()
    daily.rescale(D("0.5"))
    assert daily.loss(D(4_900)) == D("0.02")
    assert not daily.watch(D("4850.01"))
    assert daily.watch(D(4_850))


def test_changed_daily_loss_limit_applies_to_the_current_day() -> None:
    daily = DailyLoss(DailyLossPolicy(max_share=D("0.1")))
    daily.restore(day().state())
    assert not daily.watch(D("9000.01"))
    assert daily.watch(D(9_000))


def test_a_reached_daily_loss_limit_survives_a_restart() -> None:
    daily = day()
    daily.watch(D(9_000))
    again = DailyLoss(DailyLossPolicy(max_share=D("0.03")))
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(daily.state()), type=DayState))
    assert again.today == daily.today
    assert not again.watch(D(5_000))


def test_unknown_regime_and_macro_reading_both_scale_limits() -> None:
    assert exposure_scale(
        ScalePolicy(regime_unknown=D("0.6"), macro_unknown=D("0.9")), Unknown("no fit"), Unknown("no source")
    ) == D("0.54")


def test_an_entry_after_untrusted_text_has_to_pass_both_policies() -> None:
    strict = policies(order={"max_notional": 500})
    officer = RiskOfficer(policies(order={"max_notional": 800}), strict)
    tainted = msgspec.structs.replace(ENTRY, tainted=True)
    once, twice = officer.assess(ENTRY, CALM), officer.assess(tainted, CALM)
    assert isinstance(once, Assessment)
    assert isinstance(twice, Assessment)
    told = [(each.code, str(each.limit)) for each in once.verdicts]
    assert [(each.code, str(each.limit)) for each in twice.verdicts][: len(told)] == told
    assert len(twice.verdicts) == 2 * len(told)
    assert officer.largest(tainted, CALM) < officer.largest(ENTRY, CALM)

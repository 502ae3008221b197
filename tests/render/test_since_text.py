"""What happened and what stands, as lines for the decider."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from ocw_mcp.domain.decision import Comparison, WakeCondition
from ocw_mcp.domain.happenings import GuardPlan, Happening, HappeningKind, RestingOrder, StandingCondition
from ocw_mcp.domain.orders import OrderRef, Purpose, Side
from ocw_mcp.domain.snapshot import Remark, Snapshot
from ocw_mcp.domain.time import HOUR, MINUTE, SECOND
from ocw_mcp.render.since_text import happening_text, refused_then, resting_text, since_lines, standing_lines
from ocw_mcp.render.snapshot_text import compact
from tests.support.views import NOON, RISING, holding, snapshot, view

D = Decimal
K = HappeningKind
ETH = "ETHUSDT"
ENTRY = OrderRef(3, Purpose.ENTRY)


def happened(kind: HappeningKind, symbol: str = ETH, **fields: Any) -> Happening:
    return Happening(NOON, kind, symbol, **fields)


def shown(**fields: Any) -> Snapshot:
    return msgspec.structs.replace(snapshot(view(RISING)), **fields)


EXITED: dict[str, Any] = {"price": D("139.02"), "previous": D("140.155"), "quantity": D("-0.5"), "amount": D("-12.4")}
ENDED: dict[str, Any] = {"price": D("138.2"), "quantity": D("0.5"), "by": "claude", "began_at": NOON - HOUR}


@pytest.mark.parametrize(
    ("happening", "text"),
    [
        (
            happened(K.CLOSED, cause="stop", by="guard", **EXITED),
            "ETHUSDT stop filled at 139.02, -0.81 % (trade -12.40)",
        ),
        (
            happened(K.CLOSED, cause="max_hold", by="guard", **EXITED),
            "ETHUSDT closed by guard (max_hold) at 139.02, -0.81 % (trade -12.40)",
        ),
        (
            happened(K.CLOSED, cause="leg", by="claude", **EXITED | {"quantity": D("0.5"), "amount": D("12.4")}),
            "ETHUSDT closed by claude at 139.02, +0.81 % (trade +12.40)",
        ),
        (happened(K.CLOSED, cause="liquidation", amount=D(-900)), "ETHUSDT closed by liquidation at ? (trade -900.00)"),
        (
            happened(K.REDUCED, cause="client", by="mcp:anna", **EXITED),
            "ETHUSDT reduced by mcp:anna: SELL 0.5 at 139.02, -0.81 % (-12.40)",
        ),
        (
            happened(K.FILLED, by="claude", price=D("138.2"), quantity=D("-0.50")),
            "SELL 0.5 ETHUSDT filled at 138.2 by claude",
        ),
        (
            happened(K.STOP_MOVED, by="claude", previous=D("138.0"), price=D("139.0")),
            "ETHUSDT stop moved 138 -> 139 by claude",
        ),
        (happened(K.TARGET_MOVED, by="claude", price=D(150)), "ETHUSDT target set at 150 by claude"),
        (
            happened(K.LAPSED, cause="expired", **ENDED),
            "limit BUY 0.5 ETHUSDT at 138.2 lapsed after 1h 0m unfilled",
        ),
        (
            happened(K.CANCELLED, detail="halted", filled=D("0.2"), **ENDED),
            "limit BUY 0.5 ETHUSDT at 138.2 cancelled after 1h 0m, 0.2 filled before: halted",
        ),
        (
            happened(K.NOT_CANCELLED, times=2, **ENDED),
            "limit BUY 0.5 ETHUSDT at 138.2 not cancelled: the venue refused, and it may still trade, 2 times",
        ),
        (
            happened(K.REJECTED, code="NOT_SENT", **ENDED),
            "limit BUY 0.5 ETHUSDT at 138.2 not sent: NOT_SENT "
            "(OCW did not send it: it waited until it was too old, or until a limit refused it)",
        ),
        (
            happened(K.REJECTED, code="WOULD_TAKE", **ENDED),
            "limit BUY 0.5 ETHUSDT at 138.2 rejected by the venue with WOULD_TAKE "
            "(it is post-only, and would have traded at once)",
        ),
        (
            happened(K.REJECTED, code="buy all of it", **ENDED),
            "limit BUY 0.5 ETHUSDT at 138.2 rejected by the venue with (no name)",
        ),
        (
            happened(K.REFUSED, cause="BUY", code="RISK_PER_TRADE", by="claude", times=2),
            "refused: BUY ETHUSDT RISK_PER_TRADE by claude, 2 times",
        ),
        (happened(K.FUNDING, amount=D("-0.1"), times=3), "ETHUSDT funding paid 0.10"),
        (happened(K.STATE, "", cause="HALTED", detail="halted by ann"), "trading state is HALTED: halted by ann"),
        (happened(K.COMMAND, cause="takeover", by="ann"), "command takeover ETHUSDT by ann"),
        (happened(K.TRANSFER, "", amount=D(100)), "transfer of +100.00"),
        (happened(K.MARKET_ENDED), "the market of ETHUSDT has ended"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_happening_is_one_line_in_the_words_of_traders(happening: Happening, text: str) -> None:
    assert happening_text(happening) == text


@pytest.mark.parametrize("kind", list(HappeningKind))
def test_every_kind_of_happening_has_a_text(kind: HappeningKind) -> None:
    assert happening_text(happened(kind, amount=D(1))).strip()


def test_happenings_follow_the_number_of_the_answered_wake() -> None:
    filled = happened(K.FUNDING, amount=D("-0.1"))
    earlier = msgspec.structs.replace(filled, at=NOON - 24 * HOUR)
    since = (earlier, filled)
    lines = since_lines(shown(since=since, since_wake=7, since_dropped=2), "claude")
    assert lines == [
        "since wake 7:",
        "- 2027-01-14T08:00 ETHUSDT funding paid 0.10",
        "- 08:00 ETHUSDT funding paid 0.10",
        "- 2 more, dropped for length",
    ]
    assert since_lines(shown(since_wake=7), "claude") == ["since wake 7: nothing"]
    assert since_lines(shown(), "claude") == []


def test_note_names_the_legs_that_were_refused_with_it() -> None:
    refused = happened(K.REFUSED, cause="BUY", code="RISK_PER_TRADE", by="claude")
    noted = shown(note=Remark("bought the dip", "claude", NOON), note_refused=(refused,))
    assert refused_then(noted) == " (refused then: BUY ETHUSDT RISK_PER_TRADE)"
    assert "bought the dip (refused then: BUY ETHUSDT RISK_PER_TRADE)\n" in compact(noted, reader="claude")


def test_resting_orders_have_age_and_expiry_in_text() -> None:
    order = RestingOrder(
        ENTRY, ETH, Side.BUY, D("0.5"), D("0.1"), D("138.2"), D(131), None, "claude", NOON - 12 * MINUTE, NOON + HOUR
    )
    assert standing_lines(shown(resting=(order,)), "claude") == [
        "resting: limit BUY 0.5 ETHUSDT at 138.2, stop 131, 12m old, 0.1 filled, expires in 1h 0m, by claude, "
        "order 3-e-0"
    ]


def test_entry_that_has_not_filled_shows_its_author_its_thesis() -> None:
    order = RestingOrder(
        ENTRY, ETH, Side.BUY, D(1), D(0), D(138), D(131), None, "claude", NOON, None, thesis="the dip holds at 138"
    )
    own, others = (standing_lines(shown(resting=(order,)), reader)[1:] for reader in ("claude", "mcp:anna"))
    assert (own, others) == (["thesis of the entry in ETHUSDT: the dip holds at 138"], [])


def test_order_that_waits_for_approval_names_it() -> None:
    waiting = RestingOrder(None, ETH, Side.SELL, D(2), D(0), None, D(150), None, "claude", None, NOON + HOUR, "a1")
    line = "market SELL 2 ETHUSDT, stop 150, expires in 1h 0m, by claude, waits for approval a1"
    assert resting_text(waiting, NOON) == line


def test_conditions_and_timer_have_age_expiry_and_reading() -> None:
    condition = WakeCondition("BTCUSDT", "price", Comparison.CROSSES_ABOVE, 142, "breakout")
    standing = StandingCondition(condition, "claude", NOON - 3 * HOUR, NOON + 2 * HOUR, 139.5, with_position=True)
    fields: dict[str, Any] = {"conditions": (standing,), "next_check_at": NOON + 30 * MINUTE}
    line = (
        "wakes on BTCUSDT price crosses_above 142, now 139.5, set 3h 0m ago, expires in 2h 0m, ends with the position"
    )
    timer = "next check at 08:30, in 30m"
    assert standing_lines(shown(**fields), "claude") == [f"{line} (breakout)", timer]
    own, quoted, last = standing_lines(shown(**fields), "mcp:anna")
    assert (own, last) == (line, timer)
    assert quoted.startswith("on BTCUSDT price crosses_above 142, untrusted_text by claude, ")
    assert quoted.endswith(': "breakout"')


PLAN = GuardPlan(96.0, 120.0, 104.0, None, NOON + 5 * HOUR)


@pytest.mark.parametrize(
    ("quantity", "plan", "text"),
    [
        ("0.1", PLAN, "closes below 96 (max loss), above 120 (take profit), trailing from 104, in 5h 0m (max hold); "),
        (
            "-0.1",
            msgspec.structs.replace(PLAN, max_loss_at=104.5, take_profit_at=80.0, trail_at=97.25),
            "closes above 104.5 (max loss), below 80 (take profit), above 97.25 (trailing), in 5h 0m (max hold); ",
        ),
        (
            "0.1",
            msgspec.structs.replace(PLAN, deadline=NOON + 20 * SECOND, band="review"),
            "no stop yet, closes in 20s without one, closes below 96 (max loss), ",
        ),
    ],
)
def test_plan_of_the_guard_reads_with_sides_of_the_price(quantity: str, plan: GuardPlan, text: str) -> None:
    held = holding(quantity, guard=plan, thesis=Remark("a breakout", "claude", NOON))
    taken = snapshot(view(RISING, position=held))
    guard, thesis = standing_lines(taken, "claude")
    assert guard.startswith(f"guard BTCUSDT: {text}")
    assert guard.endswith(f"score band {plan.band}")
    assert thesis == "thesis of BTCUSDT: a breakout"
    assert standing_lines(taken, "mcp:anna")[1].endswith(': "a breakout"')
    assert not taken.quotes_others("claude")
    assert taken.quotes_others("mcp:anna")

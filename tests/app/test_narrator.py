"""The narrator: the printed lines of a run's events."""

from decimal import Decimal

import msgspec
import pytest

from ocw_mcp.app.narrator import Narrator
from ocw_mcp.domain import events
from ocw_mcp.domain.account_events import AccountFound
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Decision, Leg
from ocw_mcp.domain.orders import Balance, OrderIntent, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.reasons import Refusal, RefusalCode

D = Decimal
ENTRY = OrderIntent("k1", "anna", "BTCUSDT", Side.BUY, OrderType.MARKET, Purpose.ENTRY, D("0.1"))
HOUR = 3_600_000


def told(*happened: events.DomainEvent) -> list[str]:
    """Return the printed lines of events, without their times."""
    lines: list[str] = []
    narrator = Narrator(lambda line: lines.append(line.plain))
    for event in happened:
        narrator(0, event)
    return [line.removeprefix("1970-01-01 00:00  ") for line in lines]


def made(decider: str, cause: Cause | None = None, *legs: Leg) -> events.DecisionMade:
    return events.DecisionMade(1, decider, 0, Decision(legs, cause=cause))


def exit_by(principal: str, leg: Purpose = Purpose.EXIT) -> tuple[events.DomainEvent, ...]:
    """Return the events of a position that an order of `principal` closes; `leg` is the purpose of the order."""
    ref = OrderRef(1, leg)
    sold = msgspec.structs.replace(ENTRY, principal=principal, side=Side.SELL, purpose=leg)
    return (
        events.OrderIntended(ref, sold, "policy"),
        events.OrderFilled(ref, "f", "BTCUSDT", "sell", D("0.1"), D(9_000), D(0), 0, False, D(-3), D(0)),
        events.PositionClosed("BTCUSDT", 0, D(-3), D(1)),
    )


@pytest.mark.parametrize(
    ("before", "principal", "leg", "why"),
    [
        ((), "guard", Purpose.STOP, "its stop"),
        ((), "guard", Purpose.TARGET, "its target"),
        ((), "rules", Purpose.EXIT, "closed by rules"),
        ((), "ann", Purpose.EXIT, "closed by ann"),
        ((), "guard", Purpose.EXIT, "closed by guard"),
        (
            (events.ExitDecided("BTCUSDT", "trail", "it gave back 2%"),),
            "guard", Purpose.EXIT, "trail: it gave back 2%",
        ),
    ],
)  # fmt: skip
def test_closed_position_is_reported_with_its_reason(
    before: tuple[events.DomainEvent, ...], principal: str, leg: Purpose, why: str
) -> None:
    assert told(*before, *exit_by(principal, leg))[-1] == f"closed    BTCUSDT, -3 after fees and funding ({why})"


def test_target_of_an_oco_order_is_not_reported_as_stop() -> None:
    intended, filled, closed = exit_by("guard", Purpose.STOP)
    assert isinstance(filled, events.OrderFilled)
    at_target = msgspec.structs.replace(filled, maker=True)
    assert told(intended, at_target, closed)[-1].endswith("(its target)")


def test_close_reason_of_one_position_is_not_shown_for_the_next() -> None:
    rule = events.ExitDecided("BTCUSDT", "trail", "it gave back 2%")
    assert told(rule, *exit_by("guard"), *exit_by("guard"))[-1].endswith("(closed by guard)")


def test_agent_failure_and_recovery_are_each_reported_once() -> None:
    broken = made("rules", Cause(CauseKind.SERVER, "see https://evil.example"))
    open_ = made("rules", Cause(CauseKind.BREAKER))
    remembered = made("claude", Cause(CauseKind.REMEMBERED, "at wake 3"))
    assert told(made("claude"), broken, broken, open_, remembered, open_, made("claude"), made("claude")) == [
        "agent     cannot decide, the rules do in its place: "
        "SERVER: the API failed with an internal error (5xx); see [link]",
        "agent     claude decides again",
    ]


@pytest.mark.parametrize("kind", [CauseKind.THROTTLED, CauseKind.IMPOSSIBLE])
def test_agent_that_skips_one_wake_is_not_reported_as_failed(kind: CauseKind) -> None:
    assert told(made("rules", Cause(kind))) == []


def test_rules_as_the_agent_are_not_reported_as_a_replacement() -> None:
    assert told(made("rules"), made("rules", Cause(CauseKind.NOTHING_TO_DO))) == []


def test_pending_approval_is_shown_with_its_id_and_commands() -> None:
    required = Refusal(RefusalCode.APPROVAL_REQUIRED, "500", "900", D("0.05"))
    first, asked, ended = told(
        events.OrderRefused(ENTRY, required, "policy"),
        events.ApprovalAsked("a1", ENTRY, D(9_000), HOUR),
        events.ApprovalEnded("a1", "approved", "ben"),
    )
    assert first.startswith("approval  entry buy BTCUSDT: APPROVAL_REQUIRED: ")
    assert asked == (
        "approval  a1 is pending until 1970-01-01 01:00: buy 0.1 BTCUSDT at about 9000; ocw approve a1 or ocw deny a1"
    )
    assert ended == "approval  a1 approved by ben"


def test_moved_stop_is_shown_with_its_old_price_and_a_trailing_one_once() -> None:
    stop, higher = OrderRef(1, Purpose.STOP), OrderRef(1, Purpose.STOP, 1)
    lines = told(
        events.PositionProtected("BTCUSDT", stop, D(97)),
        events.ProtectionSet("BTCUSDT", "claude", D(99), D(120), D("0.01"), 4),
        events.PositionProtected("BTCUSDT", higher, D(99)),
        events.PositionProtected("BTCUSDT", higher, D(100)),
        events.PositionProtected("BTCUSDT", higher, D(101)),
    )
    assert lines == [
        "stop      BTCUSDT: stop at 97",
        "protect   BTCUSDT stop 97 -> 99, target 120, trailing 1% by claude at wake 4",
    ]


STOP_REF = OrderRef(1, Purpose.STOP)
STOP = msgspec.structs.replace(ENTRY, purpose=Purpose.STOP, side=Side.SELL)


def test_stop_that_somebody_else_cancels_is_reported() -> None:
    placed, gone = events.OrderIntended(STOP_REF, STOP, "p"), events.OrderCanceled(STOP_REF, "it was cancelled")
    line = "canceled  1-s-0, the stop of BTCUSDT, without being asked: it was cancelled"
    assert told(placed, gone) == [line]
    assert told(placed, events.OrderCancelRequested(STOP_REF, "moved"), gone) == []
    closed = events.PositionClosed("BTCUSDT", 0, D(3), D(1))
    assert told(placed, closed, gone) == ["closed    BTCUSDT, +3 after fees and funding"]


def test_refused_cancel_is_shown_only_of_an_order_that_exists() -> None:
    refused = events.OrderCancelRefused(STOP_REF, "Unknown order sent")
    assert told(refused) == ["refused   the venue did not cancel 1-s-0: Unknown order sent"]
    assert told(events.OrderUnknown(STOP_REF, "no answer"), refused) == []


def test_account_is_shown_as_found_and_transfers_afterwards() -> None:
    balance = Balance("USDT", D(100), D(100))
    found, begun = AccountFound(0, (balance,), (), ()), events.TransferBooked("found-0", D(100), 0)
    taken = events.TransferBooked("7", D(-40), 0)
    assert told(found, begun, taken) == [
        "account   the account was taken over: 100 USDT; 0 position(s), 0 order(s)",
        "transfer  -40.00: out of the account",
    ]

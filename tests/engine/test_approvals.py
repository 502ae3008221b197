"""An order that a person has to approve waits, and is checked against every policy again after the approval."""

from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import AwaitsApproval, CallerRequest, ConsentRequest, Done, LegRequest, SubmitRequest
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.orders import AccountSeen, Balance, OrderRef, Purpose
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.steps import Asked, Command, DecisionSubmitted, Timer, TimerFired, TimerKind, Verb
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.engine.approvals import MOST
from ocw_mcp.engine.idempotency import Answer
from ocw_mcp.engine.step import Engine
from ocw_mcp.engine.summary import summary
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.markets import START, ListFeed, candle, path
from tests.support.runs import Run, policies

D = Decimal
NOW = START + 4 * MINUTE
WOKEN = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
FIRST = OrderRef(1, Purpose.ENTRY)
WATCHED = policies(
    gate={"close_wakes": ["1m"], "cooldown_s": 0},
    approval={"above_notional": 500, "modes": [], "answer_s": 120},
    price={"max_move": "0.01"},
    mandate={"amount": 1_000_000, "symbols": ["*"], "expires": "2100-01-01T00:00:00Z"},
)
LARGE = LegRequest("k1", "anna", Leg("BTCUSDT", Action.BUY, size=D("0.1"), stop=D(97), reasoning="a breakout"))


async def flat(script: Scripted | None = None, minutes: int = 4, mode: Mode = Mode.PAPER) -> Run:
    both = [*path([100.0] * 4), *path([100.0] * 4, "ETHUSDT")]
    run = Run(ListFeed(both), script or Scripted({}), policy=WATCHED, mode=mode)
    return await run.go(for_ms=minutes * MINUTE)


async def ask(run: Run, request: CallerRequest = LARGE) -> Answer | None:
    run.clock.advance(NOW)
    await run.simulation.shell.take(Asked(request, NOW))
    return run.engine.answer(request)


async def tell(run: Run, verb: Verb, subject: str, id_: str = "c1") -> None:
    await run.simulation.shell.take(Command(id_, verb, "ben", NOW, subject))


async def trade_at(run: Run, price: float) -> None:
    """The next candle closes at a price."""
    run.clock.advance(NOW + MINUTE)
    closed = (candle(4, price), candle(4, price, symbol="ETHUSDT"))
    await run.simulation.shell.take(Frame(NOW + MINUTE, closed=closed))


def entries(run: Run) -> list[events.OrderIntended]:
    return [each for each in run.events(events.OrderIntended) if each.intent.purpose is Purpose.ENTRY]


async def test_an_order_that_awaits_approval_is_not_sent() -> None:
    run = await flat()
    answer = await ask(run)
    assert answer == AwaitsApproval("a1", NOW + 120 * SECOND)
    assert entries(run) == []
    assert list(run.engine.orders.live()) == []
    (asked,) = run.events(events.ApprovalAsked)
    assert (asked.approval_id, asked.price, asked.intent.principal) == ("a1", D(100), "anna")
    (shown,) = summary(run.engine)["approvals"]
    assert (shown["id"], shown["symbol"], shown["by"], shown["reason"]) == ("a1", "BTCUSDT", "anna", "a breakout")


async def test_strict_policies_alone_make_a_tainted_entry_pending() -> None:
    """Only the policy of `[tainted]` asks for approvals."""
    thinking, strict = Scripted({}, thinking_ms=10 * MINUTE), policies(approval={"above_notional": 0})
    run = await Run(ListFeed(path([100.0] * 2)), thinking, policy=WOKEN, strict=strict).go()
    wake = run.engine.decisions.state().last_wake
    request = SubmitRequest("k1", "anna", wake, buy("97", "0.05"), tainted=True)
    await run.simulation.shell.take(DecisionSubmitted(request, 0))
    (asked,) = run.events(events.ApprovalAsked)
    assert asked.intent.tainted
    assert entries(run) == []


async def test_an_approval_request_has_the_rounded_quantity_that_is_sent() -> None:
    run = await flat()
    await ask(run, LegRequest("k1", "anna", Leg("BTCUSDT", Action.BUY, stop=D(97)), D("10.1234567")))
    await tell(run, Verb.APPROVE, "a1")
    (asked,) = run.events(events.ApprovalAsked)
    (sent,) = run.engine.orders.live("BTCUSDT", Purpose.ENTRY)
    assert asked.intent.quantity == sent.order.quantity == D("10.123")


async def test_an_approved_order_is_sent_once_for_its_key() -> None:
    run = await flat()
    await ask(run)
    await tell(run, Verb.APPROVE, "a1")
    (sent,) = entries(run)
    (asked,) = run.events(events.ApprovalAsked)
    assert (sent.intent.quantity, sent.intent.protect_at) == (asked.intent.quantity, asked.intent.protect_at)
    assert (sent.intent.principal, sent.intent.approval, sent.intent.quoted) == ("anna", "a1 by ben", D(100))
    assert await ask(run) == FIRST
    assert len(entries(run)) == 1
    (ended,) = run.events(events.ApprovalEnded)
    assert (ended.outcome, ended.by) == ("approved", "ben")


@pytest.mark.parametrize(("price", "passes"), [(100.9, True), (99.1, True), (101.1, False), (98.9, False)])
async def test_an_approved_order_is_refused_if_price_moved_over_1_percent(price: float, passes: bool) -> None:
    run = await flat()
    await ask(run)
    await trade_at(run, price)
    await tell(run, Verb.APPROVE, "a1")
    answer = run.engine.answer(LARGE)
    if passes:
        assert answer == FIRST
    else:
        assert isinstance(answer, Refusal)
        assert answer.code is RefusalCode.PRICE_MOVED
        assert entries(run) == []


async def test_approved_order_is_checked_against_every_policy_again() -> None:
    run = await flat()
    await ask(run)
    other = LegRequest("k2", "cleo", Leg("BTCUSDT", Action.BUY, size=D("0.01"), stop=D(97)))
    assert await ask(run, other) == FIRST
    await tell(run, Verb.APPROVE, "a1")
    answer = run.engine.answer(LARGE)
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode.ENTRY_PENDING
    assert len(entries(run)) == 1


async def test_pending_orders_refused_by_a_halt_cannot_be_approved() -> None:
    run = await flat()
    await ask(run)
    await tell(run, Verb.HALT, "", "c0")
    await tell(run, Verb.RESUME, "", "c1")
    await tell(run, Verb.APPROVE, "a1", "c2")
    answer = run.engine.answer(LARGE)
    assert isinstance(answer, Refusal)
    assert (answer.code, answer.actual) == (RefusalCode.NOT_APPROVED, "halted by ben")
    assert entries(run) == []


async def test_an_approval_after_a_denial_changes_nothing() -> None:
    run = await flat()
    await ask(run)
    await tell(run, Verb.DENY, "a1")
    await tell(run, Verb.APPROVE, "a1", "c2")
    answer = await ask(run)
    assert isinstance(answer, Refusal)
    assert (answer.code, answer.actual) == (RefusalCode.NOT_APPROVED, "denied by ben")
    assert entries(run) == []


async def test_a_pending_order_is_refused_when_its_answer_time_ends() -> None:
    run = await flat()
    await ask(run)
    assert run.simulation.shell.timers[Timer(TimerKind.APPROVAL, "a1")] == NOW + 120 * SECOND
    run.clock.advance(NOW + 120 * SECOND)
    await run.simulation.shell.take(TimerFired(Timer(TimerKind.APPROVAL, "a1")))
    answer = run.engine.answer(LARGE)
    assert isinstance(answer, Refusal)
    assert (answer.code, answer.actual) == (RefusalCode.NOT_APPROVED, "unanswered by the operator")
    await tell(run, Verb.APPROVE, "a1")
    assert entries(run) == []


async def test_an_approval_of_an_unknown_id_changes_nothing() -> None:
    run = await flat()
    await ask(run)
    await tell(run, Verb.APPROVE, "a7")
    assert entries(run) == []
    assert isinstance(run.engine.answer(LARGE), AwaitsApproval)


async def test_a_callers_new_order_replaces_only_its_own_pending_order() -> None:
    run = await flat()
    await ask(run)
    again = LegRequest("k2", "anna", Leg("BTCUSDT", Action.BUY, size=D("0.08"), stop=D(98)))
    other = LegRequest("k3", "cleo", Leg("BTCUSDT", Action.BUY, size=D("0.08"), stop=D(98)))
    assert await ask(run, again) == AwaitsApproval("a2", NOW + 120 * SECOND)
    assert await ask(run, other) == AwaitsApproval("a3", NOW + 120 * SECOND)
    first = run.engine.answer(LARGE)
    assert isinstance(first, Refusal)
    assert first.actual == "superseded by anna"
    assert [each["id"] for each in summary(run.engine)["approvals"]] == ["a2", "a3"]


async def test_an_order_beyond_the_most_pending_orders_is_refused() -> None:
    run = await flat()
    for number in range(MOST):
        await ask(run, LegRequest("k", f"caller {number}", LARGE.leg))
    answer = await ask(run)
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode.APPROVAL_REQUIRED


async def test_an_agents_large_order_is_sent_only_after_approval() -> None:
    run = await flat(Scripted({1: buy("97")}), minutes=1)
    (asked,) = run.events(events.ApprovalAsked)
    assert (asked.intent.principal, asked.intent.wake_id) == ("scripted", 1)
    await tell(run, Verb.APPROVE, "a1")
    (sent,) = entries(run)
    assert (sent.intent.principal, sent.intent.wake_id) == ("scripted", 1)


@pytest.mark.parametrize("yes", [True, False])
async def test_a_clients_user_can_approve_or_deny_its_pending_order(yes: bool) -> None:
    run = await flat()
    await ask(run)
    consent = ConsentRequest("a1 answered", "anna", "a1", yes)
    assert await ask(run, consent) == Done()
    answer = run.engine.answer(LARGE)
    if yes:
        assert answer == FIRST
        assert entries(run)[0].intent.approval == "in the client of anna"
    else:
        assert isinstance(answer, Refusal)
        assert (answer.code, answer.actual) == (RefusalCode.NOT_APPROVED, "denied by the person in front of anna")
    assert await ask(run, consent) == Done()
    assert len(entries(run)) == yes


@pytest.mark.parametrize(
    ("who", "name", "mode"), [("cleo", "a1", Mode.PAPER), ("anna", "a2", Mode.PAPER), ("anna", "a1", Mode.DEMO)]
)
async def test_a_clients_user_can_approve_only_that_clients_paper_orders(who: str, name: str, mode: Mode) -> None:
    run = await flat(mode=mode)
    if mode is not Mode.PAPER:
        await run.simulation.shell.take(AccountSeen(NOW, (Balance("USDT", D(10_000), D(10_000)),), (), ()))
    await ask(run)
    answer = await ask(run, ConsentRequest("k", who, name, True))
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode.NO_ORDER
    assert isinstance(run.engine.answer(LARGE), AwaitsApproval)
    assert entries(run) == []


async def test_pending_orders_survive_a_restart() -> None:
    run = await flat()
    await ask(run)
    again = Engine(run.config)
    again.restore(run.engine.state())
    assert again.state() == run.engine.state()
    assert again.answer(LARGE) == AwaitsApproval("a1", NOW + 120 * SECOND)
    effects = again.step(Command("c1", Verb.APPROVE, "ben", NOW, "a1"), NOW)
    assert any(type(each).__name__ == "Send" for each in effects)


async def test_snapshot_shows_an_order_that_waits_for_approval() -> None:
    run = await flat()
    waiting = await ask(run)
    assert isinstance(waiting, AwaitsApproval)
    (resting,) = run.engine.snapshot(NOW).resting
    assert (resting.order, resting.approval, resting.expires_at) == (None, waiting.approval_id, waiting.expires_at)
    assert (resting.symbol, resting.by, resting.stop) == ("BTCUSDT", "anna", D(97))
    await tell(run, Verb.DENY, waiting.approval_id)
    assert run.engine.snapshot(NOW).resting == ()

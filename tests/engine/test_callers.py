"""Requests of attached callers pass the order manager, are journaled, and are answered once."""

from decimal import Decimal

import msgspec
import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import (
    CallerRequest,
    CancelRequest,
    CloseRequest,
    Done,
    HaltRequest,
    LegRequest,
    NoteRequest,
    ProtectionRequest,
)
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.market import Candle, Frame
from ocw_mcp.domain.orders import OrderRef, Purpose, Side
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Asked, Command, Verb
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine import idempotency
from ocw_mcp.engine.idempotency import Answer
from ocw_mcp.engine.summary import summary
from tests.support.deciders import Scripted
from tests.support.legs import buy, sell
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Run, policies

D = Decimal
NOW = START + 4 * MINUTE
ENTRY = OrderRef(1, Purpose.ENTRY)
WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


async def holding(stop: str = "97", target: str | None = None) -> Run:
    """A run that has bought at 100 and holds."""
    run = Run(ListFeed(path([100.0] * 4)), Scripted({1: buy(stop, target=target)}), policy=WAKES)
    return await run.go()


async def flat() -> Run:
    return await Run(ListFeed(path([100.0] * 4)), Scripted({}), policy=WAKES).go()


async def ask(run: Run, request: CallerRequest) -> Answer:
    run.clock.advance(NOW)
    await run.simulation.shell.take(Asked(request, NOW))
    answer = run.engine.answer(request)
    assert answer is not None
    return answer


def leg(action: Action = Action.BUY, *, size: str = "0.1", stop: str | None = "97", limit: str | None = None) -> Leg:
    if not action.adds_risk:
        return Leg("BTCUSDT", action)
    return Leg("BTCUSDT", action, size=D(size), stop=D(stop) if stop else None, limit=D(limit) if limit else None)


def code(answer: Answer) -> RefusalCode:
    assert isinstance(answer, Refusal), f"passed: {answer}"
    return answer.code


async def test_an_order_is_journaled_with_the_name_of_its_caller() -> None:
    run = await flat()
    assert await ask(run, LegRequest("k1", "anna", leg())) == ENTRY
    (intended,) = run.events(events.OrderIntended)
    assert intended.intent.principal == "anna"
    assert intended.intent.wake_id is None
    (asked,) = run.events(events.CallerAsked)
    assert asked.request.principal == "anna"


async def test_a_repeated_key_with_other_reasoning_sends_no_second_order() -> None:
    run = await flat()
    first = await ask(run, LegRequest("k1", "anna", leg()))
    worded = msgspec.structs.replace(leg(), reasoning="put differently")
    assert await ask(run, LegRequest("k1", "anna", worded)) == first
    assert len(run.events(events.OrderIntended)) == 1
    assert len(run.events(events.CallerAsked)) == 1


async def test_a_used_key_with_another_request_is_refused() -> None:
    run = await flat()
    await ask(run, LegRequest("k1", "anna", leg()))
    assert code(await ask(run, LegRequest("k1", "anna", leg(size="0.2")))) is RefusalCode.KEY_REUSED
    assert code(await ask(run, CancelRequest("k1", "anna", ENTRY))) is RefusalCode.KEY_REUSED
    assert len(run.events(events.OrderIntended)) == 1
    assert len(run.events(events.CallerAsked)) == 1


async def test_a_repeated_key_gets_its_refusal_again_and_a_new_key_a_check() -> None:
    run = await flat()
    refused = await ask(run, LegRequest("k1", "anna", leg(stop=None)))
    assert code(refused) is RefusalCode.STOP_REQUIRED
    assert await ask(run, LegRequest("k1", "anna", leg(stop=None))) is refused
    assert await ask(run, LegRequest("k2", "anna", leg())) == ENTRY
    assert len(run.events(events.OrderRefused)) == len(run.events(events.OrderIntended)) == 1


async def test_two_callers_can_use_the_same_key_for_two_requests() -> None:
    run = await flat()
    assert await ask(run, LegRequest("k1", "anna", leg())) == ENTRY
    assert code(await ask(run, LegRequest("k1", "ben", leg()))) is RefusalCode.ENTRY_PENDING


async def test_a_callers_key_that_equals_a_legs_key_does_not_block_the_leg() -> None:
    run = Run(ListFeed(path([100.0] * 6)), Scripted({1: buy("97"), 3: sell()}), policy=WAKES)
    await run.simulation.shell.take(Asked(LegRequest("wake:3:0", "anna", leg(Action.COVER)), -1))
    await run.go()
    assert [fill.ref.leg for fill in run.events(events.OrderFilled)] == [Purpose.ENTRY, Purpose.EXIT]


async def test_an_entry_is_refused_while_another_callers_entry_is_live() -> None:
    run = await flat()
    assert await ask(run, LegRequest("k1", "anna", leg(size="0.25", limit="99"))) == ENTRY
    assert code(await ask(run, LegRequest("k2", "ben", leg(size="0.25", limit="99")))) is RefusalCode.ENTRY_PENDING


async def test_a_refused_leg_is_journaled_as_a_refused_order() -> None:
    run = await flat()
    assert code(await ask(run, LegRequest("k1", "anna", leg(stop=None)))) is RefusalCode.STOP_REQUIRED
    (refused,) = run.events(events.OrderRefused)
    assert refused.intent.principal == "anna"
    assert run.events(events.RequestRefused) == []


async def test_a_caller_closes_a_position() -> None:
    run = await holding()
    answer = await ask(run, LegRequest("k1", "anna", leg(Action.SELL)))
    assert isinstance(answer, OrderRef)
    assert answer.leg is Purpose.EXIT


async def test_a_waiting_entry_is_cancelled_on_request() -> None:
    run = await flat()
    await ask(run, LegRequest("k1", "anna", leg(limit="90", stop="88")))
    assert await ask(run, CancelRequest("k2", "ben", ENTRY)) == ENTRY
    assert list(run.engine.orders.live()) == []


async def test_a_closing_leg_cancels_a_waiting_entry() -> None:
    run = await flat()
    await ask(run, LegRequest("k1", "anna", leg(limit="90", stop="88")))
    assert await ask(run, LegRequest("k2", "anna", leg(Action.SELL))) == ENTRY
    assert list(run.engine.orders.live()) == []


@pytest.mark.parametrize("purpose", [Purpose.STOP, Purpose.TARGET])
async def test_a_protective_order_is_never_cancelled_on_request(purpose: Purpose) -> None:
    run = await holding(target="120")
    (order,) = run.engine.orders.live("BTCUSDT", purpose)
    assert code(await ask(run, CancelRequest("k1", "anna", order.ref))) is RefusalCode.PROTECTIVE
    assert [each.ref for each in run.engine.orders.live("BTCUSDT", purpose)] == [order.ref]
    (refused,) = run.events(events.RequestRefused)
    assert refused.key == "k1"


async def test_a_live_exit_is_never_cancelled_on_request() -> None:
    run = await holding()
    ref = await ask(run, LegRequest("k1", "anna", leg(Action.SELL)))
    assert isinstance(ref, OrderRef)
    assert code(await ask(run, CancelRequest("k2", "anna", ref))) is RefusalCode.PROTECTIVE


async def test_a_cancel_of_an_unknown_or_filled_order_is_refused() -> None:
    run = await holding()
    assert code(await ask(run, CancelRequest("k1", "anna", OrderRef(77, Purpose.ENTRY)))) is RefusalCode.NO_ORDER
    assert code(await ask(run, CancelRequest("k2", "anna", ENTRY))) is RefusalCode.NO_ORDER


async def test_a_caller_that_sends_a_hold_leg_is_refused() -> None:
    run = await holding()
    answer = await ask(run, LegRequest("k1", "anna", leg(Action.HOLD)))
    assert str(answer) == (
        "NO_ORDER: the request names no order, or none of that name is live. limit=an order actual=HOLD"
    )
    assert len(run.events(events.OrderIntended)) == 2, "the entry and its stop"


async def test_a_requested_tighter_stop_replaces_the_old_stop() -> None:
    run = await holding("97")
    answer = await ask(run, ProtectionRequest("k1", "anna", "BTCUSDT", stop=D("98.53")))
    wide, stop = run.engine.orders.live("BTCUSDT", Purpose.STOP)
    assert wide.order.trigger_price == 97, "the wide stop stays"
    assert stop.ref == answer
    assert stop.order.trigger_price == D("98.6"), "rounded to the tick, towards the price"
    assert summary(run.engine)["positions"][0]["protected"] is True


async def test_a_request_for_the_present_stop_sends_no_order() -> None:
    run = await holding("97")
    (before,) = run.engine.orders.live("BTCUSDT", Purpose.STOP)
    assert await ask(run, ProtectionRequest("k1", "anna", "BTCUSDT", stop=D(97))) == before.ref
    assert [each.ref for each in run.engine.orders.live("BTCUSDT", Purpose.STOP)] == [before.ref]


@pytest.mark.parametrize("stop", ["96.9", "1", "0", "-5", "NaN", "Infinity", "100", "101"])
async def test_a_looser_stop_or_a_stop_beyond_the_price_is_refused(stop: str) -> None:
    run = await holding("97")
    before = [each.ref for each in run.engine.orders.live("BTCUSDT")]
    answer = code(await ask(run, ProtectionRequest("k1", "anna", "BTCUSDT", stop=D(stop))))
    assert answer in (RefusalCode.LOOSER_STOP, RefusalCode.STOP_REQUIRED)
    assert [each.ref for each in run.engine.orders.live("BTCUSDT")] == before


async def test_a_caller_can_set_and_move_a_target() -> None:
    run = await holding()
    for key, wanted in (("k1", "110"), ("k2", "105")):
        await ask(run, ProtectionRequest(key, "anna", "BTCUSDT", target=D(wanted)))
        (target,) = run.engine.orders.live("BTCUSDT", Purpose.TARGET)
        assert target.order.trigger_price == D(wanted)


@pytest.mark.parametrize("target", ["99", "100", "-1", "NaN", "Infinity"])
async def test_a_target_on_the_losing_side_is_refused(target: str) -> None:
    run = await holding()
    assert code(await ask(run, ProtectionRequest("k1", "anna", "BTCUSDT", target=D(target)))) is RefusalCode.BAD_TARGET
    assert list(run.engine.orders.live("BTCUSDT", Purpose.TARGET)) == []


async def test_a_stop_request_without_a_position_is_refused() -> None:
    run = await flat()
    assert code(await ask(run, ProtectionRequest("k1", "anna", "BTCUSDT", stop=D(97)))) is RefusalCode.NO_POSITION
    assert code(await ask(run, ProtectionRequest("k2", "anna", "NOUSDT", stop=D(97)))) is RefusalCode.UNKNOWN_SYMBOL


async def test_stop_moves_beyond_reductions_per_minute_are_refused() -> None:
    policy = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, pace={"reductions_per_minute": 2})
    run = await Run(ListFeed(path([100.0] * 4)), Scripted({1: buy("97")}), policy=policy).go()
    told = [await ask(run, ProtectionRequest(f"k{i}", "anna", "BTCUSDT", stop=D(f"97.{i}"))) for i in range(1, 4)]
    assert code(told[2]) is RefusalCode.REDUCTION_RATE
    _, stop = run.engine.orders.live("BTCUSDT", Purpose.STOP)
    assert stop.ref == told[1]


async def test_a_halt_request_with_a_used_key_still_halts() -> None:
    run = await holding()
    again = HaltRequest("halt-1", "anna", "prices crash")
    assert await ask(run, HaltRequest("halt-1", "anna")) == Done()
    await run.simulation.shell.take(Command("c1", Verb.RESUME, "ben", NOW))
    assert await ask(run, again) == Done()
    assert run.engine.account.trading_state is TradingState.HALTED


async def test_an_addition_to_a_long_previewed_for_a_short_is_refused() -> None:
    run = await holding()
    more = msgspec.structs.replace(leg(Action.ADD, stop=None), size=D("0.05"))
    assert code(await ask(run, LegRequest("k1", "anna", more, side=Side.SELL))) is RefusalCode.OPPOSITE_POSITION
    assert isinstance(await ask(run, LegRequest("k2", "anna", more, side=Side.BUY)), OrderRef)


async def test_a_callers_answers_are_kept_while_another_sends_many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "KEPT", 4)
    run = await holding()
    limit = LegRequest("once", "anna", leg(size="0.01", limit="98"))
    sent = await ask(run, CloseRequest("once", "anna", "BTCUSDT"))
    for number in range(9):
        await ask(run, NoteRequest(f"k{number}", "ben", "noise"))
        await ask(run, NoteRequest(f"k{number}", "'anna': ", "posing"))
    assert run.engine.answer(NoteRequest("k0", "ben", "noise")) is None
    before = len(run.events(events.CallerAsked))
    assert await ask(run, CloseRequest("once", "anna", "BTCUSDT")) == sent
    assert len(run.events(events.CallerAsked)) == before
    assert code(await ask(run, limit)) is RefusalCode.KEY_REUSED


async def test_answers_of_the_least_recent_caller_are_dropped_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idempotency, "CALLERS_KEPT", 2)
    run = await flat()
    for caller, key in (("anna", "k"), ("ben", "k"), ("anna", "k2"), ("carla", "k")):
        await ask(run, NoteRequest(key, caller, "hello"))
    found = [run.engine.answer(NoteRequest("k", caller, "hello")) for caller in ("anna", "ben", "carla")]
    assert found == [Done(), None, Done()]


async def test_client_names_of_one_access_token_count_as_one_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idempotency, "CALLERS_KEPT", 2)
    run = await flat()
    for caller in ("anna", "mcp:attached/one", "mcp:attached/two", "mcp:attached/three"):
        await ask(run, NoteRequest("k", caller, "hello"))
    for caller in ("anna", "mcp:attached/one", "mcp:attached/three"):
        assert run.engine.answer(NoteRequest("k", caller, "hello")) == Done()


async def test_entry_is_refused_before_the_first_candle_after_history() -> None:
    run = Run(ListFeed(path([100.0] * 4)), Scripted({}), policy=WAKES)
    past = Candle("BTCUSDT", START - MINUTE, MINUTE, 100.0, 101.0, 99.0, 100.0, 5.0)
    run.engine.step(Frame(START, (past,), history=True), START)
    asked = LegRequest("k", "anna", leg())
    run.engine.step(Asked(asked, START), START)
    refusal = run.engine.answer(asked)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.limit) == (RefusalCode.NO_PRICE, "a candle of this run")
    assert refusal.actual == "none yet, the history before it is read"

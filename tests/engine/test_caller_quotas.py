"""One caller cannot fill the journal: notes and refusals have a quota, and requests that reduce risk have none."""

from collections.abc import Callable

import msgspec
import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import (
    CallerRequest,
    CancelRequest,
    CloseRequest,
    ConsentRequest,
    Done,
    HaltRequest,
    LegRequest,
    NoteRequest,
    ProtectionRequest,
    SubmitRequest,
)
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.orders import Accepted, Order, OrderRef, Purpose
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Asked
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine import approvals
from tests.engine.test_callers import NOW, D, ask, code, leg
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.markets import ListFeed, path
from tests.support.runs import Run, policies
from tests.support.wire import Wire

FEW: dict[str, dict[str, object]] = {
    "gate": {"close_wakes": ["1m"], "cooldown_s": 0},
    "callers": {"notes_per_minute": 3, "refusals_per_minute": 4},
}


async def run_with(policy: Policies, script: dict[int, Decision] | None = None) -> Run:
    return await Run(ListFeed(path([100.0] * 4)), Scripted(script or {}), policy=policy).go()


def journaled(run: Run, caller: str) -> int:
    return sum(each.request.principal == caller for each in run.events(events.CallerAsked))


async def noted(run: Run, caller: str, number: int) -> bool:
    return await ask(run, NoteRequest(f"n{number}", caller, "noise")) == Done()


async def test_notes_beyond_the_quota_are_refused_and_not_journaled() -> None:
    run = await run_with(policies(**FEW))
    assert [await noted(run, "anna", number) for number in range(6)] == [True] * 3 + [False] * 3
    assert journaled(run, "anna") == 3
    assert await noted(run, "ben", 0), "another caller has its own"
    assert await noted(run, "anna", 0), "a note that was written is answered as it was"
    refused = await ask(run, NoteRequest("n9", "anna", "noise"))
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.limit) == (RefusalCode.CALLER_RATE, "3 notes a minute")


async def test_client_names_under_one_access_token_share_its_quota() -> None:
    run = await run_with(policies(**FEW))
    assert [await noted(run, f"mcp:attached/{n}", n) for n in range(5)] == [True] * 3 + [False] * 2


async def test_quota_is_renewed_after_a_minute() -> None:
    run = await run_with(policies(**FEW))
    for number in range(4):
        await noted(run, "anna", number)
    run.clock.advance(NOW + MINUTE)
    later = NoteRequest("n9", "anna", "noise")
    await run.simulation.shell.take(Asked(later, NOW))
    assert run.engine.answer(later) == Done()


@pytest.mark.parametrize("turned_away", [Action.BUY, Action.SHORT, Action.ADD])
async def test_refusals_beyond_the_quota_are_not_journaled(turned_away: Action) -> None:
    run = await run_with(policies(**FEW))
    for number in range(8):
        await ask(run, LegRequest(f"k{number}", "anna", leg(size="9")))
    assert journaled(run, "anna") == 4
    assert code(await ask(run, LegRequest("k9", "anna", leg(turned_away)))) is RefusalCode.CALLER_RATE
    assert code(await ask(run, NoteRequest("n", "anna", "x"))) is RefusalCode.CALLER_RATE
    assert await ask(run, LegRequest("k1", "ben", leg())) == OrderRef(1, Purpose.ENTRY)


async def test_a_caller_beyond_its_quota_can_still_reduce_risk() -> None:
    run = await run_with(policies(**FEW), {1: buy("97")})
    for number in range(6):
        await ask(run, LegRequest(f"k{number}", "anna", leg(size="9")))
    tighter = await ask(run, ProtectionRequest("p", "anna", "BTCUSDT", stop=D("98")))
    assert not isinstance(tighter, Refusal)
    closed = await ask(run, CloseRequest("c", "anna", "BTCUSDT"))
    assert not isinstance(closed, Refusal)
    assert await ask(run, HaltRequest("h", "anna", "enough")) == Done()


async def test_requests_without_effect_beyond_the_quota_are_not_journaled() -> None:
    run = await run_with(policies(**FEW))
    useless: tuple[Callable[[str], CallerRequest], ...] = (
        lambda key: CancelRequest(key, "anna", OrderRef(77, Purpose.ENTRY)),
        lambda key: CloseRequest(key, "anna", "BTCUSDT"),
        lambda key: ProtectionRequest(key, "anna", "BTCUSDT", stop=D("98")),
        lambda key: LegRequest(key, "anna", Leg("BTCUSDT", Action.SELL)),
        lambda key: SubmitRequest(key, "anna", 999, Decision()),
    )
    answers = [await ask(run, make(f"k{number}-{again}")) for again in range(3) for number, make in enumerate(useless)]
    assert journaled(run, "anna") == 4
    assert [code(each) for each in answers[4:]] == [RefusalCode.CALLER_RATE] * (len(answers) - 4)


async def test_refused_closings_beyond_the_quota_are_not_journaled() -> None:
    run = await run_with(policies(**FEW, pace={"reductions_per_minute": 2}), {1: buy("97")})
    for number in range(6):
        await ask(run, LegRequest(f"k{number}", "anna", leg(size="9")))
    for number, stop in enumerate(("98", "98.5")):
        assert isinstance(await ask(run, ProtectionRequest(f"p{number}", "anna", "BTCUSDT", stop=D(stop))), OrderRef)
    useless: tuple[Callable[[str], CallerRequest], ...] = (
        lambda key: CloseRequest(key, "anna", "BTCUSDT"),
        lambda key: LegRequest(key, "anna", Leg("BTCUSDT", Action.SELL)),
        lambda key: LegRequest(key, "anna", Leg("BTCUSDT", Action.COVER)),
        lambda key: LegRequest(key, "anna", Leg("BTCUSDT", Action.HOLD)),
        lambda key: ConsentRequest(key, "anna", "a1", yes=True),
    )
    assert run.engine.check(Leg("BTCUSDT", Action.SELL), "anna", NOW).refusal == Refusal(
        RefusalCode.REDUCTION_RATE, limit="2 a minute", actual="2"
    ), "a check of a close says what the close is answered"
    for place, make in enumerate(useless):
        assert [code(await ask(run, make(f"u{place}-{again}"))) for again in range(3)] == [RefusalCode.CALLER_RATE] * 3
    assert journaled(run, "anna") == 4 + 2
    assert not isinstance(await ask(run, CloseRequest("c", "ben", "BTCUSDT")), OrderRef)
    assert journaled(run, "ben") == 1, "another caller is told why"


@pytest.mark.parametrize("refused", [0, 4])
async def test_repeated_halts_beyond_the_quota_are_not_journaled(refused: int) -> None:
    run = await run_with(policies(**FEW))
    for number in range(refused):
        await ask(run, LegRequest(f"k{number}", "anna", leg(size="9")))
    for number in range(9):
        assert await ask(run, HaltRequest(f"h{number}", "anna", "enough")) == Done()
    assert run.engine.account.trading_state is TradingState.HALTED
    assert journaled(run, "anna") == (5 if refused else 1 + 3)


def test_repeated_cancel_requests_cancel_an_entry_once() -> None:
    wire = Wire(policy=policies(**FEW))
    entry = wire.enter(limit=D(98), stop=D(95))
    assert isinstance(entry, Order)
    wire.give(Accepted(entry.ref, "v1"))
    asks: tuple[CallerRequest, ...] = (
        *(CancelRequest(f"c{number}", "anna", entry.ref) for number in range(6)),
        *(CloseRequest(f"q{number}", "anna", "BTCUSDT") for number in range(6)),
        *(LegRequest(f"l{number}", "anna", Leg("BTCUSDT", Action.SELL)) for number in range(6)),
    )
    for each in asks:
        wire.give(Asked(each))
        assert wire.engine.answer(each) == entry.ref
    assert wire.canceled == [entry.ref]
    assert sum(isinstance(each, events.CallerAsked) for each in wire.journal) == 1 + 1 + 3


async def test_one_caller_cannot_use_up_the_limit_of_pending_orders() -> None:
    policy = policies(gate=FEW["gate"], approval={"above_notional": "0", "modes": [], "answer_s": 600})
    run = await run_with(policy)
    asked = leg(size="0.01")
    waits = [await ask(run, LegRequest(f"k{n}", f"mcp:a/{n}", asked)) for n in range(approvals.MOST_OF_ONE + 2)]
    assert [isinstance(each, Refusal) for each in waits] == [False] * approvals.MOST_OF_ONE + [True] * 2
    assert not isinstance(await ask(run, LegRequest("k", "ben", msgspec.structs.replace(asked))), Refusal)

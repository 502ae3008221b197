"""A strategy function decides: its answers, its errors, and a restart without a new call."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Decision, Leg
from ocw_mcp.domain.errors import StrategyError
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.runtime import run as runtime_run
from ocw_mcp.runtime.deciders import StrategyDecider
from tests.support.examples import again_among_slow, some
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Run, policies
from tests.support.stores import Crash, MemoryStore

NAME = "strategy:tests:decide"
WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
SHAPE = [100.0, 100.0, 101.0, 102.0, 101.0, 100.0, 99.0, 100.0, 101.0, 104.0]


def running(
    strategy: Callable[[Snapshot], Any],
    *,
    store: MemoryStore | None = None,
    policy: Any = WAKES,
    errors: list[Exception] | None = None,
) -> Run:
    """A run in which a function decides, over ten minutes of one symbol; what it raises is added to `errors`."""
    failed = errors.append if errors is not None else print
    return Run(ListFeed(path(SHAPE)), StrategyDecider(strategy, NAME, failed), store=store, policy=policy)


def trade(snapshot: Snapshot) -> Decision | None:
    """Buy when nothing is open, and sell two calls later."""
    view = snapshot.symbols["BTCUSDT"]
    if not view.last:
        return None
    if not snapshot.positions:
        return Decision([Leg("BTCUSDT", "BUY", size=0.1, stop=view.last * 0.97)])
    if snapshot.at % (3 * MINUTE) == 0:
        return Decision([Leg("BTCUSDT", "SELL")])
    return None


async def test_a_strategy_function_decides_at_the_time_of_its_wake() -> None:
    run = await running(trade).go()
    made = run.events(events.DecisionMade)
    assert {each.decider for each in made} == {NAME}
    assert {each.thinking_ms for each in made} == {0}
    assert run.events(events.OrderIntended)[0].intent.principal == NAME
    assert run.events(events.OrderFilled)


async def test_a_strategy_that_returns_none_holds_every_symbol() -> None:
    run = await running(lambda snapshot: None).go()
    assert {each.decision for each in run.events(events.DecisionMade)} == {Decision()}


async def test_a_strategy_is_called_only_at_the_policys_gate_interval() -> None:
    called: list[int] = []
    policy = policies(gate={"close_wakes": ["1m"], "every": "3m"})
    await running(lambda snapshot: called.append(snapshot.at), policy=policy).go()
    assert called == [START + minutes * MINUTE for minutes in (3, 6, 9)]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("BUY", f"{NAME} returned a value of type str, 'BUY'; expected a Decision, or None to hold"),
        ([], f"{NAME} returned a value of type list, []; expected a Decision, or None to hold"),
        (
            Decision((None,)),  # type: ignore[arg-type]
            f"{NAME} returned a Decision with legs of type NoneType, None; expected Leg values",
        ),
    ],
)
async def test_a_strategys_answer_of_a_wrong_type_is_a_hold_with_a_reason(answer: Any, why: str) -> None:
    errors: list[Exception] = []
    run = await running(lambda snapshot: answer, errors=errors).go()
    assert [(type(each), str(each)) for each in errors] == [(StrategyError, why)] * len(SHAPE)
    assert {each.decision.cause for each in run.events(events.DecisionMade)} == {
        Cause(CauseKind.ERROR, f"StrategyError: {why}")
    }


async def test_an_error_of_the_strategy_is_a_hold_and_is_reported() -> None:
    errors: list[Exception] = []
    run = await running(lambda snapshot: 1 / 0, errors=errors).go()
    assert [type(each) for each in errors] == [ZeroDivisionError] * len(SHAPE)
    assert run.events(events.OrderIntended) == []


async def test_a_strategys_decision_with_a_cause_is_an_error() -> None:
    errors: list[Exception] = []
    cause = Cause(CauseKind.UNSENT, "no trade")
    run = await running(lambda snapshot: Decision(cause=cause), errors=errors).go()
    assert "which the engine sets; use its note" in str(errors[0])
    assert run.events(events.Incident) == []


def unsteady() -> Callable[[Snapshot], Decision | None]:
    """Decide something else in every process, fail now and then, and count the calls."""
    calls = count(1)

    def decide(snapshot: Snapshot) -> Decision | None:
        call = next(calls)
        if call % 4 == 3:
            raise ArithmeticError(f"call {call}")
        last = snapshot.symbols["BTCUSDT"].last
        if not last or snapshot.positions:
            return Decision([Leg("BTCUSDT", "SELL")]) if call % 2 else None
        return Decision([Leg("BTCUSDT", "BUY", size=0.1, stop=last * (0.97 - call / 1000))])

    return decide


@again_among_slow
@pytest.mark.parametrize("every", [3, 1_000])
async def test_a_restart_takes_decisions_from_the_journal(every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", every)
    undisturbed = (await running(unsteady()).go()).store
    for moment in some(undisturbed.crash_moments()):
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await running(unsteady(), store=dying).go()
        left = dying.reopened()
        before = list(left.domain)
        resumed = await running(unsteady(), store=left).go()
        assert resumed.store.domain[: len(before)] == before
        again = await running(unsteady(), store=resumed.store.reopened()).go()
        assert again.store.fingerprint == resumed.store.fingerprint


@again_among_slow
async def test_a_crashed_run_of_a_deterministic_strategy_has_the_same_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", 3)
    undisturbed = (await running(trade).go()).store
    for moment in some(undisturbed.crash_moments()):
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await running(trade, store=dying).go()
        assert (await running(trade, store=dying.reopened()).go()).store.fingerprint == undisturbed.fingerprint

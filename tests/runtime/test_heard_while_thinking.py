"""Commands and requests are taken while a simulated clock stands still for a decision, and again after a restart."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest

from ocw_mcp.agent.messages import Reply, Request, Trouble
from ocw_mcp.domain import events
from ocw_mcp.domain.asks import LegRequest, NoteRequest
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Command, Verb
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.runtime import asking
from tests.support.claude_runs import ClaudeRun, ModelByWake, decides, leg
from tests.support.examples import again_among_slow, some
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Commands, Run
from tests.support.stores import Crash, MemoryStore

BOTH = ("BTCUSDT", "ETHUSDT")
Meanwhile = Callable[[], Awaitable[object]]
Script = dict[int, list[Reply | Trouble]]
LOST = Cause(CauseKind.ERROR, "the process ended before it was through")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands and requests are polled without a pause."""
    monkeypatch.setattr(asking, "POLL_MS", 1)


def market() -> ListFeed:
    closes = [100.0, 101.0, 101.5, 101.0, 100.5, 100.0, 101.0, 101.5]
    return ListFeed([each for symbol in BOTH for each in path(closes, symbol)])


class Interrupted(ModelByWake):
    """A model that waits at one turn until another event has come."""

    def __init__(self, script: Script, at: tuple[int, int], meanwhile: Meanwhile) -> None:
        super().__init__(script)
        self._at = at
        self._meanwhile = meanwhile

    async def create(self, request: Request) -> Reply | Trouble:
        if (request.wake, request.turn) == self._at:
            await self._meanwhile()
        return await super().create(request)


def run_with(verb: Verb, script: Script, at: tuple[int, int], store: MemoryStore | None = None) -> ClaudeRun:
    """Return a run in which the operator gives a command during the model call at a wake and turn."""
    box = Commands()

    async def give_command() -> None:
        if seated.events(events.CommandTaken):
            # The command was taken before the crash, and is not given again.
            return
        box.put(Command("c1", verb, "a person"))
        while not box.taken:
            await asyncio.sleep(0)  # noqa: TID251 - lets the run take it

    seated = ClaudeRun(market(), Interrupted(script, at, give_command), store=store, commands=box)
    return seated


WAITS = leg("BUY", size="0.05", stop="87", limit="90")
HALTED: Script = {1: [decides(1, WAITS)], 2: [decides(2, leg("BUY", "ETHUSDT"))]}


async def test_a_halt_during_a_decision_refuses_its_orders() -> None:
    seated = run_with(Verb.HALT, HALTED, (2, 0))
    await seated.go()
    asked = next(at for at, each in seated.run.timed(events.WakeRaised) if each.wake_id == 2)
    assert [at for at, _ in seated.run.timed(events.CommandTaken)] == [asked], "at once"
    assert [at for at, _ in seated.run.timed(events.OrderCanceled)] == [asked], "what waited to be entered is off"
    made = next(each for each in seated.events(events.DecisionMade) if each.wake_id == 2)
    assert (made.decider, made.thinking_ms > 0) == ("claude", True)
    (refused,) = seated.events(events.OrderRefused)
    assert (refused.intent.symbol, refused.refusal.code) == ("ETHUSDT", RefusalCode.NOT_ACTIVE)
    assert seated.run.engine.account.trading_state is TradingState.HALTED


async def test_a_caller_is_answered_while_the_model_thinks() -> None:
    answers = []

    async def asks() -> None:
        for request in (NoteRequest("k1", "anna", "it thinks"), LegRequest("k2", "anna", BUYS)):
            answers.append(await seated.run.simulation.shell.ask(request))

    seated = ClaudeRun(market(), Interrupted({}, (1, 0), asks))
    await seated.go()
    assert isinstance(answers[1], OrderRef)
    assert [at for at, _ in seated.run.timed(events.CallerAsked)] == [START + MINUTE] * 2
    died = seated.run.store.without_checkpoint()
    again = ClaudeRun(market(), ModelByWake(), store=died)
    await again.go()
    assert again.run.store.fingerprint == seated.run.store.fingerprint


BUYS = Leg("BTCUSDT", Action.BUY, size=Decimal("0.1"), stop=Decimal(97))


async def test_stopping_a_run_ends_the_wait_for_a_model() -> None:
    async def stops() -> None:
        seated.run.simulation.stop()
        await asyncio.Event().wait()

    seated = ClaudeRun(market(), Interrupted({}, (2, 0), stops))
    await seated.go()
    assert [each.wake_id for each in seated.events(events.DecisionMade)] == [1]


async def test_stopping_a_run_ends_its_wait_before_the_first_frame() -> None:
    run = Run(market())
    before = asyncio.ensure_future(run.simulation.unless_stopped(asyncio.Event().wait()))
    await asyncio.sleep(0)  # noqa: TID251 - lets it wait
    assert not before.done()
    run.simulation.stop()
    await before


CORRECTS: Script = {2: [decides(2, leg("BUY"), leg("BUY", "ETHUSDT", size="0.9")), decides(2, leg("BUY", "ETHUSDT"))]}


@pytest.mark.parametrize(
    ("verb", "script", "at"),
    [
        (Verb.HALT, HALTED, (2, 0)),
        (Verb.PAUSE, HALTED, (2, 0)),
        (Verb.HALT, CORRECTS, (2, 1)),
        (Verb.PAUSE, CORRECTS, (2, 1)),
    ],
    ids=["a halt at first", "a pause at first", "a halt before a correction", "a pause before a correction"],
)
async def test_a_resumed_run_repeats_commands_without_a_model_call(
    verb: Verb, script: Script, at: tuple[int, int]
) -> None:
    whole = run_with(verb, script, at)
    await whole.go()
    assert len(whole.events(events.CommandTaken)) == 1
    again = ClaudeRun(market(), model := ModelByWake(script), store=whole.run.store.without_checkpoint())
    await again.go()
    assert again.run.store.fingerprint == whole.run.store.fingerprint
    assert at[0] not in {request.wake for request in model.requests}


@again_among_slow
@pytest.mark.parametrize("verb", [Verb.HALT, Verb.FLATTEN])
async def test_a_crash_around_a_halt_or_flatten_resumes_to_the_same_events(verb: Verb) -> None:
    script: Script = {1: [decides(1, leg("BUY", limit="103"))], 3: [decides(3, leg("BUY", "ETHUSDT"))]}
    whole = run_with(verb, script, (3, 0))
    await whole.go()
    assert any(each.ref.leg is Purpose.ENTRY for each in whole.events(events.OrderFilled))
    for die_at in some(whole.run.store.crash_moments()):
        store = MemoryStore()
        store.die_at = die_at
        try:
            await run_with(verb, script, (3, 0), store).go()
        except* Crash:
            pass
        again = run_with(verb, script, (3, 0), store.reopened())
        await again.go()
        lost = any(each.cause == LOST for each in again.events(events.DecisionEnded))
        assert lost or again.run.store.fingerprint == whole.run.store.fingerprint, die_at

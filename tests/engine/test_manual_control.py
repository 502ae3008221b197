"""An operator pauses the agent or takes over a symbol, and the guard continues."""

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import LegRequest, SubmitRequest
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Decision, Leg
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.steps import Asked, Command, Verb
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.summary import summary
from ocw_mcp.runtime.deciders import AttachedDecider
from tests.support.deciders import Scripted
from tests.support.legs import buy, sell
from tests.support.markets import ListFeed, path
from tests.support.runs import Commands, Run, policies

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
SLOW = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, decision={"deadline_s": 900})
BOTH = ("BTCUSDT", "ETHUSDT")


def market(closes: list[float]) -> ListFeed:
    return ListFeed([each for symbol in BOTH for each in path(closes, symbol)])


def told(verb: Verb, subject: str = "", id_: str = "c1") -> Command:
    return Command(id_, verb, "ann", subject=subject)


async def then(first: Run, script: Scripted, *commands: Command, closes: list[float]) -> Run:
    """The same book, continued after commands of the operator."""
    feed = market(closes)
    return await Run(feed, script, policy=WAKES, commands=Commands(commands), store=first.store.reopened()).go()


async def begun(script: dict[int, Decision], minutes: int = 3) -> Run:
    return await Run(market([100.0] * 8), Scripted(script), policy=WAKES).go(for_ms=minutes * MINUTE)


async def test_a_paused_agent_is_not_woken_until_it_is_resumed() -> None:
    first = await begun({})
    script = Scripted({})
    paused = await then(first, script, told(Verb.PAUSE), closes=[100.0] * 8)
    assert script.asked == []
    assert summary(paused.engine)["agent"] == {"name": "test", "paused_by": "ann", "held": {}}
    again = Scripted({})
    await then(paused, again, told(Verb.GO_ON, id_="c2"), closes=[100.0] * 12)
    assert len(again.asked) == 4


async def test_a_pause_ends_the_open_decision_as_a_hold() -> None:
    slow = Scripted({}, 90_000)
    first = await Run(market([100.0] * 8), slow, policy=WAKES).go(for_ms=3 * MINUTE)
    assert first.engine.decisions.state().pending is not None
    paused = await then(first, Scripted({}, 90_000), told(Verb.PAUSE), closes=[100.0] * 8)
    last = paused.events(events.DecisionMade)[-1]
    assert (last.decision.legs, last.decision.cause) == ((), Cause(CauseKind.PAUSED, "by ann"))
    assert paused.engine.decisions.state().pending is None


async def test_a_waiting_outlier_of_a_taken_over_symbol_does_not_wake() -> None:
    gate = {"close_wakes": [], "cooldown_s": 300, "outlier_moves": {"1m": 0.01}, "outlier_sigmas": {}}
    closes = [100.0, 100.0, 100.0, 102.0, 104.5, *[104.5] * 10]
    feed = ListFeed([*path(closes), *path([100.0] * 15, "ETHUSDT")])
    first = await Run(feed, Scripted({}), policy=policies(gate=gate)).go(for_ms=6 * MINUTE)
    assert list(first.engine.gate.state().kept) == ["BTCUSDT"]
    script, command = Scripted({}), Commands((told(Verb.TAKE_OVER, "BTCUSDT"),))
    later = await Run(feed, script, policy=policies(gate=gate), commands=command, store=first.store.reopened()).go()
    assert script.asked == []
    assert later.engine.gate.state().kept == {}


async def test_the_agent_neither_sees_nor_trades_a_taken_over_symbol() -> None:
    first = await begun({1: buy("97")})
    script = Scripted({wake: sell() for wake in range(2, 12)})
    run = await then(first, script, told(Verb.TAKE_OVER, "BTCUSDT"), closes=[100.0] * 8)
    assert script.asked
    for request in script.asked:
        assert list(request.snapshot.symbols) == ["ETHUSDT"]
        assert {reason.symbol for reason in request.snapshot.wake} <= {"ETHUSDT"}
    refused = run.events(events.OrderRefused)
    assert {each.refusal.code for each in refused} == {RefusalCode.HELD_BY_PERSON}
    assert "BTCUSDT" in run.engine.account.ledger.positions
    assert summary(run.engine)["agent"]["held"] == {"BTCUSDT": "ann"}


async def test_agent_cannot_change_a_taken_over_position_and_a_client_can() -> None:
    first = await begun({1: buy("97")})
    changes = (Leg("BTCUSDT", "PROTECT", stop="98"), Leg("BTCUSDT", "REDUCE", share="0.5"), Leg("BTCUSDT", "CANCEL"))
    run = await then(first, Scripted({4: Decision(changes)}), told(Verb.TAKE_OVER, "BTCUSDT"), closes=[100.0] * 8)
    assert [each.refusal.code for each in run.events(events.OrderRefused)] == [RefusalCode.HELD_BY_PERSON] * 3
    for number, leg in enumerate(changes[:2]):
        request = LegRequest(f"k{number}", "anna", leg)
        await run.simulation.shell.take(Asked(request, run.clock.now()))
        assert isinstance(run.engine.answer(request), OrderRef)


async def test_the_stop_of_a_taken_over_symbol_still_works() -> None:
    first = await begun({1: buy("97")})
    run = await then(first, Scripted({}), told(Verb.TAKE_OVER, "BTCUSDT"), closes=[100.0] * 5 + [96.0] * 3)
    assert [each.ref.leg for each in run.events(events.OrderFilled)] == [Purpose.ENTRY, Purpose.STOP]


async def test_an_entry_on_a_taken_over_symbol_is_refused() -> None:
    first = await begun({})
    script = Scripted({wake: buy("97") for wake in range(2, 12)})
    run = await then(first, script, told(Verb.TAKE_OVER, "BTCUSDT"), closes=[100.0] * 8)
    assert {each.refusal.code for each in run.events(events.OrderRefused)} == {RefusalCode.HELD_BY_PERSON}
    assert run.events(events.OrderIntended) == []


async def test_the_operator_returns_one_symbol_or_all_to_the_agent() -> None:
    first = await begun({})
    held = [told(Verb.TAKE_OVER, symbol, f"c{symbol}") for symbol in BOTH]
    run = await then(first, Scripted({}), *held, told(Verb.GO_ON, "BTCUSDT", "c3"), closes=[100.0] * 8)
    assert summary(run.engine)["agent"]["held"] == {"ETHUSDT": "ann"}
    script = Scripted({})
    run = await then(run, script, told(Verb.GO_ON, id_="c4"), closes=[100.0] * 12)
    assert summary(run.engine)["agent"] == {"name": "test", "paused_by": "", "held": {}}
    assert set(script.asked[-1].snapshot.symbols) == set(BOTH)


async def test_pause_and_takeover_cancel_the_agents_entries() -> None:
    low = buy("88", limit="90")
    for verb, subject in ((Verb.TAKE_OVER, "BTCUSDT"), (Verb.PAUSE, "")):
        first = await begun({1: low})
        assert len(list(first.engine.orders.live())) == 1
        run = await then(first, Scripted({}), told(verb, subject), closes=[100.0] * 5 + [89.0] * 3)
        assert run.events(events.OrderFilled) == []
        (canceled,) = run.events(events.OrderCancelRequested)
        assert canceled.why == "withdrawn from the agent by ann"


async def test_a_paused_agent_cannot_correct_a_refused_leg() -> None:
    submit = Decision((buy("97", "0.9").legs[0],))
    run = await Run(market([100.0] * 3), AttachedDecider(), policy=SLOW, agent="attached", fallback=True).go(
        for_ms=MINUTE
    )
    shell = run.simulation.shell
    await shell.take(Asked(SubmitRequest("k1", "mcp:x", 1, submit), -1))
    await shell.take(told(Verb.PAUSE))
    again = SubmitRequest("k2", "mcp:x", 1, buy("97", "0.1"))
    await shell.take(Asked(again, -1))
    assert isinstance(run.engine.answer(again), Refusal)
    assert run.events(events.OrderIntended) == []

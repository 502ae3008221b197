"""Thinking takes simulated time, in which the market goes on."""

from decimal import Decimal

from ocw_mcp.domain import events
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.time import MINUTE, SECOND
from tests.support.deciders import Scripted
from tests.support.legs import add, buy
from tests.support.markets import START, ListFeed, candle, path
from tests.support.runs import Run, policies
from tests.support.wakes import texts

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, decision={"deadline_s": 300})


async def test_a_decision_fills_at_the_open_after_its_thinking_time() -> None:
    closes = [100.0, 100.05, 100.1, 100.15, 100.2]
    run = Run(ListFeed(path(closes)), Scripted({1: buy("98")}, 90 * SECOND), policy=WAKES)
    await run.go()
    at, decision = run.timed(events.DecisionMade)[0]
    asked = START + MINUTE
    assert at == asked + 90 * SECOND
    assert decision.thinking_ms == 90 * SECOND
    (fill,) = [event for event in run.events(events.OrderFilled) if event.ref.leg is Purpose.ENTRY]
    assert fill.traded_at == asked + 2 * MINUTE
    assert fill.price > Decimal("100.1")


async def test_a_stop_filled_during_thinking_is_booked_before_the_answer() -> None:
    # The position is stopped out while the decider still thinks about adding to it.
    prices = [candle(0, 100.0), candle(1, 100.0), candle(2, 100.0), candle(3, 95.0), candle(4, 95.0), candle(5, 95.0)]
    script = Scripted({1: buy("97"), 2: add("97")}, lambda wake: 0 if wake == 1 else 90 * SECOND)
    run = Run(ListFeed(prices), script, policy=WAKES)
    await run.go()
    seen = script.asked[1].snapshot.symbols["BTCUSDT"]
    assert seen.position is not None
    (refused,) = run.events(events.OrderRefused)
    assert refused.refusal.code is RefusalCode.NO_POSITION
    stopped = next(at for at, event in run.timed(events.OrderFilled) if event.ref.leg is Purpose.STOP)
    answered = run.timed(events.DecisionMade)[1][0]
    assert stopped < answered


async def test_one_decision_is_open_at_a_time_and_later_wakes_are_kept() -> None:
    script = Scripted({}, 150 * SECOND)
    run = Run(ListFeed(path([100.0] * 9)), script, policy=WAKES)
    await run.go()
    wakes = run.timed(events.WakeRaised)
    for (_, _), (later, _), (answered, _) in zip(wakes, wakes[1:], run.timed(events.DecisionMade), strict=False):
        assert later >= answered
    # Three candles closed between the first wake and the second, which has the equal reasons once.
    assert texts(wakes[1][1].reasons[0]) == ("close:1m",)
    assert run.engine.gate.counters.skips["deciding"] > 0


async def test_a_decision_past_its_deadline_is_a_hold() -> None:
    policy = policies(gate={"close_wakes": ["4h"], "cooldown_s": 0}, decision={"deadline_s": 60})
    run = Run(ListFeed(path([100.0] * 250)), Scripted({1: buy("97")}, 200 * SECOND), policy=policy)
    await run.go()
    at, decision = run.timed(events.DecisionMade)[0]
    asked = run.timed(events.WakeRaised)[0][0]
    assert at == asked + 60 * SECOND
    assert decision.decision.cause == Cause(CauseKind.DEADLINE, "60 s after the wake")
    assert run.events(events.DecisionDiscarded) == []
    assert run.events(events.OrderIntended) == []


async def test_the_snapshot_shows_nothing_later_than_the_wake() -> None:
    script = Scripted({}, 90 * SECOND)
    run = Run(ListFeed(path([100.0, 101.0, 102.0, 103.0, 104.0])), script, policy=WAKES)
    await run.go()
    for request in script.asked:
        view = request.snapshot.symbols["BTCUSDT"]
        closes = {START + (index + 1) * MINUTE: 100.0 + index for index in range(5)}
        assert view.last == closes[request.snapshot.at]


async def test_an_open_decision_survives_a_restart() -> None:
    slow = Scripted({2: buy("98")}, 90 * SECOND)
    whole = await Run(ListFeed(path([100.0 + i for i in range(12)])), slow, policy=WAKES).go()
    first = Run(ListFeed(path([100.0 + i for i in range(12)])), Scripted({2: buy("98")}, 90 * SECOND), policy=WAKES)
    await first.go(for_ms=4 * MINUTE + 30 * SECOND)
    assert first.engine.decisions.open_request
    again = Run(
        ListFeed(path([100.0 + i for i in range(12)])),
        Scripted({2: buy("98")}, 90 * SECOND),
        policy=WAKES,
        store=first.store.reopened(),
    )
    await again.go()
    assert again.store.fingerprint == whole.store.fingerprint

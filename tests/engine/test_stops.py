"""Only an accepted stop, tight and large enough, protects a position."""

from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.orders import Accepted, Filled, OrderRef, Purpose
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.engine.summary import summary
from tests.support.deciders import Scripted
from tests.support.invariants import never_naked
from tests.support.legs import add, buy, sell
from tests.support.markets import START, ListFeed, candle, path
from tests.support.runs import Run, policies
from tests.support.venues import LOST, DropsStops, Flawed, RefusesStops

PATIENT = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, stop={"deadline_s": 600})
WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})

LATE = OrderRef(1, Purpose.STOP, 0)
"""The first stop, whose outcome is unknown."""


def stops(run: Run) -> dict[OrderRef, Decimal | None]:
    return {s.ref: s.order.trigger_price for s in run.engine.orders.live("BTCUSDT", Purpose.STOP)}


async def canceled_outside(run: Run, stop: OrderRef) -> None:
    """A person cancels a stop in the exchange's app."""
    await run.venue.cancel(stop, run.clock.now())
    for report in run.venue.collect():
        await run.simulation.shell.take(report)


async def test_a_looser_stop_accepted_late_keeps_the_tighter_stop_live() -> None:
    script = Scripted({1: buy("96"), 2: add("97")})
    run = Run(ListFeed(path([100.0] * 4)), script, policy=PATIENT, venue=RefusesStops(LOST, first=1))
    await never_naked(run).go()
    before = [each.stop for each in run.events(events.PositionProtected)]
    replacing, tighter = OrderRef(1, Purpose.STOP, 1), OrderRef(1, Purpose.STOP, 2)
    assert before == [replacing, tighter]
    await run.simulation.shell.take(Accepted(LATE, "v-late"))
    assert stops(run) == {LATE: Decimal(96), tighter: Decimal(97)}
    assert [each.stop for each in run.events(events.PositionProtected)] == before
    cancels = [each.ref for each in run.events(events.OrderCancelRequested)]
    assert cancels == [replacing], "the first stop stays beside the tighter one"


async def test_a_position_stays_unprotected_if_its_late_stop_is_looser() -> None:
    script = Scripted({1: buy("96"), 2: add("97")})
    run = Run(ListFeed(path([100.0] * 4)), script, policy=PATIENT, venue=RefusesStops(LOST, first=3))
    await never_naked(run).go()
    await run.simulation.shell.take(Accepted(LATE, "v-late"))
    assert run.events(events.PositionProtected) == []
    assert summary(run.engine)["positions"][0]["protected"] is False
    assert run.engine.guard.protections["BTCUSDT"].deadline == START + MINUTE + 600 * SECOND


async def test_a_first_stop_accepted_late_covers_an_addition_too() -> None:
    script = Scripted({1: buy("97"), 2: add("97")})
    run = Run(ListFeed(path([100.0] * 4)), script, policy=PATIENT, venue=RefusesStops(LOST, first=3))
    await never_naked(run).go()
    assert run.events(events.PositionProtected) == []
    await run.simulation.shell.take(Accepted(LATE, "v-late"))
    assert [each.stop for each in run.events(events.PositionProtected)] == [LATE]


async def test_a_position_stays_unprotected_if_its_full_size_stop_is_looser() -> None:
    script = Scripted({1: buy("96"), 2: add("97"), 4: sell()})
    run = Run(ListFeed(path([100.0] * 4)), script, policy=PATIENT, venue=RefusesStops(LOST, first=3))
    await never_naked(run).go()
    (leaving,) = run.engine.orders.live("BTCUSDT", Purpose.EXIT)
    added = run.events(events.OrderFilled)[1].quantity
    await run.simulation.shell.take(Filled(leaving.ref, "part", added, Decimal(100), Decimal(0), START))
    await run.simulation.shell.take(Accepted(LATE, "v-late"))
    late = run.engine.orders.get(LATE)
    assert late is not None
    assert late.remaining == run.engine.account.ledger.quantity("BTCUSDT")
    assert run.events(events.PositionProtected) == []


async def test_a_stop_cancelled_twice_in_a_second_is_placed_again_once() -> None:
    venue = DropsStops()
    run = never_naked(Run(ListFeed(path([100.0] * 5)), Scripted({1: buy("97")}), policy=WAKES, venue=venue))
    await run.go()
    assert venue.dropped == [START + MINUTE, START + MINUTE]
    assert [fill.ref.leg for fill in run.events(events.OrderFilled)] == [Purpose.ENTRY, Purpose.EXIT]


async def test_a_stop_cancelled_minutes_apart_is_placed_again_each_time() -> None:
    run = Run(ListFeed(path([100.0] * 4)), Scripted({1: buy("97")}), policy=WAKES)
    await run.go()
    for moment in (10, 20, 30):
        run.clock.advance(START + moment * MINUTE)
        (stop,) = stops(run)
        await canceled_outside(run, stop)
        (again,) = stops(run)
        assert again.revision == stop.revision + 1


async def test_a_live_addition_is_cancelled_when_the_stop_fills() -> None:
    # The addition is decided on inside the candle that reaches the stop, and waits for the opening after it.
    candles = [candle(0, 100.0), candle(1, 100.0), candle(2, 99.0, low=96.0), candle(3, 99.0), candle(4, 99.0)]
    script = Scripted({1: buy("97"), 2: add("97")}, lambda wake: 0 if wake == 1 else 20 * SECOND)
    run = await never_naked(Run(ListFeed(candles), script, policy=WAKES)).go()
    assert [event.ref.leg for event in run.events(events.OrderIntended)].count(Purpose.ENTRY) == 2
    assert [fill.ref.leg for fill in run.events(events.OrderFilled)] == [Purpose.ENTRY, Purpose.STOP]
    assert OrderRef(2, Purpose.ENTRY) in [each.ref for each in run.events(events.OrderCanceled)]
    assert not list(run.engine.orders.live())


async def test_an_exit_before_the_entry_fills_cancels_the_entry() -> None:
    decision = Decision((*buy("97").legs, *sell().legs))
    run = await Run(ListFeed(path([100.0] * 4)), Scripted({1: decision}), policy=WAKES).go()
    (canceled,) = run.events(events.OrderCanceled)
    assert canceled.ref.leg is Purpose.ENTRY
    assert run.events(events.OrderRefused) == []
    assert run.events(events.OrderFilled) == []


@pytest.mark.parametrize("second_thought_ms", [0, 1])
async def test_a_sell_before_or_after_a_delayed_entry_leaves_no_order(second_thought_ms: int) -> None:
    script = Scripted({1: buy("97"), 2: sell()}, lambda wake: 20 * SECOND if wake == 1 else second_thought_ms)
    run = await never_naked(Run(ListFeed(path([100.0] * 5)), script, policy=WAKES, venue=Flawed())).go()
    assert not list(run.engine.orders.live())
    assert run.engine.account.ledger.positions == {}

"""After any reports on an exit a position ends flat: never reversed, and never unprotected beyond its deadline."""

from itertools import pairwise

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.time import SECOND
from ocw_mcp.engine.protection import LONGEST_PAUSE_MS, protection_timer
from tests.support.deciders import Scripted
from tests.support.invariants import never_naked, watched
from tests.support.legs import add, buy, sell
from tests.support.markets import ListFeed, candle, path
from tests.support.runs import Run, policies
from tests.support.venues import LosesExits, RefusesStops, RejectsExits, TooLateToCancel

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})

ADD_AND_SELL = Decision((*add(size="0.15").legs, *sell().legs))

GAP_BELOW_THE_STOP = [candle(0, 100.0), candle(1, 100.0), *(candle(index, 90.0) for index in range(2, 9))]
"""Whatever is decided at the second close meets a market that opens beyond a stop at 97."""


def legs(run: Run) -> list[Purpose]:
    return [fill.ref.leg for fill in run.events(events.OrderFilled)]


def flat(run: Run) -> bool:
    positions = run.engine.account.ledger.positions, run.venue.account.ledger.positions
    return positions == ({}, {}) and not list(run.engine.orders.live(purpose=Purpose.ENTRY))


async def test_closing_a_position_cancels_a_live_addition() -> None:
    script = Scripted({1: buy("97", size="0.05"), 2: ADD_AND_SELL})
    run = await watched(Run(ListFeed(GAP_BELOW_THE_STOP), script, policy=WAKES)).go()
    assert legs(run) == [Purpose.ENTRY, Purpose.EXIT]
    (taken_back,) = [each for each in run.events(events.OrderCanceled) if each.ref.leg is Purpose.ENTRY]
    assert taken_back.ref.n == 2
    assert flat(run)


async def test_an_addition_filled_along_with_an_exit_is_sold_by_the_stop() -> None:
    script = Scripted({1: buy("97", size="0.05"), 2: ADD_AND_SELL})
    run = never_naked(Run(ListFeed(GAP_BELOW_THE_STOP), script, policy=WAKES, venue=TooLateToCancel()))
    await run.go()
    # The exit covers what was held before; the stop closes the whole position, whatever it is.
    assert legs(run) == [Purpose.ENTRY, Purpose.ENTRY, Purpose.EXIT, Purpose.STOP]
    assert flat(run)


@pytest.mark.parametrize("arrives", [False, True])
async def test_an_exit_of_unknown_outcome_does_not_block_the_next_exit(arrives: bool) -> None:
    script = Scripted({1: buy("97"), 2: sell(), 3: sell()})
    run = Run(ListFeed(path([100.0] * 7)), script, policy=WAKES, venue=LosesExits(1, arrives=arrives))
    await never_naked(run).go()
    assert legs(run) == [Purpose.ENTRY, Purpose.EXIT]
    assert [fill.position >= 0 for fill in run.events(events.OrderFilled)] == [True, True]
    assert flat(run)


@pytest.mark.parametrize("arrives", [False, True])
async def test_unprotected_position_gets_exits_until_it_is_closed(arrives: bool) -> None:
    venue = LosesExits(2, arrives=arrives, stops=False)
    run = Run(ListFeed(path([100.0] * 7)), Scripted({1: buy("97")}), policy=WAKES, venue=venue)
    await run.go()
    exits = [at for at, event in run.timed(events.OrderIntended) if event.ref.leg is Purpose.EXIT]
    deadline = run.events(events.PositionUnprotected)[0].deadline
    assert exits == [deadline, deadline + 30 * SECOND, deadline + 60 * SECOND]
    assert legs(run) == [Purpose.ENTRY, Purpose.EXIT]
    assert flat(run)


async def test_an_exit_that_waits_for_a_price_is_not_sent_again() -> None:
    async def events_after(minutes: int) -> list[str]:
        held = [candle(index, 100.0) for index in range(2)]
        other = [candle(index, 50.0, symbol="ETHUSDT") for index in range(minutes)]
        script = Scripted({1: buy("97")})
        run = Run(ListFeed([*held, *other]), script, policy=WAKES, venue=RefusesStops(RejectReason.TOO_MANY_STOPS))
        await never_naked(run).go()
        assert run.engine.manager.exit_under_way("BTCUSDT")
        assert protection_timer("BTCUSDT") not in run.engine.timers
        names = [type(each.event).__name__ for each in run.store.domain]
        return [name for name in names if name not in ("WakeRaised", "DecisionMade")]

    few, many = await events_after(20), await events_after(100)
    assert many == few
    assert few.count("OrderIntended") == 12, "the entry, ten stops with growing pauses, and the exit"


async def test_a_failed_exit_does_not_extend_the_protection_deadline() -> None:
    policy = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, stop={"deadline_s": 150})
    script = Scripted({1: buy("97"), 2: sell(), 3: sell()})
    run = Run(ListFeed(path([100.0] * 9)), script, policy=policy, venue=RejectsExits(2))
    await never_naked(run).go()
    (unprotected,) = run.timed(events.PositionUnprotected)
    exits = [at for at, event in run.timed(events.OrderIntended) if event.ref.leg is Purpose.EXIT]
    assert exits[2] == unprotected[1].deadline == unprotected[0] + 150 * SECOND
    assert flat(run)


async def test_an_exit_rejected_beyond_the_deadline_is_sent_again_soon() -> None:
    run = Run(ListFeed(path([100.0] * 9)), Scripted({1: buy("97")}), policy=WAKES, venue=RejectsExits(5))
    await run.go()
    exits = [at for at, event in run.timed(events.OrderIntended) if event.ref.leg is Purpose.EXIT]
    deadline = run.events(events.PositionUnprotected)[0].deadline
    assert exits[0] == deadline
    assert all(later - exit_at <= LONGEST_PAUSE_MS for exit_at, later in pairwise(exits))
    assert len(run.events(events.Incident)) == 5
    assert flat(run)


async def test_an_addition_filled_after_the_deadline_exit_is_closed_too() -> None:
    # The addition is sent before the deadline, and fills at the opening at which the exit does.
    policy = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, stop={"deadline_s": 90})
    script = Scripted({1: buy("97", size="0.05"), 2: add(size="0.15")}, lambda wake: 20 * SECOND if wake == 2 else 0)
    run = Run(ListFeed(path([100.0] * 9)), script, policy=policy, venue=TooLateToCancel(RejectReason.TOO_MANY_STOPS))
    await never_naked(run).go()
    exits = [at for at, event in run.timed(events.OrderIntended) if event.ref.leg is Purpose.EXIT]
    filled = [at for at, fill in run.timed(events.OrderFilled) if fill.ref.leg is Purpose.EXIT]
    assert legs(run) == [Purpose.ENTRY, Purpose.ENTRY, Purpose.EXIT, Purpose.EXIT]
    assert exits == [run.events(events.PositionUnprotected)[0].deadline, filled[0]]
    assert flat(run)

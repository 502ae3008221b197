"""Five minutes without market data wake the agent of an open position, whatever else it does."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.snapshot import DecisionRequest, WakeKind
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Command, Verb
from ocw_mcp.domain.time import MINUTE, SECOND
from tests.support.deciders import Scripted
from tests.support.legs import buy, sell
from tests.support.live import FrameClock, Silent, live_frames, quoted
from tests.support.markets import START, candle
from tests.support.runs import Commands, Run, policies

FRAMES = live_frames([100.0, 100.0])
LAST = FRAMES[-1].at
"""The time (ms) of the last data before the outage."""
COMMAND_AFTER_S = 60


class MarketTime(FrameClock):
    """A clock on which real time is the time of the market, so that commands are polled in its time."""

    at = START

    def wall_ms(self) -> float:
        return float(self.at)


class Outage(Silent):
    """Yields two minutes of data, an outage in which commands come, some after a minute, and further frames."""

    def __init__(self, minutes: int, after: Sequence[Frame] = (), commands: Sequence[Command] = ()) -> None:
        super().__init__(FRAMES, LAST + minutes * MINUTE)
        self.clock = MarketTime()
        self.box = Commands()
        self._commands, self._after = list(commands), after

    async def frames(self, after: int | None = None):  # type: ignore[no-untyped-def]
        async for frame in super().frames(after):
            if frame.at >= LAST + COMMAND_AFTER_S * SECOND:
                while self._commands:
                    self.box.put(self._commands.pop(0))
            yield frame
        for frame in self._after:
            for _ in range(9):
                await self.clock.pause(0)
            self.clock.at = frame.at
            yield frame


def run(feed: Outage, script: dict[int, Decision] | None = None, decider: Any = None, **gate: Any) -> Run:
    policy = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0} | gate)
    chosen = decider or Scripted({1: buy("97")} if script is None else script)
    return Run(feed, chosen, policy=policy, clock=feed.clock, live=True, commands=feed.box)


def watchdogs(done: Run) -> list[int]:
    """Return the times (ms) of the wakes by the watchdog."""
    return [
        at
        for at, wake in done.timed(events.WakeRaised)
        if any(reason.kind is WakeKind.WATCHDOG for each in wake.reasons for reason in each.reasons)
    ]


@pytest.mark.parametrize("gate", [{}, {"cooldown_s": 600}, {"every": "1m", "close_wakes": []}])
async def test_watchdog_wakes_within_a_cooldown_and_between_fixed_times(gate: dict[str, Any]) -> None:
    done = await run(Outage(8), **gate).go()
    (at,) = watchdogs(done)
    assert LAST + 5 * MINUTE <= at <= LAST + 5 * MINUTE + 31 * SECOND


class SlowAfterFirst(Scripted):
    """Buys at the first wake, and answers the second one only when its deadline is over."""

    def __init__(self) -> None:
        super().__init__({1: buy("97")})

    async def decide(self, request: DecisionRequest) -> Decision:
        decision = await super().decide(request)
        if request.wake_id == 2:
            await asyncio.Event().wait()
        return decision


async def test_watchdog_wakes_after_the_decision_that_is_open() -> None:
    feed = Outage(12)
    policy = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, decision={"deadline_s": 500})
    decider = SlowAfterFirst()
    done = await Run(feed, decider, policy=policy, clock=feed.clock, live=True).go()
    (at,) = watchdogs(done)
    assert LAST + 500 * SECOND <= at <= LAST + 540 * SECOND


async def test_paused_agent_is_not_woken_by_an_outage_that_is_over() -> None:
    back = LAST + 8 * MINUTE
    minute = (back - START) // MINUTE + 1
    after = [
        quoted("BTCUSDT", back, 100.0),
        *(Frame(START + (index + 1) * MINUTE, (candle(index, 100.0),)) for index in range(minute, minute + 3)),
    ]
    feed = Outage(8, after, [Command("c1", Verb.PAUSE, "ann")])
    done = run(feed)
    going = asyncio.ensure_future(done.go())
    await going
    assert done.events(events.Incident)[0].text.startswith("no market data for ")
    assert watchdogs(done) == []
    assert done.engine.gate.state().kept
    assert not any(each.kind is WakeKind.WATCHDOG for kept in done.engine.gate.state().kept.values() for each in kept)


async def test_prices_of_long_ago_do_not_count_as_data() -> None:
    old = [quoted("BTCUSDT", LAST + 2 * number * SECOND, 100.0) for number in range(1, 80)]
    slow = [msgspec.structs.replace(each, at=LAST + number * 10 * SECOND) for number, each in enumerate(old, 1)]
    done = await run(Outage(0, slow)).go()
    (at,) = watchdogs(done)
    assert LAST + 5 * MINUTE <= at <= LAST + 12 * MINUTE
    assert done.engine.account.trading_state is TradingState.REDUCING


async def test_outage_does_not_wake_for_a_symbol_under_manual_control() -> None:
    done = await run(Outage(8, commands=[Command("c1", Verb.TAKE_OVER, "ann", subject="BTCUSDT")])).go()
    assert done.events(events.Incident)[0].text.startswith("no market data for ")
    assert watchdogs(done) == []
    assert done.engine.account.trading_state is TradingState.REDUCING


async def test_outage_of_a_halted_book_wakes_and_does_not_end_the_halt() -> None:
    feed = Outage(8, [quoted("BTCUSDT", LAST + 9 * MINUTE, 100.0)], [Command("c1", Verb.HALT, "ann")])
    done = await run(feed, {1: buy("97"), 3: sell()}).go()
    assert len(watchdogs(done)) == 1
    assert [fill.ref.leg for fill in done.events(events.OrderFilled)] == [Purpose.ENTRY, Purpose.EXIT]
    assert done.engine.account.trading_state is TradingState.HALTED

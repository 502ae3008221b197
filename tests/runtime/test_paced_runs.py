"""A simulated run in proportion to real time, and one that warms up on history."""

import asyncio

import msgspec

from ocw_mcp.domain import events
from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.steps import Command
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.runtime.clock import PacedClock
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Commands, Run, policies

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


async def test_a_paced_run_has_the_same_events_as_an_unpaced_run() -> None:
    unpaced = await Run(ListFeed(path([100.0] * 6)), Scripted({1: buy("97")}), policy=WAKES).go()
    clock = PacedClock(speed=6 * MINUTE / 60)
    began = clock.wall_ms()
    paced = await Run(ListFeed(path([100.0] * 6)), Scripted({1: buy("97")}), policy=WAKES, clock=clock).go()
    assert clock.wall_ms() - began >= 59
    assert paced.store.fingerprint == unpaced.store.fingerprint


async def test_a_slow_run_takes_a_halt_and_a_stop_between_candles() -> None:
    box = Commands([])
    run = Run(ListFeed(path([100.0] * 6)), Scripted({}), policy=WAKES, commands=box, clock=PacedClock(speed=1))
    going = asyncio.ensure_future(run.go())
    while run.simulation.cursor != START:
        await run.clock.wait_until(0)
    box.put(Command("c1", "halt", "a person"))
    while not box.taken:
        await run.clock.wait_until(0)
    run.simulation.stop()
    await going
    assert run.engine.counters.candles == 0
    assert run.events(events.CommandTaken)[0].after_frame == START


class WithHistory(ListFeed):
    """Its first candles are from before the book's beginning."""

    def __init__(self, closes: list[float], history: int) -> None:
        super().__init__(path(closes))
        self._history = history

    async def frames(self, after=None):  # type: ignore[no-untyped-def]
        async for frame in super().frames(after):
            early = frame.at < START + self._history * MINUTE
            yield msgspec.structs.replace(frame, history=True, opened=()) if early else frame


async def test_history_warms_up_indicators_and_causes_no_events() -> None:
    script = Scripted({})
    run = await Run(WithHistory([100.0 + i % 9 for i in range(80)], history=60), script, policy=WAKES).go()
    assert run.engine.counters.candles == 20
    assert run.engine.counters.began_at == START + 60 * MINUTE
    assert run.timed(events.WakeRaised)[0][0] == START + 61 * MINUTE
    first = script.asked[0].snapshot.symbols["BTCUSDT"]
    assert isinstance(first.last, float)
    assert run.engine.gate.counters.skips.get("warming") is None


def test_a_frame_is_not_history_by_default() -> None:
    assert Frame(0).history is False


async def test_steps_repeated_after_a_crash_are_not_paced() -> None:
    feed = ListFeed(path([100.0] * 6))
    first = await Run(feed, Scripted({1: buy("97")}), policy=WAKES).go()

    class Watching(PacedClock):
        async def approach(self, at: int) -> bool:
            assert not run.simulation.shell.recorder.reading, "it waits for what it waited for already"
            return True

    died = first.store.without_checkpoint()
    run = Run(feed, Scripted({1: buy("97")}), policy=WAKES, store=died, clock=Watching(speed=1))
    assert (await run.go()).store.fingerprint == first.store.fingerprint

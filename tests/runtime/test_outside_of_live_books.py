"""A live book takes the reports of outside sources as inputs, and repeats them after a restart."""

import asyncio

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.context import ContextItem
from ocw_mcp.domain.macro import MacroReading, Quadrant
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.outlook_events import ContextRead, MacroRead
from ocw_mcp.domain.protocols import OutsideFound
from ocw_mcp.domain.time import HOUR
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.runtime.outside import follow_sources
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.live import ListedLive, live_frames
from tests.support.markets import START
from tests.support.runs import Run, policies
from tests.support.stores import Crash, MemoryStore

SOON = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
FALL = [100.0, 100.0, 100.0, 94.0, 94.0]
READING = MacroReading(Quadrant.STAGFLATION, -0.4, 0.3, START)
NEWS = (ContextItem("headlines", START, START, "feed 1", text="Up"),)


class Source:
    """A source with one report, or one that hangs."""

    problem = ""

    def __init__(self, name: str, found: OutsideFound | None) -> None:
        self.name, self._found = name, found

    async def read(self, now: int) -> tuple[OutsideFound, int]:
        while self._found is None:
            await asyncio.Event().wait()
        return self._found, HOUR


async def go(store: MemoryStore) -> Run:
    """Run a live book to the end of its frames, beside sources of which one hangs."""
    feed = ListedLive(live_frames(FALL))
    run = Run(feed, Scripted({1: buy("97")}), policy=SOON, clock=feed.clock, live=True, store=store)
    sources = (Source("fear_greed", None), Source("macro", READING), Source("headlines", NEWS))
    put, warn = run.simulation.shell.inbox.put, run.told.append
    following = asyncio.create_task(follow_sources(sources, feed.clock, put, warn))
    try:
        return await run.go()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_live_book_trades_while_a_source_hangs() -> None:
    run = await go(MemoryStore())
    assert [fill.ref.leg for fill in run.events(events.OrderFilled)] == [Purpose.ENTRY, Purpose.STOP]
    assert [each.reading for each in run.events(MacroRead)] == [READING]
    assert [each.items for each in run.events(ContextRead)] == [NEWS]


async def test_killed_live_book_repeats_the_reports_that_it_had() -> None:
    whole = await go(MemoryStore())
    moments, had = whole.store.crash_moments(), list[bool]()
    for moment in moments[len(moments) // 3 :: len(moments) // 3]:
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await go(dying)
        known = [each.reading for each in dying.reopened().events(MacroRead)]
        feed = ListedLive([], since=START)
        resumed = Run(feed, Scripted({}), policy=SOON, clock=feed.clock, live=True, store=dying.reopened())
        await resumed.go()
        assert [each.reading for each in resumed.events(MacroRead)] == known
        had.append(bool(known))
        expected = READING if known else Unknown("no macro source is read (settings OUTSIDE and MACRO_DIR)")
        assert resumed.engine.account.outlook.macro(START) == expected
    assert any(had)

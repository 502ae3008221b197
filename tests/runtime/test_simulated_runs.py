"""A book on the simulated market begins warmed up, and stops do not change its journal."""

from collections.abc import AsyncGenerator
from functools import partial

import pytest

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.feeds.simulated.feed import START
from ocw_mcp.core import strategy
from ocw_mcp.domain.events import OrderFilled, WakeRaised
from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.orders import NOBODY, RULES
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from ocw_mcp.runtime.deciders import NoDecider, RulesDecider
from tests.support.runs import DEFAULT, Run
from tests.support.stores import MemoryStore

SYMBOLS = ("BTCUSDT",)


class Stopping(SimulatedFeed):
    """A feed that stops its run at a moment."""

    run: Run | None = None

    def __init__(self, at: int) -> None:
        super().__init__(1, SYMBOLS, days=2, warmup_days=4)
        self._at = at

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        async for frame in super().frames(after):
            if frame.at >= self._at and self.run is not None:
                self.run.simulation.stop()
            yield frame


async def part(store: MemoryStore, until: int) -> Run:
    feed = Stopping(until)
    feed.run = run = Run(feed, RulesDecider(DEFAULT.policies), store=store)
    return await run.go()


async def test_history_candles_before_a_book_are_not_counted() -> None:
    run = await Run(SimulatedFeed(1, SYMBOLS, days=1), RulesDecider(DEFAULT.policies)).go()
    counters = run.engine.counters
    assert (counters.candles, counters.holes, counters.stale_candles) == (1440, 0, 0)
    assert (counters.began_at, counters.first_open_time, counters.last_close_time) == (START, START, START + DAY)
    assert "warming" not in run.engine.gate.counters.skips


async def test_a_book_stopped_several_times_ends_with_the_same_events() -> None:
    whole = await Run(SimulatedFeed(1, SYMBOLS, days=2, warmup_days=4), RulesDecider(DEFAULT.policies)).go()
    store = MemoryStore()
    for until in (START - 3 * DAY, START - MINUTE, START, START + 5 * HOUR, START + DAY + 7 * MINUTE, START + 3 * DAY):
        last = await part(store, until)
        store = last.store.reopened()
    assert whole.events(OrderFilled)
    assert last.store.fingerprint == whole.store.fingerprint
    assert last.engine.state() == whole.engine.state()


@pytest.mark.slow
async def test_rules_decide_the_same_without_the_readings_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = DEFAULT.policies
    feed = partial(SimulatedFeed, 1, ("BTCUSDT", "SOLUSDT"), days=2, warmup_days=4)
    light = await Run(feed(), RulesDecider(policy), policy=policy, agent=RULES).go()
    monkeypatch.setattr(strategy, "may_act", lambda snapshot, policies: True)
    whole = await Run(feed(), RulesDecider(policy), policy=policy, agent=RULES).go()
    assert light.events(OrderFilled)
    assert light.store.fingerprint == whole.store.fingerprint
    assert light.store.seen == whole.store.seen
    assert (light.engine.state(), light.venue.state()) == (whole.engine.state(), whole.venue.state())


async def test_a_run_without_an_agent_is_the_same_without_snapshots() -> None:
    feed = partial(SimulatedFeed, 1, ("BTCUSDT", "SOLUSDT"), days=1, warmup_days=4)
    light = await Run(feed(), NoDecider(), policy=DEFAULT.policies, agent=NOBODY).go()
    whole = await Run(feed(), NoDecider(), policy=DEFAULT.policies, agent="another").go()
    assert light.events(WakeRaised)
    assert light.store.fingerprint == whole.store.fingerprint
    assert (light.engine.state(), light.venue.state()) == (whole.engine.state(), whole.venue.state())

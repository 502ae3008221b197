"""A burst of forced liquidations on the sandbox exchange wakes a live book once, also across a restart."""

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.runtime import run as runtime_run
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.runs import Run, policies
from tests.support.sandbox_live import SandboxLive
from tests.support.sandbox_market import DAY_1, StoredFeed, candle
from tests.support.stores import Crash, MemoryStore
from tests.support.wakes import texts

BURST = 80
"""The minute in which longs begin to be liquidated, at prices that close where they were."""
CALM, FORCED = (100.0, 100.1, 99.9, 100.0, 500.0), (100.0, 100.05, 97.0, 99.95, 500.0)
SIZE = 0.0005
"""The sandbox forces small orders."""
WAKES = policies(
    gate={
        "close_wakes": [],
        "close_wakes_in_position": [],
        "timer_max_s": 86_400,
        "outlier_moves": {},
        "outlier_readings": {"liquidations": SIZE},
        "outlier_reading_step": 50,
        "anchor": 0.5,
        "cooldown_s": 0,
    }
)


def run_live(store: MemoryStore, begin: float, until: float, *, dies: bool = False) -> Run:
    """Run a live book between two times in minutes."""

    async def go() -> Run:
        times = DAY_1 + round(begin * MINUTE), DAY_1 + round(until * MINUTE)
        rows = [candle(minute, FORCED if BURST <= minute < BURST + 9 else CALM, 250.0) for minute in range(110)]
        feed = SandboxLive(SandboxMarket(StoredFeed(rows), times[0]), *times, store if dies else None)
        return await Run(feed, store=store, policy=WAKES, clock=feed.clock, live=True).go()

    return run_in_virtual_time(go())


def woken(run: Run) -> list[tuple[int, str]]:
    """The minutes and the reasons of all wakes."""
    return [
        ((at - DAY_1) // MINUTE, text)
        for at, wake in run.timed(events.WakeRaised)
        for of in wake.reasons
        for text in texts(of)
    ]


def test_burst_of_liquidations_wakes_once_also_across_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    # The checkpoint has the first part of the burst, and the logged inputs the second.
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", 20)
    store = MemoryStore()
    with pytest.raises(Crash):
        run_live(store, BURST - 6.5, BURST + 3.4, dies=True)
    resumed = run_live(store.reopened(), BURST + 3.6, BURST + 11)
    ((minute, text),) = woken(resumed)
    assert BURST + 1 <= minute <= BURST + 3
    assert text.startswith("outlier:liquidations +0.")
    assert text.endswith(" % of 1h volume, longs")
    reading = resumed.engine.market.symbols["BTCUSDT"].liquidations.value()
    assert isinstance(reading, float)
    assert reading > SIZE, "the burst goes on, and is known again five minutes after the restart"

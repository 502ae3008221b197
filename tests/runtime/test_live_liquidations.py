"""A burst of forced liquidations on the sandbox exchange wakes a live book once, also across a restart."""

from collections.abc import AsyncGenerator, Mapping
from itertools import count

import pytest

from ocw_mcp.adapters.feeds.binance import BinanceFeed
from ocw_mcp.domain import events
from ocw_mcp.domain.market import Frame, MarketIdentity, Product
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.runtime import run as runtime_run
from ocw_mcp.runtime.clock import LiveClock
from ocw_mcp.sandbox.binance.exchange import Exchange
from ocw_mcp.sandbox.binance.faulty import FaultyExchange
from ocw_mcp.sandbox.binance.inprocess import InProcessTransport
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.runs import Run, policies
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


class SandboxClock(LiveClock):
    """A live clock on the exchange's time."""

    transport: InProcessTransport | None = None

    def present(self) -> int:
        return 0 if self.transport is None else self.transport.exchange_ms()


class SandboxLive:
    """The live feed on a sandbox exchange in this process, from one time to another (ms)."""

    def __init__(self, begin: int, until: int, dying: MemoryStore | None = None) -> None:
        """The process dies at the end, at the next write to `dying`, if that is given."""
        rows = [candle(minute, FORCED if BURST <= minute < BURST + 9 else CALM, 250.0) for minute in range(110)]
        self._market = SandboxMarket(StoredFeed(rows), begin)
        self._begin, self._until, self._dying = begin, until, dying
        self._feed: BinanceFeed | None = None
        self.clock = SandboxClock()

    @property
    def identity(self) -> MarketIdentity:
        return MarketIdentity("binance", Product.UM, MINUTE, self._market.symbols, "a sandbox")

    def watch(self, levels: Mapping[str, tuple[float, float]]) -> None:
        assert self._feed is None or not levels, "no position has levels to watch"

    def resume_at(self, known: Mapping[str, int]) -> None:
        assert set(known) == {"BTCUSDT"}

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        transport = InProcessTransport(FaultyExchange(Exchange(self._market), self._begin, (), 100), self._begin)
        self.clock.transport, numbers = transport, count()
        self._feed = BinanceFeed(
            Product.UM,
            self._market.symbols,
            transport,
            jitter=lambda: next(numbers) * 0.37 % 1,
            warmup_days=1,
            tick_ms=20 * SECOND,
        )
        frames = self._feed.frames(after)
        try:
            async for frame in frames:
                if transport.exchange_ms() >= self._until:
                    if self._dying is None:
                        return
                    self._dying.die_at = self._dying.touches + 1
                yield frame
        finally:
            await frames.aclose()


def run_live(store: MemoryStore, begin: float, until: float, *, dies: bool = False) -> Run:
    """Run a live book between two times in minutes."""

    async def go() -> Run:
        times = DAY_1 + round(begin * MINUTE), DAY_1 + round(until * MINUTE)
        feed = SandboxLive(*times, store if dies else None)
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

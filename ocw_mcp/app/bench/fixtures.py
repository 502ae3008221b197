"""The shared parts of measurements: an engine configuration, a new book, and frames of the market in memory."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from ocw_mcp.adapters.control.commands import CommandFiles
from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.app.compose import START_EQUITY, WiredRun, stamp
from ocw_mcp.app.exchange_access import ExchangeAccess
from ocw_mcp.app.policy_loader import LoadedPolicies, load_policies, load_prompts
from ocw_mcp.domain.market import Frame, MarketIdentity, Product
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.protocols import Clock, Decider, Feed
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.runtime.recorder import Listener

BOOK = "bench0"
SYMBOL = "BTCUSDT"


def paper_config(symbols: tuple[str, ...], policies: Policies | None = None) -> EngineConfig:
    """Return a configuration for paper trading of perpetuals on minute candles, by default with shipped policies."""
    return EngineConfig(
        policies=policies or load_policies(None).policies,
        policy_hash="",
        prompts_hash="",
        product=Product.UM,
        interval=MINUTE,
        symbols=symbols,
        start_equity=START_EQUITY,
        agent="none",
        instruments=PaperVenue(Product.UM, START_EQUITY, 5 * MINUTE).instrument,
    )


@contextmanager
def open_book(
    market: Feed,
    policies: LoadedPolicies,
    agent: str = "rules",
    make_decider: Callable[[Clock], Decider] | None = None,
    clock: Clock | None = None,
    access: ExchangeAccess | None = None,
    listener: Listener | None = None,
) -> Iterator[tuple[WiredRun, Path]]:
    """Open a new book in a temporary directory; yield the run and the directory. The default clock is the fastest."""
    with tempfile.TemporaryDirectory(prefix="ocw-bench-") as name:
        directory = Path(name)
        with closing(SqliteStore.open(directory, stamp(market, access), book_id=BOOK, created_at=0)) as store:
            commands = CommandFiles(directory, lambda problem: None)
            prompts = load_prompts(None)
            run = WiredRun(
                market,
                agent,
                policies,
                prompts,
                store,
                commands,
                listener,
                clock,
                make_decider=make_decider,
                access=access,
            )
            yield run, directory


class FramesInMemory:
    """A feed of recorded frames after the warm-up: a measured run does not simulate the market."""

    def __init__(self, identity: MarketIdentity, recorded: Sequence[Frame]) -> None:
        self.identity = identity
        self.recorded = recorded
        self._timed_from = 0
        self._wall_ms: Callable[[], float] = lambda: 0.0
        self.started = 0.0
        """Clock reading (ms) at the begin of the timed frames."""

    def timed(self, last: int, wall_ms: Callable[[], float]) -> int:
        """Record the time `wall_ms()` before the final `last` frames; return the number of candles in those frames."""
        self._timed_from, self._wall_ms = len(self.recorded) - last, wall_ms
        return sum(len(frame.closed) for frame in self.recorded[self._timed_from :])

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """Yield the frames after `after` (ms), or all of them."""
        for place, frame in enumerate(self.recorded):
            if place == self._timed_from:
                self.started = self._wall_ms()
            if after is None or frame.at > after:
                yield frame


def record(candles: int, symbols: tuple[str, ...] = (SYMBOL,)) -> FramesInMemory:
    """Return a feed of `candles` candles, of all symbols together, of the simulated market."""
    feed = SimulatedFeed(1, symbols)

    async def take() -> list[Frame]:
        taken: list[Frame] = []
        frames, count = feed.frames(), 0
        async for frame in frames:
            if not frame.history:
                taken.append(frame)
                count += len(frame.closed)
            if count >= candles:
                break
        await frames.aclose()
        return taken

    return FramesInMemory(feed.identity, asyncio.run(take()))

"""Frames of the simulated market in memory, so that only the engine is measured and not the market's simulation."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from ocw_mcp.app.markets import SIMULATED, open_market
from ocw_mcp.domain.market import Frame, MarketIdentity

SYMBOL = "BTCUSDT"


class FramesInMemory:
    """A feed of frames in memory, without the warm-up frames."""

    def __init__(self, identity: MarketIdentity, recorded: Sequence[Frame]) -> None:
        self.identity = identity
        self.recorded = recorded
        self._timed_from, self._wall_ms = 0, _no_clock
        self.started = 0.0
        """Clock reading (ms) at the begin of the timed frames."""
        self.candles = 0
        """Number of candles in the timed frames."""

    def timed(self, last: int, wall_ms: Callable[[], float]) -> None:
        """Time the last `last` frames: record the reading of `wall_ms` when they begin."""
        self._timed_from, self._wall_ms = len(self.recorded) - last, wall_ms
        self.candles = sum(len(frame.closed) for frame in self.recorded[self._timed_from :])

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """Yield the frames after `after` (ms), or all of them."""
        for place, frame in enumerate(self.recorded):
            if place == self._timed_from:
                self.started = self._wall_ms()
            if after is None or frame.at > after:
                yield frame

    def first(self, frames: int) -> "FramesInMemory":
        """Return a feed of the first `frames` frames."""
        return FramesInMemory(self.identity, self.recorded[:frames])

    def last(self, frames: int) -> "FramesInMemory":
        """Return a feed of the last `frames` frames."""
        return FramesInMemory(self.identity, self.recorded[-frames:])


def record(candles: int) -> FramesInMemory:
    """Return a feed of `candles` candles of one symbol of the simulated market."""
    feed = open_market(SIMULATED, symbols=(SYMBOL,))
    return FramesInMemory(feed.identity, asyncio.run(_take(feed.frames(), candles)))


async def _take(frames: AsyncGenerator[Frame, None], candles: int) -> list[Frame]:
    taken: list[Frame] = []
    count = 0
    async for frame in frames:
        if frame.history:
            continue
        taken.append(frame)
        count += len(frame.closed)
        if count >= candles:
            break
    await frames.aclose()
    return taken


def _no_clock() -> float:
    return 0.0

"""A stretch of the simulated market, held in memory: what is measured on it is the engine, not the market's making."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from ocw_mcp.app.markets import SIMULATED, open_market
from ocw_mcp.domain.market import Frame, MarketIdentity

SYMBOL = "BTCUSDT"


class FramesInMemory:
    """Frames of one market, without those before its beginning."""

    def __init__(self, identity: MarketIdentity, recorded: Sequence[Frame]) -> None:
        self.identity = identity
        self.recorded = recorded
        self._from, self._wall_ms = 0, _no_clock
        self.started = 0.0
        """Reading of the clock as the timed frames began."""
        self.candles = 0
        """Number of candles from there on."""

    def timed(self, last: int, wall_ms: Callable[[], float]) -> None:
        """Note the time on `wall_ms` at which the last so many frames begin."""
        self._from, self._wall_ms = len(self.recorded) - last, wall_ms
        self.candles = sum(len(frame.closed) for frame in self.recorded[self._from :])

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """All of them."""
        for place, frame in enumerate(self.recorded):
            if place == self._from:
                self.started = self._wall_ms()
            if after is None or frame.at > after:
                yield frame

    def first(self, frames: int) -> "FramesInMemory":
        """A market of the first so many frames."""
        return FramesInMemory(self.identity, self.recorded[:frames])

    def last(self, frames: int) -> "FramesInMemory":
        """A market of the last so many frames."""
        return FramesInMemory(self.identity, self.recorded[-frames:])


def record(candles: int) -> FramesInMemory:
    """So many candles of one symbol of the simulated market."""
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

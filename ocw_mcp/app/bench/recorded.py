"""A stretch of the simulated market, held in memory: what is measured on it is the engine, not the market's making."""

import asyncio
from collections.abc import AsyncGenerator

from ocw_mcp.app.markets import SIMULATED, open_market
from ocw_mcp.domain.market import Frame, MarketIdentity

SYMBOL = "BTCUSDT"


class Recorded:
    """The first candles of one symbol, as frames."""

    def __init__(self, candles: int) -> None:
        feed = open_market(SIMULATED, symbols=(SYMBOL,))
        self.identity: MarketIdentity = feed.identity
        self.recorded = asyncio.run(_record(feed.frames(), candles))

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """All of them."""
        for frame in self.recorded:
            if after is None or frame.at > after:
                yield frame

    def first(self, candles: int) -> "Recorded":
        """A shorter one, of the same market."""
        shorter = object.__new__(Recorded)
        shorter.identity = self.identity
        shorter.recorded = self.recorded[: candles + 1]
        return shorter


async def _record(frames: AsyncGenerator[Frame, None], candles: int) -> list[Frame]:
    recorded: list[Frame] = []
    count = 0
    async for frame in frames:
        if frame.history:
            continue
        recorded.append(frame)
        count += len(frame.closed)
        if count >= candles:
            break
    await frames.aclose()
    return recorded

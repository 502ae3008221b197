"""A feed's candles as columns on a regular time grid, with NaN for missing candles."""

import asyncio
from contextlib import aclosing
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ocw_mcp.app.markets import MarketFeed
from ocw_mcp.domain.time import MINUTE

Floats = npt.NDArray[np.float64]


class Series(NamedTuple):
    """A symbol's candles, one row each: times in ms, prices in quote currency, volumes in the base asset."""

    step: int
    time: npt.NDArray[np.int64]
    """Open times."""
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    taker: Floats

    @classmethod
    def of_rows(cls, step: int, rows: Floats) -> Self:
        """Return a series of rows of open time, open, high, low, close, volume and taker volume, in order of time."""
        begin = int(rows[0, 0])
        places = (rows[:, 0].astype(np.int64) - begin) // step
        grid = np.full((int(places[-1]) + 1, 6), np.nan)
        grid[places] = rows[:, 1:]
        return cls(step, begin + step * np.arange(len(grid), dtype=np.int64), *grid.T.copy())

    @property
    def returns(self) -> Floats:
        """Log returns from close to close; NaN for the first candle and around gaps."""
        logs = np.log(self.close)
        return np.concatenate(([np.nan], np.diff(logs)))

    @property
    def moving(self) -> Floats:
        """Absolute returns, NaN for an unchanged price, since a move below one tick is not a volatility of 0."""
        moves = np.abs(self.returns)
        return np.where(moves > 0, moves, np.nan)

    def over(self, span: int) -> Floats:
        """Return consecutive log returns over `span` ms; none if candles are longer than that."""
        if span < self.step:
            return np.empty(0)
        return np.diff(np.log(self.close[:: span // self.step]))

    def lag(self, minutes: int) -> int:
        """Return the number of candles in a number of minutes; 0 if candles are longer."""
        return minutes * MINUTE // self.step


def series_of(feed: MarketFeed) -> dict[str, Series]:
    """Return all candles of a finite feed by symbol. Raises TapeError if a tape is invalid."""
    rows: dict[str, list[tuple[float, ...]]] = {symbol: [] for symbol in feed.symbols}

    async def read() -> None:
        async with aclosing(feed.frames()) as frames:
            async for frame in frames:
                for c in frame.closed:
                    taker = np.nan if c.taker_volume is None else c.taker_volume
                    rows[c.symbol].append((c.open_time, c.open, c.high, c.low, c.close, c.volume, taker))

    asyncio.run(read())
    return {symbol: Series.of_rows(feed.interval, np.array(given)) for symbol, given in rows.items() if given}

"""The closes of a market on a dense grid of minutes, and the standard deviation of its returns."""

import asyncio
import math
from array import array
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ocw_mcp.domain.protocols import Feed
from ocw_mcp.domain.time import DAY, MINUTE

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
HALF_LIFE = DAY
"""The age (ms) at which a return counts half in sigma."""


class Series(NamedTuple):
    """A symbol's closes on the grid of its market, one row a close; NaN where the candle is missing."""

    closes: Floats
    volumes: Floats
    """The volume (base asset) since the row before; NaN where the close is."""
    logs: Floats
    """The logarithms of the closes."""
    sigma: Floats
    """The standard deviation of a log return from row to row, known at each row; NaN before a day of returns."""


class Market(NamedTuple):
    """The closes of a market: rows of `step` ms, of which row 0 closed at `start` (ms)."""

    start: int
    step: int
    first: int
    """The first row that is no history."""
    series: dict[str, Series]

    def times(self, rows: Ints) -> Ints:
        """Return the close times (ms) of rows."""
        times: Ints = self.start + rows * self.step
        return times

    @property
    def minutes(self) -> float:
        """The minutes from one row to the next."""
        return self.step / MINUTE

    @property
    def measured(self) -> Ints:
        """The rows at which moves are judged: those with a close of a symbol whose sigma is known.

        If no sigma is known, these are all rows with a close.
        """
        known = [np.isfinite(each.closes) & np.isfinite(each.sigma) for each in self.series.values()]
        closed = [np.isfinite(each.closes) for each in self.series.values()]
        for masks in (known, closed):
            rows = np.flatnonzero(np.any(masks, axis=0)) if masks else np.empty(0, np.int64)
            if len(rows := rows[rows >= self.first]):
                break
        return rows

    @property
    def measured_days(self) -> float:
        """The time in which moves are judged, without data gaps."""
        return len(self.measured) * self.step / DAY

    def of(self, symbol: str) -> "Market":
        """Return the market of one symbol alone."""
        return self._replace(series={symbol: self.series[symbol]})


def sigma_of(logs: Floats, a_day: int) -> Floats:
    """Return the standard deviation of returns from row to row; `a_day` is the number of rows of a day.

    It is the root of a mean of squared log returns whose weights halve each day, divided by the sum of the weights. It
    is NaN until a day of returns is known. Returns around a missing row do not count.
    """
    keep = 0.5 ** (DAY / HALF_LIFE / a_day)
    found = np.full(len(logs), np.nan)
    squares = weights = 0.0
    count = 0
    for row, change in enumerate(np.diff(logs, prepend=np.nan).tolist()):
        if change == change:  # not NaN
            squares = keep * squares + (1 - keep) * change * change
            weights = keep * weights + (1 - keep)
            count += 1
        if count >= a_day:
            found[row] = math.sqrt(squares / weights)
    return found


def make_series(closes: Floats, volumes: Floats, step: int) -> Series:
    """Return the series of closes and volumes on a grid of `step` ms."""
    logs = np.log(closes)
    return Series(closes, volumes, logs, sigma_of(logs, max(1, DAY // step)))


def read_market(feed: Feed, since: int, until: int) -> Market:
    """Read a feed up to `until` (ms); candles that open before `since` are history.

    Candles shorter than a minute become minutes.
    """
    return asyncio.run(_read(feed, since, until))


async def _read(feed: Feed, since: int, until: int) -> Market:
    step = max(feed.identity.interval, MINUTE)
    names = feed.identity.symbols
    times = {symbol: array("q") for symbol in names}
    closes, volumes = ({symbol: array("d") for symbol in names} for _ in range(2))
    async for frame in feed.frames():
        if frame.at > until:
            break
        for candle in frame.closed:
            times[candle.symbol].append(candle.close_time)
            closes[candle.symbol].append(candle.close)
            volumes[candle.symbol].append(candle.volume)
    return build(
        {symbol: (np.array(times[symbol]), np.array(closes[symbol]), np.array(volumes[symbol])) for symbol in names},
        step,
        since + step,
    )


def build(candles: dict[str, tuple[Ints, Floats, Floats]], step: int, began: int) -> Market:
    """Return the market of close times (ms, ascending), closes and volumes by symbol, judged from `began` (ms)."""
    given = {symbol: each for symbol, each in candles.items() if len(each[0])}
    start = min((-(-int(each[0][0]) // step) * step for each in given.values()), default=began)
    length = max((-(-(int(each[0][-1]) - start) // step) + 1 for each in given.values()), default=0)
    series = {}
    for symbol, (times, closes, volumes) in given.items():
        whole = (times - start) % step == 0
        grid = np.full(length, np.nan)
        grid[(times[whole] - start) // step] = closes[whole]
        traded: Floats = np.bincount(-(-(times - start) // step), weights=volumes, minlength=length).astype(np.float64)
        traded[np.isnan(grid)] = np.nan
        series[symbol] = make_series(grid, traded, step)
    return Market(start, step, max(0, -(-(began - start) // step)), series)

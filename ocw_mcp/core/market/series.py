"""The closed candles of one symbol and timeframe, from which the indicators are computed.

History is bounded: at fixed times, `REOPEN_EVERY` candles apart, all but the last `HISTORY` candles are dropped, and
the indicators are computed anew from the kept candles. The exact bits of an indicator depend on the candle at which its
history begins. A restored series begins at the same candle as before, so a restart does not change a bit.
"""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple, Self

import msgspec
import numpy as np
import numpy.typing as npt

from ocw_mcp.domain.market import Candle

HISTORY = 500
"""The number of candles that are kept when the history is cut."""
REOPEN_EVERY = 500
"""The number of candles between two cuts of the history."""


class SeriesState(msgspec.Struct, frozen=True):
    """A saved series as bytes in the byte order of the machine: 64-bit times (ms), and columns of 64-bit floats."""

    last_open_time: int
    columns: tuple[bytes, bytes, bytes, bytes, bytes]
    open_times: bytes


class CandleColumns(NamedTuple):
    """Consecutive candles of `interval` ms as columns, oldest first."""

    interval: int
    open_times: npt.NDArray[np.int64]
    rows: npt.NDArray[np.float64]
    """Five rows: open, high, low, close and volume."""

    @classmethod
    def of(cls, candles: Sequence[Candle]) -> Self:
        """Return one or more candles as columns."""
        rows = (
            [each.open for each in candles],
            [each.high for each in candles],
            [each.low for each in candles],
            [each.close for each in candles],
            [each.volume for each in candles],
        )
        return cls(candles[0].interval, np.array([each.open_time for each in candles]), np.array(rows))


class CandleSeries:
    """Closed candles of one timeframe, oldest first, in columns."""

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.last_open_time = -1
        self._period = interval * REOPEN_EVERY
        self._reopen_from = 0
        self.open_times = array("q")
        self.opens, self.highs, self.lows = array("d"), array("d"), array("d")
        self.closes, self.volumes = array("d"), array("d")
        self._columns = (self.opens, self.highs, self.lows, self.closes, self.volumes)

    def __len__(self) -> int:
        return len(self.closes)

    def append(self, open_time: int, open_: float, high: float, low: float, close: float, volume: float) -> bool:
        """Add a closed candle; return True if the series was cut to `HISTORY`, so that indicators must be reopened."""
        reopen = False
        if open_time >= self._reopen_from:
            reopen = len(self.closes) >= HISTORY
            self._reopen_from = (open_time // self._period + 1) * self._period
        self.last_open_time = open_time
        self.open_times.append(open_time)
        self.opens.append(open_)
        self.highs.append(high)
        self.lows.append(low)
        self.closes.append(close)
        self.volumes.append(volume)
        if reopen:
            del self.open_times[:-HISTORY]
            for column in self._columns:
                del column[:-HISTORY]
        return reopen

    def extend(self, candles: CandleColumns) -> bool:
        """Add closed candles, as `append` does one by one; return True if the series was cut at least once."""
        cut, place, times = False, 0, candles.open_times
        while place < len(times):
            upto = max(place, int(np.searchsorted(times, self._reopen_from)))
            if upto > place:
                self.last_open_time = int(times[upto - 1])
                self.open_times.frombytes(times[place:upto].tobytes())
                for column, values in zip(self._columns, candles.rows, strict=True):
                    column.frombytes(values[place:upto].tobytes())
            if upto < len(times):
                cut = self.append(int(times[upto]), *candles.rows[:, upto].tolist()) or cut
            place = upto + 1
        return cut

    def first_from(self, at: int) -> int:
        """Return the index of the first candle that opened at `at` (ms) or later; the length if there is none."""
        return bisect_left(self.open_times, at)

    def close_at(self, at: int) -> float | None:
        """Return the last close known at `at` (ms); None if `at` is before the first close, or in a data gap."""
        index = self.first_from(at - self.interval + 1) - 1
        if index < 0 or self.open_times[index] <= at - 2 * self.interval:
            return None
        return self.closes[index]

    def state(self) -> SeriesState:
        """Return all candles as bytes, which `restore` reproduces exactly."""
        o, h, low, c, v = (column.tobytes() for column in self._columns)
        return SeriesState(self.last_open_time, (o, h, low, c, v), self.open_times.tobytes())

    def restore(self, state: SeriesState) -> None:
        """Restore the result of `state`."""
        self.last_open_time = state.last_open_time
        self._reopen_from = (
            (state.last_open_time // self._period + 1) * self._period if state.last_open_time >= 0 else 0
        )
        del self.open_times[:]
        self.open_times.frombytes(state.open_times)
        for column, data in zip(self._columns, state.columns, strict=True):
            del column[:]
            column.frombytes(data)

"""The closed candles of one symbol and timeframe, as many as indicators may ever look back on.

History is bounded: at fixed engine times, every `REOPEN_EVERY` candles of the timeframe, all but the last `HISTORY`
candles are dropped and the indicators are opened again from those. A handle's last bits depend on the candle at which
its history began; since the series always starts exactly there, a restart opens from the same candles and gets the
same bits.
"""

from array import array
from bisect import bisect_left

import msgspec

HISTORY = 500
"""Candles kept at a re-opening."""
REOPEN_EVERY = 500
"""Candles of the timeframe between two re-openings."""


class SeriesState(msgspec.Struct, frozen=True):
    """A series as bytes in machine order: 64-bit times in ms, and 64-bit floats, one column after the other."""

    last_open_time: int
    columns: tuple[bytes, bytes, bytes, bytes, bytes]
    open_times: bytes


class CandleSeries:
    """Closed candles of one timeframe, oldest first, in columns."""

    __slots__ = (
        "_columns",
        "_period",
        "_reopen_from",
        "closes",
        "highs",
        "interval",
        "last_open_time",
        "lows",
        "open_times",
        "opens",
        "volumes",
    )

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.last_open_time = -1
        self._period = interval * REOPEN_EVERY
        self._reopen_from = 0
        self.open_times = array("q")
        self.opens = array("d")
        self.highs = array("d")
        self.lows = array("d")
        self.closes = array("d")
        self.volumes = array("d")
        self._columns = (self.opens, self.highs, self.lows, self.closes, self.volumes)

    def __len__(self) -> int:
        return len(self.closes)

    def append(self, open_time: int, open_: float, high: float, low: float, close: float, volume: float) -> bool:
        """Add a closed candle; True when the series was cut to `HISTORY` and indicators must be opened again."""
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

    def first_from(self, moment: int) -> int:
        """The place of the first candle that opened at `moment` (ms) or later; the length when there is none."""
        return bisect_left(self.open_times, moment)

    def close_at(self, moment: int) -> float | None:
        """The close that was the last one known at `moment` (ms); None where it is out of reach or lies in a hole."""
        place = self.first_from(moment - self.interval + 1) - 1
        if place < 0 or self.open_times[place] <= moment - 2 * self.interval:
            return None
        return self.closes[place]

    def state(self) -> SeriesState:
        """All candles, to be restored bit by bit."""
        o, h, low, c, v = (column.tobytes() for column in self._columns)
        return SeriesState(self.last_open_time, (o, h, low, c, v), self.open_times.tobytes())

    def restore(self, state: SeriesState, /) -> None:
        """Put back what `state` gave."""
        self.last_open_time = state.last_open_time
        self._reopen_from = (
            (state.last_open_time // self._period + 1) * self._period if state.last_open_time >= 0 else 0
        )
        del self.open_times[:]
        self.open_times.frombytes(state.open_times)
        for column, data in zip(self._columns, state.columns, strict=True):
            del column[:]
            column.frombytes(data)

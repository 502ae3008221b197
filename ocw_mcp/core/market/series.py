"""The closed candles of one symbol and timeframe, as many as indicators may ever look back on.

History is bounded: at fixed engine times, every `REOPEN_EVERY` candles of the timeframe, all but the last `HISTORY`
candles are dropped and the indicators are opened again from those. A handle's last bits depend on the candle at which
its history began; since the series always starts exactly there, a restart opens from the same candles and gets the
same bits.
"""

from array import array

import msgspec
import numpy as np
from numpy.typing import NDArray

HISTORY = 500
"""Candles kept at a re-opening."""
REOPEN_EVERY = 500
"""Candles of the timeframe between two re-openings."""

Floats = NDArray[np.float64]


class SeriesState(msgspec.Struct, frozen=True):
    """A series as bytes: 64-bit floats in machine order, one column after the other."""

    last_open_time: int
    columns: tuple[bytes, bytes, bytes, bytes, bytes]


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
        "opens",
        "volumes",
    )

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.last_open_time = -1
        self._period = interval * REOPEN_EVERY
        self._reopen_from = 0
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
        self.opens.append(open_)
        self.highs.append(high)
        self.lows.append(low)
        self.closes.append(close)
        self.volumes.append(volume)
        if reopen:
            for column in self._columns:
                del column[:-HISTORY]
        return reopen

    def ranges(self) -> tuple[Floats, Floats, Floats]:
        """Copies of high, low and close, for opening indicators."""
        return np.array(self.highs), np.array(self.lows), np.array(self.closes)

    def state(self) -> SeriesState:
        """All candles, to be restored bit by bit."""
        o, h, low, c, v = (column.tobytes() for column in self._columns)
        return SeriesState(self.last_open_time, (o, h, low, c, v))

    def restore(self, state: SeriesState) -> None:
        """Put back what `state` gave."""
        self.last_open_time = state.last_open_time
        self._reopen_from = (
            (state.last_open_time // self._period + 1) * self._period if state.last_open_time >= 0 else 0
        )
        for column, data in zip(self._columns, state.columns, strict=True):
            del column[:]
            column.frombytes(data)

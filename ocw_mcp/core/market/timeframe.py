"""One timeframe of a symbol: its closed candles with their indicators, and the candle that is still forming."""

import msgspec
import numpy as np
import numpy.typing as npt

from ocw_mcp.core.market.indicators import Indicators
from ocw_mcp.core.market.series import CandleColumns, CandleSeries, SeriesState
from ocw_mcp.domain.market import Candle


class Forming(msgspec.Struct, array_like=True, gc=False):
    """A candle of a longer timeframe that is still forming."""

    open_time: int = -1
    open: float = 0.0
    high: float = 0.0
    low: float = 0.0
    close: float = 0.0
    volume: float = 0.0
    whole: bool = False
    """False if the market's data begin inside this candle, so that its first part is not known."""


class TimeframeState(msgspec.Struct, frozen=True):
    """The saved state of one timeframe."""

    series: SeriesState
    forming: Forming


class Timeframe:
    """The candles of one interval (ms), built from those of the next shorter one, or the base candles themselves."""

    __slots__ = ("forming", "indicators", "interval", "series")

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.series = CandleSeries(interval)
        self.indicators = Indicators(self.series)
        self.forming = Forming()

    def take(self, piece: Candle | Forming, until: int) -> Forming | None:
        """Add a shorter timeframe's candle that closed at `until` (ms). Return this timeframe's candle if it closes."""
        open_time = piece.open_time // self.interval * self.interval
        forming = self.forming
        if open_time == forming.open_time:
            if piece.high > forming.high:
                forming.high = piece.high
            if piece.low < forming.low:
                forming.low = piece.low
            forming.close = piece.close
            forming.volume += piece.volume
        else:
            whole = piece.open_time == open_time or len(self.series) > 0
            self.forming = Forming(open_time, piece.open, piece.high, piece.low, piece.close, piece.volume, whole)
        return self.finish() if until == open_time + self.interval else None

    def finish(self) -> Forming | None:
        """Close and return the forming candle; return None, and discard it, if its beginning is not known."""
        done, self.forming = self.forming, Forming()
        if not done.whole:
            return None
        if self.series.append(done.open_time, done.open, done.high, done.low, done.close, done.volume):
            self.indicators.reopen()
        return done

    def extend(self, candles: CandleColumns) -> None:
        """Add closed candles of this timeframe, in order of time."""
        if self.series.extend(candles):
            self.indicators.reopen()

    def take_all(self, pieces: CandleColumns) -> CandleColumns:
        """Add consecutive candles of a shorter timeframe, as `take` does one by one. Return the candles that close."""
        count, total = self.interval // pieces.interval, len(pieces.open_times)
        first = int(pieces.open_times[0]) if total else 0
        # The first pieces may belong to a candle that has begun, and the last ones do not fill a candle.
        begins = min(total, -first % self.interval // pieces.interval)
        ends = total - (total - begins) % count
        done = self._take_rows(pieces, 0, begins)
        whole = _joined(pieces.rows[:, begins:ends].reshape(5, -1, count))
        self.extend(CandleColumns(self.interval, pieces.open_times[begins:ends:count], whole))
        self._take_rows(pieces, ends, total)
        if done is None:
            return CandleColumns(self.interval, pieces.open_times[begins:ends:count], whole)
        row = np.array([[done.open], [done.high], [done.low], [done.close], [done.volume]])
        times = np.append(done.open_time, pieces.open_times[begins:ends:count])
        return CandleColumns(self.interval, times, np.hstack((row, whole)))

    def _take_rows(self, pieces: CandleColumns, begins: int, ends: int) -> Forming | None:
        """Take some pieces one by one, at most enough for one candle; return it if it closes."""
        done = None
        for place in range(begins, ends):
            piece = Forming(int(pieces.open_times[place]), *pieces.rows[:, place].tolist())
            done = self.take(piece, piece.open_time + pieces.interval)
        return done

    def state(self) -> TimeframeState:
        """Return the candles from which indicators are computed, and the forming one."""
        return TimeframeState(self.series.state(), self.forming)

    def restore(self, state: TimeframeState) -> None:
        """Restore the result of `state`. The indicators are computed anew from the restored candles."""
        self.series.restore(state.series)
        self.forming = state.forming
        self.indicators.reopen()


def _joined(groups: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return one candle for each group of consecutive ones; axes: the five rows, the groups, the candles of a group."""
    opens, highs, lows, closes, volumes = groups
    total = volumes[:, 0].copy()
    # In order of time, as in `Timeframe.take`: the sum of floats depends on the order.
    for place in range(1, groups.shape[2]):
        total += volumes[:, place]
    return np.stack((opens[:, 0], highs.max(axis=1), lows.min(axis=1), closes[:, -1], total))

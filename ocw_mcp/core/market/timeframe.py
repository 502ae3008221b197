"""One timeframe of one symbol: its closed candles, their indicators, and the candle that is forming."""

import msgspec

from ocw_mcp.core.market.indicators import Indicators
from ocw_mcp.core.market.series import CandleSeries, SeriesState
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import HOUR, MINUTE

BUILT_TIMEFRAMES = (5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR)
INDICATORS_FROM = 15 * MINUTE
"""The shortest timeframe (ms) that has indicators; shorter ones have candles only."""
FORMING_SHOWN = (HOUR, 4 * HOUR)
"""Built timeframes whose forming candle is shown."""


def timeframes(interval: int) -> tuple[int, ...]:
    """Return the timeframes (ms) of a market with candles of `interval` ms: its own, then the longer ones."""
    return (interval, *(each for each in BUILT_TIMEFRAMES if each > interval and each % interval == 0))


class Forming(msgspec.Struct, array_like=True, gc=False):
    """A candle of a longer timeframe that is still forming."""

    open_time: int = -1
    open: float = 0.0
    high: float = 0.0
    low: float = 0.0
    close: float = 0.0
    volume: float = 0.0
    whole: bool = False
    """False if the market's first candle lies inside this one, so that its beginning is not known."""


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
        """Add a candle of the next shorter timeframe that closed at `until` (ms); return the candle this closes."""
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

    def overdue(self, open_time: int) -> bool:
        """Return whether the forming candle ended before one that opens at `open_time` (ms), its last part missing."""
        return 0 <= self.forming.open_time <= open_time - self.interval

    def finish(self) -> Forming | None:
        """Close and return the forming candle. A first candle whose beginning is not known is discarded."""
        done, self.forming = self.forming, Forming()
        if not done.whole:
            return None
        if self.series.append(done.open_time, done.open, done.high, done.low, done.close, done.volume):
            self.indicators.reopen()
        return done

    def state(self) -> TimeframeState:
        """Return the candles from which indicators are computed, and the forming one."""
        return TimeframeState(self.series.state(), self.forming)

    def restore(self, state: TimeframeState) -> None:
        """Restore the result of `state`. The indicators are reopened from the same candles and give the same bits."""
        self.series.restore(state.series)
        self.forming = state.forming
        self.indicators.reopen()

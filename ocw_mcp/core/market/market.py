"""Every symbol's candles: the base interval as it comes, and longer timeframes, each built from the one below it."""

import msgspec

from ocw_mcp.core.market.indicators import Indicators
from ocw_mcp.core.market.series import CandleSeries, SeriesState
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.domain.unknown import Reading, Unknown

BUILT_TIMEFRAMES = (5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR)


class Closed(msgspec.Struct, frozen=True, gc=False):
    """What one base candle closed: its own timeframe and the longer ones, and the hole it found before it, if any."""

    timeframes: tuple[int, ...]
    hole_since: int | None = None


class _Forming(msgspec.Struct, array_like=True, gc=False):
    """A candle of a longer timeframe that is still forming."""

    open_time: int = -1
    open: float = 0.0
    high: float = 0.0
    low: float = 0.0
    close: float = 0.0
    volume: float = 0.0
    whole: bool = False
    """False for the first bucket of a tape that begins in its midst: what came before is not known."""


class _TimeframeState(msgspec.Struct, frozen=True):
    series: SeriesState
    forming: _Forming


class SymbolState(msgspec.Struct, frozen=True):
    """One symbol's timeframes, shortest first."""

    timeframes: tuple[_TimeframeState, ...]


class _Timeframe:
    """One timeframe of one symbol: its closed candles, their indicators, and the candle that is forming."""

    __slots__ = ("forming", "indicators", "interval", "series")

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.series = CandleSeries(interval)
        self.indicators = Indicators(self.series)
        self.forming = _Forming()

    def close(self, open_time: int, open_: float, high: float, low: float, close: float, volume: float) -> None:
        if self.series.append(open_time, open_, high, low, close, volume):
            self.indicators.reopen()

    def take(self, piece: "Candle | _Forming", until: int) -> "_Forming | None":
        """Take in a candle of the next shorter timeframe, closed at `until`; what that closed here, if anything."""
        bucket = piece.open_time // self.interval * self.interval
        forming = self.forming
        if bucket == forming.open_time:
            if piece.high > forming.high:
                forming.high = piece.high
            if piece.low < forming.low:
                forming.low = piece.low
            forming.close = piece.close
            forming.volume += piece.volume
        else:
            whole = piece.open_time == bucket or len(self.series) > 0
            self.forming = _Forming(bucket, piece.open, piece.high, piece.low, piece.close, piece.volume, whole)
        return self.finish() if until == bucket + self.interval else None

    def overdue(self, open_time: int) -> bool:
        """Whether the forming candle ended before a candle that opens at `open_time`, its last part missing."""
        return 0 <= self.forming.open_time <= open_time - self.interval

    def finish(self) -> "_Forming | None":
        """Close the forming candle. A partial first one is forgotten."""
        done, self.forming = self.forming, _Forming()
        if not done.whole:
            return None
        self.close(done.open_time, done.open, done.high, done.low, done.close, done.volume)
        return done


class SymbolMarket:
    """One symbol's candles and indicators in every timeframe."""

    def __init__(self, interval: int, timeframes: tuple[int, ...]) -> None:
        self._interval = interval
        self._base = _Timeframe(interval)
        self._built = tuple(_Timeframe(each) for each in timeframes)
        self._closed_base = Closed((interval,))

    @property
    def last(self) -> Reading:
        """The last close, or Unknown before the first candle."""
        return self._base.series.closes[-1] if len(self._base.series) else Unknown("no candle yet")

    @property
    def known_at(self) -> int | None:
        """The moment (ms) at which the last candle closed."""
        return self._base.series.last_open_time + self._interval if len(self._base.series) else None

    def close(self, candle: Candle) -> Closed | None:
        """Take in a closed base candle. None when it is not later than the last one: such a candle changes nothing."""
        last = self._base.series.last_open_time
        if candle.open_time <= last:
            return None
        hole_since: int | None = last + self._interval
        if last < 0 or candle.open_time == hole_since:
            hole_since = None
        late = [] if hole_since is None else self._finish_overdue(candle.open_time)
        self._base.close(candle.open_time, candle.open, candle.high, candle.low, candle.close, candle.volume)
        closed = self._pass_up(0, candle, candle.open_time + self._interval)
        if hole_since is None and not closed:
            return self._closed_base
        return Closed((self._interval, *sorted({*late, *closed})), hole_since)

    def _pass_up(self, level: int, piece: "Candle | _Forming", until: int) -> list[int]:
        """Hand a closed candle to the next longer timeframe, and on from there; the timeframes it closed."""
        closed: list[int] = []
        built = self._built
        while level < len(built):
            done = built[level].take(piece, until)
            if done is None:
                break
            closed.append(built[level].interval)
            piece = done
            level += 1
        return closed

    def _finish_overdue(self, open_time: int) -> list[int]:
        """After a hole, close what should have closed in it, as the exchange's own candles did; shortest first."""
        closed: list[int] = []
        for level, each in enumerate(self._built):
            if each.overdue(open_time):
                until = each.forming.open_time + each.interval
                done = each.finish()
                if done is not None:
                    closed += [each.interval, *self._pass_up(level + 1, done, until)]
        return closed

    def indicators(self) -> list[tuple[int, int, Reading, dict[str, Reading]]]:
        """For every timeframe: its length in ms, its number of candles, its last close and its indicators."""
        return [
            (
                each.interval,
                len(each.series),
                each.series.closes[-1] if len(each.series) else Unknown("no closed candle of this timeframe yet"),
                each.indicators.values(),
            )
            for each in (self._base, *self._built)
        ]

    def state(self) -> SymbolState:
        """All candles that indicators stand on, and the forming ones."""
        return SymbolState(
            tuple(_TimeframeState(each.series.state(), each.forming) for each in (self._base, *self._built))
        )

    def restore(self, state: SymbolState) -> None:
        """Put back what `state` gave; indicators are opened from the same candles, to the same bits."""
        for each, saved in zip((self._base, *self._built), state.timeframes, strict=True):
            each.series.restore(saved.series)
            each.forming = saved.forming
            each.indicators.reopen()


def timeframes(interval: int) -> tuple[int, ...]:
    """The timeframes (ms) of a market with candles of `interval` ms: its own, then the multiples that are built."""
    return (interval, *(each for each in BUILT_TIMEFRAMES if each > interval and each % interval == 0))


class Market:
    """All symbols. `interval` is the base candle's length in ms."""

    def __init__(self, interval: int, symbols: tuple[str, ...]) -> None:
        self.interval = interval
        self.timeframes = timeframes(interval)
        self.symbols = {symbol: SymbolMarket(interval, self.timeframes[1:]) for symbol in symbols}

    def state(self) -> dict[str, SymbolState]:
        """Every symbol's state."""
        return {name: symbol.state() for name, symbol in self.symbols.items()}

    def restore(self, state: dict[str, SymbolState]) -> None:
        """Put back what `state` gave."""
        for name, symbol in self.symbols.items():
            symbol.restore(state[name])

"""How unusual the last hour of each symbol is: the rows of its hourly candles, tested one by one."""

from collections.abc import Sequence
from typing import Final

import msgspec

from ocw_mcp.core.anomaly.detector import AnomalyDetector, AnomalyState
from ocw_mcp.core.anomaly.features import MarketRows, MarketRowsState, Row
from ocw_mcp.core.market.market import Market, SymbolMarket
from ocw_mcp.domain.anomaly import AnomalyReading
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import HOUR
from ocw_mcp.domain.unknown import Reading, Unknown

OLDEST: Final = 2 * HOUR
"""The age (ms) of the last tested hour from which the anomaly is unknown."""


class SymbolAnomalyState(msgspec.Struct):
    """The saved state of the anomaly of one symbol."""

    rows: MarketRowsState
    detector: AnomalyState
    reading: AnomalyReading | Unknown | None
    """None if it was not read yet."""
    tested_at: int = 0


class Anomalies:
    """The anomaly of each symbol of a book, whose candles are an hour long or shorter."""

    def __init__(self, symbols: Sequence[str], *, wakes: bool) -> None:
        """`wakes` says whether the gate needs the readings of unusual hours."""
        self._wakes = wakes
        self._rows = {symbol: MarketRows() for symbol in symbols}
        self._detectors = {symbol: AnomalyDetector() for symbol in symbols}
        self._readings: dict[str, AnomalyReading | Unknown] = {}
        self._tested_at: dict[str, int] = {}

    def warm(self, market: Market) -> None:
        """Take the hours from before the book's beginning. Their funding, open interest and basis are left out."""
        if HOUR not in market.timeframes:
            return
        for symbol, candles in market.symbols.items():
            series, rows = candles.series(HOUR), list[Row]()
            for place in range(len(series)):
                row = self._rows[symbol].row(_hour(symbol, candles, place))
                rows += [] if row is None else [row]
            self._detectors[symbol].warm(rows)

    def close(self, symbol: str, candles: SymbolMarket, now: int) -> AnomalyReading | None:
        """Take the hour that has just closed; return its reading if it may be unusual, else None."""
        derivatives = candles.derivatives
        hour = _hour(symbol, candles, -1)
        row = self._rows[symbol].row(
            hour,
            _known(derivatives.value("funding_8h", now)),
            _known(derivatives.open_interest(now)),
            _known(derivatives.value("basis", now)),
        )
        self._tested_at[symbol] = hour.close_time
        if row is None:
            self._readings[symbol] = Unknown("the last hour has no volume or range, or does not follow one that has")
            return None
        self._readings.pop(symbol, None)
        detector = self._detectors[symbol]
        far = self._wakes and detector.is_far(row)
        detector.add(row)
        reading = self.reading(symbol, now) if far else None
        return None if isinstance(reading, Unknown) else reading

    def reading(self, symbol: str, now: int) -> AnomalyReading | Unknown:
        """Return the anomaly of a symbol at `now` (ms)."""
        at = self._tested_at.get(symbol)
        if at is None:
            return Unknown("no hour of this book has closed yet")
        if now - at >= OLDEST:
            return Unknown(f"the last hour closed {(now - at) // HOUR} h ago")
        if symbol not in self._readings:
            self._readings[symbol] = self._detectors[symbol].read(at)
        return self._readings[symbol]

    def quantile(self, symbol: str, now: int) -> Reading:
        """Return the quantile of a symbol's anomaly at `now` (ms)."""
        reading = self.reading(symbol, now)
        return reading if isinstance(reading, Unknown) else reading.quantile

    def state(self) -> dict[str, SymbolAnomalyState]:
        """Return all that must survive a restart, by symbol. It does not depend on which readings were asked for."""
        for symbol, at in self._tested_at.items():
            self.reading(symbol, at)
        return {
            symbol: SymbolAnomalyState(
                rows.state(),
                self._detectors[symbol].state(),
                self._readings.get(symbol),
                self._tested_at.get(symbol, 0),
            )
            for symbol, rows in self._rows.items()
        }

    def restore(self, state: dict[str, SymbolAnomalyState], /) -> None:
        """Restore a state that `state` returned."""
        for symbol, saved in state.items():
            self._rows[symbol].restore(saved.rows)
            self._detectors[symbol].restore(saved.detector)
            if saved.tested_at:
                self._tested_at[symbol] = saved.tested_at
            if saved.reading is not None:
                self._readings[symbol] = saved.reading


def _hour(symbol: str, candles: SymbolMarket, place: int) -> Candle:
    """Return a closed candle of an hour by its place in the series."""
    series = candles.series(HOUR)
    columns = (series.opens, series.highs, series.lows, series.closes, series.volumes)
    return Candle(symbol, series.open_times[place], HOUR, *(column[place] for column in columns))


def _known(reading: Reading) -> float | None:
    return None if isinstance(reading, Unknown) else reading

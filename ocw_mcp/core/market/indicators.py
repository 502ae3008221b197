"""Indicators on closed candles, kept by TA-Lib's streaming handles: a candle costs a fraction of a microsecond each.

Formulas are TA-Lib's own: EMA seeded with a simple average, Wilder's smoothing in RSI, ATR and ADX. RSI and ADX run
from 0 to 100, EMA and ATR are in quote currency.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from talib import stream

from ocw_mcp.core.market.series import CandleSeries
from ocw_mcp.domain.unknown import Reading, Unknown


class _Spec(NamedTuple):
    open: Callable[..., Any]
    period: int
    needs: int
    """Fewest candles from which TA-Lib gives a value."""


ON_CLOSE: Final = {
    "ema_9": _Spec(stream.EMA, 9, 9),
    "ema_21": _Spec(stream.EMA, 21, 21),
    "ema_50": _Spec(stream.EMA, 50, 50),
    "rsi_14": _Spec(stream.RSI, 14, 15),
}
"""Indicators of the close alone."""

ON_RANGE: Final = {
    "atr_14": _Spec(stream.ATR, 14, 15),
    "adx_14": _Spec(stream.ADX, 14, 28),
}
"""Indicators of high, low and close."""

_ALL: Final = {**ON_CLOSE, **ON_RANGE}


class Indicators:
    """The indicators of one series. They always stand on all of the series' candles, from its first on."""

    __slots__ = ("_handles", "_on_close", "_on_range", "_series", "_waiting")

    def __init__(self, series: CandleSeries) -> None:
        self._series = series
        self._handles: dict[str, Any] = {}
        self._on_close: list[Any] = []
        self._on_range: list[Any] = []
        self._waiting = True
        self.reopen()

    def reopen(self) -> None:
        """Open every handle again, from all of the series' candles."""
        self._handles.clear()
        self._open_missing()

    def update(self, high: float, low: float, close: float) -> None:
        """Take in the candle that was just appended to the series."""
        for handle in self._on_close:
            handle.update(close)
        for handle in self._on_range:
            handle.update(high, low, close)
        if self._waiting:
            self._open_missing()

    def values(self) -> dict[str, Reading]:
        """Every indicator's value on the last closed candle, or why there is none."""
        count = len(self._series)
        return {
            name: float(self._handles[name].value)
            if name in self._handles
            else Unknown(f"needs {spec.needs} candles, has {count}")
            for name, spec in _ALL.items()
        }

    def _open_missing(self) -> None:
        count = len(self._series)
        highs, lows, closes = self._series.ranges()
        for name, spec in _ALL.items():
            if name not in self._handles and count >= spec.needs:
                inputs = (closes,) if name in ON_CLOSE else (highs, lows, closes)
                self._handles[name] = spec.open(*inputs, timeperiod=spec.period)
        self._on_close = [handle for name, handle in self._handles.items() if name in ON_CLOSE]
        self._on_range = [handle for name, handle in self._handles.items() if name in ON_RANGE]
        self._waiting = len(self._handles) < len(_ALL)

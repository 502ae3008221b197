"""Indicators on closed candles, kept by TA-Lib's streaming handles.

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


_WORTH_OPENING = 16
"""From so many candles behind, opening anew is cheaper than catching up; the bits are the same either way."""


class Indicators:
    """The indicators of one series. They always stand on all of the series' candles, from its first on.

    Nothing is computed until somebody reads: the handles then take in what has come since the last time.
    """

    __slots__ = ("_handles", "_series", "_taken")

    def __init__(self, series: CandleSeries) -> None:
        self._series = series
        self._handles: dict[str, Any] = {}
        self._taken = 0
        """How many of the series' candles the handles have taken in."""

    def reopen(self) -> None:
        """Forget every handle: the series begins with another candle now."""
        self._handles.clear()
        self._taken = 0

    def values(self) -> dict[str, Reading]:
        """Every indicator's value on the last closed candle, or why there is none."""
        self._catch_up()
        return {
            name: float(self._handles[name].value)
            if name in self._handles
            else Unknown(f"needs {spec.needs} candles, has {self._taken}")
            for name, spec in _ALL.items()
        }

    def _catch_up(self) -> None:
        count = len(self._series)
        if count - self._taken > _WORTH_OPENING:
            self._handles.clear()
        else:
            self._update(count)
        self._taken = count
        missing = [name for name, spec in _ALL.items() if name not in self._handles and spec.needs <= count]
        if missing:
            self._open(missing)

    def _update(self, count: int) -> None:
        series = self._series
        on_close = [handle for name, handle in self._handles.items() if name in ON_CLOSE]
        on_range = [handle for name, handle in self._handles.items() if name in ON_RANGE]
        for place in range(self._taken, count):
            high, low, close = series.highs[place], series.lows[place], series.closes[place]
            for handle in on_close:
                handle.update(close)
            for handle in on_range:
                handle.update(high, low, close)

    def _open(self, names: list[str]) -> None:
        highs, lows, closes = self._series.ranges()
        for name in names:
            spec = _ALL[name]
            inputs = (closes,) if name in ON_CLOSE else (highs, lows, closes)
            self._handles[name] = spec.open(*inputs, timeperiod=spec.period)

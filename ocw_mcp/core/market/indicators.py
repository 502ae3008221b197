"""The indicators of one series, most of them computed incrementally by TA-Lib's streaming handles.

The formulas are TA-Lib's: EMA seeded with a simple average, Wilder's smoothing in RSI, ATR and ADX, MACD seeded so that
line and signal begin at the same candle. The other indicators are in `formulas.py`. RSI, StochRSI, MFI and ADX run from
0 to 100; EMA, ATR, MACD and Supertrend are in quote currency; bandwidth and VWAP deviation are shares; Supertrend's
direction is 1 or −1.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from talib import stream

from ocw_mcp.core.market import formulas
from ocw_mcp.core.market.formulas import FLOW_CANDLES, Bar, Recent
from ocw_mcp.core.market.series import CandleSeries
from ocw_mcp.domain.unknown import Reading, Unknown


class _Spec(NamedTuple):
    open: Any
    """The class of the streaming handle."""
    options: dict[str, float]
    needs: int
    """The smallest number of candles from which TA-Lib gives a value."""


ON_CLOSE: Final = {
    "ema_9": _Spec(stream.EMA, {"timeperiod": 9}, 9),
    "ema_21": _Spec(stream.EMA, {"timeperiod": 21}, 21),
    "ema_50": _Spec(stream.EMA, {"timeperiod": 50}, 50),
    "rsi_7": _Spec(stream.RSI, {"timeperiod": 7}, 8),
    "rsi_14": _Spec(stream.RSI, {"timeperiod": 14}, 15),
    "macd": _Spec(stream.MACD, {"fastperiod": 12, "slowperiod": 26, "signalperiod": 9}, 34),
    "bands": _Spec(stream.BBANDS, {"timeperiod": 20, "nbdevup": 2.0, "nbdevdn": 2.0}, 20),
}
"""Handles that take the close only."""

ON_RANGE: Final = {
    "atr_14": _Spec(stream.ATR, {"timeperiod": 14}, 15),
    "adx_14": _Spec(stream.ADX, {"timeperiod": 14}, 28),
    "supertrend": _Spec(stream.SUPERTREND, {"timeperiod": 10, "multiplier": 3.0}, 11),
}
"""Handles that take high, low and close."""

ON_FLOW: Final = {"mfi_14": _Spec(stream.MFI, {"timeperiod": 14}, 15)}
"""Handles that take high, low, close and volume."""

_ALL: Final = {**ON_CLOSE, **ON_RANGE, **ON_FLOW}

_K_NEEDS, _D_NEEDS = 28, 30
"""Candles that StochRSI needs: 15 for the first RSI, 14 values of RSI for %K, three values of %K for %D."""
_RSI_KEPT = formulas.STOCHASTIC + formulas.SMOOTHING - 1
_SHOWN_UNCHANGED = ("ema_9", "ema_21", "ema_50", "atr_14", "adx_14")
_NEVER_MOVED: Final = Unknown("the price has never changed")

_REOPEN_AFTER = 16
"""From this number of new candles, reopening the handles is cheaper than updating them; the results are identical."""


class Indicators:
    """The indicators of one series, always computed from all of its candles, the first one included.

    The computation is lazy: a read updates the handles with the candles added since the previous read.
    """

    __slots__ = ("_handles", "_rsi", "_series", "_taken", "_values")

    def __init__(self, series: CandleSeries) -> None:
        self._series = series
        self._handles: dict[str, Any] = {}
        self._rsi: list[float] = []
        """The last values of RSI 14, from which StochRSI is computed."""
        self._taken = 0
        """Number of the series' candles that the handles have processed."""
        self._values: dict[str, Reading] | None = None

    def reopen(self) -> None:
        """Discard every handle, since the first candle of the series has changed."""
        self._forget()
        self._taken = 0

    def values(self) -> Mapping[str, Reading]:
        """Return the value of every indicator at the last closed candle, Unknown with its reason if there is none."""
        if self._values is None or self._taken != len(self._series):
            self._catch_up()
            outputs = {name: handle.value for name, handle in self._handles.items()}
            self._values = self._readings(outputs, self._rsi, None)
        return self._values

    def peek(self, forming: Bar) -> Mapping[str, Reading]:
        """Return the values that the indicators would have if the forming candle closed now; nothing is stored."""
        self.values()
        candle_range, candle_flow = (forming.high, forming.low, forming.close), forming[2:]
        outputs = {
            name: handle.peek(forming.close)
            if name in ON_CLOSE
            else handle.peek(*(candle_range if name in ON_RANGE else candle_flow))
            for name, handle in self._handles.items()
        }
        rsi = [*self._rsi, float(outputs["rsi_14"])] if "rsi_14" in outputs else []
        return self._readings(outputs, rsi, forming)

    def _catch_up(self) -> None:
        count = len(self._series)
        if count - self._taken > _REOPEN_AFTER:
            self._forget()
        else:
            self._update(count)
        self._taken = count
        missing = [name for name, spec in _ALL.items() if name not in self._handles and spec.needs <= count]
        if missing:
            self._open(missing)

    def _forget(self) -> None:
        self._handles.clear()
        self._rsi.clear()
        self._values = None

    def _update(self, count: int) -> None:
        series = self._series
        on_close, on_range, on_flow = (
            [self._handles[name] for name in group if name in self._handles] for group in (ON_CLOSE, ON_RANGE, ON_FLOW)
        )
        rsi = self._handles.get("rsi_14")
        for place in range(self._taken, count):
            high, low, close = series.highs[place], series.lows[place], series.closes[place]
            for handle in on_close:
                handle.update(close)
            for handle in on_range:
                handle.update(high, low, close)
            for handle in on_flow:
                handle.update(high, low, close, series.volumes[place])
            if rsi is not None:
                self._rsi.append(float(rsi.value))
        del self._rsi[:-_RSI_KEPT]

    def _open(self, names: list[str]) -> None:
        series = self._series
        highs, lows, closes = np.array(series.highs), np.array(series.lows), np.array(series.closes)
        for name in names:
            spec = _ALL[name]
            if name == "rsi_14":
                self._handles[name], past = spec.open.open_and_fill(closes, **spec.options)
                self._rsi = past[spec.needs - 1 :][-_RSI_KEPT:].tolist()
            elif name in ON_CLOSE:
                self._handles[name] = spec.open(closes, **spec.options)
            elif name in ON_RANGE:
                self._handles[name] = spec.open(highs, lows, closes, **spec.options)
            else:
                self._handles[name] = spec.open(highs, lows, closes, np.array(series.volumes), **spec.options)

    def _readings(self, outputs: dict[str, Any], rsi: list[float], forming: Bar | None) -> dict[str, Reading]:
        """Return the readings for these outputs of the handles, with the forming candle as the last if there is one."""
        count, series = self._taken, self._series
        window = formulas.recent(series, forming)
        readings = {name: _or_needs(name, count, outputs) for name in _SHOWN_UNCHANGED}
        readings |= self._oscillators(outputs, rsi, window, count)
        readings |= _macd_readings(outputs, count)
        readings |= _band_readings(outputs, window, count)
        readings |= self._supertrend(outputs, window, count)
        readings |= _volume_readings(outputs, window, count)
        readings["vwap_deviation"] = formulas.vwap_deviation(series, forming)
        return readings

    def _oscillators(self, outputs: dict[str, Any], rsi: list[float], window: Recent, count: int) -> dict[str, Reading]:
        readings = {name: _or_needs(name, count, outputs) for name in ("rsi_7", "rsi_14")}
        closes = self._series.closes
        if readings["rsi_7"] == 0 and min(closes) == max(closes) == window.closes[-1]:
            # TA-Lib's RSI is 0 if there are neither gains nor losses, which would mean oversold.
            readings = {name: _NEVER_MOVED if name in outputs else value for name, value in readings.items()}
        k, d = formulas.stoch_rsi(rsi[-_RSI_KEPT:])
        readings["stoch_rsi_k"] = k if count >= _K_NEEDS else _needs(_K_NEEDS, count)
        readings["stoch_rsi_d"] = d if count >= _D_NEEDS else _needs(_D_NEEDS, count)
        return readings

    def _supertrend(self, outputs: dict[str, Any], window: Recent, count: int) -> dict[str, Reading]:
        if "supertrend" not in outputs:
            return dict.fromkeys(("supertrend", "supertrend_direction"), _or_needs("supertrend", count, outputs))
        value, direction = outputs["supertrend"]
        lows, highs = self._series.lows, self._series.highs
        if value == window.closes[-1] and min(lows) == max(highs) == window.lows[-1] == window.highs[-1]:
            # TA-Lib reports a rising market if no candle has a range.
            return {"supertrend": _NEVER_MOVED, "supertrend_direction": _NEVER_MOVED}
        return {"supertrend": float(value), "supertrend_direction": float(direction)}


def _macd_readings(outputs: dict[str, Any], count: int) -> dict[str, Reading]:
    names = ("macd", "macd_signal", "macd_histogram")
    if "macd" not in outputs:
        return dict.fromkeys(names, _or_needs("macd", count, outputs))
    return dict(zip(names, map(float, outputs["macd"]), strict=True))


def _band_readings(outputs: dict[str, Any], window: Recent, count: int) -> dict[str, Reading]:
    if "bands" not in outputs:
        return dict.fromkeys(("percent_b", "bandwidth"), _or_needs("bands", count, outputs))
    upper, middle, lower = map(float, outputs["bands"])
    return {
        "percent_b": formulas.percent_b(window.closes[-1], upper, lower),
        "bandwidth": (upper - lower) / middle,
    }


def _volume_readings(outputs: dict[str, Any], window: Recent, count: int) -> dict[str, Reading]:
    names = ("mfi_14", "obv_change_14", "obv_divergence_14")
    if "mfi_14" not in outputs:
        return dict.fromkeys(names, _or_needs("mfi_14", count, outputs))
    flow = formulas.flow(window)
    mfi = float(outputs["mfi_14"]) if flow.money else Unknown(f"no volume at a changed price in {FLOW_CANDLES} candles")
    return dict(zip(names, (mfi, flow.change, flow.divergence), strict=True))


def _or_needs(name: str, count: int, outputs: dict[str, Any]) -> Reading:
    return float(outputs[name]) if name in outputs else _needs(_ALL[name].needs, count)


def _needs(candles: int, count: int) -> Unknown:
    return Unknown(f"needs {candles} candles, has {count}")

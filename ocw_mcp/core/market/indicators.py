"""The indicators of one series, most of them computed incrementally by TA-Lib's streaming handles.

The formulas are TA-Lib's: EMA seeded with a simple average, Wilder's smoothing in RSI, ATR and ADX, MACD seeded so that
line and signal begin at the same candle. The other indicators are in `formulas.py`. RSI, StochRSI, MFI and ADX run from
0 to 100; EMA, ATR, MACD and Supertrend are in quote currency; bandwidth and VWAP deviation are shares; Supertrend's
direction is 1 or −1.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from talib import stream

from ocw_mcp.core.market import formulas
from ocw_mcp.core.market.formulas import FLOW_CANDLES, Bar
from ocw_mcp.core.market.series import CandleSeries
from ocw_mcp.domain.unknown import Reading, Unknown


class _Spec(NamedTuple):
    open: Any
    """The class of the streaming handle."""
    options: dict[str, float]
    needs: int
    """The smallest number of candles from which TA-Lib gives a value."""
    readings: tuple[str, ...] = ()
    """The readings computed from the handle's value; empty if the value is itself the reading."""


ON_CLOSE: Final = {
    "ema_9": _Spec(stream.EMA, {"timeperiod": 9}, 9),
    "ema_21": _Spec(stream.EMA, {"timeperiod": 21}, 21),
    "ema_50": _Spec(stream.EMA, {"timeperiod": 50}, 50),
    "rsi_7": _Spec(stream.RSI, {"timeperiod": 7}, 8),
    "rsi_14": _Spec(stream.RSI, {"timeperiod": 14}, 15),
    "macd": _Spec(
        stream.MACD,
        {"fastperiod": 12, "slowperiod": 26, "signalperiod": 9},
        34,
        ("macd", "macd_signal", "macd_histogram"),
    ),
    "bands": _Spec(stream.BBANDS, {"timeperiod": 20, "nbdevup": 2.0, "nbdevdn": 2.0}, 20, ("percent_b", "bandwidth")),
}
"""The TA-Lib handles whose input is the close only."""

ON_RANGE: Final = {
    "atr_14": _Spec(stream.ATR, {"timeperiod": 14}, 15),
    "adx_14": _Spec(stream.ADX, {"timeperiod": 14}, 28),
    "supertrend": _Spec(
        stream.SUPERTREND, {"timeperiod": 10, "multiplier": 3.0}, 11, ("supertrend", "supertrend_direction")
    ),
}
"""The TA-Lib handles whose input is high, low and close."""

ON_FLOW: Final = {"mfi_14": _Spec(stream.MFI, {"timeperiod": 14}, 15, ("mfi_14", "obv_change_14", "obv_divergence_14"))}
"""The TA-Lib handle whose input is high, low, close and volume."""

_ALL: Final = {**ON_CLOSE, **ON_RANGE, **ON_FLOW}

_MOST_NEEDED: Final = max(spec.needs for spec in _ALL.values())
_K_NEEDS, _D_NEEDS = 28, 30
"""The candles that StochRSI needs: 15 for the first RSI, 14 values of RSI for %K, three values of %K for %D."""
_RSI_KEPT = formulas.STOCHASTIC + formulas.SMOOTHING - 1
_NEVER_MOVED: Final = Unknown("the price has never changed")

_REOPEN_AFTER = 16
"""Above this number of new candles, reopening the handles is cheaper than updating them, with identical results."""


class Indicators:
    """The indicators of one candle series, computed only when they are read."""

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
        """Discard every handle, because the first candles of the series were removed."""
        self._forget()
        self._taken = 0

    def values(self) -> Mapping[str, Reading]:
        """Return every indicator at the last closed candle, as Unknown with the reason if it has no value."""
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
        columns = [np.array(each) for each in (series.highs, series.lows, series.closes, series.volumes)]
        for name in names:
            spec = _ALL[name]
            inputs = columns[2:3] if name in ON_CLOSE else columns[:3] if name in ON_RANGE else columns
            if name == "rsi_14":
                self._handles[name], past = spec.open.open_and_fill(*inputs, **spec.options)
                self._rsi = past[spec.needs - 1 :][-_RSI_KEPT:].tolist()
            else:
                self._handles[name] = spec.open(*inputs, **spec.options)

    def _readings(self, outputs: dict[str, Any], rsi: list[float], forming: Bar | None) -> dict[str, Reading]:
        """Return the readings computed from the handles' `outputs`; `forming` is the last candle if it is given."""
        count, series = self._taken, self._series
        window = formulas.recent(series, forming)
        readings = dict(_missing(min(count, _MOST_NEEDED)))
        for name, output in outputs.items():
            if not _ALL[name].readings:
                readings[name] = float(output)
        if readings["rsi_7"] == 0 and min(series.closes) == max(series.closes) == window.closes[-1]:
            # TA-Lib's RSI is 0 if there are neither gains nor losses, which would mean oversold.
            readings |= {name: _NEVER_MOVED for name in ("rsi_7", "rsi_14") if name in outputs}
        if count >= _K_NEEDS:
            k, d = formulas.stoch_rsi(rsi[-_RSI_KEPT:])
            readings["stoch_rsi_k"] = k
            readings["stoch_rsi_d"] = d if count >= _D_NEEDS else _needs(_D_NEEDS, count)
        if "macd" in outputs:
            readings |= zip(_ALL["macd"].readings, map(float, outputs["macd"]), strict=True)
        if "bands" in outputs:
            upper, middle, lower = map(float, outputs["bands"])
            readings["percent_b"] = formulas.percent_b(window.closes[-1], upper, lower)
            readings["bandwidth"] = (upper - lower) / middle
        if "supertrend" in outputs:
            value, direction = map(float, outputs["supertrend"])
            # TA-Lib reports a rising market if no candle has a range.
            flat = value == window.closes[-1] and (
                min(series.lows) == max(series.highs) == window.lows[-1] == window.highs[-1]
            )
            readings["supertrend"] = _NEVER_MOVED if flat else value
            readings["supertrend_direction"] = _NEVER_MOVED if flat else direction
        if "mfi_14" in outputs:
            flow = formulas.flow(window)
            # TA-Lib's MFI is then 0, which would mean that all money flows out.
            idle = Unknown(f"no volume at a changed price in {FLOW_CANDLES} candles")
            readings["mfi_14"] = float(outputs["mfi_14"]) if flow.money else idle
            readings["obv_change_14"], readings["obv_divergence_14"] = flow.change, flow.divergence
        readings["vwap_deviation"] = formulas.vwap_deviation(series, forming)
        return readings


@cache
def _missing(count: int) -> dict[str, Reading]:
    """Return the readings that need more than `count` candles."""
    needs = {name: spec.needs for handle, spec in _ALL.items() for name in spec.readings or (handle,)}
    needs |= {"stoch_rsi_k": _K_NEEDS, "stoch_rsi_d": _D_NEEDS}
    return {name: _needs(candles, count) for name, candles in needs.items() if candles > count}


def _needs(candles: int, count: int) -> Unknown:
    return Unknown(f"needs {candles} candles, has {count}")

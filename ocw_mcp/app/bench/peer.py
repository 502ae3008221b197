"""A run of backtesting.py on the same candles, if it is installed, as a reference for speed.

It computes its indicators on whole arrays before the run, and has no journal, gate, policies or protective stops. The
ratio shows the cost of these per candle, and not which of the two is better.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import talib

from ocw_mcp.app.bench.recorded import FramesInMemory
from ocw_mcp.runtime.clock import SimulatedClock

_ADX_OF_A_TREND: Final = 20


def installed() -> bool:
    """Return whether backtesting.py is installed."""
    return find_spec("backtesting") is not None


def us_per_candle(market: FramesInMemory) -> float:
    """Return the microseconds per candle of one backtest."""
    backtesting, pandas = import_module("backtesting"), import_module("pandas")
    candles = [candle for frame in market.recorded for candle in frame.closed]
    columns = {
        "Open": [candle.open for candle in candles],
        "High": [candle.high for candle in candles],
        "Low": [candle.low for candle in candles],
        "Close": [candle.close for candle in candles],
        "Volume": [candle.volume for candle in candles],
    }
    times = pandas.to_datetime([candle.open_time for candle in candles], unit="ms")
    test = backtesting.Backtest(pandas.DataFrame(columns, index=times), _strategy(backtesting), cash=1e7)
    clock = SimulatedClock()
    started = clock.wall_ms()
    test.run()
    return (clock.wall_ms() - started) * 1_000 / len(candles)


def _strategy(backtesting: Any) -> Any:
    class Averages(backtesting.Strategy):  # type: ignore[misc]
        """Buys if three averages are in order in a trend, and closes when the fast one falls below the middle one."""

        def init(self) -> None:
            close, high, low = (
                np.asarray(column, float) for column in (self.data.Close, self.data.High, self.data.Low)
            )
            self.fast, self.middle, self.slow = (self.I(talib.EMA, close, each) for each in (9, 21, 50))
            self.rsi = self.I(talib.RSI, close, 14)
            self.atr = self.I(talib.ATR, high, low, close, 14)
            self.adx = self.I(talib.ADX, high, low, close, 14)

        def next(self) -> None:
            fast, middle = self.fast[-1], self.middle[-1]
            if self.position:
                if fast < middle:
                    self.position.close()
            elif fast > middle > self.slow[-1] and self.adx[-1] > _ADX_OF_A_TREND and self.rsi[-1] < 75:
                self.buy(size=0.1, sl=self.data.Close[-1] - 3 * self.atr[-1])

    return Averages

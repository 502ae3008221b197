"""The features of each day: the return, the realised volatility of two weeks, and how much this volatility varies.

The windows of consecutive days overlap: two neighbouring rows share 13 of 14 returns. A hidden Markov model takes its
rows as independent, so its probabilities are too close to 0 and 1, and its durations are too long.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import DAY
from ocw_mcp.domain.unknown import Unknown

Floats = npt.NDArray[np.float64]

WINDOW: Final = 14
"""The days of a window of volatility."""
LEAD: Final = 2 * WINDOW
"""The candles before the first row: a return needs one more candle, and each of the two windows `WINDOW` values."""
NAMES: Final = ("return", "volatility", "volatility of volatility")
VOLATILITY: Final = 1
"""The column by which states are ordered."""
LONGEST_GAP: Final = 7 * DAY
"""The longest data gap (ms) across which the history continues. The return over a gap is left out."""
_LEAST_SQUARE: Final = 1e-12
_LEAST_SPREAD: Final = 1e-6


class DailyCloses:
    """The closes of consecutive daily candles, of which the last `kept` remain, with their features."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._closes: list[tuple[int, float]] = []

    def add(self, candle: Candle) -> bool:
        """Add a closed daily candle; return True if it begins the history anew, after a gap above `LONGEST_GAP`.

        Raises ValueError for another interval, and for a candle that is not later than the last.
        """
        if candle.interval != DAY:
            raise ValueError(f"the candle spans {candle.interval} ms; expected one day, {DAY} ms")
        last = self._closes[-1][0] if self._closes else None
        if last is not None and candle.close_time <= last:
            raise ValueError(f"the candle closes at {candle.close_time} ms, not after the last close at {last} ms")
        anew = last is not None and candle.close_time - last > LONGEST_GAP + DAY
        if anew:
            self._closes.clear()
        self._closes.append((candle.close_time, candle.close))
        del self._closes[: -self._kept]
        return anew

    def __len__(self) -> int:
        return len(self._closes)

    @property
    def at(self) -> int:
        """The time (ms) of the last close."""
        return self._closes[-1][0]

    def rows(self) -> Floats | Unknown:
        """Return the features of all kept days, as `features_of` does."""
        return features_of(self._closes)

    def state(self) -> list[tuple[int, float]]:
        """Return all that must survive a restart."""
        return self._closes

    def restore(self, state: list[tuple[int, float]], /) -> None:
        """Restore a state that `state` returned."""
        self._closes = state


def features_of(closes: Sequence[tuple[int, float]]) -> Floats | Unknown:
    """Return the features of closes, given as (time in ms, price): one row for each day with complete windows.

    Volatilities are logarithms: of the root mean square of 14 daily log returns, and of the standard deviation of 14
    such logarithms.
    """
    times = np.array([at for at, _ in closes], np.int64)
    prices = np.array([price for _, price in closes], np.float64)
    if len(prices) and not (np.isfinite(prices).all() and prices.min() > 0):
        return Unknown("a close is not a positive number")
    returns = np.diff(np.log(prices))[np.diff(times) == DAY]
    if len(returns) < LEAD - 1:
        return Unknown(f"needs {LEAD} daily candles without a gap, has {len(prices)}")
    squares = np.lib.stride_tricks.sliding_window_view(returns * returns, WINDOW).mean(axis=1)
    if squares.min() < _LEAST_SQUARE:
        return Unknown(f"the price did not move for {WINDOW} days")
    volatility = 0.5 * np.log(squares)
    spread = np.lib.stride_tricks.sliding_window_view(volatility, WINDOW).std(axis=1)
    if spread.min() < _LEAST_SPREAD:
        return Unknown(f"the volatility did not change for {WINDOW} days")
    count = len(spread)
    return np.column_stack([returns[-count:], volatility[-count:], np.log(spread)])


def annual(volatility: float) -> float:
    """Return the volatility of a row (column `VOLATILITY`) as a share of the price a year, of 365 days."""
    return math.exp(volatility) * math.sqrt(365)

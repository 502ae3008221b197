"""Correlations of returns, and indicators that TA-Lib lacks or gets wrong while the price does not change.

Arguments have the newest candle last. The functions keep no state, so their results do not depend on the
candle at which the history begins.
"""

import math
from array import array
from collections.abc import Sequence
from itertools import islice, pairwise
from typing import Final, NamedTuple

import numpy as np
from talib import stream

from ocw_mcp.core.market.series import CandleSeries
from ocw_mcp.domain.time import DAY
from ocw_mcp.domain.unknown import Reading, Unknown

FLOW_CANDLES = 14
"""Number of candles from which the volume indicators are computed."""
STOCHASTIC = 14
SMOOTHING = 3
RETURNS: Final = 48
"""Number of latest returns from which a correlation is computed."""
_FEWEST_RETURNS = 24
_NOISE = 1e-9
"""The largest range of RSI values (in RSI points) that counts as a rounding error."""


class Bar(NamedTuple):
    """A forming candle: prices in quote currency, time in ms."""

    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Recent(NamedTuple):
    """Consecutive candles as columns, oldest first."""

    highs: "array[float]"
    lows: "array[float]"
    closes: "array[float]"
    volumes: "array[float]"


def recent(series: CandleSeries, forming: Bar | None, first: int | None = None) -> Recent:
    """Return a series' candles from index `first` on, by default the newest `FLOW_CANDLES` + 1, with `forming` last."""
    if first is None:
        first = max(0, len(series) - FLOW_CANDLES - (forming is None))
    window = Recent(series.highs[first:], series.lows[first:], series.closes[first:], series.volumes[first:])
    if forming is not None:
        for column, value in zip(window, forming[2:], strict=True):
            column.append(value)
    return window


def stoch_rsi(rsi: Sequence[float]) -> tuple[Reading, Reading]:
    """Return %K and %D of StochRSI (14, 14, 3), 0..100, from the last 16 values of RSI 14; %K alone needs 14.

    %K = 100 × (RSI − lowest RSI) / (highest − lowest) over 14 values, %D the simple average of the last three %K
    (T. Chande and S. Kroll, The New Technical Trader, 1994). The result is Unknown if RSI did not change: TA-Lib's
    value is 0, which would mean oversold.
    """
    k_values = [_position_in_range(rsi[end - STOCHASTIC : end]) for end in range(STOCHASTIC, len(rsi) + 1)][-SMOOTHING:]
    known = [value for value in k_values if value is not None]
    unchanged = Unknown(f"RSI has not changed in {STOCHASTIC} candles")
    k = k_values[-1] if k_values and k_values[-1] is not None else unchanged
    d = sum(known) / SMOOTHING if len(known) == SMOOTHING else unchanged
    return k, d


def _position_in_range(values: Sequence[float]) -> float | None:
    lowest, highest = min(values), max(values)
    return 100 * (values[-1] - lowest) / (highest - lowest) if highest - lowest > _NOISE else None


def percent_b(close: float, upper: float, lower: float) -> Reading:
    """Return the position of the close between the Bollinger bands: 0 on the lower, 1 on the upper band."""
    if upper - lower <= abs(upper) * 1e-12:
        return Unknown("the bands have no width")
    return (close - lower) / (upper - lower)


class Flow(NamedTuple):
    """The volume indicators of the last 14 candles."""

    money: bool
    """Whether any candle has volume and a changed typical price (high + low + close); otherwise MFI is not defined."""
    change: Reading
    """The change of on-balance volume (OBV) in the window, as a share of its volume: −1..1.

    OBV adds a candle's volume when it closes higher and subtracts it when it closes lower (J. Granville, 1963). The
    level of OBV depends on the first candle of the history, but its change does not.
    """
    divergence: Reading
    """The disagreement of volume and price, −1..1: above 0 if volume flows in while the price falls.

    This formula is the project's own: (change − path) / 2 if `change` and path have opposite signs, else 0. The path is
    Kaufman's efficiency ratio with its sign: (net change of the close) / (sum of its absolute changes).
    """


def flow(window: Recent) -> Flow:
    """Return the volume indicators of a window of candles."""
    money, total, signed, distance = False, 0.0, 0.0, 0.0
    before, typical_before = window.closes[0], window.highs[0] + window.lows[0] + window.closes[0]
    for high, low, close, volume in islice(zip(*window, strict=True), 1, None):
        typical = high + low + close
        money = money or (volume > 0 and typical != typical_before)
        total += volume
        signed += volume if close > before else -volume if close < before else 0.0
        distance += abs(close - before)
        before, typical_before = close, typical
    change: Reading = signed / total if total > 0 else Unknown(f"no volume in {FLOW_CANDLES} candles")
    if isinstance(change, Unknown):
        return Flow(money, change, change)
    if distance == 0:
        return Flow(money, change, Unknown(f"the close has not changed in {FLOW_CANDLES} candles"))
    path = (window.closes[-1] - window.closes[0]) / distance
    return Flow(money, change, (change - path) / 2 if change * path < 0 else 0.0)


def vwap_deviation(series: CandleSeries, forming: Bar | None = None) -> Reading:
    """Return the last close over the volume-weighted average price (VWAP) of its UTC day so far, minus 1.

    TA-Lib's VWAP is cumulative: here VWAP begins at the first candle of the day, so that its exact bits depend on the
    candles of that day only.
    """
    if series.interval >= DAY:
        return Unknown("needs candles shorter than a day")
    latest = forming.open_time if forming else series.last_open_time
    if latest < 0:
        return Unknown("needs 1 candles, has 0")
    first = series.first_from(latest // DAY * DAY)
    opened = series.open_times[first] if first < len(series) else latest
    if first == 0 and opened % DAY:
        return Unknown("the UTC day began before the first candle")
    day = recent(series, forming, first)
    if sum(day.volumes) <= 0:
        return Unknown("no volume since the UTC day began")
    return day.closes[-1] / float(stream.VWAP(*map(np.array, day)).value) - 1


def correlation(one: CandleSeries, other: CandleSeries) -> Reading:
    """Return Pearson's correlation (−1..1) of the log returns of two series, over the candles that both have."""
    closes = dict(zip(other.open_times[-RETURNS - 1 :], other.closes[-RETURNS - 1 :], strict=True))
    pairs = [
        (close, closes[at])
        for at, close in zip(one.open_times[-RETURNS - 1 :], one.closes[-RETURNS - 1 :], strict=True)
        if at in closes
    ]
    if len(pairs) <= _FEWEST_RETURNS:
        return Unknown(f"needs {_FEWEST_RETURNS + 1} candles that both symbols have, has {len(pairs)}")
    first, second = (
        [math.log(now / before) for before, now in pairwise(column)] for column in zip(*pairs, strict=True)
    )
    mean_1, mean_2 = math.fsum(first) / len(first), math.fsum(second) / len(second)
    covariance = math.fsum((a - mean_1) * (b - mean_2) for a, b in zip(first, second, strict=True))
    deviations = math.sqrt(math.fsum((a - mean_1) ** 2 for a in first) * math.fsum((b - mean_2) ** 2 for b in second))
    if deviations == 0:
        return Unknown("the price of one of the two symbols has not changed")
    return max(-1.0, min(1.0, covariance / deviations))

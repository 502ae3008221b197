"""What TA-Lib does not compute, or computes in a way that says too much of a market that stands still.

Each function takes the newest candle last. Nothing here remembers anything, so nothing depends on where history began.
"""

from array import array
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from talib import stream

from ocw_mcp.core.market.series import CandleSeries
from ocw_mcp.domain.time import DAY
from ocw_mcp.domain.unknown import Reading, Unknown

FLOW_CANDLES = 14
"""Candles over which volume is weighed."""
STOCHASTIC = 14
SMOOTHING = 3
_NOISE = 1e-9
"""RSI points: what rounding alone moves an RSI by stays far below."""


class Bar(NamedTuple):
    """A candle that is still forming, as indicators see it. Prices in quote currency, time in ms."""

    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Recent(NamedTuple):
    """The last `FLOW_CANDLES` + 1 candles, or as many as there are: every change over `FLOW_CANDLES` is in them."""

    highs: "array[float]"
    lows: "array[float]"
    closes: "array[float]"
    volumes: "array[float]"


def recent(series: CandleSeries, forming: Bar | None = None) -> Recent:
    """The newest candles of a series, the forming one included if it is given."""
    first = max(0, len(series) - FLOW_CANDLES - (forming is None))
    window = Recent(series.highs[first:], series.lows[first:], series.closes[first:], series.volumes[first:])
    if forming is not None:
        for column, value in zip(window, (forming.high, forming.low, forming.close, forming.volume), strict=True):
            column.append(value)
    return window


def stoch_rsi(rsi: Sequence[float]) -> tuple[Reading, Reading]:
    """%K and %D of StochRSI (14, 14, 3), 0..100, from the last 16 values of RSI 14; fewer values give what they can.

    %K = 100 × (RSI − lowest RSI) / (highest − lowest) over 14 values, %D the plain average of the last three %K
    (T. Chande and S. Kroll, The New Technical Trader, 1994). An RSI that has not moved has no place in its range:
    TA-Lib says 0 there, which would read as oversold.
    """
    fast = [_place_in_range(rsi[end - STOCHASTIC : end]) for end in range(STOCHASTIC, len(rsi) + 1)][-SMOOTHING:]
    known = [value for value in fast if value is not None]
    still = Unknown(f"RSI has not moved in {STOCHASTIC} candles")
    k = fast[-1] if fast and fast[-1] is not None else still
    d = sum(known) / SMOOTHING if len(known) == SMOOTHING else still
    return k, d


def _place_in_range(values: Sequence[float]) -> float | None:
    lowest, highest = min(values), max(values)
    return 100 * (values[-1] - lowest) / (highest - lowest) if highest - lowest > _NOISE else None


def percent_b(close: float, upper: float, lower: float) -> Reading:
    """Where the close lies between the Bollinger bands: 0 on the lower, 1 on the upper one, and beyond them outside."""
    if upper - lower <= abs(upper) * 1e-12:
        return Unknown("the bands have no width")
    return (close - lower) / (upper - lower)


class Flow(NamedTuple):
    """What volume says of the last 14 candles."""

    money: bool
    """Whether MFI has anything to weigh: volume on a typical price (high + low + close) that moved.

    Without any TA-Lib says 0, which would read as all of it flowing out.
    """
    change: Reading
    """The change of on-balance volume as a share of the volume: −1..1.

    OBV adds a candle's volume when it closes higher and takes it away when lower (J. Granville, 1963). Its level is an
    accident of where history began, its change is not.
    """
    divergence: Reading
    """How much volume and price disagree, −1..1; above 0 volume comes in while price falls. A formula of our own.

    With path = (net change of the close) / (sum of its absolute changes), which is Kaufman's efficiency ratio with its
    sign: (change − path) / 2 where the two have opposite signs, else 0.
    """


def flow(window: Recent) -> Flow:
    """Weigh the changes of price in a window by volume."""
    money, total, signed, way = False, 0.0, 0.0, 0.0
    before, typical_before = window.closes[0], window.highs[0] + window.lows[0] + window.closes[0]
    for high, low, close, volume in islice(zip(*window, strict=True), 1, None):
        typical = high + low + close
        money = money or (volume > 0 and typical != typical_before)
        total += volume
        signed += volume if close > before else -volume if close < before else 0.0
        way += abs(close - before)
        before, typical_before = close, typical
    change: Reading = signed / total if total > 0 else Unknown(f"no volume in {FLOW_CANDLES} candles")
    if isinstance(change, Unknown):
        return Flow(money, change, change)
    if way == 0:
        return Flow(money, change, Unknown(f"no close has moved in {FLOW_CANDLES} candles"))
    path = (window.closes[-1] - window.closes[0]) / way
    return Flow(money, change, (change - path) / 2 if change * path < 0 else 0.0)


def vwap_deviation(series: CandleSeries, forming: Bar | None = None) -> Reading:
    """The last close over the volume-weighted average price of its UTC day so far, less 1.

    TA-Lib's VWAP is cumulative: it is opened from the first candle of the day, so its bits depend on that day alone.
    """
    if series.interval >= DAY:
        return Unknown("needs candles shorter than a day")
    latest = forming.open_time if forming else series.last_open_time
    if latest < 0:
        return Unknown("needs 1 candles, has 0")
    first = series.first_from(latest // DAY * DAY)
    day = [column[first:] for column in (series.highs, series.lows, series.closes, series.volumes)]
    opened = series.open_times[first] if first < len(series) else latest
    if forming:
        for column, value in zip(day, (forming.high, forming.low, forming.close, forming.volume), strict=True):
            column.append(value)
    if first == 0 and opened % DAY:
        return Unknown("the UTC day began before the first candle")
    closes, volumes = day[2], day[3]
    if sum(volumes) <= 0:
        return Unknown("no volume since the UTC day began")
    average = float(stream.VWAP(*map(np.array, day)).value)
    return closes[-1] / average - 1

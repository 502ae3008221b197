"""The correlation of two symbols' returns."""

import math
from itertools import pairwise
from typing import Final

from ocw_mcp.core.market.series import CandleSeries
from ocw_mcp.domain.unknown import Reading, Unknown

RETURNS: Final = 48
"""Number of latest returns that are compared."""
_FEWEST_RETURNS = 24


def correlation(one: CandleSeries, other: CandleSeries) -> Reading:
    """Return Pearson's correlation (−1..1) of the log returns of two series with the same interval.

    Only candles that exist in both series are used.
    """
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

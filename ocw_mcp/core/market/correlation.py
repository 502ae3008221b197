"""How alike two symbols move."""

import math
from itertools import pairwise
from typing import Final

from ocw_mcp.core.market.series import CandleSeries
from ocw_mcp.domain.unknown import Reading, Unknown

RETURNS: Final = 48
"""The last returns that are compared."""
_AT_LEAST = 24


def correlation(one: CandleSeries, other: CandleSeries) -> Reading:
    """Pearson's correlation of two series' log returns, −1..1, over candles that both have; both of one interval."""
    closes = dict(zip(other.open_times[-RETURNS - 1 :], other.closes[-RETURNS - 1 :], strict=True))
    pairs = [
        (close, closes[at])
        for at, close in zip(one.open_times[-RETURNS - 1 :], one.closes[-RETURNS - 1 :], strict=True)
        if at in closes
    ]
    if len(pairs) <= _AT_LEAST:
        return Unknown(f"needs {_AT_LEAST + 1} candles of both symbols at once, has {len(pairs)}")
    first, second = (
        [math.log(now / before) for before, now in pairwise(column)] for column in zip(*pairs, strict=True)
    )
    mean_1, mean_2 = math.fsum(first) / len(first), math.fsum(second) / len(second)
    both = math.fsum((a - mean_1) * (b - mean_2) for a, b in zip(first, second, strict=True))
    alone = math.sqrt(math.fsum((a - mean_1) ** 2 for a in first) * math.fsum((b - mean_2) ** 2 for b in second))
    if alone == 0:
        return Unknown("one of the two has not moved")
    return max(-1.0, min(1.0, both / alone))

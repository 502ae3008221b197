"""The composite of the derivatives readings of a symbol, −1..1; above 0 it favours a long position."""

import math
from collections.abc import Mapping
from typing import Final

from ocw_mcp.domain.extremes import EXTREMES
from ocw_mcp.domain.unknown import Reading, Unknown

WEIGHTS: Final = {"funding": 0.35, "taker_flow": 0.30, "long_short": 0.25, "open_interest": 0.10}
LEAST_KNOWN_WEIGHT: Final = 0.5
"""The composite is computed only if the weights of the known components add up to at least this."""


def composite_parts(readings: Mapping[str, Reading]) -> dict[str, float]:
    """Return what each known component adds to the composite: its weight times tanh of its extreme sizes.

    High funding and a high long/short ratio count as bearish, a high taker ratio as bullish. Open interest has no
    direction of its own: its rise counts in the direction in which the price moved over the same 24 hours.
    """
    parts: dict[str, float] = {}
    for name, metric, sign in (
        ("funding", "funding_8h", -1.0),
        ("taker_flow", "taker_ratio_1h", 1.0),
        ("long_short", "long_short_z", -1.0),
    ):
        if not isinstance(value := readings[metric], Unknown):
            parts[name] = sign * WEIGHTS[name] * math.tanh(EXTREMES[metric].sizes(value))
    interest, price = readings["open_interest_change_24h"], readings["price_change_24h"]
    if not isinstance(interest, Unknown) and not isinstance(price, Unknown):
        size = math.tanh(EXTREMES["open_interest_change_24h"].sizes(interest))
        parts["open_interest"] = WEIGHTS["open_interest"] * size * ((price > 0) - (price < 0))
    return parts


def composite(parts: Mapping[str, float]) -> Reading:
    """Return the sum (−1..1) of `composite_parts`; Unknown if the weights of the known ones are too small."""
    if sum(WEIGHTS[name] for name in parts) < LEAST_KNOWN_WEIGHT:
        missing = ", ".join(name.replace("_", " ") for name in WEIGHTS if name not in parts)
        return Unknown(f"too little is known of derivatives: no {missing}")
    return math.fsum(parts.values())

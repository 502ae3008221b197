"""Quantiles of Beta distributions, without the half second that importing scipy takes."""

from typing import Final

import numpy as np

from ocw_mcp.core.learning.posteriors import Beta, Floats

_SPAN: Final = np.linspace(-9.0, 9.0, 361)
"""The places of the integration, in standard deviations of the log-odds."""


def beta_quantiles(found: Beta, *shares: float) -> tuple[Floats, ...]:
    """Return for each of the shares (0..1) that quantile of each distribution.

    It is exact to about 0.001 if a and b are above 0.5. If one is smaller, which only outcomes of one kind give, and
    their sum is above 1, the error is up to 0.08.

    The density of the log-odds y, exp(a·y) ÷ (1 + exp(y))^(a + b), is summed by the trapezoid rule around its mode
    ln(a ÷ b), at which its curvature is ab ÷ (a + b).
    """
    a, b = (found.mean * found.evidence)[..., None], ((1 - found.mean) * found.evidence)[..., None]
    places = np.log(a / b) + _SPAN * np.sqrt((a + b) / (a * b))
    density = a * places - (a + b) * np.logaddexp(0, places)
    density = np.exp(density - density.max(-1, keepdims=True))
    area = np.cumsum((density[..., 1:] + density[..., :-1]) / 2, -1)
    area = np.concatenate([np.zeros_like(area[..., :1]), area], -1) / area[..., -1:]
    return tuple(_quantile(places, area, each) for each in shares)


def _quantile(places: Floats, area: Floats, share: float) -> Floats:
    """Return the quantile of log-odds at which the area below the density is `share`, as a probability."""
    after = (area < share).sum(-1, keepdims=True)
    low, high = (np.take_along_axis(area, at, -1) for at in (after - 1, after))
    left, right = (np.take_along_axis(places, at, -1) for at in (after - 1, after))
    place = left + (right - left) * (share - low) / (high - low)
    quantile: Floats = (1 / (1 + np.exp(np.minimum(-place, 700))))[..., 0]  # exp overflows above 709
    return quantile

"""The anomaly of a symbol: how unusual its last hour is among the hours before."""

from typing import Final

import msgspec

PAST: Final = 199
"""The most earlier distances that a distance is compared with."""
LARGEST_QUANTILE: Final = PAST / (PAST + 1)
"""The largest quantile that is read: that of a distance above all earlier ones."""


class AnomalyReading(msgspec.Struct, frozen=True, tag="anomaly", tag_field="is"):
    """How unusual a row of market features is among the rows before it."""

    at: int
    """The time (ms) of the row."""
    distance: float
    """The robust Mahalanobis distance from the window; about the root of the number of features on a usual row."""
    quantile: float
    """The share of earlier distances that are smaller, from 0 to just below 1."""
    drivers: tuple[tuple[str, float], ...]
    """The features with their shares of the squared distance, the largest first. A share may be below 0."""

"""The anomaly of a symbol: how unusual its last hour is among the hours before."""

import msgspec


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

"""The sizes from which the derivatives readings of a symbol are extreme, which views, gate and live monitor share."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from ocw_mcp.domain.unknown import Reading, Unknown


class Extreme(NamedTuple):
    """The size from which a reading is extreme: its distance from the neutral value, in either direction."""

    size: float
    neutral: float = 0.0
    wake_size: float | None = None
    """The size from which the shipped policies wake the agent, if it is larger."""

    def sizes(self, value: float) -> float:
        """Return the distance of a value from neutral, as a multiple of `size` and with its sign."""
        return (value - self.neutral) / self.size

    def includes(self, value: float) -> bool:
        """Return whether a value is extreme: at the size or beyond it."""
        return abs(self.sizes(value)) >= 1


EXTREMES: Final[Mapping[str, Extreme]] = {
    "funding_8h": Extreme(0.0005),
    "open_interest_change_24h": Extreme(0.10),
    "taker_ratio_1h": Extreme(0.15, neutral=1.0, wake_size=0.45),
    "long_short_z": Extreme(1.5, wake_size=4.0),
    "liquidations_1h": Extreme(5_000_000.0),
    "basis": Extreme(0.30),
}
"""By metric: a rate per 8 h, a change in 24 h, a taker ratio (below 0.85 or above 1.15), standard deviations, quote
currency in an hour, and a share a year.

The taker ratio and the z-score are extreme about once a day in a calm market. If they woke the agent from there on, it
would wake 9 % (ETHUSDT in 26 days of 2026, nine of them with metrics) to 24 % (simulated market) more often; with
`wake_size` it is 1 %.
"""

WAKE_SIZES: Final = {metric: extreme.wake_size or extreme.size for metric, extreme in EXTREMES.items()}
"""The sizes from which the shipped policies wake the agent, by metric."""


def extreme_readings(readings: Mapping[str, Reading]) -> tuple[str, ...]:
    """Return the names of the readings that are extreme, in the order of `EXTREMES`; an unknown one is not."""
    return tuple(
        name
        for name, extreme in EXTREMES.items()
        if not isinstance(value := readings.get(name, Unknown("")), Unknown) and extreme.includes(value)
    )

"""The macro regime: the directions of growth and inflation, and the series that they come from."""

from enum import StrEnum
from typing import NamedTuple

import msgspec


class Quadrant(StrEnum):
    """The directions of growth and inflation."""

    GOLDILOCKS = "goldilocks"
    """Growth rises, inflation falls."""
    REFLATION = "reflation"
    """Both rise."""
    DEFLATION = "deflation"
    """Both fall."""
    STAGFLATION = "stagflation"
    """Growth falls, inflation rises."""


class MacroValue(NamedTuple):
    """The newest published value of one series, in the unit of its source."""

    name: str
    value: float
    date: str
    """The day of the value, or the first day of its month: `2026-05-01`."""
    change: float | None
    """The change since the value before, in the same unit; None if that is not known."""


class MacroReading(msgspec.Struct, frozen=True, tag="macro", tag_field="is"):
    """The macro regime as published up to a time."""

    quadrant: Quadrant
    """The quadrant after hysteresis."""
    growth: float
    """The measure of growth whose sign gives its direction; above 0 growth rises."""
    inflation: float
    """The measure of inflation whose sign gives its direction; above 0 inflation rises."""
    as_of: int
    """The time (ms) at which the newest value that counts was published."""
    series: tuple[MacroValue, ...] = ()
    """The newest values, also of series that only give context, such as liquidity and stress."""
    stale: bool = False
    """Whether the sources could not be read for longer than they are cached: an old reading counts as unknown."""

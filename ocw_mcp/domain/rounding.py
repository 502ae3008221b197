"""Floats without their last bits, in which processors and libraries differ.

`exp`, `log` and sums of numpy give other last bits on a processor with other vector instructions. A number that goes
into a journal or a snapshot, or is compared, is rounded first, so that a book has the same journal on every machine.
This fails only for a value that lies within such a difference of a rounding boundary.
"""

from collections.abc import Iterable
from typing import Final

DIGITS: Final = 10
"""The significant digits that are kept."""


def rounded(value: float, digits: int = DIGITS) -> float:
    """Return a number with so many significant digits."""
    return float(f"{value:.{digits}g}")


def rounded_all(values: Iterable[float], digits: int = DIGITS) -> tuple[float, ...]:
    """Return numbers with so many significant digits each."""
    return tuple(rounded(value, digits) for value in values)

"""The outlier layer's yardstick: the returns before the one that is tested, and never that one itself."""

import math
from collections import deque

_UNIT = 1e-12
"""Returns are kept as whole multiples of this, so that running sums are exact however the window was reached."""

_FLAT = 1e-9
"""Below this standard deviation of log returns a market counts as flat, and any move as an outlier."""


class Yardstick:
    """The last `window` log returns of one symbol."""

    __slots__ = ("_returns", "_sum", "_sum_of_squares", "_window", "ready")

    def __init__(self, window: int) -> None:
        self._window = window
        self._returns: deque[int] = deque()
        self._sum = 0
        self._sum_of_squares = 0
        self.ready = False
        """Whether there are returns enough to measure by."""

    def z(self, value: float) -> float:
        """How many sample standard deviations a return lies off the mean of those before it; ±inf off a flat market.

        Call it only when `ready`.
        """
        n = self._window
        total = self._sum
        # n·Σr² - (Σr)² is exact in integers: no cancellation, no drift.
        deviation = math.sqrt((n * self._sum_of_squares - total * total) / (n * (n - 1))) * _UNIT
        off = value - total * _UNIT / n
        if deviation < _FLAT:
            return math.copysign(math.inf, off) if abs(off) > _FLAT else 0.0
        return off / deviation

    def take(self, value: float) -> None:
        """Let a return, tested by now, become part of the yardstick."""
        self._add(round(value / _UNIT))

    def state(self) -> list[int]:
        """The returns in units of 1e-12, oldest first."""
        return list(self._returns)

    def restore(self, returns: list[int]) -> None:
        """Put back what `state` gave."""
        for units in returns:
            self._add(units)

    def _add(self, units: int) -> None:
        returns = self._returns
        returns.append(units)
        self._sum += units
        self._sum_of_squares += units * units
        if self.ready:
            oldest = returns.popleft()
            self._sum -= oldest
            self._sum_of_squares -= oldest * oldest
        else:
            self.ready = len(returns) == self._window

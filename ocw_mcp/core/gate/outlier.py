"""The outlier layer: a return is held against the returns before it, and never against itself.

A return is taken over a span of candles, at every candle anew, so that a move is seen while it happens. The yardstick
is made of returns over the same span, side by side and all of them over before the tested one begins.
"""

import math
from collections import deque

import msgspec

_UNIT = 1e-12
"""Returns are kept as whole multiples of this, so that running sums are exact however the window was reached."""

_FLAT = 1e-9
"""Below this standard deviation of log returns a market counts as flat, and any move as an outlier."""


class Yardstick:
    """The last `window` log returns of one symbol."""

    __slots__ = ("_deviation", "_mean", "_returns", "_sum", "_sum_of_squares", "_window", "ready")

    def __init__(self, window: int) -> None:
        self._window = window
        self._returns: deque[int] = deque()
        self._sum = 0
        self._sum_of_squares = 0
        self._mean = 0.0
        self._deviation = 0.0
        self.ready = False
        """Whether there are returns enough to measure by."""

    def z(self, value: float) -> float:
        """How many sample standard deviations a return lies off the mean of those before it; ±inf off a flat market.

        Call it only when `ready`.
        """
        off = value - self._mean
        if self._deviation < _FLAT:
            return math.copysign(math.inf, off) if abs(off) > _FLAT else 0.0
        return off / self._deviation

    def take(self, value: float) -> None:
        """Let a return become part of the yardstick."""
        self._add(round(value / _UNIT))
        self._measure()

    def state(self) -> list[int]:
        """The returns in units of 1e-12, oldest first."""
        return list(self._returns)

    def restore(self, returns: list[int]) -> None:
        """Put back what `state` gave."""
        for units in returns:
            self._add(units)
        self._measure()

    def _measure(self) -> None:
        if not self.ready:
            return
        n = self._window
        total = self._sum
        # n·Σr² - (Σr)² is exact in integers: no cancellation, no drift.
        self._deviation = math.sqrt((n * self._sum_of_squares - total * total) / (n * (n - 1))) * _UNIT
        self._mean = total * _UNIT / n

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


class SpanState(msgspec.Struct):
    """All that a `ReturnSpan` remembers."""

    returns: list[int] = []
    """Of the yardstick."""
    closes: list[float] = []
    """Of the last candles, as far back as a return may reach; oldest first."""
    step: int = 0
    """Candles since the last return of the yardstick was over."""
    over: float | None = None
    """That return, while a tested one could still overlap it."""
    told: int = 0
    """For how many candles more a tested return would overlap one that was told."""
    escalated: bool = False
    """Whether what was told was an escalation."""


class ReturnSpan:
    """Returns of one symbol over `candles` base candles, and which of them are to be told."""

    def __init__(self, candles: int, window: int, *, outlier_z: float, escalation_z: float) -> None:
        self._candles = candles
        self._outlier_z = outlier_z
        self._escalation_z = escalation_z
        self._yardstick = Yardstick(window)
        self._state = SpanState()

    @property
    def ready(self) -> bool:
        """Whether there are returns enough to measure by."""
        return self._yardstick.ready

    def look(self, close: float, *, after_hole: bool) -> float | None:
        """Take the next candle's close; how far the return that ends with it lies off, where that is to be told.

        A move is told once, and again only when it escalates. A return over a hole is tested, but no part of the
        yardstick: it spans more candles than the others.
        """
        closes = self._state.closes
        found = None
        if closes:
            self._settle()
            if self._yardstick.ready:
                found = self._told(self._yardstick.z(math.log(close / closes[0])))
        self._take(close, after_hole=after_hole)
        return found

    def warm(self, close: float, *, after_hole: bool) -> None:
        """Take a close at which nobody looks."""
        self._settle()
        self._take(close, after_hole=after_hole)

    def state(self) -> SpanState:
        """All that must survive a restart."""
        self._state.returns = self._yardstick.state()
        return self._state

    def restore(self, state: SpanState, /) -> None:
        """Put back what `state` gave."""
        self._state = state
        self._yardstick.restore(state.returns)

    def _told(self, z: float) -> float | None:
        state = self._state
        escalates = abs(z) >= self._escalation_z
        if state.told > 0:
            if state.escalated or not escalates:
                return None
        elif abs(z) < self._outlier_z:
            return None
        state.told = self._candles
        state.escalated = escalates
        return z

    def _settle(self) -> None:
        """A return that ends with the next candle begins where the last one that is over ended, or later."""
        state = self._state
        if state.over is not None and state.step + 1 == self._candles:
            self._yardstick.take(state.over)
            state.over = None

    def _take(self, close: float, *, after_hole: bool) -> None:
        state = self._state
        state.told = max(0, state.told - 1)
        if after_hole or not state.closes:
            state.closes = [close]
            state.step = 0
            return
        state.closes.append(close)
        state.step += 1
        if state.step == self._candles:
            state.over = math.log(close / state.closes[-1 - self._candles])
            state.step = 0
        if len(state.closes) > self._candles:
            del state.closes[0]

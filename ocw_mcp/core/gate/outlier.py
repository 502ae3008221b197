"""The outlier test: it compares a return of a symbol with earlier returns of that symbol.

The return over a span of candles is tested at every candle, so that a price move is found before it ends. The tested
return is compared with the yardstick: adjacent returns over the same span that all ended before the tested one began.
"""

import math
from collections import deque
from collections.abc import Sequence

import msgspec

_UNIT = 1e-12
"""Returns are rounded to multiples of this unit and added as integers, so that running sums are exact."""

_FLAT = 1e-9
"""If the standard deviation of log returns is lower than this, the market is flat, and any move is an outlier."""


class Yardstick:
    """The last `window` log returns of one symbol."""

    __slots__ = ("_moments", "_returns", "_sum", "_sum_of_squares", "ready", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        """The number of returns of a full window."""
        self._returns: deque[int] = deque()
        self._sum = self._sum_of_squares = 0
        self._moments: tuple[float, float] | None = None
        """The mean and the deviation of the window; None if they have to be computed anew."""
        self.ready = False
        """Whether the window is full."""

    def z(self, value: float) -> float:
        """Return the z-score of a log return in the window, which must be full; ±inf for a move in a flat market."""
        mean, deviation = self._moments or self._compute()
        off = value - mean
        if deviation < _FLAT:
            return math.copysign(math.inf, off) if abs(off) > _FLAT else 0.0
        return off / deviation

    def take(self, value: float) -> None:
        """Add a return to the yardstick."""
        self._add(round(value / _UNIT))

    def state(self) -> list[int]:
        """Return the returns in units of 1e-12, oldest first."""
        return list(self._returns)

    def restore(self, returns: list[int]) -> None:
        """Restore a state that `state` returned."""
        for units in returns:
            self._add(units)

    def _add(self, units: int) -> None:
        returns = self._returns
        returns.append(units)
        self._sum += units
        self._sum_of_squares += units * units
        self._moments = None
        if self.ready:
            oldest = returns.popleft()
            self._sum -= oldest
            self._sum_of_squares -= oldest * oldest
        else:
            self.ready = len(returns) >= self.window

    def _compute(self) -> tuple[float, float]:
        n, total = self.window, self._sum
        # n·Σr² - (Σr)² is exact in integers: no cancellation, no drift.
        deviation = math.sqrt((n * self._sum_of_squares - total * total) / (n * (n - 1))) * _UNIT
        self._moments = total * _UNIT / n, deviation
        return self._moments


class SpanState(msgspec.Struct):
    """The saved state of a `ReturnSpan`."""

    returns: list[int] = []
    """The returns of the yardstick, in units of 1e-12."""
    closes: list[float] = []
    """The closing prices of the last candles, as many as one return spans, oldest first."""
    step: int = 0
    """The number of candles since the last of the adjacent returns ended."""
    over: float | None = None
    """The last of the adjacent returns; it joins the yardstick as soon as no tested return can overlap it."""
    overlaps: int = msgspec.field(default=0, name="told")
    """The number of future candles at which the tested return still overlaps the last reported return."""
    escalated: bool = False
    """Whether the z-score of the last reported return reached the escalation z-score."""


class ReturnSpan:
    """Tests the returns of one symbol over `candles` base candles, and finds the outliers to report."""

    def __init__(self, candles: int, outlier_z: float, window: int, escalation_z: float) -> None:
        self._candles, self._outlier_z, self._escalation_z = candles, outlier_z, escalation_z
        self._lowest_z = min(outlier_z, escalation_z)
        self._yardstick = Yardstick(window)
        self._state = SpanState()

    @property
    def ready(self) -> bool:
        """Whether the window of the yardstick is full."""
        return self._yardstick.ready

    def evaluate(self, close: float, *, after_hole: bool) -> float | None:
        """Add the next candle's close. Return the z-score of the return up to it, or None if none is to be reported.

        A move is reported once, and again only if it escalates. A return over a data gap is tested, but does not
        join the yardstick, because it spans more time than the others.
        """
        state, yardstick, found = self._state, self._yardstick, None
        if state.closes:
            if state.over is not None and state.step + 1 == self._candles:
                self._settle()
            if yardstick.ready:
                z = yardstick.z(math.log(close / state.closes[0]))
                if abs(z) >= self._lowest_z:
                    found = self._reported(z)
        self._take(close, after_hole=after_hole)
        return found

    def warm(self, closes: Sequence[float], *, after_hole: bool) -> None:
        """Add the closes of consecutive candles without a test; `after_hole` says whether the first follows a gap."""
        if after_hole:
            self._settle()
            self._take(closes[0], after_hole=True)
            closes = closes[1:]
        state, candles = self._state, self._candles
        known = [*state.closes, *closes]
        # The index in `known` at which the last finished return ends, or the first candle after a gap.
        last_end = max(0, len(state.closes) - 1 - state.step)
        ends = range(last_end + candles, len(known), candles)
        if ends:
            # Earlier returns have left the window, or would leave it now.
            found = [math.log(known[end] / known[end - candles]) for end in ends[-1 - self._yardstick.window :]]
            for over in found[:-1] if state.over is None else (state.over, *found[:-1]):
                self._yardstick.take(over)
            state.over = found[-1]
        state.closes = known[-candles:]
        state.step = max(0, len(known) - 1 - last_end) % candles
        state.overlaps = max(0, state.overlaps - len(closes))

    def state(self) -> SpanState:
        """Return all that must survive a restart."""
        self._state.returns = self._yardstick.state()
        return self._state

    def restore(self, state: SpanState, /) -> None:
        """Restore a state that `state` returned."""
        self._state = state
        self._yardstick.restore(state.returns)

    def _reported(self, z: float) -> float | None:
        """Return `z` and record the report if it is to be reported; otherwise return None."""
        state = self._state
        escalates = abs(z) >= self._escalation_z
        if state.overlaps > 0:
            if state.escalated or not escalates:
                return None
        elif abs(z) < self._outlier_z:
            return None
        state.overlaps = self._candles
        state.escalated = escalates
        return z

    def _settle(self) -> None:
        """Add the last of the adjacent returns to the yardstick, unless the next tested return overlaps it."""
        state = self._state
        if state.over is not None and state.step + 1 == self._candles:
            self._yardstick.take(state.over)
            state.over = None

    def _take(self, close: float, *, after_hole: bool) -> None:
        state, closes, candles = self._state, self._state.closes, self._candles
        if state.overlaps:
            state.overlaps -= 1
        if after_hole or not closes:
            state.closes = [close]
            state.step = 0
            return
        closes.append(close)
        state.step += 1
        if state.step == candles:
            state.over = math.log(close / closes[-1 - candles])
            state.step = 0
        if len(closes) > candles:
            del closes[0]

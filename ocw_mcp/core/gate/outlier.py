"""The outlier test: at each close of a base candle it looks for price moves of a symbol that are worth a wake.

A channel watches the log returns over one span. Its base is the size at which a move begins to count: some standard
deviations of returns over the span, or a fixed share of the price. The standard deviation is that of the returns before
the tested one began. A move x times as large as the base has the level ⌊log x / log step⌋. It is reported if the
channel did not reach this level in this direction during the quiet time, so that a move is reported when it begins,
and again whenever it has grown by the step.

The anchor is the price at the last wake. A price that is far from it is reported as well, so that a slow move, which no
channel sees, does not go unnoticed.
"""

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from ocw_mcp.core.gate.levels import Reached, reports_level
from ocw_mcp.domain.policies import GatePolicy
from ocw_mcp.domain.snapshot import WakeKind, WakeReason
from ocw_mcp.domain.time import DAY, HOUR, SECOND, span_ms, span_name

_LEAST_VARIANCE: Final = 1e-18
"""The smallest variance of the log returns of a candle: a market without any move has no standard deviation."""
_SPARE: Final = 512
"""The number of candles after which those that no channel needs any more are removed."""
SINCE_WAKE: Final = "since_wake"
"""The subject of a wake reason of the anchor."""


class Outlier(NamedTuple):
    """A move to report: the name and the span (ms) of its channel, and its size as text. The anchor's span is 0."""

    name: str
    span: int
    detail: str

    @property
    def reason(self) -> WakeReason:
        """The wake reason of the move."""
        return WakeReason(WakeKind.OUTLIER, self.name, self.detail)


class Channel(NamedTuple):
    """A channel of the outlier test, for moves over `span` ms."""

    name: str
    """The span as text, such as `15m`."""
    key: str
    """The name of the channel in the saved state."""
    span: int
    candles: int
    size: float
    """The base: standard deviations of returns over the span, or a log return."""
    in_sigmas: bool
    log_step: float

    @property
    def test(self) -> "Test":
        """The values with which a move is tested."""
        square = self.size * self.size
        return -1 - self.candles, square * self.candles if self.in_sigmas else square, self


Test = tuple[int, float, Channel]
"""The index of the close at which the move of a channel begins, and its squared base, for a variance of 1 if it is in
standard deviations."""


class PriceMovesState(msgspec.Struct):
    """The saved state of `PriceMoves`."""

    at: int | None = None
    """The close time (ms) of the last candle."""
    logs: list[float] = []
    """The logarithms of the last closes, oldest first, as many as the longest span needs; NaN for a missing candle."""
    variances: list[float] = []
    """The variance of the log returns of a candle, known at each of these closes; NaN before it is usable."""
    mean_square: float = 0.0
    """The weighted mean of the squared log returns, before the division by `weight`."""
    weight: float = 0.0
    """The sum of the weights in `mean_square`."""
    returns: int = 0
    """The number of returns in it."""
    reached: Reached = {}
    anchor: float | None = None
    """The logarithm of the close at the last wake; None before the first, and from a report to the next wake."""


def channels_of(policy: GatePolicy, interval: int) -> tuple[list[Channel], list[str]]:
    """Return the channels for base candles of `interval` ms, and the spans that are no multiple of it."""
    channels, left_out = list[Channel](), list[str]()
    # A share is reached at one log return if returns are simple ones, and at another if they are not. Both are watched,
    # because a slow move may pass the second one minutes after the first.
    wanted = [("sigmas", text, size, policy.outlier_step) for text, size in policy.outlier_sigmas.items()]
    for text, size in policy.outlier_moves.items():
        wanted.append(("share", text, math.log1p(size), policy.outlier_move_step))
        wanted.append(("log share", text, size, policy.outlier_move_step))
    for unit, text, size, step in wanted:
        span = span_ms(text)
        candles, rest = divmod(span, interval)
        if rest or not candles:
            left_out.append(text)
            continue
        name = span_name(span)
        channels.append(Channel(name, f"{name} {unit}", span, candles, size, unit == "sigmas", math.log(step)))
    return channels, sorted(set(left_out), key=span_ms)


class PriceMoves:
    """Finds the moves of one symbol to report."""

    def __init__(self, policy: GatePolicy, interval: int) -> None:
        """`interval` is the length of a base candle in ms."""
        self._interval = interval
        self._channels, self.left_out = channels_of(policy, interval)
        self._in_sigmas = [each.test for each in self._channels if each.in_sigmas]
        self._in_shares = [each.test for each in self._channels if not each.in_sigmas]
        self._length = max((each.candles for each in self._channels), default=0) + 1
        self._decay = 0.5 ** (interval / (policy.outlier_half_life_h * HOUR))
        self._usable_from = max(2, DAY // interval)
        self._quiet = policy.outlier_quiet_s * SECOND
        self._rise, self._fall = math.log1p(policy.anchor), math.log1p(-policy.anchor)
        self._variance = math.nan
        self._state = PriceMovesState(
            logs=[math.nan] * self._length,
            variances=[math.nan] * self._length,
            reached={each.key: ([], []) for each in self._channels},
        )

    @property
    def ready(self) -> bool:
        """Whether all channels are usable: standard deviations are after a day of returns."""
        return not self._in_sigmas or self._state.returns >= self._usable_from

    def evaluate(self, close: float, at: int) -> list[Outlier]:
        """Take the close of the candle that ended at `at` (ms), later than the last. Return the moves to report."""
        log = self._take(close, at)
        logs, variances, found = self._state.logs, self._state.variances, list[Outlier]()
        # A missing candle and an unusable variance are NaN, which is not smaller than anything.
        for begin, square, channel in self._in_sigmas:
            move = log - logs[begin]
            if move * move >= square * variances[begin]:
                sigmas = move / math.sqrt(square * variances[begin])
                if self._reports(channel, sigmas, at):
                    found.append(Outlier(channel.name, channel.span, f"{sigmas * channel.size:+.1f} sigmas"))
        for begin, square, channel in self._in_shares:
            move = log - logs[begin]
            if move * move >= square and self._reports(channel, move / math.sqrt(square), at):
                text = f"{math.expm1(move):+.2%}"
                if not found or found[-1].detail != text:
                    found.append(Outlier(channel.name, channel.span, text))
        anchor = self._state.anchor
        if anchor is not None and not self._fall < log - anchor < self._rise:
            self._state.anchor = None
            found.append(Outlier(SINCE_WAKE, 0, f"{math.expm1(log - anchor):+.2%}"))
        return found

    def warm(self, closes: Iterable[float], first_at: int) -> None:
        """Take the closes of consecutive candles, the first of which ended at `first_at` (ms), without a test."""
        for place, close in enumerate(closes):
            self._take(close, first_at + place * self._interval)

    def woke(self) -> None:
        """Set the anchor to the last close, because the agent wakes now."""
        last = self._state.logs[-1]
        self._state.anchor = None if math.isnan(last) else last

    def state(self) -> PriceMovesState:
        """Return all that must survive a restart."""
        self._trim()
        return self._state

    def restore(self, state: PriceMovesState, /) -> None:
        """Restore a state that `state` returned; channels of a changed policy begin without levels."""
        for each in self._channels:
            state.reached.setdefault(each.key, ([], []))
        missing = [math.nan] * max(0, self._length - len(state.logs))
        state.logs = missing + state.logs
        state.variances = missing + state.variances
        self._state = state
        self._variance = state.variances[-1]

    def _take(self, close: float, at: int) -> float:
        """Add a close, and return its logarithm."""
        state, logs = self._state, self._state.logs
        log = math.log(close)
        if state.at is not None:
            elapsed = (at - state.at) // self._interval
            if elapsed == 1:
                over = log - logs[-1]
                state.mean_square = self._decay * state.mean_square + (1 - self._decay) * over * over
                state.weight = self._decay * state.weight + (1 - self._decay)
                state.returns += 1
                if state.returns >= self._usable_from:
                    self._variance = max(state.mean_square / state.weight, _LEAST_VARIANCE)
            else:
                # The return over a data gap spans more time than the others, and does not join the variance.
                missing = min(elapsed - 1, self._length)
                logs.extend([math.nan] * missing)
                state.variances.extend([math.nan] * missing)
        state.at = at
        logs.append(log)
        state.variances.append(self._variance)
        if len(logs) > self._length + _SPARE:
            self._trim()
        return log

    def _trim(self) -> None:
        del self._state.logs[: -self._length]
        del self._state.variances[: -self._length]

    def _reports(self, channel: Channel, bases: float, at: int) -> bool:
        return reports_level(self._state.reached, channel.key, bases, channel.log_step, self._quiet, at)

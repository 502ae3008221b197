"""The outlier test: at each close of a base candle it looks for price moves of a symbol that are worth a wake.

A channel watches the log returns over one span. Its base is the size at which a move begins to count: some standard
deviations of returns over the span, or a fixed share of the price. The standard deviation is that of the returns before
the tested one began. A move x times as large as the base has the level ⌊log x / log step⌋. It is reported if the
channel did not reach this level in this direction during the quiet time, so that a move is reported when it begins,
and again whenever it has grown by the step.

The anchor is the price at the last wake, and before the first wake the first close that is tested. A price that is far
from it is reported as well, so that a slow move, which no channel sees, does not go unnoticed.
"""

import math
from collections.abc import Iterable, Sequence
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
_BLOCK: Final = 15
"""The number of candles for which a calm range is computed at once. It covers the channels of at least this length."""
_SHARE_OF_BASE, _MARGIN = 1 - 1e-9, 1e-12
"""A calm range is narrower than the bases by these, which is far more than the rounding errors of a log return."""
_NOT_CALM: Final = math.inf, -math.inf
"""A range that contains nothing."""
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


Block = tuple[float, float, float]
"""The smallest and the largest logarithm of `_BLOCK` consecutive closes, and the smallest variance known at them."""


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
    """The logarithm of the close at the last wake, or of the first tested close; None after a report, until a wake."""
    tested: bool = False
    """Whether a close has been tested."""


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
    """Finds the moves of one symbol to report.

    To be fast, it computes a calm range of prices for the next `_BLOCK` candles: at a price within this range, no
    channel of at least `_BLOCK` candles can have a move to report, so that only the shorter channels are tested.
    """

    def __init__(self, policy: GatePolicy, interval: int) -> None:
        """`interval` is the length of a base candle in ms."""
        self._interval = interval
        self._channels, _ = channels_of(policy, interval)
        every = [each.test for each in self._channels]
        short = [each for each in every if each[2].candles < _BLOCK]
        self._every, self._short = _by_unit(every), _by_unit(short)
        self._begins = _begins(every)
        self._length = max((each.candles for each in self._channels), default=0) + 1
        self._blocks_kept = -(-self._length // _BLOCK)
        self._longest = self._length + _SPARE
        self._decay = 0.5 ** (interval / (policy.outlier_half_life_h * HOUR))
        self._share = 1 - self._decay
        self._usable_from = max(2, DAY // interval)
        self._quiet = policy.outlier_quiet_s * SECOND
        self._rise, self._fall = math.log1p(policy.anchor), math.log1p(-policy.anchor)
        self._blocks = list[Block | None]()
        """The last blocks of closes, the newest last; None for one with a missing candle or an unusable variance."""
        self._calm = _NOT_CALM
        self._calm_for = 0
        """The number of candles for which the calm range still holds; below 0 after candles without a test."""
        self.restore(PriceMovesState())

    def evaluate(self, close: float, at: int) -> list[Outlier]:
        """Take the close of the candle that ended at `at` (ms), later than the last. Return the moves to report."""
        if self._calm_for <= 0:
            self._find_calm()
        self._calm_for -= 1
        log = self._take(close, at)
        state, lowest, highest = self._state, *self._calm
        logs, variances, anchor = state.logs, state.variances, state.anchor
        found: list[Outlier] = []
        in_sigmas, in_shares = self._short if lowest < log < highest else self._every
        # A missing candle and an unusable variance are NaN, which is not smaller than anything.
        for begin, square, channel in in_sigmas:
            move = log - logs[begin]
            if move * move >= square * variances[begin]:
                sigmas = move / math.sqrt(square * variances[begin])
                if self._reports(channel, sigmas, at):
                    found.append(Outlier(channel.name, channel.span, f"{sigmas * channel.size:+.1f} sigmas"))
        for begin, square, channel in in_shares:
            move = log - logs[begin]
            if move * move >= square and self._reports(channel, move / math.sqrt(square), at):
                # Both channels of a share may report the same move.
                outlier = Outlier(channel.name, channel.span, f"{math.expm1(move):+.2%}")
                if found[-1:] != [outlier]:
                    found.append(outlier)
        if not state.tested:
            state.tested, state.anchor, anchor = True, log, log
        if anchor is not None and not self._fall < log - anchor < self._rise:
            state.anchor = None
            found.append(Outlier(SINCE_WAKE, 0, f"{math.expm1(log - anchor):+.2%}"))
        return found

    def warm(self, closes: Iterable[float], first_at: int) -> None:
        """Take the closes of consecutive candles, the first of which ended at `first_at` (ms), without a test."""
        self._calm_for = -1
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
        self._calm_for = -1
        self.ready = self._usable_from <= state.returns or not self._every[0]
        """True if all channels can report: standard deviations need a day of returns first."""

    def _take(self, close: float, at: int) -> float:
        """Add a close, and return its logarithm."""
        state = self._state
        logs, before, log = state.logs, state.at, math.log(close)
        if before is not None:
            elapsed = (at - before) // self._interval
            if elapsed == 1:
                over, decay, share = log - logs[-1], self._decay, self._share
                state.mean_square = mean = decay * state.mean_square + share * over * over
                state.weight = weight = decay * state.weight + share
                state.returns = returns = state.returns + 1
                if returns >= self._usable_from:
                    variance = mean / weight
                    self._variance = _LEAST_VARIANCE if variance < _LEAST_VARIANCE else variance
                    self.ready = True
            else:
                # The return over a data gap spans more time than the others, and does not join the variance.
                missing = min(elapsed - 1, self._length)
                logs.extend([math.nan] * missing)
                state.variances.extend([math.nan] * missing)
                self._calm_for, self._calm = -1, _NOT_CALM
        state.at = at
        logs.append(log)
        state.variances.append(self._variance)
        if len(logs) > self._longest:
            self._trim()
        return log

    def _find_calm(self) -> None:
        """Set the calm range for the next `_BLOCK` candles."""
        logs, variances, blocks = self._state.logs, self._state.variances, self._blocks
        if self._calm_for < 0:
            blocks.clear()
            for back in range(self._blocks_kept, 1, -1):
                begin, end = max(0, len(logs) - back * _BLOCK), len(logs) - (back - 1) * _BLOCK
                blocks.append(_block(logs[begin:end], variances[begin:end]))
        blocks.append(_block(logs[-_BLOCK:], variances[-_BLOCK:]))
        del blocks[: -self._blocks_kept]
        self._calm, self._calm_for = self._calm_range(), _BLOCK

    def _calm_range(self) -> tuple[float, float]:
        """Return the range whose prices are less than a base away from all closes at which the next moves begin."""
        lowest, highest, blocks = -math.inf, math.inf, self._blocks
        for place, square, share in self._begins:
            block = blocks[place]
            if block is None:
                return _NOT_CALM
            low, high, variance = block
            base = min(math.sqrt(square * variance), share) * _SHARE_OF_BASE - _MARGIN
            if high - base > lowest:
                lowest = high - base
            if low + base < highest:
                highest = low + base
        return lowest, highest

    def _trim(self) -> None:
        del self._state.logs[: -self._length]
        del self._state.variances[: -self._length]

    def _reports(self, channel: Channel, bases: float, at: int) -> bool:
        return reports_level(self._state.reached, channel.key, bases, channel.log_step, self._quiet, at)


def _by_unit(tests: Sequence[Test]) -> tuple[list[Test], list[Test]]:
    """Return the tests in standard deviations, and those in shares of the price."""
    return [each for each in tests if each[2].in_sigmas], [each for each in tests if not each[2].in_sigmas]


def _begins(tests: Sequence[Test]) -> list[tuple[int, float, float]]:
    """Return where the moves of at least `_BLOCK` candles begin: the index of a block, counted from the newest one.

    Each with the smallest squared base of these moves, for a variance of 1, and their smallest base as a log return.
    """
    found = dict[int, tuple[float, float]]()
    for _, square, channel in tests:
        if channel.candles < _BLOCK:
            continue
        # The moves of the next candles begin in one block, or in parts of two.
        for place in {-(-channel.candles // _BLOCK), channel.candles // _BLOCK}:
            squares, share = found.get(place, (math.inf, math.inf))
            if channel.in_sigmas:
                found[place] = min(squares, square), share
            else:
                found[place] = squares, min(share, channel.size)
    return [(-place, square, share) for place, (square, share) in found.items()]


def _block(logs: Sequence[float], variances: Sequence[float]) -> Block | None:
    """Return the block of some closes; None if one is missing or has no usable variance."""
    if math.isnan(sum(logs) + sum(variances)):
        return None
    return min(logs), max(logs), min(variances)

"""The wake-up gate evaluates a symbol at the close of each base candle, and collects the reasons to wake the agent.

- A candle of a timeframe that the policy names has closed.
- The timer that the agent set is due.
- A symbol's return over some minutes is an outlier against earlier returns, or its one-minute return is extreme.
- A wake condition that the agent set is met.
- The position guard reports that the exit score of a position has risen into the review band.
- A position was closed or an entry lapsed, if the policy says so (`engine/since.py`).
- Market data are missing while a position is open (`engine/live.py`).

If the policy sets `every`, the gate wakes the agent at fixed times instead: at the first candle close at or after each
multiple of `every` in UTC. With `every`, only wake conditions and missing market data wake the agent at other times.

Each wake reason is kept until a wake contains it. A wake reason that arises during the cooldown after a wake, or while
a decision is open, causes a wake when the cooldown or the decision ends. An escalated outlier and missing market data
end a cooldown, but no reason interrupts a decision. One wake contains the reasons of all symbols.
"""

import math
from collections.abc import Callable, Collection, Sequence

import msgspec

from ocw_mcp.core.gate.outlier import ReturnSpan, SpanState
from ocw_mcp.domain.decision import Comparison, WakeCondition
from ocw_mcp.domain.happenings import StandingCondition
from ocw_mcp.domain.policies import GatePolicy
from ocw_mcp.domain.snapshot import Remark, SymbolWake, WakeKind, WakeReason
from ocw_mcp.domain.time import MINUTE, SECOND, span_ms, span_name
from ocw_mcp.domain.unknown import Reading, Unknown

_KEPT_PER_SYMBOL = 16
"""The number of wake reasons that are kept for one symbol; further reasons are only counted."""
_AT_ONCE = 1_024
"""The largest number of closes that are added to the outlier statistics at once."""
AT_MOST = 16
"""The largest number of wake conditions of a book."""
LONGEST_REASON = 120
"""The largest number of characters kept of a wake condition's reason, which a model may have written."""

Read = Callable[[str, str], Reading]
"""Returns the current value of a metric of a symbol: `read(symbol, metric)`."""


class ArmedCondition(msgspec.Struct):
    """A wake condition that has not fired: its metric was `reference` when set, and `last` at the last evaluation."""

    condition: WakeCondition
    by: str
    """The decider that set the condition."""
    set_at: int
    expires_at: int
    reference: float
    last: float
    with_position: bool = False
    """Whether the condition ends when the position of its symbol is closed."""


class Conditions:
    """The active wake conditions. A condition is removed when it fires or expires."""

    def __init__(self, longest_s: int, candle_ms: int = 0) -> None:
        """`longest_s` is the longest time of a condition; `candle_ms` is the time between two evaluations."""
        self._longest_s = longest_s
        self._candle_ms = candle_ms
        self.armed: list[ArmedCondition] = []
        """The waiting conditions."""

    def replace(
        self, wished: tuple[WakeCondition, ...], by: str, at: int, read: Read, exposed: Collection[str] = ()
    ) -> list[str]:
        """Replace all wake conditions by `wished`, set by `by`. Return one sentence for each refused or changed one.

        A condition on a symbol of `exposed` ends with the position of the symbol, unless it stays.
        """
        self.armed = []
        refused = []
        for place, condition in enumerate(wished):
            value = read(condition.symbol, condition.metric)
            label = f"condition {condition.place or place + 1} ({condition.symbol} {condition.metric})"
            lasts = self._longest_s if condition.expires_s is None else min(condition.expires_s, self._longest_s)
            if len(self.armed) == AT_MOST:
                refused.append(f"{label} is one too many; at most {AT_MOST} are kept")
            elif isinstance(value, Unknown):
                refused.append(f"{label} cannot be watched: {value.reason}")
            elif not math.isfinite(condition.threshold):
                refused.append(f"{label} has no finite threshold")
            elif lasts * SECOND < self._candle_ms:
                shortest = f"expected {max(1, self._candle_ms // SECOND)} s or more, the length of a candle"
                refused.append(f"{label} is over before it can wake: it expires in {condition.expires_s} s; {shortest}")
            else:
                if lasts != (condition.expires_s or lasts):
                    refused.append(f"{label} expires in {lasts} s, the longest time that the policy allows")
                ends = condition.symbol in exposed and not condition.stays
                self.armed.append(ArmedCondition(condition, by, at, at + lasts * SECOND, value, value, ends))
        return refused

    def end(self, symbol: str, at: int) -> tuple[str, ...]:
        """Remove the conditions that end with the position of a symbol. Return a text for each."""
        ended = [each for each in self.armed if each.with_position and each.condition.symbol == symbol]
        if ended:
            self.armed = [each for each in self.armed if each not in ended]
        terms = [each.condition for each in ended if at <= each.expires_at]
        return tuple(f"{symbol} {each.metric} {each.comparison} {each.threshold:g}" for each in terms)

    def check(self, symbol: str, at: int, read: Read) -> list[WakeReason]:
        """Return the wake reasons of a symbol's conditions that fire now. A condition with an unknown metric waits."""
        met: list[WakeReason] = []
        waiting: list[ArmedCondition] = []
        for armed in self.armed:
            if at > armed.expires_at:
                continue
            if armed.condition.symbol == symbol:
                value = read(symbol, armed.condition.metric)
                if not isinstance(value, Unknown):
                    if _fires(armed, value):
                        condition, words = armed.condition, armed.condition.reason[:LONGEST_REASON]
                        detail = f"{condition.comparison} {condition.threshold:g}, now {value:.6g}"
                        remark = Remark(words, armed.by, armed.set_at) if words else None
                        met.append(WakeReason(WakeKind.CONDITION, condition.metric, detail, remark))
                        continue
                    armed.last = value
            waiting.append(armed)
        self.armed = waiting
        return met


def _fires(armed: ArmedCondition, value: float) -> bool:
    threshold = armed.condition.threshold
    match armed.condition.comparison:
        case Comparison.GT:
            return value > threshold
        case Comparison.LT:
            return value < threshold
        case Comparison.CROSSES_ABOVE:
            return armed.last <= threshold < value
        case Comparison.CROSSES_BELOW:
            return armed.last >= threshold > value
        case Comparison.ABS_CHANGE_PCT_GT:
            return abs(value - armed.reference) > abs(armed.reference) * threshold / 100


class GateState(msgspec.Struct):
    """The saved state of the gate."""

    evaluations: int = 0
    woken: int = 0
    """The number of evaluations that ended in a wake."""
    skips: dict[str, int] = {}
    last_wake_at: int | None = None
    timer_at: int | None = None
    kept: dict[str, list[WakeReason]] = {}
    kept_beyond: dict[str, int] = {}
    escalated: bool = False
    """Whether the kept reasons contain an escalated outlier or missing market data, which ends the cooldown."""
    armed: list[ArmedCondition] = []
    spans: dict[str, dict[str, SpanState]] = {}
    """The outlier statistics, by symbol and by the time span of the returns."""


class Gate:
    """The wake-up gate of one portfolio. `interval` is the base candle's length in ms."""

    def __init__(self, policy: GatePolicy, interval: int, symbols: tuple[str, ...]) -> None:
        self._policy = policy
        self._conditions = Conditions(policy.condition_max_s, interval)
        self._every = None if policy.every is None else span_ms(policy.every)
        self._cooldown = policy.cooldown_s * SECOND if self._every is None else 0
        self._wakes_on = _at_least(policy.close_wakes, interval)
        self._wakes_on_in_position = self._wakes_on | _at_least(policy.close_wakes_in_position, interval)
        # Returns over the span of the policy are tested, and returns over a minute, which only report escalations.
        outlier_z = {max(1, MINUTE // interval): policy.escalation_z}
        outlier_z[max(1, span_ms(policy.outlier_over) // interval)] = policy.outlier_z
        terms = policy.outlier_window, policy.escalation_z
        self._spans = {
            symbol: {span_name(count * interval): ReturnSpan(count, z, *terms) for count, z in outlier_z.items()}
            for symbol in symbols
        }
        self._untested: dict[str, list[float]] = {symbol: [] for symbol in symbols}
        """The closes that are not yet added to the outlier statistics, by symbol."""
        self._evaluated: list[tuple[str, str]] = []
        self._state = GateState()

    @property
    def counters(self) -> GateState:
        """The counters of evaluations, wakes and skips so far. The caller must not change them."""
        return self._state

    def evaluate(
        self,
        symbol: str,
        close: float,
        closed: tuple[int, ...],
        *,
        at: int,
        read: Read,
        after_hole: bool,
        in_position: bool,
    ) -> None:
        """Evaluate a symbol whose base candle closed at `at` (ms); `closed` has the timeframes (ms) that closed."""
        reasons: list[WakeReason] = []
        skip = "quiet"
        if self._every is None:
            wanted = self._wakes_on_in_position if in_position else self._wakes_on
            if not wanted.isdisjoint(closed):
                reasons = [WakeReason(WakeKind.CLOSE, span_name(each)) for each in closed if each in wanted]
            if self._untested[symbol]:
                self._join(symbol)
            for length, span in self._spans[symbol].items():
                if not span.ready:
                    skip = "warming"
                z = span.evaluate(close, after_hole=after_hole)
                if z is not None:
                    reasons.append(WakeReason(WakeKind.OUTLIER, length, f"z={z:+.2f}"))
                    if abs(z) >= self._policy.escalation_z:
                        self._state.escalated = True
        else:
            self.warm(symbol, close, after_hole=after_hole)
        if self._conditions.armed:
            reasons += self._conditions.check(symbol, at, read)
        state = self._state
        state.evaluations += 1
        if reasons:
            skip = ""
            self._keep(symbol, reasons)
        if skip and symbol not in state.kept:
            state.skips[skip] = state.skips.get(skip, 0) + 1
        else:
            # `wake` determines whether this evaluation wakes or has to wait.
            self._evaluated.append((symbol, skip))

    def raise_reason(self, symbol: str, reason: WakeReason, *, urgent: bool = False) -> None:
        """Keep a wake reason of the position guard; ignore it if the policy sets `every`.

        An urgent reason is kept in any case, and ends a cooldown.
        """
        if self._every is None or urgent:
            self._keep(symbol, [reason])
            self._state.escalated |= urgent

    @property
    def urgent(self) -> bool:
        """Whether a kept reason ends a cooldown."""
        return self._state.escalated and bool(self._state.kept)

    def end_outage(self) -> None:
        """Drop the kept reasons of missing market data: the data have returned."""
        for symbol, kept in list(self._state.kept.items()):
            kept[:] = [each for each in kept if each.kind is not WakeKind.WATCHDOG]
            if not kept:
                del self._state.kept[symbol]

    def warm(self, symbol: str, close: float, *, after_hole: bool) -> None:
        """Add a close to the outlier statistics without an evaluation."""
        untested = self._untested[symbol]
        if after_hole or len(untested) == _AT_ONCE:
            self._join(symbol)
            for span in self._spans[symbol].values():
                span.warm((close,), after_hole=after_hole)
        else:
            untested.append(close)

    def warm_all(self, symbol: str, closes: Sequence[float], *, after_hole: bool) -> None:
        """Add the closes of consecutive candles without an evaluation, as `warm` does one by one."""
        if closes:
            self._join(symbol)
            for span in self._spans[symbol].values():
                span.warm(closes, after_hole=after_hole)

    def wake(self, at: int, *, busy: bool) -> tuple[SymbolWake, ...]:
        """Return the reasons to wake the agent; none in a cooldown or while a decision is open (`busy`)."""
        state = self._state
        if state.timer_at is None:
            state.timer_at = self._next_timer(at)
        if at >= state.timer_at and "" not in state.kept:
            state.kept[""] = [WakeReason(WakeKind.TIMER)]
        if not state.kept:
            return ()
        evaluated, self._evaluated = self._evaluated, []
        last = state.last_wake_at
        in_cooldown = last is not None and at < last + self._cooldown and not state.escalated
        if busy or in_cooldown:
            for _, skip in evaluated:
                skip = skip or ("deciding" if busy else "cooldown")
                state.skips[skip] = state.skips.get(skip, 0) + 1
            return ()
        for symbol, count in state.kept_beyond.items():
            state.kept[symbol].append(WakeReason(WakeKind.MORE, detail=str(count)))
        reasons = tuple(SymbolWake(symbol or None, tuple(kept)) for symbol, kept in sorted(state.kept.items()))
        state.woken += len(evaluated)
        state.kept = {}
        state.kept_beyond = {}
        state.escalated = False
        state.last_wake_at = at
        state.timer_at = self._next_timer(at)
        return reasons

    def set_timer(self, at: int, seconds: int | None) -> int | None:
        """Set the timer to `seconds` after `at`, within the policy's bounds; None means the longest allowed time.

        Return the seconds that were set; None if the policy fixes the wakes (`every`).
        """
        if self._every is not None:
            return None
        policy = self._policy
        wished = policy.timer_max_s if seconds is None else seconds
        set_to = min(max(wished, policy.timer_min_s), policy.timer_max_s)
        self._state.timer_at = at + set_to * SECOND
        return set_to

    def set_conditions(
        self, wished: tuple[WakeCondition, ...], by: str, at: int, read: Read, exposed: Collection[str] = ()
    ) -> list[str]:
        """Replace all wake conditions by `wished`, set by `by`. Return one sentence for each refused or changed one.

        `exposed` are the symbols with a position or a live entry, whose conditions end with the position.
        """
        return self._conditions.replace(wished, by, at, read, exposed)

    def end_conditions(self, symbol: str, at: int) -> tuple[str, ...]:
        """Remove the conditions that end with the closed position of a symbol. Return a text for each."""
        return self._conditions.end(symbol, at)

    def standing(self, at: int, read: Read) -> tuple[StandingCondition, ...]:
        """Return the conditions that wait at `at` (ms), with their present readings."""
        return tuple(
            StandingCondition(
                each.condition,
                each.by,
                each.set_at,
                each.expires_at,
                read(each.condition.symbol, each.condition.metric),
                each.with_position,
            )
            for each in self._conditions.armed
            if at <= each.expires_at
        )

    @property
    def next_check_at(self) -> int | None:
        """The time (ms) of the next wake by the timer; None before the first evaluation."""
        return self._state.timer_at

    def state(self) -> GateState:
        """Return all that must survive a restart."""
        for symbol in self._untested:
            self._join(symbol)
        self._state.armed = self._conditions.armed
        self._state.spans = {
            symbol: {length: span.state() for length, span in spans.items()} for symbol, spans in self._spans.items()
        }
        return self._state

    def restore(self, state: GateState, /) -> None:
        """Restore a state that `state` returned."""
        self._state = state
        self._conditions.armed = state.armed
        for symbol, spans in state.spans.items():
            for length, saved in spans.items():
                # A changed policy may test returns over other spans, which then begin without history.
                if (span := self._spans[symbol].get(length)) is not None:
                    span.restore(saved)

    def _join(self, symbol: str) -> None:
        """Add the untested closes of a symbol to its outlier statistics, all at once to be fast."""
        if untested := self._untested[symbol]:
            for span in self._spans[symbol].values():
                span.warm(untested, after_hole=False)
            untested.clear()

    def _keep(self, symbol: str, reasons: list[WakeReason]) -> None:
        kept = self._state.kept.setdefault(symbol, [])
        room = _KEPT_PER_SYMBOL - len(kept)
        kept.extend(reasons[:room])
        if len(reasons) > room:
            beyond = self._state.kept_beyond
            beyond[symbol] = beyond.get(symbol, 0) + len(reasons) - room

    def _next_timer(self, at: int) -> int:
        """Return the time (ms) after `at` at which the timer fires if the agent does not set it."""
        if self._every is not None:
            return (at // self._every + 1) * self._every
        return at + self._policy.timer_max_s * SECOND


def _at_least(names: tuple[str, ...], interval: int) -> frozenset[int]:
    """Return the named timeframes in ms; one shorter than the base candle becomes `interval`, its length."""
    return frozenset(max(span_ms(name), interval) for name in names)

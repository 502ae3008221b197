"""When to think. On every base candle the gate looks at the symbol that closed; four layers can give a reason to wake.

1. A candle of a timeframe named in the policy closed.
2. The agent's own timer is due.
3. A return lies far off the returns before it, in any symbol: over some minutes, or very far within a single one.
4. A wake condition is met that whoever decided last has set.

With `every` in the policy the gate wakes at fixed times instead: at the first candle close at or after each multiple of
it in UTC, and when a wake condition is met. Nothing else gives a reason then.

The guard can give one, too: the score of a position rose into its band of review. Reasons are kept, never dropped:
those that come in the cooldown after a wake, or while a decision is under way, wake at the first look after it. An
outlier far beyond the others breaks a cooldown, and nothing breaks a decision. One wake carries the reasons of all
symbols. Every look ends as a wake or as a skip with its reason, and both are counted.
"""

import msgspec

from ocw_mcp.core.gate.conditions import ArmedCondition, Conditions, Read
from ocw_mcp.core.gate.outlier import ReturnSpan, SpanState
from ocw_mcp.domain.decision import WakeCondition
from ocw_mcp.domain.policies import GatePolicy
from ocw_mcp.domain.snapshot import SymbolWake, WakeKind, WakeReason
from ocw_mcp.domain.time import MINUTE, SECOND, span_ms, span_name

_KEPT_PER_SYMBOL = 16
"""Reasons kept for one symbol; what comes on top is told as a number."""


class GateState(msgspec.Struct):
    """All that the gate remembers, to be restored as it was."""

    evaluations: int = 0
    woken: int = 0
    """Looks that ended in a wake."""
    skips: dict[str, int] = {}
    last_wake_at: int | None = None
    timer_at: int | None = None
    kept: dict[str, list[WakeReason]] = {}
    kept_beyond: dict[str, int] = {}
    escalated: bool = False
    """Whether one of the kept reasons may not wait for the cooldown's end."""
    armed: list[ArmedCondition] = []
    spans: dict[str, dict[str, SpanState]] = {}
    """By symbol and length of the returns."""


class Gate:
    """The gate of one portfolio. `interval` is the base candle's length in ms."""

    def __init__(self, policy: GatePolicy, interval: int, symbols: tuple[str, ...]) -> None:
        self._policy = policy
        self._escalation_z = policy.escalation_z
        self._conditions = Conditions(policy.condition_max_s)
        self._every = None if policy.every is None else span_ms(policy.every)
        self._cooldown = policy.cooldown_s * SECOND if self._every is None else 0
        self._wakes_on = _at_least(policy.close_wakes, interval)
        self._wakes_on_in_position = self._wakes_on | _at_least(policy.close_wakes_in_position, interval)
        self._spans = {symbol: _spans(policy, interval) for symbol in symbols}
        self._looked: list[tuple[str, str]] = []
        self._state = GateState()

    @property
    def counters(self) -> GateState:
        """Evaluations, wakes and skips so far, to read."""
        return self._state

    def look(
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
        """Look at a symbol whose base candle closed at `at` (ms), with the timeframes that closed with it."""
        reasons: list[WakeReason] = []
        skip = "quiet"
        if self._every is None:
            wanted = self._wakes_on_in_position if in_position else self._wakes_on
            reasons = [WakeReason(WakeKind.CLOSE, span_name(each)) for each in closed if each in wanted]
            for length, span in self._spans[symbol].items():
                if not span.ready:
                    skip = "warming"
                z = span.look(close, after_hole=after_hole)
                if z is not None:
                    reasons.append(WakeReason(WakeKind.OUTLIER, length, f"z={z:+.2f}"))
                    if abs(z) >= self._escalation_z:
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
            # Whether this look wakes or has to wait is known at the end of the moment.
            self._looked.append((symbol, skip))

    def raise_reason(self, symbol: str, reason: WakeReason) -> None:
        """Keep a reason of the check of positions, like any other. With fixed times between wakes it is dropped."""
        if self._every is None:
            self._keep(symbol, [reason])

    def warm(self, symbol: str, close: float, *, after_hole: bool) -> None:
        """Take a close from before the book's beginning into the yardsticks; nothing is looked at."""
        for span in self._spans[symbol].values():
            span.warm(close, after_hole=after_hole)

    def wake(self, at: int, *, busy: bool) -> tuple[SymbolWake, ...]:
        """End the looks of this moment: the reasons to wake now, or nothing.

        `busy` is whether a decision is under way: one at a time.
        """
        state = self._state
        if state.timer_at is None:
            state.timer_at = self._next_timer(at)
        if at >= state.timer_at and "" not in state.kept:
            state.kept[""] = [WakeReason(WakeKind.TIMER)]
        if not state.kept:
            return ()
        looked, self._looked = self._looked, []
        held = self._held(at, busy)
        if held is not None:
            for _, skip in looked:
                state.skips[skip or held] = state.skips.get(skip or held, 0) + 1
            return ()
        reasons = tuple(
            SymbolWake(symbol or None, (*kept, *self._beyond(symbol))) for symbol, kept in sorted(state.kept.items())
        )
        state.woken += len(looked)
        state.kept = {}
        state.kept_beyond = {}
        state.escalated = False
        state.last_wake_at = at
        state.timer_at = self._next_timer(at)
        return reasons

    def set_timer(self, at: int, seconds: int | None) -> None:
        """Wake again `seconds` after `at` at the latest, inside the policy's bounds; None is the longest.

        Fixed times between wakes stay as they are.
        """
        if self._every is not None:
            return
        policy = self._policy
        wished = policy.timer_max_s if seconds is None else seconds
        self._state.timer_at = at + min(max(wished, policy.timer_min_s), policy.timer_max_s) * SECOND

    def set_conditions(self, wished: tuple[WakeCondition, ...], by: str, at: int, read: Read) -> list[str]:
        """Put the wake conditions of `by` in place of those before; what is wrong with the ones that are not taken."""
        return self._conditions.replace(wished, by, at, read)

    def state(self) -> GateState:
        """All that must survive a restart."""
        self._state.armed = self._conditions.state()
        self._state.spans = {
            symbol: {length: span.state() for length, span in spans.items()} for symbol, spans in self._spans.items()
        }
        return self._state

    def restore(self, state: GateState, /) -> None:
        """Put back what `state` gave."""
        self._state = state
        self._conditions.restore(state.armed)
        for symbol, spans in state.spans.items():
            for length, saved in spans.items():
                # A policy that came since may look over other spans: those begin anew.
                if (span := self._spans[symbol].get(length)) is not None:
                    span.restore(saved)

    def _keep(self, symbol: str, reasons: list[WakeReason]) -> None:
        kept = self._state.kept.setdefault(symbol, [])
        room = _KEPT_PER_SYMBOL - len(kept)
        kept.extend(reasons[:room])
        if len(reasons) > room:
            beyond = self._state.kept_beyond
            beyond[symbol] = beyond.get(symbol, 0) + len(reasons) - room

    def _next_timer(self, at: int) -> int:
        """Return when (ms) the timer wakes after an evaluation at `at`, unless it is set to an earlier time."""
        if self._every is not None:
            return (at // self._every + 1) * self._every
        return at + self._policy.timer_max_s * SECOND

    def _beyond(self, symbol: str) -> tuple[WakeReason, ...]:
        count = self._state.kept_beyond.get(symbol, 0)
        return (WakeReason(WakeKind.MORE, detail=str(count)),) if count else ()

    def _held(self, at: int, busy: bool) -> str | None:
        """Why a reason has to wait, if it has to."""
        if busy:
            return "deciding"
        if self._state.escalated:
            return None
        last = self._state.last_wake_at
        return "cooldown" if last is not None and at < last + self._cooldown else None


def _spans(policy: GatePolicy, interval: int) -> dict[str, ReturnSpan]:
    """By their lengths: that of the policy, and a minute, of which only what escalates is told."""
    tested = {
        max(1, MINUTE // interval): policy.escalation_z,
        max(1, span_ms(policy.outlier_over) // interval): policy.outlier_z,
    }
    return {
        span_name(candles * interval): ReturnSpan(
            candles, policy.outlier_window, outlier_z=z, escalation_z=policy.escalation_z
        )
        for candles, z in tested.items()
    }


def _at_least(names: tuple[str, ...], interval: int) -> frozenset[int]:
    """Timeframes in ms; one that is shorter than the base candle means the base candle."""
    return frozenset(max(span_ms(name), interval) for name in names)

"""The wake-up gate evaluates a symbol at the close of each base candle, and collects the reasons to wake the agent.

- A candle of a timeframe that the policy names has closed.
- The timer that the agent set is due.
- A price move of a symbol is an outlier, or the price is far from its level at the last wake (`outlier.py`).
- A derivatives reading of a symbol, such as its funding rate or liquidations, is an outlier (`readings.py`).
- The last hour of a symbol is unusual in its return, volume, range and derivatives together (`anomalies.py`).
- A wake condition that the agent set is met.
- The position guard reports that the exit score of a position has risen into the review band, or that the price has
  come near to the position's stop or target.
- A position was closed or an entry lapsed, if the policy says so (`engine/since.py`).
- Market data are missing while a position is open (`engine/live.py`).

If the policy sets `every`, the gate wakes the agent at fixed times instead: at the first candle close at or after each
multiple of `every` in UTC. With `every`, only wake conditions and missing market data wake the agent at other times.

Each wake reason is kept once until a wake contains it. A wake reason that arises during the cooldown after a wake, or
while a decision is open, causes a wake when the cooldown or the decision ends. An outlier has to wait only for the
cooldown after a wake by an outlier, and not at all if the symbol has a position whose stop is near. Missing market data
do not wait for a cooldown, either; no reason interrupts a decision. One wake contains the reasons of all symbols.

An outlier over a long span is dropped if an outlier has woken the agent in the last third of the span: the agent has
just seen the move.
"""

from collections.abc import Collection, Sequence

import msgspec

from ocw_mcp.core.gate.anomalies import AnomalyOutliers
from ocw_mcp.core.gate.conditions import ArmedCondition, Conditions, Read
from ocw_mcp.core.gate.levels import Reached
from ocw_mcp.core.gate.outlier import Outlier, PriceMoves, PriceMovesState
from ocw_mcp.core.gate.readings import ReadingOutliers
from ocw_mcp.domain.anomaly import AnomalyReading
from ocw_mcp.domain.decision import WakeCondition
from ocw_mcp.domain.happenings import StandingCondition
from ocw_mcp.domain.policies import GatePolicy
from ocw_mcp.domain.snapshot import SymbolWake, WakeKind, WakeReason
from ocw_mcp.domain.time import SECOND, span_ms, span_name
from ocw_mcp.domain.unknown import Reading

_KEPT_PER_SYMBOL = 16
"""The number of wake reasons that are kept for one symbol; further reasons are only counted."""
_SEEN_PART = 3
"""An outlier is dropped if the last wake by an outlier is at most one part in `_SEEN_PART` of its span ago."""


class GateState(msgspec.Struct):
    """The saved state of the gate."""

    evaluations: int = 0
    woken: int = 0
    """The number of evaluations that ended in a wake."""
    skips: dict[str, int] = {}
    last_wake_at: int | None = None
    last_outlier_at: int | None = None
    """The time (ms) of the last wake whose reasons had an outlier."""
    timer_at: int | None = None
    kept: dict[str, list[WakeReason]] = {}
    kept_beyond: dict[str, int] = {}
    kept_outlier: bool = False
    """Whether an outlier is among the kept reasons."""
    kept_other: bool = False
    """Whether another reason is among them."""
    urgent: bool = False
    """Whether a kept reason ends the cooldown."""
    armed: list[ArmedCondition] = []
    moves: dict[str, PriceMovesState] = {}
    """The state of the outlier test of prices, by symbol."""
    readings: dict[str, Reached] = {}
    """The state of the outlier test of derivatives readings, by symbol."""
    anomalies: dict[str, Reached] = {}
    """The state of the test of anomalies, by symbol."""
    new_readings: list[str] = []
    """The symbols with derivatives data since their last evaluation."""


class Gate:
    """The wake-up gate of one portfolio. `interval` is the base candle's length in ms."""

    def __init__(self, policy: GatePolicy, interval: int, symbols: tuple[str, ...]) -> None:
        self._policy = policy
        self._conditions = Conditions(policy.condition_max_s, interval)
        self._every = None if policy.every is None else span_ms(policy.every)
        self._cooldown = policy.cooldown_s * SECOND if self._every is None else 0
        self._wakes_on = _at_least(policy.close_wakes, interval)
        self._wakes_on_in_position = self._wakes_on | _at_least(policy.close_wakes_in_position, interval)
        self._moves = {symbol: PriceMoves(policy, interval) for symbol in symbols}
        self._readings = {symbol: ReadingOutliers(policy) for symbol in symbols}
        self._anomalies = {symbol: AnomalyOutliers(policy) for symbol in symbols}
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
        close_time: int,
        read: Read,
        in_position: bool,
        near_stop: bool = False,
        liquidations: Reading | None = None,
        anomaly: AnomalyReading | None = None,
    ) -> None:
        """Evaluate a symbol at `at` (ms), whose base candle ended at `close_time`; `closed` has the timeframes (ms)
        that closed. `near_stop` says whether the symbol has a position whose stop is near. `liquidations` is the
        reading at the close; None if the market reports no forced liquidations of the candle.
        """
        state, skip = self._state, "quiet"
        reasons: list[WakeReason] = []
        if self._every is None:
            wanted = self._wakes_on_in_position if in_position else self._wakes_on
            if wanted and not wanted.isdisjoint(closed):
                reasons = [WakeReason(WakeKind.CLOSE, span_name(each)) for each in closed if each in wanted]
            moves = self._moves[symbol]
            outliers: list[WakeReason] = []
            if found := moves.evaluate(close, close_time):
                outliers = [each.reason for each in found if not self._has_seen(each, at)]
                skip = "seen"
            elif not moves.ready:
                skip = "warming"
            if state.new_readings and symbol in state.new_readings:
                state.new_readings.remove(symbol)
                outliers += self._readings[symbol].evaluate(symbol, read, at)
            if liquidations is not None:
                outliers += self._readings[symbol].evaluate_liquidations(symbol, liquidations, read, at)
            if anomaly is not None:
                outliers += self._anomalies[symbol].evaluate(anomaly, at)
            if outliers:
                self._drop_smaller(symbol, outliers)
                self._keep(symbol, outliers)
                state.kept_outlier = True
                skip = ""
            if near_stop and state.kept_outlier:
                state.urgent = True
        else:
            self._moves[symbol].warm((close,), close_time)
        if self._conditions.armed:
            reasons += self._conditions.check(symbol, at, read)
        state.evaluations += 1
        if reasons:
            self._keep(symbol, reasons)
            state.kept_other = True
            skip = ""
        if symbol in state.kept or (state.timer_at is not None and at >= state.timer_at):
            # `wake` determines whether this evaluation wakes or has to wait. A due timer wakes for all symbols.
            self._evaluated.append((symbol, skip))
        else:
            state.skips[skip] = state.skips.get(skip, 0) + 1

    def raise_reason(self, symbol: str, reason: WakeReason) -> None:
        """Keep a wake reason of the position guard.

        If the policy sets `every`, only missing market data are kept.
        """
        if self._every is None or reason.kind is WakeKind.WATCHDOG:
            self._keep(symbol, [reason])
            self._state.kept_other = True
            self._state.urgent |= reason.kind in (WakeKind.NEAR, WakeKind.WATCHDOG)

    @property
    def urgent(self) -> bool:
        """True if one of the kept reasons wakes the agent even in a cooldown."""
        return self._state.urgent and bool(self._state.kept)

    def end_outage(self) -> None:
        """Drop the kept reasons of missing market data: the data have returned."""
        for symbol, kept in list(self._state.kept.items()):
            kept[:] = [each for each in kept if each.kind is not WakeKind.WATCHDOG]
            if not kept:
                del self._state.kept[symbol]
        self._judge_kept()

    def drop(self, symbols: Collection[str]) -> None:
        """Drop the kept reasons of some symbols: an operator has taken them over, and the agent does not see them."""
        state = self._state
        dropped = state.kept.keys() & set(symbols)
        for symbol in dropped:
            del state.kept[symbol]
            state.kept_beyond.pop(symbol, None)
        if dropped:
            self._judge_kept()

    def note_readings(self, symbol: str) -> None:
        """Have the derivatives readings of a symbol tested at its next evaluation, because new data came."""
        if symbol not in self._state.new_readings:
            self._state.new_readings.append(symbol)

    def warm(self, symbol: str, closes: Sequence[float], first_at: int) -> None:
        """Add the closes of consecutive candles, the first of which ended at `first_at` (ms), without an evaluation."""
        self._moves[symbol].warm(closes, first_at)

    def has_reasons(self, at: int) -> bool:
        """Return whether there are reasons to wake the agent at `at` (ms), now or after a cooldown or a decision."""
        state = self._state
        if state.timer_at is None:
            state.timer_at = self._next_timer(at)
        if at >= state.timer_at and "" not in state.kept:
            state.kept[""] = [WakeReason(WakeKind.TIMER)]
            state.kept_other = True
        return bool(state.kept)

    def wake(self, at: int, *, busy: bool) -> tuple[SymbolWake, ...]:
        """Return the reasons to wake the agent; none in a cooldown or while a decision is open (`busy`)."""
        if not self.has_reasons(at):
            return ()
        state = self._state
        evaluated, self._evaluated = self._evaluated, []
        if busy or not self._is_ready(at):
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
        if state.kept_outlier:
            state.last_outlier_at = at
        state.kept_outlier = state.kept_other = state.urgent = False
        state.last_wake_at = at
        for moves in self._moves.values():
            moves.woke()
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
        return self._conditions.standing(at, read)

    @property
    def next_check_at(self) -> int | None:
        """The time (ms) of the next wake by the timer; None before the first evaluation."""
        return self._state.timer_at

    def state(self) -> GateState:
        """Return all that must survive a restart."""
        self._state.armed = self._conditions.armed
        self._state.moves = {symbol: moves.state() for symbol, moves in self._moves.items()}
        self._state.readings = {symbol: readings.state() for symbol, readings in self._readings.items()}
        self._state.anomalies = {symbol: anomalies.state() for symbol, anomalies in self._anomalies.items()}
        return self._state

    def restore(self, state: GateState, /) -> None:
        """Restore a state that `state` returned."""
        self._state = state
        self._conditions.armed = state.armed
        for symbol, saved in state.moves.items():
            self._moves[symbol].restore(saved)
        for symbol, reached in state.readings.items():
            self._readings[symbol].restore(reached)
        for symbol, reached in state.anomalies.items():
            self._anomalies[symbol].restore(reached)

    def _has_seen(self, outlier: Outlier, at: int) -> bool:
        """Return whether the last wake by an outlier is so near that a long move needs no other one."""
        last, recent = self._state.last_outlier_at, outlier.span // _SEEN_PART
        return last is not None and recent > self._cooldown and at - last <= recent

    def _is_ready(self, at: int) -> bool:
        """Return whether the cooldown of a kept reason is over."""
        state = self._state
        if state.urgent or state.last_wake_at is None:
            return True
        if state.kept_outlier and (state.last_outlier_at is None or at >= state.last_outlier_at + self._cooldown):
            return True
        return state.kept_other and at >= state.last_wake_at + self._cooldown

    def _judge_kept(self) -> None:
        """Set the flags of the kept reasons anew, because some reasons were dropped."""
        state = self._state
        kinds = {each.kind for kept in state.kept.values() for each in kept}
        state.kept_outlier = WakeKind.OUTLIER in kinds
        state.kept_other = bool(kinds - {WakeKind.OUTLIER})
        # The next evaluation of a symbol whose stop is near makes a kept outlier urgent again.
        state.urgent = not kinds.isdisjoint((WakeKind.NEAR, WakeKind.WATCHDOG))

    def _drop_smaller(self, symbol: str, outliers: Sequence[WakeReason]) -> None:
        """Remove the kept outliers that one of `outliers` replaces: the same move or reading has grown since."""
        if kept := self._state.kept.get(symbol):
            grown = {_direction(each) for each in outliers}
            kept[:] = [each for each in kept if each.kind is not WakeKind.OUTLIER or _direction(each) not in grown]

    def _keep(self, symbol: str, reasons: list[WakeReason]) -> None:
        kept = self._state.kept.setdefault(symbol, [])
        reasons = [each for each in reasons if each not in kept]
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


def _direction(outlier: WakeReason) -> tuple[str, str, bool]:
    """Return what an outlier is about: its span or metric, its sign, and whether its size is in sigmas."""
    return outlier.subject, outlier.detail[0], outlier.detail.endswith("sigmas")


def _at_least(names: tuple[str, ...], interval: int) -> frozenset[int]:
    """Return the named timeframes in ms; one shorter than the base candle becomes `interval`, its length."""
    return frozenset(max(span_ms(name), interval) for name in names)

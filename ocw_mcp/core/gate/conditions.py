"""The wake conditions of the agent: each wakes it once, when its metric meets the comparison."""

import math
from collections.abc import Callable, Collection

import msgspec

from ocw_mcp.domain.decision import Comparison, WakeCondition
from ocw_mcp.domain.happenings import StandingCondition
from ocw_mcp.domain.snapshot import Remark, WakeKind, WakeReason
from ocw_mcp.domain.time import SECOND
from ocw_mcp.domain.unknown import Reading, Unknown

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
            for each in self.armed
            if at <= each.expires_at
        )


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

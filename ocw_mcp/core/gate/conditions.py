"""The wake conditions of the last decider. Each fires at most once, and is removed when it fires or expires."""

import math
from collections.abc import Callable

import msgspec

from ocw_mcp.domain.decision import Comparison, WakeCondition
from ocw_mcp.domain.snapshot import Remark, WakeKind, WakeReason
from ocw_mcp.domain.time import SECOND
from ocw_mcp.domain.unknown import Reading, Unknown

AT_MOST = 16
LONGEST_REASON = 120
"""The number of characters of a condition's reason that are kept; the reason may come from a model."""

Read = Callable[[str, str], Reading]
"""A function that returns the present reading of (symbol, metric)."""


class ArmedCondition(msgspec.Struct):
    """A waiting condition. `reference` is the reading when it was set, `last` that of the previous evaluation."""

    condition: WakeCondition
    by: str
    """The author of the condition."""
    set_at: int
    expires_at: int
    reference: float
    last: float


class Conditions:
    """The conditions of one book, at most `AT_MOST`."""

    def __init__(self, longest_s: int) -> None:
        self._longest_s = longest_s
        self.armed: list[ArmedCondition] = []
        """The waiting conditions."""

    def replace(self, wished: tuple[WakeCondition, ...], by: str, at: int, read: Read) -> list[str]:
        """Replace all conditions by those of `by`. Return one sentence for each condition that cannot be armed."""
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
            elif lasts <= 0:
                refused.append(f"{label} is over before it began: it expires in {condition.expires_s} s")
            else:
                self.armed.append(ArmedCondition(condition, by, at, at + lasts * SECOND, value, value))
        return refused

    def check(self, symbol: str, at: int, read: Read) -> list[WakeReason]:
        """Return the wake reasons of a symbol's conditions that fire now. A condition with an unknown reading waits."""
        if not self.armed:
            return []
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

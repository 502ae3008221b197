"""The wake conditions that whoever decided last has set: each fires once, and is gone then, or when it expires."""

import math
from collections.abc import Callable

import msgspec

from ocw_mcp.domain.decision import Comparison, WakeCondition
from ocw_mcp.domain.snapshot import Remark, WakeKind, WakeReason
from ocw_mcp.domain.time import SECOND
from ocw_mcp.domain.unknown import Reading, Unknown

AT_MOST = 16
LONGEST_REASON = 120
"""Characters of a condition's reason that are kept: it comes from a model."""

Read = Callable[[str, str], Reading]
"""(symbol, metric) → its reading now."""


class ArmedCondition(msgspec.Struct):
    """A condition that waits. `reference` is its reading when it was set, `last` the one at the look before."""

    condition: WakeCondition
    by: str
    """Who set it."""
    set_at: int
    expires_at: int
    reference: float
    last: float


class Conditions:
    """The conditions of one book, at most `AT_MOST`."""

    def __init__(self, longest_s: int) -> None:
        self._longest_s = longest_s
        self.armed: list[ArmedCondition] = []

    def state(self) -> list[ArmedCondition]:
        """Return the conditions that wait."""
        return self.armed

    def restore(self, state: list[ArmedCondition], /) -> None:
        """Take back what `state` returned."""
        self.armed = state

    def replace(self, wished: tuple[WakeCondition, ...], by: str, at: int, read: Read) -> list[str]:
        """Arm these in place of all others, in the name of `by`.

        Comes back with what is wrong with those that could not be armed, one sentence each.
        """
        self.armed = []
        refused = []
        for place, condition in enumerate(wished):
            value = read(condition.symbol, condition.metric)
            label = f"condition {condition.place or place + 1} ({condition.symbol} {condition.metric})"
            if len(self.armed) == AT_MOST:
                refused.append(f"{label} is one too many; at most {AT_MOST} are kept")
            elif isinstance(value, Unknown):
                refused.append(f"{label} cannot be watched: {value.reason}")
            elif not math.isfinite(condition.threshold):
                refused.append(f"{label} has no finite threshold")
            elif condition.expires_s is not None and condition.expires_s <= 0:
                refused.append(f"{label} is over before it began: it expires in {condition.expires_s} s")
            else:
                lasts = min(condition.expires_s or self._longest_s, self._longest_s)
                self.armed.append(ArmedCondition(condition, by, at, at + lasts * SECOND, value, value))
        return refused

    def check(self, symbol: str, at: int, read: Read) -> list[WakeReason]:
        """Look at a symbol: the conditions that fire now. An unknown reading fires nothing and waits."""
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
                        met.append(_fired(armed, value))
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


def _fired(armed: ArmedCondition, value: float) -> WakeReason:
    condition, words = armed.condition, armed.condition.reason[:LONGEST_REASON]
    met = f"{condition.comparison} {condition.threshold:g}, now {value:.6g}"
    remark = Remark(words, armed.by, armed.set_at) if words else None
    return WakeReason(WakeKind.CONDITION, condition.metric, met, remark)

"""Which incidents are reported: the first of a kind at once, repeats together in ever longer pauses, and the end.

An incident belongs to a fault, which has a kind, such as `refused`, and concerns one or more symbols.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from ocw_mcp.domain.time import HOUR, MINUTE, SECOND

FIRST_PAUSE_S: Final = 60.0
"""The pause between the first report of a fault and that of its repeats; each further pause is twice as long."""
LONGEST_PAUSE_S: Final = 3_600.0
OVER_AFTER_S: Final = 120.0
"""The time without an incident after which a fault is over, unless its end is known."""
FORGOTTEN_S: Final = 3_600.0
"""The time without an incident after which a fault counts as a new one."""
_MOMENT_S: Final = 30.0
_MOST_NAMED: Final = 5


class Report(msgspec.Struct, frozen=True):
    """A line on a fault, about the only symbol concerned or None for several."""

    subject: str | None
    text: str


class _Fault(msgspec.Struct):
    """The incidents of one kind since its beginning, and those that are not reported yet; times of the loop (s)."""

    kind: str
    began_s: float
    last_s: float
    said_s: float
    pause_s: float = FIRST_PAUSE_S
    total: int = 0
    subjects: dict[str, None] = {}
    """The symbols concerned since the beginning, in order."""
    unsaid: int = 0
    unsaid_subjects: dict[str, None] = {}
    unsaid_parts: Counter[str] = msgspec.field(default_factory=Counter)
    """What the incidents concern, such as the kinds of streams."""
    detail: str = ""
    """The detail of the first unreported incident before the first report, else that of the last incident."""
    part: str = ""
    lasting: set[str] = set()
    """The keys of incidents whose end is not known yet."""
    first: bool = True
    """Whether nothing was reported yet."""
    active: bool = True
    announced: bool = False
    """Whether it was reported since it began."""
    ended_s: float | None = None
    """When the last key of `lasting` ended, if that was the end."""

    def begin_again(self, now: float) -> None:
        """Begin anew after the end, unless incidents from before it are still unreported."""
        self.active, self.ended_s = True, None
        if not self.unsaid:
            self.began_s, self.total, self.announced = now, 0, False
            self.subjects.clear()

    def add(self, subject: str, part: str, detail: str, now: float) -> None:
        """Count an incident."""
        if not self.active:
            self.begin_again(now)
        self.last_s, self.ended_s = now, None
        self.total += 1
        self.unsaid += 1
        self.subjects[subject] = self.unsaid_subjects[subject] = None
        self.unsaid_parts[part] += 1
        if not self.first or self.unsaid == 1:
            self.detail, self.part = detail, part

    def report(self, now: float) -> Report | None:
        """Return the line that is due, if one is."""
        if self.first:
            others = list(self.unsaid_subjects)[1:]
            also = f"; also of {_named(others)}" if others else ""
            report = Report(next(iter(self.subjects)), f"{_joined(self.kind, self.part)}: {self.detail}{also}")
            # The pause begins with the first report.
            self.first, self.announced, self.said_s = False, True, now
            self._forget_unsaid()
            return report
        over = self.active and not self.lasting
        over = over and (self.ended_s is not None or now - self.last_s >= OVER_AFTER_S)
        if over:
            self.active = False
            if self.announced and (self.total > 1 or self.ended_s is not None):
                return self._said(self._over(), self.subjects, now)
        # What has not been repeated for a moment is over soon, and then has one line.
        goes_on = not self.active or self.lasting or now - self.last_s < _MOMENT_S
        if self.unsaid and goes_on and now - self.said_s >= self.pause_s:
            report = self._said(self._repeated(now), self.unsaid_subjects, now)
            self.announced = True
            return report
        return None

    def _over(self) -> str:
        lasted = (self.last_s if self.ended_s is None else self.ended_s) - self.began_s
        return f"{self.kind} is over after {_span(lasted)}: {self.total:,} in all{_of(self.subjects)}"

    def _repeated(self, now: float) -> str:
        over = "" if self.active else "; it is over"
        if self.unsaid == 1:
            return f"{_joined(self.kind, self.part)} again: {self.detail}{over}"
        parts = [f"{part} {count:,}" for part, count in sorted(self.unsaid_parts.items()) if part]
        shown = f" ({', '.join(parts)})" if parts else ""
        concerned = f"{_of(self.unsaid_subjects)}{shown}; the last: {self.detail}{over}"
        if not self.announced:
            return f"{self.kind} again: {self.unsaid:,}{concerned}"
        return f"{self.kind}: {self.unsaid:,} more in {_span(now - self.said_s)}{concerned}"

    def _said(self, text: str, subjects: dict[str, None], now: float) -> Report:
        report = Report(next(iter(subjects)) if len(subjects) == 1 else None, text)
        self.said_s, self.pause_s = now, min(2.0 * self.pause_s, LONGEST_PAUSE_S)
        self._forget_unsaid()
        return report

    def _forget_unsaid(self) -> None:
        self.unsaid = 0
        self.unsaid_subjects.clear()
        self.unsaid_parts.clear()


class Folding:
    """The faults of a feed by kind. Times are those of the loop (s), which do not jump."""

    def __init__(self) -> None:
        self._faults: dict[str, _Fault] = {}

    def add(self, subject: str, kind: str, part: str, detail: str, key: str, now: float) -> bool:
        """Count an incident; with a `key` the fault lasts until `end` is called with it. Return whether it is new."""
        fault = self._faults.get(kind)
        if fault is None:
            fault = self._faults[kind] = _Fault(kind, now, now, now)
        fault.add(subject, part, detail, now)
        if key:
            fault.lasting.add(key)
        return fault.first

    def end(self, kind: str, key: str, now: float) -> None:
        """End what began with `key`; with the last one the fault is over."""
        fault = self._faults.get(kind)
        if fault is not None and key in fault.lasting:
            fault.lasting.discard(key)
            if not fault.lasting:
                fault.ended_s = now

    def reports(self, now: float) -> Iterator[Report]:
        """Yield the lines that are due, and forget the faults that have been over for long."""
        for kind, fault in list(self._faults.items()):
            if (report := fault.report(now)) is not None:
                yield report
            elif not fault.active and not fault.unsaid and now - fault.last_s >= FORGOTTEN_S:
                del self._faults[kind]


def _joined(kind: str, part: str) -> str:
    return f"{kind} {part}".rstrip()


def _named(names: Iterable[str]) -> str:
    shown = sorted(names)
    more = f" and {len(shown) - _MOST_NAMED} others" if len(shown) > _MOST_NAMED else ""
    return ", ".join(shown[:_MOST_NAMED]) + more


def _of(subjects: dict[str, None]) -> str:
    """Return the symbols concerned; one alone is named by the report itself."""
    return f" of {_named(subjects)}" if len(subjects) > 1 else ""


def _span(seconds: float) -> str:
    ms = seconds * SECOND
    if ms < 2 * MINUTE:
        return f"{max(1.0, seconds):.0f} s"
    return f"{ms / MINUTE:.0f} min" if ms < 2 * HOUR else f"{ms / HOUR:.0f} h"

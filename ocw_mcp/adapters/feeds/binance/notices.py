"""What the feed reports about its data: incidents, folded by kind, and degraded subjects.

The state of this module is not saved: notices are inputs of the engine, and the input log has them as they were.
"""

from collections import Counter, deque
from collections.abc import Callable
from typing import Final

import msgspec

from ocw_mcp.adapters.feeds.binance.folding import Folding
from ocw_mcp.domain.market import FeedNotice, FeedNoticeKind

MARKET: Final = "market"
CLOCK: Final = "clock"
RELAPSE_S: Final = 3_600.0
"""A subject that is degraded again within this time (s) stays degraded for longer than its causes."""
FIRST_HOLD_S: Final = 60.0
"""How much longer (s), the first time; it doubles with each relapse."""
_MOST_DOUBLINGS: Final = 3
_HELD: Final = "held"
"""The cause that keeps a subject degraded when all others have ended."""


class _Subject(msgspec.Struct):
    """The causes that degrade a subject, with their details; times of the loop (s)."""

    causes: dict[str, str] = {}
    reported: str = ""
    """The cause whose detail was reported."""
    restored_s: float | None = None
    """When it was last restored."""
    relapses: int = 0
    held_until_s: float | None = None
    """When it is restored, if no cause degrades it before."""
    detail: str = ""
    """Why it is restored."""


class Notices:
    """The notices that wait for the engine. `now_ms` gives their time, `loop_s` the time of the loop for pauses.

    `wake` is called when a notice was added.
    """

    def __init__(self, now_ms: Callable[[], int], loop_s: Callable[[], float], wake: Callable[[], None]) -> None:
        self._now_ms, self._loop_s, self._wake = now_ms, loop_s, wake
        self._waiting: deque[FeedNotice] = deque()
        self._folding = Folding()
        self._new = False
        """True if an incident waits whose kind has not been reported yet."""
        self._subjects: dict[str, _Subject] = {}
        self.counts: Counter[str] = Counter()
        """All incidents so far, by kind and what they concern, and `degraded`: how often a subject became that."""

    def incident(self, subject: str, kind: str, detail: str, *, part: str = "", until: str = "") -> None:
        """Count an incident. Report the first of its kind at once, and repeats together, of all subjects.

        `part` is what it concerns, such as the kind of a stream. With `until` the fault lasts until `end` is called
        with the same text; else it is over when it has not been repeated for a while.
        """
        self.counts[f"{kind} {part}".rstrip()] += 1
        if self._folding.add(subject, kind, part, detail, until, self._loop_s()) and not self._new:
            self._new = True
            self._wake()

    def end(self, kind: str, until: str) -> None:
        """Report that what was an incident of a kind is over, if it was one."""
        self._folding.end(kind, until, self._loop_s())

    def degrade(self, subject: str, cause: str, detail: str) -> None:
        """Report that the data of a subject cannot be relied on, unless that was reported for the same cause."""
        state = self._subjects.setdefault(subject, _Subject())
        if not state.causes:
            self.counts["degraded"] += 1
            now = self._loop_s()
            held, restored_s = state.held_until_s is not None, state.restored_s
            relapsed = held or (restored_s is not None and now - restored_s < RELAPSE_S)
            state.relapses = state.relapses + 1 if relapsed else 0
            state.held_until_s = None
            if not held or cause != state.reported:
                self._degrade(subject, state, cause, detail)
        state.causes[cause] = detail

    def restore(self, subject: str, cause: str, detail: str) -> None:
        """End one cause; with the last cause of a subject, report that its data can be relied on again.

        A subject that was degraded several times within an hour is restored only after a time without a cause.
        """
        state = self._subjects.get(subject)
        if state is None or state.causes.pop(cause, None) is None:
            return
        if state.causes:
            if cause == state.reported:
                self._degrade(subject, state, *next(iter(state.causes.items())))
            return
        if state.relapses == 0:
            self._restore(subject, state, detail)
            return
        hold_s = FIRST_HOLD_S * 2.0 ** min(state.relapses - 1, _MOST_DOUBLINGS)
        state.held_until_s, state.detail = self._loop_s() + hold_s, f"{detail}, for {hold_s:.0f} s now"
        why = (
            f"{detail}, but the data failed {state.relapses + 1} times, each within an hour: {hold_s:.0f} s are awaited"
        )
        self._degrade(subject, state, _HELD, why)

    @property
    def waiting(self) -> bool:
        """Whether `take` would return a notice."""
        self._report()
        return bool(self._waiting)

    def take(self) -> tuple[FeedNotice, ...]:
        """Return the waiting notices, oldest first, and forget them."""
        self._report()
        taken = tuple(self._waiting)
        self._waiting.clear()
        return taken

    def _report(self) -> None:
        """Add the notices that are due."""
        now = self._loop_s()
        self._new = False
        for report in self._folding.reports(now):
            subject = MARKET if report.subject is None else report.subject
            self._waiting.append(FeedNotice(self._now_ms(), FeedNoticeKind.INCIDENT, subject, report.text))
        for subject, state in self._subjects.items():
            if state.held_until_s is not None and state.held_until_s <= now:
                self._restore(subject, state, state.detail)

    def _degrade(self, subject: str, state: _Subject, cause: str, detail: str) -> None:
        state.reported = cause
        self._add(FeedNoticeKind.DEGRADED, subject, detail)

    def _restore(self, subject: str, state: _Subject, detail: str) -> None:
        state.held_until_s, state.restored_s = None, self._loop_s()
        self._add(FeedNoticeKind.RESTORED, subject, detail)

    def _add(self, kind: FeedNoticeKind, subject: str, detail: str) -> None:
        self._waiting.append(FeedNotice(self._now_ms(), kind, subject, detail))
        self._wake()

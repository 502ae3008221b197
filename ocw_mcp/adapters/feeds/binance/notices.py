"""What the feed reports about its data: incidents, at most one a minute of a kind, and degraded subjects."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from ocw_mcp.domain.market import FeedNotice, FeedNoticeKind
from ocw_mcp.domain.time import MINUTE

MARKET: Final = "market"
CLOCK: Final = "clock"
_MOST_KEYS: Final = 1_000
"""Different incidents that are told apart; more than these count as one."""


class Notices:
    """The notices that wait for the engine. `now_ms` gives their time; `wake` is called when one was added."""

    def __init__(self, now_ms: Callable[[], int], wake: Callable[[], None]) -> None:
        self._now_ms, self._wake = now_ms, wake
        self._waiting: deque[FeedNotice] = deque()
        self._causes: dict[str, dict[str, str]] = {}
        self._last: dict[tuple[str, str], tuple[int, int]] = {}
        """By subject and kind of incident, the time (ms) of the last notice and the incidents since then."""
        self.counts: Counter[str] = Counter()
        """The incidents so far, by kind."""

    def incident(self, subject: str, kind: str, detail: str) -> None:
        """Count an incident, and report it unless one of its kind was reported within a minute."""
        self.counts[kind] += 1
        key = (subject, kind)
        if key not in self._last and len(self._last) >= _MOST_KEYS:
            key = (MARKET, "other")
        now = self._now_ms()
        at, unreported = self._last.get(key, (-MINUTE, 0))
        if 0 <= now - at < MINUTE:
            self._last[key] = (at, unreported + 1)
            return
        self._last[key] = (now, 0)
        more = f" ({unreported} more since the last notice)" if unreported else ""
        self._add(FeedNotice(now, FeedNoticeKind.INCIDENT, subject, f"{kind}: {detail}{more}"))

    def degrade(self, subject: str, cause: str, detail: str) -> None:
        """Report that the data of a subject cannot be relied on, unless that was reported."""
        causes = self._causes.setdefault(subject, {})
        if not causes:
            self.counts["degraded"] += 1
            self._add(FeedNotice(self._now_ms(), FeedNoticeKind.DEGRADED, subject, detail))
        causes[cause] = detail

    def restore(self, subject: str, cause: str, detail: str) -> None:
        """End one cause; with the last cause of a subject, report that its data can be relied on again."""
        causes = self._causes.get(subject)
        if causes is None or causes.pop(cause, None) is None or causes:
            return
        del self._causes[subject]
        self._add(FeedNotice(self._now_ms(), FeedNoticeKind.RESTORED, subject, detail))

    def degraded(self, subject: str, cause: str) -> bool:
        """Return whether a cause degrades a subject."""
        return cause in self._causes.get(subject, ())

    @property
    def waiting(self) -> bool:
        """Whether `take` would return a notice."""
        return bool(self._waiting)

    def take(self) -> tuple[FeedNotice, ...]:
        """Return the waiting notices, oldest first, and forget them."""
        taken = tuple(self._waiting)
        self._waiting.clear()
        return taken

    def _add(self, notice: FeedNotice) -> None:
        self._waiting.append(notice)
        self._wake()

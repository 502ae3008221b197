"""How often each caller may write notes and be refused in a minute of engine time: none fills the journal alone.

A request beyond a quota is answered, and neither journaled nor kept. So nothing here has to survive a restart: a
request that is done again from the journal passed when it was first asked.
"""

from collections import deque

from ocw_mcp.domain.policies import CallersPolicy
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.idempotency import CALLERS_KEPT, drop_oldest


class Quotas:
    """The last minute of each caller, at most as much of it as the policy allows."""

    def __init__(self, policy: CallersPolicy) -> None:
        self._notes = _Rate(policy.notes_per_minute, "notes")
        self._refusals = _Rate(policy.refusals_per_minute, "refused requests")

    def noted(self, who: str, now: int) -> None:
        """A caller wrote a note."""
        self._notes.count(who, now)

    def refused(self, who: str, now: int) -> None:
        """A caller was refused something."""
        self._refusals.count(who, now)

    def no_note(self, who: str, now: int) -> Refusal | None:
        """Return why a caller may write no note now, or None."""
        return self._notes.spent(who, now)

    def no_refusal(self, who: str, now: int) -> Refusal | None:
        """Return why a caller may not be refused anything more now, or None."""
        return self._refusals.spent(who, now)


class _Rate:
    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self._times: dict[str, deque[int]] = {}

    def count(self, who: str, now: int) -> None:
        times = self._times[who] = self._times.pop(who, deque(maxlen=self._most))
        times.append(now)
        drop_oldest(self._times, CALLERS_KEPT)

    def spent(self, who: str, now: int) -> Refusal | None:
        times = self._times.get(who)
        if times is None or len(times) < self._most or times[0] <= now - MINUTE:
            return None
        return Refusal(RefusalCode.CALLER_RATE, limit=f"{self._most} {self._what} a minute", actual="more")

"""The engine's time, which never goes back. A clock that jumps is reported once."""

from ocw_mcp.domain.time import MINUTE, SECOND

FALLS_BACK_MS = 2 * SECOND
"""The largest step back (ms) that is taken for a correction of the clock."""
RUNS_AHEAD_MS = MINUTE
"""The largest lead (ms) of the market's time over the clock that is accepted."""


class Timekeeper:
    """Keeps engine time, and compares it with the clock and the market."""

    def __init__(self) -> None:
        self.now = -1
        """Engine time, ms; -1 before the first step."""
        self._behind = False
        self._ahead = False

    def state(self) -> int:
        """Return engine time, ms."""
        return self.now

    def restore(self, state: int, /) -> None:
        """Restore a state that `state` returned."""
        self.now = state

    def move_to(self, now: int) -> str:
        """Advance to `now` (ms), never back. Return an incident text if the clock has just fallen back too far."""
        fell = self.now - now
        self.now = max(self.now, now)
        before, self._behind = self._behind, fell > FALLS_BACK_MS
        if not self._behind or before:
            return ""
        return f"the clock fell back by {fell / SECOND:g} s; engine time stands still until it is there again"

    def compare(self, market: int) -> str:
        """Return an incident text if the market's time (ms) has just moved too far ahead of the clock's."""
        ahead = market - self.now
        before, self._ahead = self._ahead, ahead > RUNS_AHEAD_MS
        if not self._ahead or before:
            return ""
        return f"the market is {ahead / SECOND:g} s ahead of the clock, so one of them is wrong"

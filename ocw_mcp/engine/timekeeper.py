"""The engine's time: it never goes back, and a clock that makes no sense is told of once."""

from ocw_mcp.domain.time import MINUTE, SECOND

FALLS_BACK_MS = 2 * SECOND
"""A clock that is put right may fall back so far."""
RUNS_AHEAD_MS = MINUTE
"""The market's time may be so far ahead of the clock's."""


class Timekeeper:
    """Takes every time that the engine is given."""

    def __init__(self) -> None:
        self.now = -1
        """Engine time, ms; -1 before the first step."""
        self._behind = False
        self._ahead = False

    def state(self) -> int:
        """Return engine time, ms."""
        return self.now

    def restore(self, state: int, /) -> None:
        """Take back what `state` returned."""
        self.now = state

    def move_to(self, now: int) -> str:
        """Move on to `now` (ms), or stay; a sentence for a person where the clock has just fallen back too far."""
        fell = self.now - now
        self.now = max(self.now, now)
        before, self._behind = self._behind, fell > FALLS_BACK_MS
        if not self._behind or before:
            return ""
        return f"the clock fell back by {fell / SECOND:g} s; engine time stands still until it is there again"

    def compare(self, market: int) -> str:
        """A sentence for a person where the market's time (ms) has just come too far ahead of the clock's."""
        ahead = market - self.now
        before, self._ahead = self._ahead, ahead > RUNS_AHEAD_MS
        if not self._ahead or before:
            return ""
        return f"the market is {ahead / SECOND:g} s ahead of the clock, so one of them is wrong"

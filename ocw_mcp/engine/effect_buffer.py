"""The effects of the step under way, the timers that are set, and engine time."""

from collections.abc import Callable

from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.domain.steps import ClearTimer, Effect, Record, SetTimer, Timer
from ocw_mcp.domain.time import MINUTE, SECOND

FALLS_BACK_MS = 2 * SECOND
"""The largest backward step (ms) of the clock without an incident, because clocks are corrected."""
RUNS_AHEAD_MS = MINUTE
"""The largest accepted lead (ms) of the market's time over the clock."""


class EffectBuffer(Stateful[dict[Timer, int]]):
    """Collects effects in the order in which the shell executes them. The saved state is the active timers."""

    def __init__(self) -> None:
        super().__init__({})
        self._effects: list[Effect] = []
        self.now = -1
        """Engine time (ms) of the step under way."""
        self.observers: list[Callable[[DomainEvent, int], None]] = []
        """The functions that get each event that is recorded, and its time (ms)."""

    @property
    def timers(self) -> dict[Timer, int]:
        """The timers that are set, and the time (ms) at which each is due."""
        return self._state

    def take(self) -> list[Effect]:
        """Return the effects that were added since the last call."""
        effects, self._effects = self._effects, []
        return effects

    def add(self, effect: Effect) -> None:
        """Add an effect."""
        self._effects.append(effect)

    def record(self, event: DomainEvent) -> None:
        """Journal an event."""
        self._effects.append(Record(event))
        for observe in self.observers:
            observe(event, self.now)

    def set_timer(self, timer: Timer, at: int) -> None:
        """Set a timer to a time (ms), or move it."""
        self._state[timer] = at
        self._effects.append(SetTimer(timer, at))

    def clear_timer(self, timer: Timer) -> None:
        """Clear a timer, if it is set."""
        if self._state.pop(timer, None) is not None:
            self._effects.append(ClearTimer(timer))


class Timekeeper(Stateful[int]):
    """Keeps engine time, which never goes back, and compares it with the clock and the market."""

    def __init__(self) -> None:
        super().__init__(-1)
        self._behind = False
        self._ahead = False

    def move_to(self, now: int) -> str:
        """Move engine time on to `now` (ms). Return an incident text if the clock has just fallen back too far."""
        if now >= self._state:
            self._state, self._behind = now, False
            return ""
        fell = self._state - now
        self._state = max(self._state, now)
        before, self._behind = self._behind, fell > FALLS_BACK_MS
        if not self._behind or before:
            return ""
        return f"the clock fell back by {fell / SECOND:g} s; engine time stands still until it is there again"

    def compare(self, market: int) -> str:
        """Return an incident text if the market's time (ms) has just moved too far ahead of the clock's."""
        ahead = market - self._state
        before, self._ahead = self._ahead, ahead > RUNS_AHEAD_MS
        if not self._ahead or before:
            return ""
        return f"the market is {ahead / SECOND:g} s ahead of the clock, so one of them is wrong"

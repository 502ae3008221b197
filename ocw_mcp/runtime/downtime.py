"""The time after a restart of a live book, or a sleep of its machine, in which timers that depend on prices wait.

They fire once the missed candles are known and prices of now arrive. Without that they would judge the prices before
the downtime: report an outage that was none, close a position at a price that is over, begin a day with another equity,
or cancel an entry that has filled meanwhile. Deadlines do not wait: those of decisions, of approvals, and of positions
without protection. The last ones wait only until a restarted book has seen its account at an exchange, where the stop
may stand.
"""

from collections.abc import Iterable
from typing import Final

from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.steps import Timer, TimerKind
from ocw_mcp.domain.time import MINUTE

LONGEST_WAIT_MS: Final = 5 * MINUTE
"""The time (ms) without a missed candle after which the timers fire: no more come, or no market can be reached."""
WAITING: Final = (TimerKind.DAY, TimerKind.EXPIRY, TimerKind.POSITIONS)
"""The timers that wait."""


class Downtime:
    """Whether a live book that was down still lacks candles that it missed, or a price of now."""

    def __init__(self) -> None:
        self.lasts = False
        self._began = self._since = 0
        """The time (ms) of the end of the downtime, or of the last missed candle that came after it."""

    def begin(self, now: int) -> None:
        """Let the timers wait from `now` (ms) on, the end of a downtime."""
        self.lasts, self._began, self._since = True, now, now

    def due(self, timers: Iterable[tuple[Timer, int]]) -> list[tuple[Timer, int]]:
        """Return the timers that do not wait, each with its time (ms)."""
        return [each for each in timers if each[0].kind not in WAITING]

    def take(self, frame: Frame, known: Iterable[int | None], interval: int, data_at: int | None, now: int) -> None:
        """Note a frame that was taken at `now` (ms).

        `known` is the close time (ms) of each symbol's last candle, and `data_at` the time of the last data that were
        not late.
        """
        if frame.late:
            self._since = now
        if data_at is None or data_at < self._began:
            return
        # The candle that closed last may need a moment to arrive.
        needed = (now // interval - 1) * interval
        self.lasts = not all(each is not None and each >= needed for each in known)

    def give_up(self, now: int) -> None:
        """Let the timers wait no longer if no missed candle came for LONGEST_WAIT_MS."""
        self.lasts = self.lasts and now - self._since < LONGEST_WAIT_MS

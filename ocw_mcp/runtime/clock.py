"""The clocks: simulated, paced and live. No other module reads the time."""

import asyncio
import time
from datetime import UTC, datetime

POLL_MS = 200
"""Real time between two polls for commands and requests while a run waits."""


class _WallClock:
    """The part of every clock that measures real time."""

    paced = False

    def wall_ms(self) -> float:
        """Return real time as a monotonic number of ms."""
        return time.perf_counter() * 1_000  # noqa: TID251 - this is the clock

    async def pause(self, ms: float) -> None:
        """Wait for `ms` of real time."""
        await asyncio.sleep(ms / 1_000)  # noqa: TID251 - this is the clock

    async def approach(self, at: int) -> bool:
        """Return True at once: only a paced clock waits for the time `at` of a frame."""
        return True


class SimulatedClock(_WallClock):
    """Engine time that follows the frames of the market, without waiting."""

    simulated = True

    def __init__(self) -> None:
        self._now = 0

    def now(self) -> int:
        """Return the engine time, ms."""
        return self._now

    def advance(self, to: int) -> None:
        """Set engine time to `to` (ms), unless that is earlier: time never goes back."""
        if to > self._now:
            self._now = to

    async def wait_until(self, at: int) -> None:
        """Let other tasks run, and return without waiting for `at`."""
        await asyncio.sleep(0)  # noqa: TID251 - this is the clock


class PacedClock(SimulatedClock):
    """Simulated time that runs `speed` times as fast as real time."""

    paced = True

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed
        self._began: tuple[int, float] | None = None

    async def approach(self, at: int) -> bool:
        """Wait up to POLL_MS; return whether engine time reached `at` (ms). Paced time begins with the first call."""
        if self._began is None:
            self._began = (at, self.wall_ms())
        first, began_ms = self._began
        left = began_ms + (at - first) / self._speed - self.wall_ms()
        await self.pause(max(0.0, min(left, POLL_MS)))
        return left <= POLL_MS


class LiveClock(_WallClock):
    """Engine time that is the time of the machine."""

    simulated = False

    def now(self) -> int:
        """Return the milliseconds since 1970, UTC."""
        return int(datetime.now(UTC).timestamp() * 1_000)  # noqa: TID251 - this is the clock

    def advance(self, to: int) -> None:
        """Do nothing: the time of the machine cannot be set."""

    async def wait_until(self, at: int) -> None:
        """Sleep until `at` (ms)."""
        await self.pause(max(0, at - self.now()))

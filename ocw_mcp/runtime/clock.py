"""The two clocks. Nothing else in the house reads the time."""

import asyncio
import time
from datetime import UTC, datetime

A_MOMENT_MS = 200


class SimulatedClock:
    """Time is what the market says it is; nobody waits."""

    simulated = True
    paced = False

    def __init__(self) -> None:
        self._now = 0

    def now(self) -> int:
        """Engine time, ms."""
        return self._now

    def wall_ms(self) -> float:
        """A monotonic reading, ms."""
        return time.perf_counter() * 1_000  # noqa: TID251 - this is the clock

    def advance(self, to: int) -> None:
        """Move on; time never goes back."""
        if to > self._now:
            self._now = to

    async def wait_until(self, at: int) -> None:
        """Let others run, and return at once."""
        await asyncio.sleep(0)  # noqa: TID251 - this is the clock

    async def pause(self, ms: float) -> None:
        """Wait so long by the wall."""
        await asyncio.sleep(ms / 1_000)  # noqa: TID251 - this is the clock

    async def approach(self, at: int) -> bool:
        """It is always there."""
        return True


class PacedClock(SimulatedClock):
    """Simulated time that keeps step with the wall: `speed` simulated milliseconds to one of the machine's."""

    paced = True

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed
        self._began: tuple[int, float] | None = None

    async def approach(self, at: int) -> bool:
        """Wait, `A_MOMENT_MS` of wall time at most; whether `at` has come. Pace is kept from the first call on."""
        if self._began is None:
            self._began = (at, self.wall_ms())
        first, wall = self._began
        left = wall + (at - first) / self._speed - self.wall_ms()
        await asyncio.sleep(max(0.0, min(left, A_MOMENT_MS)) / 1_000)  # noqa: TID251 - this is the clock
        return left <= A_MOMENT_MS


class LiveClock:
    """The machine's time."""

    simulated = False
    paced = False

    def now(self) -> int:
        """Milliseconds since 1970, UTC."""
        return int(datetime.now(UTC).timestamp() * 1_000)  # noqa: TID251 - this is the clock

    def wall_ms(self) -> float:
        """A monotonic reading, ms."""
        return time.perf_counter() * 1_000  # noqa: TID251 - this is the clock

    def advance(self, to: int) -> None:
        """The machine's time takes no telling."""

    async def wait_until(self, at: int) -> None:
        """Sleep until `at`."""
        await asyncio.sleep(max(0, at - self.now()) / 1_000)  # noqa: TID251 - this is the clock

    async def pause(self, ms: float) -> None:
        """Wait so long by the wall."""
        await asyncio.sleep(ms / 1_000)  # noqa: TID251 - this is the clock

    async def approach(self, at: int) -> bool:
        """Live, whatever comes is there when it comes."""
        return True

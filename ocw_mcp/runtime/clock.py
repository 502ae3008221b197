"""The two clocks. Nothing else in the house reads the time."""

import asyncio
import time
from datetime import UTC, datetime


class SimulatedClock:
    """Time is what the market says it is; nobody waits."""

    simulated = True

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
        self._now = max(self._now, to)

    async def wait_until(self, at: int) -> None:
        """Let others run, and return at once."""
        await asyncio.sleep(0)  # noqa: TID251 - this is the clock


class LiveClock:
    """The machine's time."""

    simulated = False

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

"""Clocks that a test holds in its hand."""

import asyncio

from ocw_mcp.runtime.clock import LiveClock, SimulatedClock


class HandClock(LiveClock):
    """A live clock that a test moves on."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._moved = asyncio.Event()

    def now(self) -> int:
        return self._at

    async def wait_until(self, at: int) -> None:
        while self._at < at:
            await self._moved.wait()

    async def let_pass(self, ms: int) -> None:
        """Move on by so much, and let everybody do what they have to do about it."""
        self._at += ms
        self._moved.set()
        self._moved = asyncio.Event()
        for _ in range(50):
            await asyncio.sleep(0)  # noqa: TID251 - this is a clock


class Waits(SimulatedClock):
    """Notes how long somebody would have waited by the wall (ms), and lets it pass at once."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []

    async def pause(self, ms: float) -> None:
        self.waited.append(ms)

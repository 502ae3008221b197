"""The clocks: simulated, paced and live. No other module reads the time."""

import asyncio
import selectors
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

POLL_MS = 200
"""Real time between two polls for commands and requests while a run waits."""
LONGEST_STEP_MS = 2_000
"""A step (ms) of the exchange's time by more than this is a jump."""


class _WallClock:
    """The part of every clock that measures real time."""

    paced = False

    def wall_ms(self) -> float:
        """Return real time as a monotonic number of ms."""
        return time.perf_counter() * 1_000  # noqa: TID251 - this is the clock

    async def pause(self, ms: float) -> None:
        """Wait for `ms` of real time."""
        await asyncio.sleep(ms / 1_000 * loop_speed())  # noqa: TID251 - this is the clock

    async def approach(self, at: int) -> bool:
        """Return True at once: only a paced clock waits for the time `at` of a frame."""
        return True

    def hold(self, at: int | None = None) -> None:
        """Do nothing: simulated time stands still between two frames."""

    def release(self) -> None:
        """Do nothing: only a live clock is held."""


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
    """Engine time that is the time of the exchange as its feed measures it, or of the machine while that is not known.

    A jump of the machine's time moves no deadline then, and a jump of the exchange's time alone does not, either:
    engine time takes a longer step only if both agree on it. The machine's time may run `speed` times as fast from
    `first` (ms) on, for the exchange of the sandbox, whose time may run faster. While an input is processed the clock
    is held, so that every part of the engine sees the same time, and a restart can repeat the input at its time.
    """

    simulated = False

    def __init__(self, speed: float = 1.0, first: int | None = None) -> None:
        self._speed = speed
        self._first = first
        self._began = self.wall_ms()
        self._held: int | None = None
        self._exchange: Callable[[], int | None] = lambda: None
        self._ahead: float | None = None
        """Engine time minus monotonic time (ms); None before the exchange's time is known."""

    def follow(self, exchange_ms: Callable[[], int | None]) -> None:
        """Follow the time (ms) of an exchange; `exchange_ms` returns None while it is not known."""
        self._exchange = exchange_ms

    def now(self) -> int:
        """Return the time of the input that is processed, or the present time: ms since 1970, UTC."""
        return self.present() if self._held is None else self._held

    def advance(self, to: int) -> None:
        """Do nothing: the time of the machine cannot be set."""

    def hold(self, at: int | None = None) -> None:
        """Stand still at `at` (ms), or at the present time, until `release`."""
        self._held = self.present() if at is None else at

    def release(self) -> None:
        """Go on with the time of the machine."""
        self._held = None

    @property
    def speed(self) -> float:
        """How many times as fast as real time the clock and its loop run."""
        return self._speed

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Return an event loop for this clock: its timers run as fast as the clock."""
        return asyncio.SelectorEventLoop() if self._speed == 1.0 else FastLoop(self._speed)

    async def wait_until(self, at: int) -> None:
        """Sleep until `at` (ms)."""
        await self.pause(max(0, at - self.present()) / self._speed)

    def present(self) -> int:
        """Return the present time (ms), also while the clock is held."""
        machine, exchange = self.machine(), self._exchange()
        passed = self.wall_ms() * self._speed
        own = machine if self._ahead is None else int(self._ahead + passed)
        if exchange is None:
            return own
        steady = self._ahead is None or abs(exchange - own) <= LONGEST_STEP_MS
        if not steady and abs(exchange - machine) > LONGEST_STEP_MS:
            return own
        self._ahead = exchange - passed
        return exchange

    def machine(self) -> int:
        """Return the time of the machine: ms since 1970, UTC, or the faster time of a sandbox."""
        if self._first is not None:
            return self._first + int((self.wall_ms() - self._began) * self._speed)
        return int(datetime.now(UTC).timestamp() * 1_000)  # noqa: TID251 - this is the clock


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop whose time runs `speed` times as fast as real time: a timer of `speed` seconds takes one second.

    A live feed measures silences, back-offs and timeouts by the time of its loop. On a market that runs faster they
    shorten with the market.
    """

    def __init__(self, speed: float) -> None:
        super().__init__(_FastSelector(speed))
        self.speed = speed

    def time(self) -> float:
        """Return the time of the loop, s."""
        return time.perf_counter() * self.speed  # noqa: TID251 - this is the clock


def loop_speed() -> float:
    """Return how many times as fast as real time the running event loop is."""
    loop = asyncio.get_running_loop()
    return loop.speed if isinstance(loop, FastLoop) else 1.0


class _FastSelector(selectors.BaseSelector):
    """Waits for events of files; a timeout takes 1 / `speed` of its length."""

    def __init__(self, speed: float) -> None:
        self._real = selectors.DefaultSelector()
        self._speed = speed

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return self._real.select(None if timeout is None else timeout / self._speed)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()

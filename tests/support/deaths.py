"""How a process of a book dies: at a touch of its store or venue, after which nothing passes to the exchange."""

import asyncio
from collections.abc import Callable
from random import Random  # noqa: TID251 - seeded
from typing import Any, NamedTuple

from ocw_mcp.adapters.binance.transport import RestResponse
from ocw_mcp.domain.errors import MarketUnreachable
from ocw_mcp.domain.protocols import Checkpoint
from ocw_mcp.sandbox.binance.inprocess import InProcessTransport
from tests.support.stores import Crash

LONGEST_DOWN_S = 70.0


class MortalTransport(InProcessTransport):
    """The way of one process to the exchange; after the death of the process nothing passes any more."""

    dead = False

    async def request(self, *arguments: Any, **options: Any) -> RestResponse:
        self._require_alive()
        response = await super().request(*arguments, **options)
        self._require_alive()
        return response

    async def connect(self, path: str) -> Any:
        self._require_alive()
        return await super().connect(path)

    def _require_alive(self) -> None:
        if self.dead:
            raise MarketUnreachable("the process was killed")


class Death:
    """The moment at which a process dies: at a number of touches of store and venue after it was armed."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self._left: int | None = None

    def arm(self, touches: int) -> None:
        """Let the process die at the next touch, or at a later one."""
        self._left = max(1, touches)

    def touch(self) -> None:
        """Raise Crash if the process dies now, or is dead."""
        if self._left is not None and not self.came.is_set():
            self._left -= 1
            if self._left <= 0:
                self.came.set()
        if self.came.is_set():
            raise Crash


class Dying:
    """A store whose appends and commits are touches; nothing is written after the death."""

    def __init__(self, store: Any, death: Death, saved: Callable[[], None], now_ms: Callable[[], int]) -> None:
        self._store, self._death, self._saved, self._now_ms = store, death, saved, now_ms
        self.committed_ms = now_ms()
        """The time of the last commit, ms."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def append(self, at: int, event: Any) -> int:
        self._death.touch()
        number: int = self._store.append(at, event)
        return number

    def commit(self, checkpoint: Checkpoint | None = None, summarise: Callable[[], Any] | None = None) -> None:
        self._death.touch()
        self._store.commit(checkpoint, summarise)
        self.committed_ms = self._now_ms()
        if checkpoint is not None:
            self._saved()
        self._death.touch()


class Kill(NamedTuple):
    """The process dies at `touches` touches after a time, and is started again `down_s` later."""

    at_s: float
    touches: int
    down_s: float


def random_kills(seed: int, number: int, minutes: float) -> list[Kill]:
    """Return kills at random moments between the first minute and the last two, each after the downtime of another."""
    draw, slot = Random(f"kills {seed}"), (minutes * 60 - 180) / max(number, 1)
    kills = []
    for index in range(number):
        at = 60 + slot * index + draw.uniform(0, max(1.0, slot - LONGEST_DOWN_S - 30))
        kills.append(Kill(at, draw.randint(1, 12), draw.choice((0.5, 2.0, 20.0, LONGEST_DOWN_S))))
    return kills

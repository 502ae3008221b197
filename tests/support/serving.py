"""An engine that is served from another thread, as another process serves one."""

import asyncio
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from ocw_mcp.runtime.deciders import NoDecider
from tests.support.facades import FacadeRun
from tests.support.runs import policies
from tests.support.served import served


class Engine(NamedTuple):
    """A served engine on which nothing is decided, and tokens for it."""

    url: str
    reads: str
    trades: str
    directory: Path


class Serving(threading.Thread):
    """Serves an engine from another thread, as another process does, until it is stopped."""

    def __init__(self, directory: Path) -> None:
        super().__init__(daemon=True)
        self._directory = directory
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._done = asyncio.Event()
        self.engine: Engine | None = None

    def run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with AsyncExitStack() as stack:
            desk = FacadeRun(self._directory / "book", NoDecider(), policy=policies(gate={"close_wakes": ["1h"]}))
            stack.callback(desk.store.close)
            await desk.go(2)
            at = await stack.enter_async_context(served(desk.facade, self._directory))
            self.engine = Engine(at.url, at.token, at.trader, self._directory)
            self._ready.set()
            await self._done.wait()

    def started(self) -> Engine:
        """Wait until it serves."""
        self.start()
        assert self._ready.wait(30)
        assert self.engine is not None
        return self.engine

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self.join(30)

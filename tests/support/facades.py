"""An engine to look at: what a run of a simulated market left in memory and on disk."""

from pathlib import Path
from typing import cast

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.app.compose import stamp
from ocw_mcp.domain.protocols import Decider
from ocw_mcp.domain.time import HOUR
from ocw_mcp.runtime.facade import Facade
from ocw_mcp.runtime.history import History
from tests.support.deciders import Reckless
from tests.support.runs import Run
from tests.support.stores import MemoryStore

BOOK = "desk00"


class Looked:
    """A run that has come as far as it was told, and the facade over it."""

    def __init__(self, directory: Path, decider: Decider | None = None, warmup_days: int = 0) -> None:
        feed = SimulatedFeed(1, warmup_days=warmup_days)
        self.store = SqliteStore.open(directory, stamp(feed), book_id=BOOK, created_at=0)
        self.run = Run(feed, decider or Reckless(3), store=cast(MemoryStore, self.store))
        self.facade = Facade(
            self.run.engine, self.run.clock, self.store, stamp(feed), History(directory), version="1.2.3"
        )

    async def go(self, hours: int) -> "Looked":
        """Run for so long."""
        await self.run.go(hours * HOUR)
        return self

"""Books on disk, for tests of the commands that read them."""

from contextlib import closing
from pathlib import Path
from typing import cast

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.app.compose import stamp
from ocw_mcp.domain.protocols import Decider
from ocw_mcp.domain.time import HOUR
from tests.support.deciders import Reckless
from tests.support.runs import Run
from tests.support.stores import MemoryStore

BOOK = "desk00"


async def write_book(directory: Path, decider: Decider | None = None, hours: int = 20) -> None:
    """Run a simulated market and leave its book in `directory`; the reckless decider has many fills and refusals."""
    feed = SimulatedFeed(1, warmup_days=0)
    with closing(SqliteStore.open(directory, stamp(feed), book_id=BOOK, created_at=0)) as store:
        await Run(feed, decider or Reckless(3), store=cast(MemoryStore, store)).go(hours * HOUR)

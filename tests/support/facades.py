"""A run on the simulated market with its facade, store and MCP server."""

from functools import cached_property
from pathlib import Path
from typing import Any, cast

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.app.compose import stamp
from ocw_mcp.domain.asks import CallerRequest
from ocw_mcp.domain.health import FeedHealth
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.protocols import Decider
from ocw_mcp.domain.steps import Asked
from ocw_mcp.domain.time import HOUR
from ocw_mcp.engine.idempotency import Answer
from ocw_mcp.interfaces.mcp.callers import OcwServer
from ocw_mcp.interfaces.mcp.server import build
from ocw_mcp.runtime.facade import Facade
from ocw_mcp.runtime.history import History
from ocw_mcp.runtime.outbox import OutboxStats
from ocw_mcp.runtime.trading import Trading
from ocw_mcp.runtime.validation import validated_request
from tests.support.deciders import Reckless
from tests.support.runs import Run
from tests.support.stores import MemoryStore

BOOK = "desk00"


class FacadeRun:
    """A run that advances by hours on request, and the facade over it."""

    def __init__(
        self,
        directory: Path,
        decider: Decider | None = None,
        warmup_days: int = 0,
        product: Product = Product.UM,
        **options: Any,
    ) -> None:
        self.health: FeedHealth | None = None
        self.heartbeat_at: int | None = None
        self.outbox: OutboxStats | None = None
        feed = SimulatedFeed(1, product=product, warmup_days=warmup_days)
        self.store = SqliteStore.open(directory, stamp(feed), book_id=BOOK, created_at=0)
        self.run = Run(feed, decider or Reckless(3), store=cast(MemoryStore, self.store), **options)
        self.facade = Facade(
            self.run.engine,
            self.run.clock,
            self.store,
            stamp(feed),
            History(directory),
            version="1.2.3",
            trading=Trading(self.run.engine, self.ask, self.run.clock),
            catching_up=lambda: self.run.simulation.catching_up,
            health=lambda: self.health,
            heartbeat_at=lambda: self.heartbeat_at,
            outbox=lambda: self.outbox,
        )

    @cached_property
    def server(self) -> OcwServer:
        """The MCP server over the facade, made once since that is slow."""
        return build(lambda: self.facade, "1.2.3")

    async def ask(self, request: CallerRequest) -> Answer:
        """Take a request between two frames, as a run does."""
        shell = self.run.simulation.shell
        await shell.take(Asked(validated_request(request), self.run.simulation.cursor))
        shell.commit()
        answer = self.run.engine.answer(request)
        assert answer is not None
        return answer

    async def go(self, hours: int) -> "FacadeRun":
        """Run for so many more hours."""
        await self.run.go(hours * HOUR)
        return self

"""The clock of the live feed, and the largest offset of the machine with which entries pass."""

from typing import Final

from ocw_mcp.adapters.binance.clock import TIME_PATHS, ServerClock
from ocw_mcp.adapters.binance.transport import Transport
from ocw_mcp.adapters.feeds.binance.rest import Priority, RestClient
from ocw_mcp.domain.market import Product

LIMIT_MS: Final = 500
"""The largest offset (ms) between the machine and the exchange with which entries pass."""


class FeedClock(ServerClock):
    """The exchange's time, asked for within the budget of the feed."""

    def __init__(self, transport: Transport, rest: RestClient, product: Product) -> None:
        super().__init__(transport.now_ms)
        self._rest, self._path = rest, TIME_PATHS[product]

    async def measure(self, priority: Priority = Priority.URGENT) -> None:
        """Measure the exchange's time. Raises MarketUnreachable."""
        await self.measure_by(lambda: self._rest.get(self._path, weight=1, priority=priority))
        self._rest.weights.follow(self.now_ms)

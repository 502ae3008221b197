"""A live book on the sandbox exchange in this process."""

from collections.abc import AsyncGenerator, Mapping
from itertools import count

from ocw_mcp.adapters.feeds.binance import BinanceFeed
from ocw_mcp.domain.market import Frame, MarketIdentity, Product
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.runtime.clock import LiveClock
from ocw_mcp.sandbox.binance.exchange import Exchange
from ocw_mcp.sandbox.binance.faulty import FaultyExchange
from ocw_mcp.sandbox.binance.inprocess import InProcessTransport
from ocw_mcp.sandbox.binance.market import SandboxMarket
from tests.support.stores import MemoryStore


class SandboxClock(LiveClock):
    """A live clock on the exchange's time."""

    transport: InProcessTransport | None = None

    def present(self) -> int:
        return 0 if self.transport is None else self.transport.exchange_ms()


class SandboxLive:
    """The live feed on a sandbox exchange in this process, from one time to another (ms)."""

    def __init__(self, market: SandboxMarket, begin: int, until: int, dying: MemoryStore | None = None) -> None:
        """The process dies at the end, at the next write to `dying`, if that is given."""
        self._market = market
        self._begin, self._until, self._dying = begin, until, dying
        self._feed: BinanceFeed | None = None
        self.clock = SandboxClock()

    @property
    def identity(self) -> MarketIdentity:
        return MarketIdentity("binance", Product.UM, MINUTE, self._market.symbols, "a sandbox")

    def watch(self, levels: Mapping[str, tuple[float, float]]) -> None:
        assert self._feed is None or not levels, "no position has levels to watch"

    def resume_at(self, known: Mapping[str, int]) -> None:
        assert set(known) == set(self._market.symbols)

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        transport = InProcessTransport(FaultyExchange(Exchange(self._market), self._begin, (), 100), self._begin)
        self.clock.transport, numbers = transport, count()
        self._feed = BinanceFeed(
            Product.UM,
            self._market.symbols,
            transport,
            jitter=lambda: next(numbers) * 0.37 % 1,
            warmup_days=1,
            tick_ms=20 * SECOND,
        )
        frames = self._feed.frames(after)
        try:
            async for frame in frames:
                if transport.exchange_ms() >= self._until:
                    if self._dying is None:
                        return
                    self._dying.die_at = self._dying.touches + 1
                yield frame
        finally:
            await frames.aclose()

"""The live feed on the sandbox exchange, in virtual time: runs that end, and a day with faults."""

from collections.abc import AsyncGenerator, Callable, Sequence

from ocw_mcp.adapters.feeds.binance import BinanceFeed
from ocw_mcp.domain.market import Candle, Frame, MarketIdentity, Product
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.exchange import Exchange
from ocw_mcp.sandbox.binance.faults import FORMS, Fault
from ocw_mcp.sandbox.binance.faulty import FaultyExchange
from ocw_mcp.sandbox.binance.inprocess import InProcessTransport
from ocw_mcp.sandbox.binance.market import SandboxMarket
from tests.support.live_feeds import live_feed

START = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


class SandboxFeed:
    """A live feed that ends: the exchange's time begins at `start` and ends at `until` (ms)."""

    def __init__(
        self,
        market: SandboxMarket,
        start: int,
        until: int,
        *,
        faults: Sequence[Fault] = (),
        warmup_days: int = 1,
        thin: int = 10,
        observe: Callable[[BinanceFeed], None] = lambda feed: None,
    ) -> None:
        self._market, self._start, self._until, self._faults = market, start, until, faults
        self._warmup_days, self._thin, self._observe = warmup_days, thin, observe

    @property
    def identity(self) -> MarketIdentity:
        return MarketIdentity("binance", self._market.product, MINUTE, self._market.symbols, "of a sandbox")

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        exchange = FaultyExchange(Exchange(self._market), START, self._faults, self._thin)
        transport = InProcessTransport(exchange, self._start, grain_ms=500)
        options = {"warmup_days": self._warmup_days, "tick_ms": 10_000}
        feed = live_feed(transport, self._market.symbols, self._market.product, **options)
        frames = feed.frames(after)
        try:
            async for frame in frames:
                if transport.exchange_ms() >= self._until:
                    return
                self._observe(feed)
                yield frame
        finally:
            await frames.aclose()


def sandbox_market(product: Product = Product.UM, symbols: tuple[str, ...] = SYMBOLS) -> SandboxMarket:
    """Return the sandbox's simulated market."""
    return SandboxMarket.simulated(7, symbols, product, START)


def source_candles(market: SandboxMarket, symbol: str, since: int, until: int) -> list[Candle]:
    """Return the market's candles that open from `since` to before `until` (ms)."""
    found = []
    for kline in market.klines(symbol, "1m", since, until - 1, DAY // MINUTE * 20, until + DAY):
        prices = (kline.open, kline.high, kline.low, kline.close)
        found.append(Candle(symbol, kline.open_time, MINUTE, *prices, kline.volume, kline.taker_volume))
    return found


def faults_of_a_day() -> list[Fault]:
    """Return faults of all kinds, spread over 24 hours."""
    forms = [
        Fault("garbage", 10 * HOUR + n * 10 * MINUTE, 5 * MINUTE, form=form, nth=5, replaces=n % 2 == 1)
        for n, form in enumerate(FORMS)
    ]
    return [
        Fault("drop", 20 * MINUTE, every=3 * HOUR + 7 * MINUTE),
        Fault("close", 2 * HOUR + MINUTE, every=5 * HOUR),
        Fault("refuse", 4 * HOUR + 30 * SECOND, 3 * MINUTE),
        Fault("mute", 5 * HOUR + 10 * MINUTE, 9 * MINUTE, stream="btcusdt@*"),
        Fault("mute", 6 * HOUR, 6 * MINUTE),
        Fault("delay", 7 * HOUR, 20 * MINUTE, by=15 * SECOND, stream="*kline*"),
        Fault("duplicate", 8 * HOUR, 20 * MINUTE, times=3),
        Fault("reorder", 8 * HOUR + 30 * MINUTE, 20 * MINUTE),
        Fault("refuse", 9 * HOUR + 30 * SECOND, 7 * MINUTE, rest=True),
        *forms,
        Fault("error", 12 * HOUR, 5 * MINUTE),
        Fault("limit", 13 * HOUR, 2 * MINUTE),
        Fault("mute", 14 * HOUR, 8 * MINUTE, stream="ethusdt@*"),
        Fault("ban", 14 * HOUR + 30 * SECOND, 5 * MINUTE),
        Fault("skew", 16 * HOUR, 10 * MINUTE, by=5 * SECOND),
        Fault("skew", 17 * HOUR, 10 * MINUTE, by=-HOUR),
        Fault("filters", 18 * HOUR, symbol="BTCUSDT", tick="0.5"),
    ]

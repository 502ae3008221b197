"""The live feed on the sandbox exchange for a day in virtual time, with faults of all kinds."""

import tracemalloc
from collections import Counter
from collections.abc import Callable

import pytest

from ocw_mcp.adapters.feeds.binance import BinanceFeed
from ocw_mcp.domain.market import Candle, FeedNotice, Product
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.live_markets import START, SandboxFeed, faults_of_a_day, sandbox_market, source_candles


def assert_source(product: Product, until: int, faults: bool) -> list[FeedNotice]:
    """Assert that a run until `until` (ms) gives exactly the source's candles; return its notices."""
    market = sandbox_market(product)
    feed = SandboxFeed(
        market,
        START + 30 * SECOND,
        until + 5 * SECOND,
        faults=faults_of_a_day() if faults else (),
        thin=20 if faults else 5,
    )
    candles: dict[str, list[Candle]] = {symbol: [] for symbol in market.symbols}
    notices: list[FeedNotice] = []
    times: list[int] = []

    async def run() -> None:
        async for frame in feed.frames():
            notices.extend(frame.notices)
            for candle in frame.closed:
                candles[candle.symbol].append(candle)
            if frame.closed:
                times.append(frame.at)

    run_in_virtual_time(run())
    for symbol in market.symbols:
        expected = source_candles(market, symbol, START - DAY, until)
        assert len(expected) == (until - START + DAY) // MINUTE
        assert candles[symbol] == expected
    assert times == sorted(times)
    return notices


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("D02")
@pytest.mark.parametrize("product", list(Product))
def test_day_of_faults_ends_with_exactly_the_candles_of_the_source(product: Product) -> None:
    notices = assert_source(product, START + DAY, faults=True)
    kinds = Counter(each.kind.value for each in notices)
    assert kinds["degraded"] == kinds["restored"] > 0
    named = {each.detail.partition(":")[0] for each in notices if each.kind == "incident"}
    assert {"malformed", "other fields than expected", "data of another symbol", "connection"} <= named
    assert {"refused kline", "refused quote", "refused trade", "mute kline"} <= named


def test_hour_without_faults_ends_with_the_candles_of_the_source() -> None:
    assert assert_source(Product.UM, START + HOUR, faults=False) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_memory_of_the_feed_is_flat() -> None:
    """The memory that was allocated in the feed's modules, at the end of the second hour and of the last."""
    sizes: list[int] = []
    market = sandbox_market()

    def observe(hours: int) -> Callable[[BinanceFeed], None]:
        def take(feed: BinanceFeed) -> None:
            assert feed.session is not None
            if len(sizes) < hours and feed.session.clock.now_ms() >= START + (len(sizes) + 1) * HOUR:
                snapshot = tracemalloc.take_snapshot()
                own = snapshot.filter_traces([tracemalloc.Filter(True, "*/adapters/feeds/binance/*")])
                sizes.append(sum(each.size for each in own.traces))

        return take

    feed = SandboxFeed(market, START + 30 * SECOND, START + 6 * HOUR + MINUTE, thin=20, observe=observe(6))

    async def run() -> None:
        async for _ in feed.frames():
            pass

    tracemalloc.start()
    try:
        run_in_virtual_time(run())
    finally:
        tracemalloc.stop()
    assert len(sizes) == 6
    assert sizes[-1] <= 1.02 * sizes[1] + 20_000

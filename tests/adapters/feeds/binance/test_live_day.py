"""The live feed on the sandbox exchange for a day in virtual time, with faults of all kinds."""

import tracemalloc

import pytest

from ocw_mcp.adapters.feeds.binance import BinanceFeed
from ocw_mcp.app.bench.live_day import START, SandboxFeed, run_live_day
from ocw_mcp.domain.market import FeedNoticeKind, Product
from ocw_mcp.domain.time import HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("product", list(Product))
def test_day_of_faults_ends_with_exactly_the_candles_of_the_source(product: Product) -> None:
    day = run_live_day(product)
    assert (day.expected, day.given) == (3 * 48 * 60, 3 * 48 * 60)
    assert day.exact
    degraded: dict[str, bool] = {}
    for each in day.notices:
        if each.kind is not FeedNoticeKind.INCIDENT:
            degraded[each.subject] = each.kind is FeedNoticeKind.DEGRADED
    assert set(degraded.values()) == {False}
    named = {each.detail.partition(":")[0] for each in day.notices if each.kind == "incident"}
    assert {"malformed", "other fields than expected", "data of another symbol", "connection"} <= named
    counted = {"refused kline", "refused quote", "refused trade", "mute kline"}
    assert counted <= set(day.incidents)
    # Hours of faults of all kinds are some lines, whatever the number of messages.
    assert sum(day.incidents.values()) > 2_000
    assert len(day.notices) < 200


@pytest.mark.slow
def test_hour_without_faults_ends_with_the_candles_of_the_source() -> None:
    day = run_live_day(hours=1, faults=(), thin=5)
    assert day.exact
    assert (day.late, day.notices, day.incidents) == (0, (), {})
    assert day.messages > 10_000


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_memory_of_the_feed_is_flat() -> None:
    """What was allocated in the feed's modules, at the end of the second hour and of the last."""
    sizes: list[int] = []

    def observe(feed: BinanceFeed) -> None:
        assert feed.session is not None
        if feed.session.clock.now_ms() >= START + (len(sizes) + 1) * HOUR:
            own = tracemalloc.Filter(True, "*/adapters/feeds/binance/*")
            sizes.append(sum(each.size for each in tracemalloc.take_snapshot().filter_traces([own]).traces))

    market = SandboxMarket.simulated(7, start=START)
    feed = SandboxFeed(market, START + 30 * SECOND, START + 4 * HOUR + MINUTE, thin=8, observe=observe)

    async def run() -> None:
        async for _ in feed.frames():
            pass

    tracemalloc.start()
    try:
        run_in_virtual_time(run())
    finally:
        tracemalloc.stop()
    assert len(sizes) == 4
    assert sizes[-1] <= 1.02 * sizes[1] + 20_000

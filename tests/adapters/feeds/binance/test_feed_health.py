"""The health that the live feed reports while it runs."""

from collections.abc import Mapping

from ocw_mcp.adapters.binance.transport import RestResponse
from ocw_mcp.adapters.feeds.binance import BinanceFeed
from ocw_mcp.domain.health import FeedHealth, HealthReporter
from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.time import MINUTE, SECOND
from tests.support.live_feeds import Script, feed_on, live_feed, run_feed
from tests.support.scripted_market import BEGIN, SYMBOLS, ScriptedMarket, kline_text, source_candle

START = BEGIN + 30 * SECOND
KINDS = ("kline_1m", "aggTrade", "markPrice@1s", "bookTicker", "forceOrder")


def health_at(market: ScriptedMarket, at: int, script: Script | None = None) -> FeedHealth:
    """Return the health at the first frame from a time (ms) on."""
    found: list[FeedHealth] = []

    def consume(frame: Frame, feed: BinanceFeed) -> None:
        assert feed.session is not None
        if not found and feed.session.clock.now_ms() >= at:
            health = feed.health()
            assert health is not None
            found.append(health)

    run_feed(feed_on(market), at, script=script, consume=consume)
    return found[0]


def test_feed_that_does_not_run_has_no_health() -> None:
    feed = live_feed(ScriptedMarket(START), SYMBOLS)
    assert isinstance(feed, HealthReporter)
    assert feed.health() is None


def test_healthy_feed_has_fresh_streams_and_no_incident() -> None:
    market = ScriptedMarket(START)
    health = health_at(market, BEGIN + 3 * MINUTE)
    assert (health.incidents, health.reconnects, health.requests_refused) == ({}, 0, 0)
    assert health.clock_offset_ms is not None
    assert abs(health.clock_offset_ms) <= 20
    assert health.messages > 500
    names = [each.name for each in health.streams]
    assert names == sorted(f"{symbol.lower()}@{kind}" for symbol in SYMBOLS for kind in KINDS)
    ages = {each.name: each.age_ms for each in health.streams}
    assert all(ages[f"{symbol.lower()}@markPrice@1s"] in range(1_500) for symbol in SYMBOLS)
    assert ages["btcusdt@forceOrder"] is None
    assert not any(each.refused for each in health.streams)


def test_weight_of_the_requests_is_that_of_the_minute() -> None:
    market = ScriptedMarket(START)
    health = health_at(market, START + 10 * SECOND)
    assert 5 <= health.request_weight < 100
    assert health.request_weight_limit == 2_400
    # A new minute has a new budget, and nothing was asked in it.
    assert health_at(market, BEGIN + 3 * MINUTE).request_weight == 0


def test_mute_stream_grows_old_and_refused_one_is_named() -> None:
    market = ScriptedMarket(START)
    at = BEGIN + 2 * MINUTE

    def begin() -> None:
        market.muted = ["ethusdt@markPrice@1s", "btcusdt@kline_1m"]

    def disturb() -> None:
        now = market.exchange_ms()
        candle = source_candle("BTCUSDT", now // MINUTE * MINUTE)
        market.send("btcusdt@kline_1m", *[kline_text(candle, now, closed=False, h="nan", c="nan")] * 3)

    script = {at: begin, at + 30 * SECOND: disturb}
    health = health_at(market, at + 40 * SECOND, script)
    streams = {each.name: each for each in health.streams}
    assert streams["ethusdt@markPrice@1s"].age_ms in range(39_000, 43_000)
    assert (streams["ethusdt@markPrice@1s"].refused, streams["btcusdt@kline_1m"].refused) == (False, True)
    # All three are counted, and one line reports them.
    assert health.incidents["refused kline"] == 3


def test_lost_connections_count_as_reconnects() -> None:
    market = ScriptedMarket(START)

    def cut() -> None:
        for connection in market.connections:
            connection.closed = True

    health = health_at(market, BEGIN + 6 * MINUTE, {BEGIN + minute * MINUTE: cut for minute in (2, 4)})
    assert (health.reconnects, health.incidents["connection"]) == (4, 4)


def test_refused_requests_and_a_wrong_clock_are_shown() -> None:
    market = ScriptedMarket(START)

    def refuse(path: str, query: Mapping[str, str | int]) -> RestResponse | None:
        return RestResponse(418, b"{}", {"retry-after": "60"})

    def begin() -> None:
        market.rest, market.ahead_ms, market.muted = refuse, 5_000, ["*"]

    health = health_at(market, BEGIN + 4 * MINUTE, {BEGIN + 2 * MINUTE: begin})
    assert health.requests_refused > 0
    assert health.clock_offset_ms in range(4_900, 5_100)
    assert health.incidents["degraded"] >= 2

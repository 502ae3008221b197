"""Sources of the sandbox market: simulated markets, tapes, holes, ends, and feeds that do not fit."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.domain.errors import SettingsError, TapeError
from ocw_mcp.domain.market import Candle, Funding, Metrics, Product
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.exchange import Exchange
from ocw_mcp.sandbox.binance.market import HISTORY_DAYS, SandboxMarket
from tests.support.sandbox_market import (
    DAY_1,
    StoredFeed,
    WaitingFeed,
    answer,
    built,
    candle,
    refusal,
    simulated,
)
from tests.support.tapes import write_csv

FLAT = 100.0, 101.0, 99.0, 100.5, 12.5


def stored(*minutes: int) -> list[Candle]:
    return [candle(minute, FLAT, 5.5) for minute in minutes]


def test_minutes_that_the_source_lacks_have_no_kline() -> None:
    market = SandboxMarket(StoredFeed(stored(0, 1, 4)), DAY_1)
    now = DAY_1 + 5 * MINUTE
    klines = market.klines("BTCUSDT", "1m", 0, now, 10, now)
    assert [kline.open_time for kline in klines] == [DAY_1, DAY_1 + MINUTE, DAY_1 + 4 * MINUTE]
    whole = market.kline("BTCUSDT", 5 * MINUTE, DAY_1, now)
    assert whole is not None
    assert whole.volume == 37.5
    last = market.last_trade("BTCUSDT", DAY_1 + 3 * MINUTE)
    assert last is not None
    assert DAY_1 + MINUTE <= last.at < DAY_1 + 2 * MINUTE


def test_a_hole_of_days_keeps_last_price_and_numbers_of_trades() -> None:
    late = 3 * DAY // MINUTE
    market = SandboxMarket(StoredFeed(stored(0, late)), DAY_1)
    before, after = market.trades("BTCUSDT", 0, DAY_1 + HOUR), market.trades("BTCUSDT", DAY_1 + HOUR, DAY_1 + 4 * DAY)
    assert after[0].id == before[-1].id + 1
    assert market.last_trade("BTCUSDT", DAY_1 + 2 * DAY) == before[-1]
    assert market.trades_from("BTCUSDT", before[-1].id, 2, DAY_1 + 4 * DAY) == [before[-1], after[0]]


def test_a_symbol_that_ended_long_ago_keeps_its_last_price() -> None:
    rows = [candle(day * 1440, FLAT) for day in range(400)] + [candle(0, FLAT, symbol="OLDUSDT")]
    market = SandboxMarket(StoredFeed(rows), DAY_1)
    at = DAY_1 + 399 * DAY
    last = market.last_trade("OLDUSDT", DAY_1 + HOUR)
    assert last is not None
    assert market.last_trade("OLDUSDT", at) == last
    assert market.last_trade("OLDUSDT", DAY_1 - 1) is None
    _, ticker = answer(Exchange(market), "/fapi/v1/ticker/24hr", at)
    assert (ticker["symbol"], ticker["lastPrice"], ticker["volume"], ticker["count"]) == ("OLDUSDT", "100.5", "0.0", 0)


def test_a_symbol_is_listed_from_its_first_trade_on() -> None:
    rows = [candle(minute, FLAT) for minute in range(20)] + [candle(10, FLAT, symbol="NEWUSDT")]
    exchange = Exchange(SandboxMarket(StoredFeed(rows), DAY_1))
    at = DAY_1 + 10 * MINUTE

    def listed(now: int) -> list[str]:
        return [row["symbol"] for row in answer(exchange, "/fapi/v1/exchangeInfo", now)["symbols"]]

    assert listed(at - 1) == ["BTCUSDT"]
    assert listed(at) == ["BTCUSDT", "NEWUSDT"]
    assert refusal(exchange, "/fapi/v1/ticker/price", at - 1, symbol="NEWUSDT")[:2] == (400, -1121)


def test_the_end_of_the_source_is_known_when_it_is_reached() -> None:
    market = SandboxMarket(StoredFeed(stored(0, 1, 2)), DAY_1)
    end = DAY_1 + 3 * MINUTE
    assert market.ends_at(end - 1) is None
    assert market.ends_at(end) == end
    assert market.ends_at(end + 400 * DAY) == end
    assert market.quote("BTCUSDT", end + 40 * DAY) == market.quote("BTCUSDT", end)


def test_nothing_is_stated_before_the_first_trade() -> None:
    market = SandboxMarket(StoredFeed(stored(10)), DAY_1)
    at = DAY_1 + 10 * MINUTE - 1
    assert market.kline("BTCUSDT", HOUR, DAY_1, at) is None
    assert market.last_trade("BTCUSDT", at) is None
    assert market.quote("BTCUSDT", at) is None
    assert market.mark("BTCUSDT", at) is None
    assert market.depth("BTCUSDT", at, 5) == ([], [], 0)


def test_a_minute_without_volume_keeps_its_price_and_has_no_trade() -> None:
    rows = [candle(0, FLAT, 5.5), candle(1, (100.5, 100.5, 100.5, 100.5, 0.0), 0.0)]
    market = SandboxMarket(StoredFeed(rows), DAY_1)
    kline = market.kline("BTCUSDT", MINUTE, DAY_1 + MINUTE, DAY_1 + MINUTE + 5 * SECOND)
    assert kline is not None
    assert (kline.open, kline.close, kline.volume, kline.first_trade) == (100.5, 100.5, 0.0, -1)


def test_volumes_with_many_decimals_are_rounded_and_not_overflowed() -> None:
    row = 98_765.43, 99_999.99, 98_000.01, 99_000.5, 4321.123456789
    market = SandboxMarket(StoredFeed([candle(0, row, 1234.56789012)]), DAY_1)
    kline = market.kline("BTCUSDT", MINUTE, DAY_1, DAY_1 + MINUTE)
    assert kline is not None
    assert kline.volume == pytest.approx(4321.123456789, rel=1e-8)
    assert 98_000 * kline.volume < kline.quote_volume < 100_000 * kline.volume
    assert float(built(market.trades("BTCUSDT", 0, DAY_1 + MINUTE)).quote_volume) == kline.quote_volume


def test_prices_lie_on_the_tick_and_quotes_on_both_sides_of_them() -> None:
    market = simulated()
    since = market.start + 2 * HOUR
    decimals = market.decimals("BTCUSDT")[0]
    trades = market.trades("BTCUSDT", since, since + HOUR)
    quotes = market.quotes("BTCUSDT", since, since + HOUR)
    assert len(trades) == len(quotes)
    for trade, (at, quote) in zip(trades, quotes, strict=True):
        assert (trade.at, trade.id) == (at, quote.update_id)
        assert round(trade.price, decimals) == trade.price
        assert quote.bid < quote.ask
        assert trade.price == (quote.bid if trade.buyer_is_maker else quote.ask)
        assert min(quote.bid_quantity, quote.ask_quantity) > 0
    assert {later.id - earlier.id for earlier, later in pairwise(trades)} == {1}


def test_forced_orders_are_more_frequent_in_fast_minutes() -> None:
    rows = [candle(minute, (100.0, 100.1, 99.9, 100.0, 500.0), 250.0) for minute in range(600)]
    rows += [candle(minute, (100.0, 100.2, 97.0, 97.5, 500.0), 150.0) for minute in range(600, 660)]
    market = SandboxMarket(StoredFeed(rows), DAY_1)
    calm = market.liquidations("BTCUSDT", 0, DAY_1 + 600 * MINUTE - 1)
    fast = market.liquidations("BTCUSDT", DAY_1 + 600 * MINUTE - 1, DAY_1 + 660 * MINUTE)
    assert len(calm) < 20
    assert len(fast) > 100
    assert all(order.is_sell and order.price < order.average_price for order in fast)
    trades = {(trade.at, trade.price) for trade in market.trades("BTCUSDT", 0, DAY_1 + DAY)}
    assert {(order.at, order.average_price) for order in (*calm, *fast)} <= trades


def test_spot_has_no_derivatives() -> None:
    market = simulated(Product.SPOT)
    at = market.start + DAY
    assert market.mark("BTCUSDT", at) is None
    assert market.funding("BTCUSDT", 0, at) == []
    assert market.liquidations("BTCUSDT", 0, at) == []
    assert market.metrics("BTCUSDT", 0, at) == []


def test_funding_and_metrics_appear_at_their_time() -> None:
    hours = [DAY_1 + each * HOUR for each in (4, 8)]
    feed = StoredFeed(
        stored(*range(9 * 60)),
        [Metrics("BTCUSDT", DAY_1 + HOUR, 5000.0, 500_000.0, 1.5, 1.2, 1.8, 1.1)],
        [Funding("BTCUSDT", at, 0.0004, 4) for at in hours],
    )
    exchange = Exchange(SandboxMarket(feed, DAY_1))
    early = answer(exchange, "/fapi/v1/premiumIndex", DAY_1 + HOUR, symbol="BTCUSDT")
    assert (early["nextFundingTime"], early["lastFundingRate"]) == (hours[0], "0.00040000")
    rows = answer(exchange, "/fapi/v1/fundingRate", hours[1], symbol="BTCUSDT")
    assert [row["fundingTime"] for row in rows] == hours
    (info,) = answer(exchange, "/fapi/v1/fundingInfo", hours[1])
    assert info["fundingIntervalHours"] == 4
    query = {"symbol": "BTCUSDT", "period": "5m"}
    assert answer(exchange, "/futures/data/openInterestHist", DAY_1 + HOUR - 1, **query) == []
    (row,) = answer(exchange, "/futures/data/globalLongShortAccountRatio", DAY_1 + HOUR, **query)
    assert row == {
        "symbol": "BTCUSDT",
        "longShortRatio": "1.8000",
        "longAccount": "0.6429",
        "shortAccount": "0.3571",
        "timestamp": DAY_1 + HOUR,
    }
    interest = answer(exchange, "/fapi/v1/openInterest", hours[0], symbol="BTCUSDT")
    assert interest["openInterest"] == "5000.000"


def test_later_statistics_are_stamped_with_their_beginning() -> None:
    begin = 1_782_345_600_000  # 2026-06-25T00:00:00Z
    minutes = range((begin - DAY_1) // MINUTE, (begin - DAY_1) // MINUTE + 30)
    at = begin + 20 * MINUTE
    rows = [Metrics("BTCUSDT", end, 5000.0, 500_000.0) for end in (begin + 5 * MINUTE, begin + 10 * MINUTE)]
    exchange = Exchange(SandboxMarket(StoredFeed(stored(*minutes), rows), begin))
    found = answer(exchange, "/futures/data/openInterestHist", at, symbol="BTCUSDT", period="5m")
    assert [row["timestamp"] for row in found] == [begin, begin + 5 * MINUTE]


def test_a_simulated_market_has_two_weeks_before_its_start() -> None:
    market = simulated()
    assert market.start - market.begins_at == 14 * DAY
    (first,) = market.klines("BTCUSDT", "1d", 0, market.start, 1, market.start)
    assert first.open_time == market.begins_at


@pytest.mark.slow
def test_days_that_left_the_memory_are_read_again_unchanged() -> None:
    rows = [candle(day * 1440 + minute, FLAT) for day in range(200) for minute in range(3)]
    now = DAY_1 + 200 * DAY
    market, fresh = (SandboxMarket(StoredFeed(rows), DAY_1) for _ in range(2))
    trades = [market.trades("BTCUSDT", DAY_1 + day * DAY - 1, DAY_1 + day * DAY + HOUR) for day in range(200)]
    assert len(fresh.klines("BTCUSDT", "1d", 0, now, 1000, now)) == 200
    for day in (0, 1, 120, 7, 199):
        assert fresh.trades("BTCUSDT", DAY_1 + day * DAY - 1, DAY_1 + day * DAY + HOUR) == trades[day]
    assert fresh.trades_from("BTCUSDT", trades[3][0].id, 3, now) == trades[3][:3]


def test_a_tape_is_served_with_its_candles(tmp_path: Path) -> None:
    rows = [candle(minute, FLAT, None) for minute in range(2 * 24 * 60)]
    market = SandboxMarket.recorded(write_csv(tmp_path, rows), Product.SPOT)
    assert (market.product, market.symbols) == (Product.SPOT, ("BTCUSDT",))
    assert (market.begins_at, market.start) == (DAY_1, DAY_1 + DAY)
    now = DAY_1 + 2 * DAY
    klines = market.klines("BTCUSDT", "1m", 0, now, 10_000, now)
    assert [(k.open_time, k.open, k.high, k.low, k.close, k.volume) for k in klines] == [
        (row.open_time, *FLAT) for row in rows
    ]


def test_a_tape_is_read_from_two_months_before_its_start(tmp_path: Path) -> None:
    days = 100
    rows = [candle(minute, FLAT) for day in range(days) for minute in (day * 1440, day * 1440 + 1)]
    start = DAY_1 + 90 * DAY
    market = SandboxMarket.recorded(write_csv(tmp_path, rows), Product.SPOT, start=start)
    assert market.start == start
    assert market.begins_at == start - HISTORY_DAYS * DAY


def test_candles_of_another_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="has candles of 15m; expected 1m"):
        SandboxMarket(StoredFeed(stored(0), interval=15 * MINUTE), DAY_1)
    with pytest.raises(TapeError):
        SandboxMarket.recorded(tmp_path, Product.UM)


def test_a_feed_that_waits_is_refused() -> None:
    with pytest.raises(SettingsError, match="was given a feed that waits"):
        SandboxMarket(WaitingFeed(stored(0)), DAY_1)


def test_a_market_outlives_the_event_loop_in_which_it_was_read() -> None:
    async def opened() -> SandboxMarket:
        return SandboxMarket.simulated(5, ("BTCUSDT",))

    market = asyncio.run(opened())
    at = market.start + 5 * DAY
    assert market.ends_at(at) is None
    assert market.kline("BTCUSDT", MINUTE, at, at + 1) is not None


def test_a_start_after_the_last_candle_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path, stored(0, 1))
    with pytest.raises(SettingsError, match="no candle from the requested start on"):
        SandboxMarket.recorded(path, Product.SPOT, start=DAY_1 + 90 * DAY)


def test_a_recorded_crash_is_served_candle_by_candle(tapes: Path) -> None:
    path = tapes / "vision/futures/um/monthly/klines/NEARUSDT"
    market = SandboxMarket.recorded(path, Product.UM, ("NEARUSDT",))
    feed = TapeFeed.open(path, Product.UM, "1m", ("NEARUSDT",))
    begin, now = 1_738_540_800_000, 1_738_713_600_000  # 2025-02-03 and 2025-02-05
    klines = market.klines("NEARUSDT", "1m", begin, now - 1, 10_000, now)
    reader = feed.frames(begin)
    rows: list[Candle] = []
    while not rows or rows[-1].close_time < now:
        step = reader.__anext__()
        try:
            step.send(None)
        except StopIteration as result:
            rows += result.value.closed
    assert [(k.open_time, k.open, k.high, k.low, k.close, k.volume, k.taker_volume) for k in klines] == [
        (row.open_time, row.open, row.high, row.low, row.close, row.volume, row.taker_volume) for row in rows
    ]
    trades = market.trades("NEARUSDT", begin - 1, now - 1)
    assert sum(round(trade.quantity) for trade in trades) == sum(round(row.volume) for row in rows)
    assert len(market.liquidations("NEARUSDT", begin, now)) > 100

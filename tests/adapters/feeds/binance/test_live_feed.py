"""The live feed on a scripted exchange: history, closes, prices, filters, restarts, and what it refuses."""

from collections.abc import Awaitable, Mapping
from itertools import pairwise

import pytest

from ocw_mcp.adapters.binance.transport import RestResponse, pause
from ocw_mcp.adapters.feeds.binance.feed import BinanceFeed
from ocw_mcp.domain.errors import FeedError, MarketUnreachable
from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from tests.support.live_feeds import assert_all_once, feed_on, live_feed, run_feed
from tests.support.scripted_market import (
    BEGIN,
    SYMBOLS,
    ScriptedMarket,
    mark_text,
)

START = BEGIN + 30 * SECOND


def test_new_book_gets_its_history_and_then_every_close() -> None:
    market = ScriptedMarket(START)
    run = run_feed(feed_on(market), BEGIN + 5 * MINUTE + 2 * SECOND)
    assert_all_once(run, BEGIN - DAY, BEGIN + 5 * MINUTE)
    closing = [frame for frame in run.frames if frame.closed]
    assert [frame.at for frame in closing] == [BEGIN - DAY + n * MINUTE for n in range(1, 1_446)]
    assert [frame.history for frame in closing] == [frame.at <= BEGIN for frame in closing]
    assert [each.symbol for each in closing[-1].closed] == sorted(SYMBOLS)
    assert not any(frame.late or frame.opened for frame in run.frames)
    assert run.notices == []


@pytest.mark.parametrize("days", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_slow_consumer_gets_the_whole_history(days: int) -> None:
    """A request brings candles faster than an engine takes them: none of them may be left out."""
    market = ScriptedMarket(START)

    def consume(frame: Frame, feed: BinanceFeed) -> Awaitable[None] | None:
        return pause(0.01) if frame.history else None

    run = run_feed(lambda: live_feed(market, market.symbols, warmup_days=days), BEGIN + 3 * MINUTE, consume=consume)
    assert_all_once(run, BEGIN - days * DAY, BEGIN + 3 * MINUTE)
    assert run.notices == []


def test_first_frame_has_the_filters_of_all_symbols() -> None:
    run = run_feed(feed_on(ScriptedMarket(START)), BEGIN + MINUTE)
    (first, *others) = run.frames
    assert [each.symbol for each in first.instruments] == sorted(SYMBOLS)
    assert str(first.instruments[0].tick) == "0.1"
    assert not any(frame.instruments for frame in others)


def test_fundings_are_in_the_frames_of_their_time() -> None:
    market = ScriptedMarket(BEGIN + 8 * HOUR - 90 * SECOND)
    run = run_feed(feed_on(market), BEGIN + 8 * HOUR + MINUTE)
    funded = [
        (row.symbol, row.at, row.rate, row.interval_hours, frame.at) for frame in run.frames for row in frame.funding
    ]
    times = [BEGIN + hours * HOUR for hours in (-16, -8, 0, 8)]
    rates = dict.fromkeys(times[:3], 0.0002) | {times[3]: 0.0001}
    assert funded == [(symbol, at, rates[at], 8, at) for at in times for symbol in sorted(SYMBOLS)]


def test_prices_are_yielded_once_a_second() -> None:
    run = run_feed(feed_on(ScriptedMarket(START)), BEGIN + 4 * MINUTE)
    marks = [mark for frame in run.live for mark in frame.marks if mark.symbol == "BTCUSDT"]
    books = [book for frame in run.live for book in frame.books if book.symbol == "BTCUSDT"]
    assert 205 <= len(marks) <= 220
    assert 205 <= len(books) <= 220
    assert all(earlier.at < later.at for earlier, later in pairwise(marks))
    assert all(mark.last is not None and mark.funding_rate == 0.0001 for mark in marks[2:])


def test_crossing_of_a_watched_level_does_not_wait_for_the_tick() -> None:
    market = ScriptedMarket(START)

    def consume(frame: Frame, feed: BinanceFeed) -> None:
        if frame.at == BEGIN + MINUTE and frame.closed:
            feed.watch({"BTCUSDT": (80_000.0, 100_000.0)})
        if frame.closed and frame.at == BEGIN + 2 * MINUTE:
            for number, price in enumerate((79_999.0, 90_000.0)):
                at = BEGIN + 2 * MINUTE + 600 + number
                market.send("btcusdt@markPrice@1s", mark_text("BTCUSDT", price, at))

    run = run_feed(feed_on(market), BEGIN + 3 * MINUTE, consume=consume)
    crossing = [(mark.price, seen) for frame, seen in zip(run.frames, run.seen_at, strict=True) for mark in frame.marks]
    assert [seen % SECOND // 100 for price, seen in crossing if price == 79_999.0] == [5]


@pytest.mark.requirement("D02")
def test_book_that_was_offline_for_a_day_gets_each_candle_once_and_late() -> None:
    market = ScriptedMarket(START)
    after = BEGIN - DAY - 7 * MINUTE
    run = run_feed(feed_on(market), BEGIN + 3 * MINUTE, after=after)
    assert_all_once(run, after, BEGIN + 3 * MINUTE)
    assert not any(frame.history for frame in run.frames)
    assert all(frame.late == (frame.at <= BEGIN) for frame in run.frames if frame.closed)
    assert sum(path.endswith("klines") for path, _ in market.requests) == 4


def without_candles_until(market: ScriptedMarket, until: int) -> None:
    """Let the exchange refuse every request for candles before its time `until` (ms)."""

    def refuse(path: str, query: Mapping[str, str | int]) -> RestResponse | None:
        if path.endswith("klines") and market.exchange_ms() < until:
            raise MarketUnreachable("connection reset")
        return None

    market.rest = refuse


@pytest.mark.requirement("D02")
def test_missed_candles_come_before_the_first_prices() -> None:
    market = ScriptedMarket(START)
    without_candles_until(market, START + 10 * SECOND)
    run = run_feed(feed_on(market), BEGIN + 2 * MINUTE, after=BEGIN - 5 * HOUR)
    priced = [index for index, frame in enumerate(run.frames) if frame.marks or frame.books]
    missed = [index for index, frame in enumerate(run.frames) if frame.late]
    assert len(missed) == 300
    assert max(missed) < min(priced)


@pytest.mark.requirement("D02")
def test_prices_do_not_wait_long_for_missed_candles() -> None:
    market = ScriptedMarket(START)
    without_candles_until(market, START + 5 * MINUTE)
    run = run_feed(feed_on(market), BEGIN + 2 * MINUTE, after=BEGIN - 5 * HOUR)
    first = next(seen for frame, seen in zip(run.frames, run.seen_at, strict=True) if frame.marks)
    assert START + 30 * SECOND <= first <= START + 40 * SECOND


def test_symbol_that_lagged_behind_is_resumed_at_its_own_time() -> None:
    market = ScriptedMarket(START)

    def make() -> BinanceFeed:
        feed = live_feed(market, SYMBOLS)
        feed.resume_at({"ETHUSDT": BEGIN - 20 * MINUTE})
        return feed

    run = run_feed(make, BEGIN + 2 * MINUTE, after=BEGIN - 10 * MINUTE)
    assert_all_once(run, BEGIN - 20 * MINUTE, BEGIN + 2 * MINUTE, ("ETHUSDT",))
    assert_all_once(run, BEGIN - 10 * MINUTE, BEGIN + 2 * MINUTE, ("BTCUSDT",))


@pytest.mark.slow
def test_changed_filters_are_yielded_within_a_day() -> None:
    market = ScriptedMarket(START)
    market.every_ms, market.muted = 5_000, ["*@aggTrade"]

    def change() -> None:
        market.filters["ETHUSDT"] = ("0.01", "0.01", "0.01", "20")

    def keep(frame: Frame) -> bool:
        return bool(frame.instruments)

    run = run_feed(feed_on(market), BEGIN + DAY + HOUR, script={BEGIN + HOUR: change}, keep=keep)
    first, second = run.frames
    assert [each.symbol for each in first.instruments] == sorted(SYMBOLS)
    (changed,) = second.instruments
    assert (changed.symbol, str(changed.tick), str(changed.step), str(changed.min_notional)) == (
        "ETHUSDT",
        "0.01",
        "0.01",
        "20",
    )


def test_unreachable_exchange_is_one_sentence_for_a_new_book() -> None:
    market = ScriptedMarket(START)

    def refuse(path: str, query: Mapping[str, str | int]) -> RestResponse | None:
        raise MarketUnreachable("connection refused")

    market.rest = refuse
    with pytest.raises(MarketUnreachable, match="cannot be reached: connection refused; check the network"):
        run_feed(feed_on(market), BEGIN + MINUTE)


def test_existing_book_waits_for_an_unreachable_exchange() -> None:
    market = ScriptedMarket(START)

    def refuse(path: str, query: Mapping[str, str | int]) -> RestResponse | None:
        if market.exchange_ms() < BEGIN + 10 * MINUTE:
            raise MarketUnreachable("connection refused")
        return None

    market.rest = refuse
    run = run_feed(feed_on(market, derivatives=False), BEGIN + 15 * MINUTE, after=BEGIN - 5 * MINUTE)
    assert_all_once(run, BEGIN - 5 * MINUTE, BEGIN + 15 * MINUTE)
    assert [(each.kind.value, each.subject) for each in run.notices] == [("degraded", "market"), ("restored", "market")]
    assert len(market.requests) < 60


def test_unlisted_symbol_is_refused_by_name() -> None:
    market = ScriptedMarket(START)
    market.status["ETHUSDT"] = "SETTLING"
    with pytest.raises(FeedError, match=r"ETHUSDT \(SETTLING\)"):
        run_feed(feed_on(market), BEGIN + MINUTE)


def test_slow_consumer_gets_every_candle_and_the_newest_price() -> None:
    market = ScriptedMarket(START)
    ages: list[int] = []

    def consume(frame: Frame, feed: BinanceFeed) -> Awaitable[None] | None:
        assert feed.session is not None
        ages.extend(feed.session.clock.now_ms() - mark.at for mark in frame.marks)
        return None if frame.history else pause(7)

    run = run_feed(feed_on(market), BEGIN + 30 * MINUTE, consume=consume)
    until = run.candles[-1].close_time
    assert until >= BEGIN + 28 * MINUTE
    assert_all_once(run, BEGIN - DAY, until)
    assert len(ages) > 200
    assert max(ages) <= 2 * SECOND


def test_identity_names_the_market_and_no_host() -> None:
    feed = live_feed(ScriptedMarket(START), SYMBOLS)
    identity = feed.identity
    assert (identity.kind, identity.product, identity.interval) == ("binance", "um", MINUTE)
    assert identity.symbols == tuple(sorted(SYMBOLS))
    assert "/" not in str(identity)


@pytest.mark.parametrize("symbols", [(), ("btcusdt",), ("BTC/USDT",), ("BTCUSDT?x=1",), ("ВTCUSDT",)])
def test_wrong_symbols_are_refused(symbols: tuple[str, ...]) -> None:
    with pytest.raises(FeedError):
        live_feed(ScriptedMarket(START), symbols)

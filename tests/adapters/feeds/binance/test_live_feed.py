"""The live feed on a scripted exchange: history, closes, prices, notices, and each fault of the streams."""

from collections.abc import Callable, Mapping
from itertools import pairwise

import msgspec
import pytest

from ocw_mcp.adapters.feeds.binance.feed import BinanceFeed
from ocw_mcp.adapters.feeds.binance.transport import RestResponse
from ocw_mcp.domain.errors import FeedError, MarketUnreachable
from ocw_mcp.domain.market import Candle, Frame
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from tests.support.live_feeds import Run, live_feed, run_feed
from tests.support.scripted_market import (
    BEGIN,
    SYMBOLS,
    ScriptedMarket,
    kline_text,
    mark_text,
    quote_text,
    source_candle,
)

START = BEGIN + 30 * SECOND


def feed_on(market: ScriptedMarket) -> Callable[[], BinanceFeed]:
    return lambda: live_feed(market, market.symbols)


def source(symbol: str, since: int, until: int) -> list[Candle]:
    """The source's candles that open from `since` to before `until`."""
    return [source_candle(symbol, at) for at in range(since, until, MINUTE)]


def assert_all_once(run: Run, since: int, until: int, symbols: tuple[str, ...] = SYMBOLS) -> None:
    """Assert that each symbol's candles are exactly those of the source."""
    for symbol in symbols:
        candles = run.candles_of(symbol)
        assert candles == source(symbol, since, until)


def ok(*rows: list[object]) -> RestResponse:
    return RestResponse(200, msgspec.json.encode(list(rows)), {})


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


@pytest.mark.requirement("D03")
def test_repeated_late_and_unclosed_candles_close_nothing() -> None:
    market = ScriptedMarket(START)
    old, present = source_candle("BTCUSDT", BEGIN), source_candle("BTCUSDT", BEGIN + 4 * MINUTE)
    other = source_candle("BTCUSDT", BEGIN + MINUTE)

    def disturb() -> None:
        now = market.exchange_ms()
        changed = Candle("BTCUSDT", old.open_time, MINUTE, other.open, other.high, other.low, other.close, 1.0, 0.5)
        texts = [kline_text(old, now, closed=True)] * 3 + [kline_text(old, now, closed=False)]
        texts += [kline_text(changed, now, closed=True), kline_text(present, now, closed=True)]
        market.send("btcusdt@kline_1m", *texts)

    run = run_feed(feed_on(market), BEGIN + 6 * MINUTE, script={BEGIN + 4 * MINUTE + 10 * SECOND: disturb})
    assert_all_once(run, BEGIN - DAY, BEGIN + 6 * MINUTE)
    assert run.counts["conflict"] == 1
    assert "closed before its end" in run.told("incident", "BTCUSDT")[-1]


@pytest.mark.requirement("D01")
def test_mute_connection_is_noticed_within_two_intervals_and_replaced_by_rest() -> None:
    market = ScriptedMarket(START)
    muted_at = BEGIN + 5 * MINUTE

    def mute() -> None:
        market.muted = ["*"]

    run = run_feed(feed_on(market), BEGIN + 12 * MINUTE, script={muted_at: mute})
    assert_all_once(run, BEGIN - DAY, BEGIN + 12 * MINUTE)
    noticed = [each.at for each in run.notices if "kline_1m is silent" in each.detail]
    assert muted_at < noticed[0] <= muted_at + 2 * MINUTE
    assert any(message["method"] == "SUBSCRIBE" for each in market.connections for message in each.sent)
    assert not any(frame.late for frame in run.frames)
    assert run.told("degraded") == []
    assert any(frame.marks for frame in run.live if frame.at > muted_at + MINUTE)


@pytest.mark.requirement("D04")
def test_one_mute_stream_among_several_is_noticed() -> None:
    market = ScriptedMarket(START)

    def mute() -> None:
        market.muted = ["ethusdt@kline_1m"]

    def unmute() -> None:
        market.muted = []

    script = {BEGIN + 5 * MINUTE: mute, BEGIN + 20 * MINUTE: unmute}
    run = run_feed(feed_on(market), BEGIN + 25 * MINUTE, script=script)
    assert_all_once(run, BEGIN - DAY, BEGIN + 25 * MINUTE)
    assert {each.subject for each in run.notices} == {"ETHUSDT"}
    closes = [frame for frame in run.live if frame.closed]
    stragglers = [frame for frame in closes if len(frame.closed) == 1]
    assert {frame.closed[0].symbol for frame in stragglers} == set(SYMBOLS)
    assert not any(frame.late for frame in run.live)


def test_symbol_without_stream_and_rest_is_degraded_until_both_return() -> None:
    market = ScriptedMarket(START)

    def refuse(path: str, query: Mapping[str, str | int]) -> RestResponse | None:
        return RestResponse(503, b"", {}) if query.get("symbol") == "ETHUSDT" else None

    def end() -> None:
        market.muted, market.rest = [], lambda path, query: None

    def begin() -> None:
        market.muted, market.rest = ["ethusdt@*"], refuse

    script = {BEGIN + 5 * MINUTE + 5 * SECOND: begin, BEGIN + 9 * MINUTE + 30 * SECOND: end}
    run = run_feed(feed_on(market), BEGIN + 14 * MINUTE, script=script)
    assert_all_once(run, BEGIN - DAY, BEGIN + 14 * MINUTE)
    states = [(each.kind.value, each.at) for each in run.notices if each.kind != "incident"]
    assert [kind for kind, _ in states] == ["degraded", "restored"]
    assert states[0][1] <= BEGIN + 7 * MINUTE
    assert states[1][1] >= BEGIN + 9 * MINUTE + 30 * SECOND
    assert {each.subject for each in run.notices if each.kind != "incident"} == {"ETHUSDT"}
    # The other symbol goes on meanwhile, in time.
    in_time = [
        frame.at for frame in run.live if [each.symbol for each in frame.closed] == ["BTCUSDT"] and not frame.late
    ]
    assert [BEGIN + n * MINUTE for n in (6, 7, 8, 9)] == in_time[:4]
    late = [each.open_time for frame in run.live if frame.late for each in frame.closed]
    assert late[0] == BEGIN + 5 * MINUTE


@pytest.mark.requirement("D02")
def test_book_that_was_offline_for_a_day_gets_each_candle_once_and_late() -> None:
    market = ScriptedMarket(START)
    after = BEGIN - DAY - 7 * MINUTE
    run = run_feed(feed_on(market), BEGIN + 3 * MINUTE, after=after)
    assert_all_once(run, after, BEGIN + 3 * MINUTE)
    assert not any(frame.history for frame in run.frames)
    assert all(frame.late == (frame.at <= BEGIN) for frame in run.frames if frame.closed)
    assert sum(path.endswith("klines") for path, _ in market.requests) == 4


def test_symbol_that_lagged_behind_is_resumed_at_its_own_time() -> None:
    market = ScriptedMarket(START)

    def make() -> BinanceFeed:
        feed = live_feed(market, SYMBOLS)
        feed.resume_at({"ETHUSDT": BEGIN - 20 * MINUTE})
        return feed

    run = run_feed(make, BEGIN + 2 * MINUTE, after=BEGIN - 10 * MINUTE)
    assert_all_once(run, BEGIN - 20 * MINUTE, BEGIN + 2 * MINUTE, ("ETHUSDT",))
    assert_all_once(run, BEGIN - 10 * MINUTE, BEGIN + 2 * MINUTE, ("BTCUSDT",))


def test_lost_connections_leave_no_gap() -> None:
    market = ScriptedMarket(START)

    def cut() -> None:
        market.refuses_streams = True
        for connection in market.connections:
            connection.closed = True

    def reopen() -> None:
        market.refuses_streams = False

    script = {BEGIN + 5 * MINUTE - 5 * SECOND: cut, BEGIN + 8 * MINUTE: reopen}
    run = run_feed(feed_on(market), BEGIN + 12 * MINUTE, script=script)
    assert_all_once(run, BEGIN - DAY, BEGIN + 12 * MINUTE)
    assert run.counts["connection"] > 2
    # The back-off bounds the attempts: about 3 minutes, two sockets.
    assert run.counts["connection"] < 40


@pytest.mark.requirement("D05")
@pytest.mark.parametrize("jump", [5 * SECOND, -5 * SECOND, HOUR, -HOUR])
def test_jump_of_the_clock_is_reported_and_changes_no_time_stamp(jump: int) -> None:
    market = ScriptedMarket(START)

    def ahead() -> None:
        market.ahead_ms = jump

    def back() -> None:
        market.ahead_ms = 0

    script = {BEGIN + 5 * MINUTE: ahead, BEGIN + 8 * MINUTE: back}
    run = run_feed(feed_on(market), BEGIN + 10 * MINUTE, script=script)
    assert_all_once(run, BEGIN - DAY, BEGIN + 10 * MINUTE)
    told = [(each.kind.value, each.subject, (each.at - BEGIN) // MINUTE) for each in run.notices]
    assert told == [("degraded", "clock", 5), ("restored", "clock", 8)]
    times = [mark.at for frame in run.live for mark in frame.marks if mark.symbol == "BTCUSDT"]
    assert times == sorted(times)


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


@pytest.mark.requirement("D07")
def test_absurd_prices_are_counted_and_never_yielded() -> None:
    market = ScriptedMarket(START)

    def disturb() -> None:
        now = market.exchange_ms()
        candle = source_candle("BTCUSDT", now // MINUTE * MINUTE)
        market.send("btcusdt@bookTicker", quote_text("BTCUSDT", now, 9e13, 9e13, now))
        market.send("btcusdt@bookTicker", quote_text("BTCUSDT", now + 1, 0, 1, now))
        texts = [mark_text("BTCUSDT", 9e13, now), kline_text(candle, now, closed=False, h="nan", c="nan")]
        texts += [kline_text(candle, now, closed=False, price=-1.0), mark_text("BTCUSDT", 90_000, now + HOUR)]
        texts += [kline_text(candle, now, closed=False, l="0"), texts[0][:-20], texts[0].replace('"p"', '"price"')]
        market.send("btcusdt@kline_1m", *texts)

    run = run_feed(feed_on(market), BEGIN + 6 * MINUTE, script={BEGIN + 4 * MINUTE + 300: disturb})
    assert_all_once(run, BEGIN - DAY, BEGIN + 6 * MINUTE)
    prices = [mark.price for frame in run.live for mark in frame.marks if mark.symbol == "BTCUSDT"]
    prices += [book.bid for frame in run.live for book in frame.books if book.symbol == "BTCUSDT"]
    assert all(80_000 < price < 100_000 for price in prices)
    wanted = {
        "refused quote": 2,
        "refused mark": 2,
        "refused kline": 3,
        "malformed": 1,
        "other fields than expected": 1,
    }
    assert {kind: run.counts.get(kind, 0) for kind in wanted} == wanted
    # At most one notice a minute of a kind and subject.
    assert len(run.notices) == 5


def test_rest_candle_with_absurd_values_is_fetched_again() -> None:
    market = ScriptedMarket(START)
    market.muted = ["ethusdt@kline_1m"]
    bad = source_candle("ETHUSDT", BEGIN + 2 * MINUTE)
    wrong = [bad.open_time, "3e9", "3e9", "3e9", "3e9", "1", 0, "1", 1, "1", "1", "0"]
    answers = [ok(wrong, market.row(source_candle("ETHUSDT", bad.close_time))) for _ in range(3)]

    def lie(path: str, query: Mapping[str, str | int]) -> RestResponse | None:
        asked = path.endswith("klines") and query["startTime"] == bad.open_time
        return answers.pop() if asked and answers else None

    market.rest = lie
    run = run_feed(feed_on(market), BEGIN + 6 * MINUTE)
    assert_all_once(run, BEGIN - DAY, BEGIN + 6 * MINUTE)
    assert run.counts["refused REST candle"] == 3


def test_candle_of_rest_that_still_forms_is_not_taken_on_a_wrong_clock() -> None:
    market = ScriptedMarket(START)
    market.muted = ["*@kline_1m"]

    def ahead(path: str, query: Mapping[str, str | int]) -> RestResponse | None:
        now = market.exchange_ms()
        if path.endswith("time") and now > BEGIN + MINUTE:
            return RestResponse(200, msgspec.json.encode({"serverTime": now + 20 * SECOND}), {})
        if path.endswith("klines"):
            opens = range(int(query["startTime"]), min(int(query["endTime"]), now) + 1, MINUTE)
            rows = [market.row(source_candle(str(query["symbol"]), at)) for at in opens]
            if rows and rows[-1][0] == now // MINUTE * MINUTE:
                # The forming candle has another volume than at its close.
                rows[-1][5], rows[-1][9] = f"{now % MINUTE / 1_000}", "0"
            return ok(*rows)
        return None

    market.rest = ahead
    run = run_feed(feed_on(market), BEGIN + 8 * MINUTE)
    for symbol in SYMBOLS:
        candles = run.candles_of(symbol)
        assert candles == source(symbol, BEGIN - DAY, BEGIN - DAY + len(candles) * MINUTE)
        assert candles[-1].close_time >= BEGIN + 7 * MINUTE


def test_candle_that_rest_never_has_right_is_left_out() -> None:
    market = ScriptedMarket(START)
    bad = BEGIN - 5 * HOUR

    def lie(path: str, query: Mapping[str, str | int]) -> RestResponse | None:
        if not path.endswith("klines"):
            return None
        opens = range(int(query["startTime"]), min(int(query["endTime"]), market.exchange_ms()) + 1, MINUTE)
        rows = [market.row(source_candle(str(query["symbol"]), at)) for at in opens]
        return ok(*([*row[:2], "0", *row[3:]] if row[0] == bad else row for row in rows))

    market.rest = lie
    run = run_feed(feed_on(market), BEGIN + 2 * MINUTE)
    for symbol in SYMBOLS:
        expected = [each for each in source(symbol, BEGIN - DAY, BEGIN + 2 * MINUTE) if each.open_time != bad]
        assert run.candles_of(symbol) == expected
    assert run.counts["left out"] == len(SYMBOLS)


def test_minutes_that_the_exchange_has_not_are_left_out() -> None:
    market = ScriptedMarket(START)
    hole = range(BEGIN - 3 * HOUR, BEGIN - 2 * HOUR, MINUTE)

    def with_hole(path: str, query: Mapping[str, str | int]) -> RestResponse | None:
        if not path.endswith("klines"):
            return None
        opens = range(int(query["startTime"]), min(int(query["endTime"]), market.exchange_ms()) + 1, MINUTE)
        return ok(*(market.row(source_candle(str(query["symbol"]), at)) for at in opens if at not in hole))

    market.rest = with_hole
    run = run_feed(feed_on(market), BEGIN + 2 * MINUTE)
    for symbol in SYMBOLS:
        expected = [each for each in source(symbol, BEGIN - DAY, BEGIN + 2 * MINUTE) if each.open_time not in hole]
        assert run.candles_of(symbol) == expected


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
    run = run_feed(feed_on(market), BEGIN + 15 * MINUTE, after=BEGIN - 5 * MINUTE)
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
    taken: list[tuple[int, int]] = []

    def consume(frame: Frame, feed: BinanceFeed) -> None:
        assert feed.session is not None
        taken.extend((mark.at, feed.session.clock.now_ms()) for mark in frame.marks)

    run = run_feed(feed_on(market), BEGIN + 30 * MINUTE, consume=consume)
    assert_all_once(run, BEGIN - DAY, BEGIN + 30 * MINUTE)
    assert all(now - at <= 2 * SECOND for at, now in taken)


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


def test_quiet_quote_that_rest_confirms_is_no_fault() -> None:
    market = ScriptedMarket(START)
    quiet_at = BEGIN + 2 * MINUTE
    # The quote does not change any more: the stream is silent, and REST has the same prices.
    price = dict.fromkeys(SYMBOLS, 0.0)

    def rest(path: str, query: Mapping[str, str | int]) -> RestResponse | None:
        if not path.endswith("bookTicker"):
            return None
        bid = price[str(query["symbol"])]
        row = {"symbol": query["symbol"], "bidPrice": f"{bid}", "bidQty": "5", "askPrice": f"{bid + 1}", "askQty": "7"}
        return RestResponse(200, msgspec.json.encode({**row, "time": quiet_at}), {})

    def quiet() -> None:
        market.muted, market.rest = ["*@bookTicker"], rest
        for symbol in SYMBOLS:
            price[symbol] = float(round(source_candle(symbol, quiet_at).close))
            text = quote_text(symbol, quiet_at * 2, price[symbol], price[symbol] + 1, quiet_at + SECOND)
            market.send("*@bookTicker", text)

    run = run_feed(feed_on(market), BEGIN + 8 * MINUTE, script={quiet_at: quiet})
    assert run.notices == []
    books = [book.at for frame in run.live for book in frame.books if book.symbol == "BTCUSDT"]
    assert books[-1] > BEGIN + 7 * MINUTE


def test_funding_time_that_is_absurd_is_refused() -> None:
    market = ScriptedMarket(BEGIN + 8 * HOUR - 3 * MINUTE)

    def disturb() -> None:
        now = market.exchange_ms()
        text = mark_text("BTCUSDT", source_candle("BTCUSDT", now // MINUTE * MINUTE).close, now, rate=0.5)
        for days in (2, 3, 4):
            market.send("*@markPrice@1s", text.replace(f'"T":{BEGIN + 8 * HOUR}', f'"T":{BEGIN + days * DAY}'))

    run = run_feed(feed_on(market), BEGIN + 8 * HOUR + MINUTE, script={BEGIN + 8 * HOUR - MINUTE: disturb})
    assert run.counts["refused mark"] == 3
    assert [(row.symbol, row.rate) for frame in run.live for row in frame.funding] == [
        ("BTCUSDT", 0.0001),
        ("ETHUSDT", 0.0001),
    ]

"""The live feed on a scripted exchange that has faults: mute streams, gaps, wrong clocks and wrong values."""

from collections import Counter
from collections.abc import Mapping

import msgspec
import pytest

from ocw_mcp.adapters.binance.transport import RestResponse, pause
from ocw_mcp.adapters.feeds.binance import BinanceFeed
from ocw_mcp.domain.market import Candle, Frame
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from tests.support.examples import slow_after
from tests.support.live_feeds import assert_all_once, feed_on, rows_answer, run_feed, source
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

    noticed: list[int] = []

    def consume(frame: Frame, feed: BinanceFeed) -> None:
        assert feed.session is not None
        if feed.session.notices.counts["mute kline"] and not noticed:
            noticed.append(feed.session.clock.now_ms())

    run = run_feed(feed_on(market), BEGIN + 12 * MINUTE, script={muted_at: mute}, consume=consume)
    assert_all_once(run, BEGIN - DAY, BEGIN + 12 * MINUTE)
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


def test_stream_that_is_mute_from_the_start_is_tried_ever_more_rarely() -> None:
    market = ScriptedMarket(START)
    market.muted = ["*@markPrice@1s"]
    run = run_feed(feed_on(market), BEGIN + 20 * MINUTE)
    assert_all_once(run, BEGIN - DAY, BEGIN + 20 * MINUTE)
    # With pauses of 10 s, 20 s, 40 s and so on; each try but the first opens a connection.
    assert run.counts["mute mark"] <= 7 * len(SYMBOLS)
    assert len(market.opened) <= 10
    assert not any("is over" in text for text in run.told("incident"))


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
    # Further causes may be reported between the two.
    assert (states[0][0], states[-1][0], [kind for kind, _ in states].count("restored")) == ("degraded", "restored", 1)
    assert states[0][1] <= BEGIN + 7 * MINUTE
    assert states[-1][1] >= BEGIN + 9 * MINUTE + 30 * SECOND
    assert {each.subject for each in run.notices if each.kind != "incident"} == {"ETHUSDT"}
    # The other symbol goes on meanwhile, in time.
    in_time = [
        frame.at for frame in run.live if [each.symbol for each in frame.closed] == ["BTCUSDT"] and not frame.late
    ]
    assert [BEGIN + n * MINUTE for n in (6, 7, 8, 9)] == in_time[:4]
    late = [each.open_time for frame in run.live if frame.late for each in frame.closed]
    assert late[0] == BEGIN + 5 * MINUTE


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
@pytest.mark.parametrize("jump", slow_after(2, [5 * SECOND, -HOUR, -5 * SECOND, HOUR]))
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


@pytest.mark.parametrize("symbols", [("BTCUSDT",), pytest.param(SYMBOLS, marks=pytest.mark.slow)])
def test_history_takes_a_request_per_thousand_candles_for_a_slow_consumer(symbols: tuple[str, ...]) -> None:
    market, days = ScriptedMarket(START, symbols), 5

    async def consume(frame: Frame, feed: BinanceFeed) -> None:
        await pause(0.002)

    after = BEGIN - days * DAY
    run = run_feed(feed_on(market), BEGIN + 2 * MINUTE, after=after, consume=consume)
    assert_all_once(run, after, BEGIN + 2 * MINUTE, symbols)
    paths = Counter(path for path, _ in market.requests)
    assert paths["/fapi/v1/klines"] <= (days * DAY // MINUTE // 999 + 2) * len(symbols)
    assert paths["/fapi/v1/fundingRate"] <= 2 * len(symbols)


@pytest.mark.requirement("D05")
def test_time_of_the_exchange_that_is_right_again_is_seen_soon() -> None:
    market, skew, right_again = ScriptedMarket(START), [0], BEGIN + 9 * MINUTE

    def rest(path: str, query: Mapping[str, str | int]) -> RestResponse | None:
        if path != "/fapi/v1/time" or not skew[0]:
            return None
        return RestResponse(200, b'{"serverTime":%d}' % (market.exchange_ms() + skew[0]), {})

    def wrong() -> None:
        market.rest, skew[0] = rest, 700

    def right() -> None:
        skew[0] = 0

    run = run_feed(feed_on(market), BEGIN + 12 * MINUTE, script={BEGIN + 5 * MINUTE: wrong, right_again: right})
    (begun, ended) = (each for each in run.notices if each.subject == "clock")
    assert (begun.kind.value, ended.kind.value) == ("degraded", "restored")
    assert right_again < ended.at <= right_again + 15 * SECOND


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

    run = run_feed(feed_on(market, derivatives=False), BEGIN + 6 * MINUTE, script={BEGIN + 4 * MINUTE + 300: disturb})
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
    kinds = [text.partition(":")[0] for text in run.told("incident")[:3]]
    assert kinds == ["refused quote", "malformed", "other fields than expected"]
    assert run.told("incident")[3:] == ["refused is over after 1 s: 7 in all"]


def test_rest_candle_with_absurd_values_is_fetched_again() -> None:
    market = ScriptedMarket(START)
    market.muted = ["ethusdt@kline_1m"]
    bad = source_candle("ETHUSDT", BEGIN + 2 * MINUTE)
    wrong = [bad.open_time, "3e9", "3e9", "3e9", "3e9", "1", 0, "1", 1, "1", "1", "0"]
    answers = [rows_answer(wrong, market.row(source_candle("ETHUSDT", bad.close_time))) for _ in range(3)]

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
            return rows_answer(*rows)
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
        return rows_answer(*([*row[:2], "0", *row[3:]] if row[0] == bad else row for row in rows))

    market.rest = lie
    run = run_feed(feed_on(market), BEGIN + 2 * MINUTE)
    for symbol in SYMBOLS:
        expected = [each for each in source(symbol, BEGIN - DAY, BEGIN + 2 * MINUTE) if each.open_time != bad]
        assert run.candles_of(symbol) == expected
    assert run.counts["left out"] == len(SYMBOLS)


def test_delisted_symbol_of_an_existing_book_does_not_stop_the_others() -> None:
    market = ScriptedMarket(START)
    market.status["ETHUSDT"] = "SETTLING"
    market.muted = ["ethusdt@*"]

    def refuse(path: str, query: Mapping[str, str | int]) -> RestResponse | None:
        wrong = query.get("symbol") == "ETHUSDT"
        return RestResponse(400, b'{"code":-1122,"msg":"Invalid symbol status."}', {}) if wrong else None

    market.rest = refuse
    run = run_feed(feed_on(market), BEGIN + 10 * MINUTE, after=BEGIN - 3 * HOUR)
    assert_all_once(run, BEGIN - 3 * HOUR, BEGIN + 10 * MINUTE, ["BTCUSDT"])
    assert run.candles_of("ETHUSDT") == []
    assert "the exchange does not trade it: SETTLING" in run.told("degraded", "ETHUSDT")
    assert not any(frame.late for frame in run.frames if frame.at > BEGIN + 2 * MINUTE)
    assert sum(path.endswith("klines") and query["symbol"] == "ETHUSDT" for path, query in market.requests) <= 10


@pytest.mark.parametrize("hours", [(3, 2), (24, 5)], ids=["a hole within an answer", "an empty answer"])
def test_minutes_that_the_exchange_has_not_are_left_out(hours: tuple[int, int]) -> None:
    market = ScriptedMarket(START)
    hole = range(BEGIN - hours[0] * HOUR, BEGIN - hours[1] * HOUR, MINUTE)

    def with_hole(path: str, query: Mapping[str, str | int]) -> RestResponse | None:
        if not path.endswith("klines"):
            return None
        opens = range(int(query["startTime"]), min(int(query["endTime"]), market.exchange_ms()) + 1, MINUTE)
        return rows_answer(*(market.row(source_candle(str(query["symbol"]), at)) for at in opens if at not in hole))

    market.rest = with_hole
    run = run_feed(feed_on(market), BEGIN + 2 * MINUTE)
    for symbol in SYMBOLS:
        expected = [each for each in source(symbol, BEGIN - DAY, BEGIN + 2 * MINUTE) if each.open_time not in hole]
        assert run.candles_of(symbol) == expected


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

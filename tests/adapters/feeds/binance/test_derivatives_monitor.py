"""The derivatives monitor: what it asks for and when, what it yields, and sources that are slow, down or incomplete."""

from collections.abc import Mapping

import pytest

from ocw_mcp.adapters.binance.transport import RestResponse
from ocw_mcp.adapters.feeds.binance.derivatives import DerivativesMonitor
from ocw_mcp.domain.errors import MarketUnreachable
from ocw_mcp.domain.market import Candle, Liquidations, Product
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from tests.support.live_feeds import assert_all_once, feed_on, live_feed, run_feed
from tests.support.scripted_market import BEGIN
from tests.support.scripted_statistics import FIVE, StatisticsMarket, refusal, run_monitor, taker_ratio

THIRTY = tuple(f"COIN{number:02d}USDT" for number in range(30))


def test_monitor_yields_a_day_of_rows_and_then_each_row() -> None:
    run = run_monitor(StatisticsMarket(), BEGIN + 16 * MINUTE)
    rows = {row.at: known_at for known_at, row in run.rows if row.symbol == "BTCUSDT" and row.taker_ratio}
    assert list(rows) == list(range(BEGIN - DAY, BEGIN + 15 * MINUTE + 1, FIVE))
    found = [row for _, row in run.rows if row.symbol == "BTCUSDT" and row.taker_ratio]
    assert all(row.taker_ratio == taker_ratio(row.at) and row.open_interest for row in found)
    for place in (1, 2, 3):
        assert 15 * SECOND <= rows[BEGIN + place * FIVE] - (BEGIN + place * FIVE) <= 25 * SECOND
    assert rows[BEGIN - DAY] < BEGIN + MINUTE
    for field in ("top_accounts_ratio", "accounts_ratio"):
        ends = [row.at for _, row in run.rows if row.symbol == "BTCUSDT" and getattr(row, field)]
        assert ends == list(rows)
    assert run.notices == []


def test_prices_are_asked_for_in_one_request_each_five_minutes() -> None:
    market = StatisticsMarket()
    market.premium["ETHUSDT"] = 0.0001
    run = run_monitor(market, BEGIN + 16 * MINUTE)
    assert market.asked("premiumIndex") == [{}] * 4
    assert market.asked("openInterest?") == []
    known = [(row.perp_price, row.index_price) for _, row in run.interim("ETHUSDT")]
    assert known == [(100.01, 100.0)] * 4
    assert all(row.at <= at for at, row in run.rows)


def test_extreme_symbol_is_polled_each_minute() -> None:
    market = StatisticsMarket()

    def begin_extreme(_monitor: DerivativesMonitor) -> None:
        market.rates["ETHUSDT"] = -0.0006

    def end_extreme(_monitor: DerivativesMonitor) -> None:
        market.rates["ETHUSDT"] = 0.0

    script = {BEGIN + 2 * MINUTE: begin_extreme, BEGIN + 9 * MINUTE + 30 * SECOND: end_extreme}
    run = run_monitor(market, BEGIN + 16 * MINUTE, script=script)
    asked = [query for path, query in market.requests if path == "/fapi/v1/openInterest"]
    # The poll of five minutes shows it; the minutes after it follow until the rate is usual again.
    assert asked == [{"symbol": "ETHUSDT"}] * 4
    times = [at for at, row in run.interim("ETHUSDT") if row.open_interest is not None]
    assert [at // MINUTE - BEGIN // MINUTE for at in times] == [6, 7, 8, 9]
    assert all(row.open_interest_value == 1050.5 * 100 for _, row in run.interim("ETHUSDT") if row.open_interest)
    assert not any(row.open_interest for _, row in run.interim("BTCUSDT"))


def test_funding_of_a_short_interval_is_extreme_at_a_smaller_rate() -> None:
    market = StatisticsMarket()
    market.hours, market.rates = {"ETHUSDT": 1}, {"ETHUSDT": 0.00007, "BTCUSDT": 0.00007}
    run = run_monitor(market, BEGIN + 4 * MINUTE)
    assert run.hours == {"ETHUSDT": 1}
    assert {query["symbol"] for path, query in market.requests if path == "/fapi/v1/openInterest"} == {"ETHUSDT"}


def test_liquidations_of_an_hour_make_a_symbol_extreme() -> None:
    market = StatisticsMarket()
    extreme = dict[int, list[str]]()

    def liquidate(monitor: DerivativesMonitor) -> None:
        at = BEGIN + 3 * MINUTE
        bar = Candle("BTCUSDT", at - MINUTE, MINUTE, 100.0, 100.0, 100.0, 100.0, 1.0)
        monitor.note([bar], [Liquidations("BTCUSDT", at, 30_000.0, 21_000.0)])
        extreme[0] = monitor.extreme_symbols()

    def later(monitor: DerivativesMonitor) -> None:
        extreme[1] = monitor.extreme_symbols()

    run_monitor(market, BEGIN + 65 * MINUTE, script={BEGIN + 3 * MINUTE: liquidate, BEGIN + 64 * MINUTE: later})
    assert extreme == {0: ["BTCUSDT"], 1: []}


def test_late_row_is_asked_for_again_before_the_next_one() -> None:
    market = StatisticsMarket()
    market.lag_ms = 40_000
    run = run_monitor(market, BEGIN + 8 * MINUTE)
    known = {row.at: at for at, row in run.rows if row.symbol == "BTCUSDT" and not row.is_interim}
    assert 40 * SECOND <= known[BEGIN + FIVE] - (BEGIN + FIVE) <= 60 * SECOND
    assert run.notices == []


def test_missing_column_leaves_the_others() -> None:
    market = StatisticsMarket()
    market.left_out = {"buySellRatio", "sumOpenInterestValue"}
    run = run_monitor(market, BEGIN + 6 * MINUTE)
    rows = [row for _, row in run.rows if row.symbol == "BTCUSDT" and not row.is_interim]
    assert {row.at for row in rows if row.open_interest} == {row.at for row in rows if row.top_positions_ratio}
    assert len({row.at for row in rows}) == DAY // FIVE + 2
    assert not any(row.taker_ratio or row.open_interest_value for row in rows)


def test_symbol_without_data_does_not_hinder_the_others() -> None:
    market = StatisticsMarket()

    def refuse(path: str, query: Mapping[str, str | int]) -> RestResponse | None:
        is_data = path.startswith("/futures/data") and "ETHUSDT" in (query.get("symbol"), query.get("pair"))
        return refusal(400, -1121, "Invalid symbol.") if is_data else None

    market.rest = refuse
    run = run_monitor(market, BEGIN + 16 * MINUTE)
    assert len(set(run.ends("BTCUSDT"))) == DAY // FIVE + 4
    assert run.ends("ETHUSDT") == []
    asked = [path for path, query in market.requests if "ETHUSDT" in (query.get("symbol"), query.get("pair"))]
    assert len(asked) == len(set(asked)) == 6  # each path once; it is asked again after an hour
    assert {each.subject for each in run.notices} == {"ETHUSDT"}
    assert "Invalid symbol" in run.notices[0].detail


def test_unusable_numbers_are_left_empty() -> None:
    market = StatisticsMarket(("BTCUSDT",))
    market.ratio = lambda end: {BEGIN: float("nan"), BEGIN + FIVE: -1.0}.get(end, 1e9)
    run = run_monitor(market, BEGIN + 6 * MINUTE)
    assert not any(row.taker_ratio for _, row in run.rows)
    assert len(set(run.ends())) == DAY // FIVE + 2


def test_monitor_gives_up_a_silent_source_and_reports_it_once() -> None:
    market = StatisticsMarket(THIRTY)

    def silent(path: str, _query: Mapping[str, str | int]) -> RestResponse | None:
        if path.startswith("/futures/data"):
            raise MarketUnreachable("connection refused")
        return None

    market.rest = silent
    run = run_monitor(market, BEGIN + 4 * MINUTE)
    # Three polls, each given up after some failures: not three times 150 requests.
    assert len(market.asked("/futures/data")) < 3 * 10
    assert len([each for each in run.notices if "connection refused" in each.detail]) <= 3
    assert {each.subject for each in run.notices} == {"market"}
    assert len(run.interim(THIRTY[0])) == 1


def test_silent_derivatives_delay_no_candle() -> None:
    market = StatisticsMarket()
    market.delay_s = lambda path: 9.0 if "futures/data" in path or "premiumIndex" in path else 0.0
    run = run_feed(feed_on(market), BEGIN + 7 * MINUTE)
    assert_all_once(run, BEGIN - DAY, BEGIN + 7 * MINUTE)
    closes = [(at, frame) for at, frame in zip(run.seen_at, run.frames, strict=True) if frame.closed]
    assert all(at - frame.at < SECOND for at, frame in closes if frame.at > BEGIN + MINUTE)
    assert not any(frame.late for frame in run.frames)


def test_refusal_of_statistics_stops_no_other_request() -> None:
    market = StatisticsMarket()

    def refuse(path: str, _query: Mapping[str, str | int]) -> RestResponse | None:
        return refusal(429, -1003, "Too many requests") if path.startswith("/futures/data") else None

    market.rest = refuse
    run = run_feed(feed_on(market), BEGIN + 8 * MINUTE)
    assert_all_once(run, BEGIN - DAY, BEGIN + 8 * MINUTE)
    assert len(market.asked("/futures/data")) <= 12
    assert market.asked("premiumIndex")


def test_stamps_are_read_as_the_candles_show() -> None:
    """Before their change of 2026-06-25 stamps are ends; here they are beginnings, and the candles show it."""
    market = StatisticsMarket(("BTCUSDT",))
    market.begins = True

    def note_candles(monitor: DerivativesMonitor) -> None:
        candles = []
        for open_time in range(BEGIN - 3 * HOUR, BEGIN, MINUTE):
            ratio = taker_ratio(open_time // FIVE * FIVE + FIVE)
            bought = 10 * ratio / (1 + ratio)
            candles.append(Candle("BTCUSDT", open_time, MINUTE, 100.0, 100.0, 100.0, 100.0, 10.0, bought))
        monitor.note(candles, [])

    run = run_monitor(market, BEGIN + 6 * MINUTE, note_candles)
    rows = [row for _, row in run.rows if not row.is_interim and row.taker_ratio]
    assert [row.at for row in rows] == list(range(BEGIN - DAY, BEGIN + FIVE + 1, FIVE))
    assert all(row.taker_ratio == taker_ratio(row.at) for row in rows)
    assert ["beginning of five minutes" in each.detail for each in run.notices] == [True]


def test_row_is_never_yielded_before_its_end() -> None:
    """Ends that are read as beginnings would be in the future: such a row waits for its time."""
    market = StatisticsMarket(start=1_790_000_000_000 // FIVE * FIVE + 30_000)  # after the change
    run = run_monitor(market, market.start + 16 * MINUTE)
    assert run.rows
    assert all(row.at <= known_at for known_at, row in run.rows)


def test_thirty_symbols_stay_below_a_fifth_of_the_weight() -> None:
    market = StatisticsMarket(THIRTY)
    market.most_rows = 3
    market.rates = dict.fromkeys(THIRTY, 0.001)  # all of them are extreme all the time
    run = run_monitor(market, BEGIN + 16 * MINUTE)
    assert 0 < max(run.weights.values()) <= 0.2 * 2_400
    assert len(market.asked("/futures/data")) == 30 * (6 + 3 * 5)
    assert all(len(set(run.ends(symbol))) == 6 for symbol in THIRTY)
    assert not run.notices


@pytest.mark.slow
def test_two_hundred_symbols_keep_the_limit_of_the_statistics() -> None:
    market = StatisticsMarket(tuple(f"COIN{number:03d}USDT" for number in range(200)))
    market.most_rows = 2
    times: list[int] = []

    def note(path: str) -> float:
        if "futures/data" in path:
            times.append(market.exchange_ms())
        return 0.0

    market.delay_s = note
    run = run_monitor(market, BEGIN + 14 * MINUTE)
    spans = [sum(at // FIVE == span for at in times) for span in {at // FIVE for at in times}]
    assert max(spans) <= 1_000
    assert all(run.ends(symbol) for symbol in market.symbols)


def test_spot_has_no_derivatives() -> None:
    market = StatisticsMarket()
    run = run_feed(lambda: live_feed(market, market.symbols, Product.SPOT), BEGIN + 6 * MINUTE)
    assert not any(frame.metrics for frame in run.frames)
    assert market.asked("futures/data") == market.asked("premiumIndex") == []

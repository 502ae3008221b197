"""What the REST paths of the sandbox exchange answer: rows, ranges, pages, errors, and filters that change."""

import json
from typing import Any

import pytest

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from ocw_mcp.sandbox.binance.exchange import Exchange, Request
from tests.support.examples import slow_after
from tests.support.sandbox_market import DAY_1, answer, get, refusal, simulated

NOW = DAY_1 + 30 * HOUR + 25_123
BTC = {"symbol": "BTCUSDT"}
MINUTES = {**BTC, "interval": "1m"}
KLINES, TRADES = "/fapi/v1/klines", "/fapi/v1/aggTrades"


def exchange(product: Product = Product.UM) -> Exchange:
    return Exchange(simulated(product))


def opens(rows: list[Any]) -> list[int]:
    return [row[0] for row in rows]


def test_klines_without_a_range_end_with_the_forming_one() -> None:
    rows = answer(exchange(), KLINES, NOW, **MINUTES, limit=3)
    assert opens(rows) == [NOW // MINUTE * MINUTE - each * MINUTE for each in (2, 1, 0)]
    later = answer(exchange(), KLINES, NOW + MINUTE, **MINUTES, limit=3)
    assert later[1][0] == rows[2][0]
    assert float(later[1][5]) > float(rows[2][5])
    assert later[0] == rows[1]


def test_klines_of_a_range_begin_at_its_start() -> None:
    start = DAY_1 + 90_000
    rows = answer(exchange(), KLINES, NOW, **MINUTES, startTime=start, endTime=start + 3 * MINUTE)
    assert opens(rows) == [DAY_1 + each * MINUTE for each in (2, 3, 4)]


def test_klines_with_an_end_are_those_before_it() -> None:
    rows = answer(exchange(), KLINES, NOW, **MINUTES, endTime=DAY_1 + 59_999, limit=2)
    assert opens(rows) == [DAY_1 - MINUTE, DAY_1]


def test_pages_of_klines_join_without_a_gap() -> None:
    sandbox, start, found = exchange(), DAY_1, list[int]()
    while rows := answer(sandbox, KLINES, NOW, **MINUTES, startTime=start, limit=700):
        found += opens(rows)
        start = rows[-1][6] + 1
    assert found == list(range(DAY_1, NOW, MINUTE))


def test_klines_before_the_market_begins_and_after_now_are_empty() -> None:
    sandbox = exchange()
    assert answer(sandbox, KLINES, NOW, **MINUTES, endTime=sandbox.market.begins_at - 1) == []
    assert answer(sandbox, KLINES, NOW, **MINUTES, startTime=NOW + HOUR) == []


@pytest.mark.parametrize(("product", "most"), [(Product.UM, 1500), (Product.SPOT, 1000)])
def test_a_larger_limit_of_klines_is_lowered(product: Product, most: int) -> None:
    path = KLINES if product is Product.UM else "/api/v3/klines"
    assert len(answer(exchange(product), path, NOW, **MINUTES, limit=5000)) == most


@pytest.mark.parametrize(
    "interval", slow_after(11, ["3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w"])
)
def test_klines_of_each_interval_add_up_minutes(interval: str) -> None:
    sandbox = exchange()
    row = answer(sandbox, KLINES, NOW, **BTC, interval=interval, limit=2)[0]
    minutes, at = list[Any](), row[0]
    while at <= row[6]:
        rows = answer(sandbox, KLINES, NOW, **MINUTES, startTime=at, endTime=row[6], limit=1500)
        minutes += rows
        at = rows[-1][6] + 1
    assert row[1:5] == [
        minutes[0][1],
        max((each[2] for each in minutes), key=float),
        min((each[3] for each in minutes), key=float),
        minutes[-1][4],
    ]
    for column in (5, 7, 9, 10):
        assert float(row[column]) == pytest.approx(sum(float(each[column]) for each in minutes), rel=1e-12)
    assert row[8] == sum(each[8] for each in minutes)


def test_months_and_weeks_open_on_the_calendar() -> None:
    sandbox = exchange()
    (month,) = answer(sandbox, KLINES, NOW, **BTC, interval="1M", limit=1)
    assert (month[0], month[6] + 1) == (DAY_1, DAY_1 + 31 * DAY)
    (week,) = answer(sandbox, KLINES, NOW, **BTC, interval="1w", limit=1)
    assert week[0] == DAY_1 - 3 * DAY  # 2026-01-01 was a Thursday


def test_aggregate_trades_go_on_from_an_id() -> None:
    sandbox = exchange()
    latest = answer(sandbox, TRADES, NOW, **BTC, limit=40)
    assert latest[-1]["T"] <= NOW
    assert [each["a"] for each in latest] == list(range(latest[0]["a"], latest[0]["a"] + 40))
    assert answer(sandbox, TRADES, NOW, **BTC, fromId=latest[10]["a"], limit=5) == latest[10:15]
    assert answer(sandbox, TRADES, NOW, **BTC, fromId=latest[-1]["a"] + 1) == []
    assert answer(sandbox, TRADES, NOW, **BTC, startTime=latest[0]["T"], endTime=NOW)[-1] == latest[-1]


def test_aggregate_trades_of_a_range_lie_in_it() -> None:
    start, end = DAY_1 + HOUR, DAY_1 + HOUR + 10 * MINUTE
    rows = answer(exchange(), TRADES, NOW, **BTC, startTime=start, endTime=end, limit=1000)
    assert rows[0]["T"] == start  # the first trade of a minute is at its first millisecond
    assert all(start <= each["T"] <= end for each in rows)
    minutes = answer(exchange(), KLINES, NOW, **MINUTES, startTime=start, endTime=end - 1)
    total = sum(float(each["q"]) for each in rows if each["T"] < end)
    assert total == pytest.approx(sum(float(row[5]) for row in minutes))


def test_order_book_is_sorted_around_the_best_prices() -> None:
    sandbox = exchange()
    book = answer(sandbox, "/fapi/v1/depth", NOW, **BTC, limit=100)
    bids, asks = ([float(price) for price, _ in book[side]] for side in ("bids", "asks"))
    assert bids == sorted(set(bids), reverse=True)
    assert asks == sorted(set(asks))
    best = answer(sandbox, "/fapi/v1/ticker/bookTicker", NOW, **BTC)
    assert book["bids"][0] == [best["bidPrice"], best["bidQty"]]
    assert book["asks"][0] == [best["askPrice"], best["askQty"]]
    assert book["lastUpdateId"] == best["lastUpdateId"]
    assert bids[0] < asks[0]
    last = float(answer(sandbox, "/fapi/v1/ticker/price", NOW, **BTC)["price"])
    assert last in {bids[0], asks[0]}


def test_day_ticker_equals_the_klines_of_its_day() -> None:
    sandbox = exchange()
    ticker = answer(sandbox, "/fapi/v1/ticker/24hr", NOW, **BTC)
    rows = answer(sandbox, KLINES, NOW, **MINUTES, limit=1440)
    assert (ticker["openPrice"], ticker["lastPrice"]) == (rows[0][1], rows[-1][4])
    assert float(ticker["highPrice"]) == max(float(row[2]) for row in rows)
    assert float(ticker["volume"]) == pytest.approx(sum(float(row[5]) for row in rows))
    assert ticker["count"] == ticker["lastId"] - ticker["firstId"] + 1


def test_tickers_without_a_symbol_list_all_symbols() -> None:
    for path in (
        "/fapi/v1/ticker/24hr",
        "/fapi/v1/ticker/price",
        "/fapi/v1/ticker/bookTicker",
        "/fapi/v1/premiumIndex",
    ):
        assert [row["symbol"] for row in answer(exchange(), path, NOW)] == ["BTCUSDT", "ETHUSDT"]


def test_settled_funding_rates_are_those_of_the_source() -> None:
    sandbox = exchange()
    rows = answer(sandbox, "/fapi/v1/fundingRate", NOW, **BTC, startTime=DAY_1)
    assert [row["fundingTime"] for row in rows] == [DAY_1 + hours * HOUR for hours in (0, 8, 16, 24)]
    source = sandbox.market.funding("BTCUSDT", DAY_1 - 1, NOW)
    assert [float(row["fundingRate"]) for row in rows] == [each.rate for each in source]
    newest = answer(sandbox, "/fapi/v1/fundingRate", NOW, **BTC, limit=2)
    assert newest == rows[-2:]


def test_rate_of_the_premium_index_ends_at_the_settled_rate() -> None:
    sandbox, settles_at = exchange(), DAY_1 + 32 * HOUR
    before = answer(sandbox, "/fapi/v1/premiumIndex", settles_at - 1, **BTC)
    assert before["nextFundingTime"] == settles_at
    (settled,) = answer(sandbox, "/fapi/v1/fundingRate", settles_at, **BTC, startTime=settles_at)
    assert float(before["lastFundingRate"]) == pytest.approx(float(settled["fundingRate"]), abs=1e-8)
    assert answer(sandbox, "/fapi/v1/premiumIndex", settles_at, **BTC)["nextFundingTime"] == settles_at + 8 * HOUR


def test_mark_price_stays_near_the_last_price() -> None:
    sandbox = exchange()
    for at in range(NOW, NOW + 3 * HOUR, 7 * MINUTE + 1):
        mark = float(answer(sandbox, "/fapi/v1/premiumIndex", at, **BTC)["markPrice"])
        last = float(answer(sandbox, "/fapi/v1/ticker/price", at, **BTC)["price"])
        assert mark == pytest.approx(last, rel=0.01)


def test_statistics_appear_when_their_period_is_over() -> None:
    sandbox, ends = exchange(), NOW // (5 * MINUTE) * 5 * MINUTE
    path = "/futures/data/openInterestHist"
    rows = answer(sandbox, path, ends, **BTC, period="5m")
    assert [row["timestamp"] for row in rows] == [ends - each * 5 * MINUTE for each in range(29, -1, -1)]
    assert answer(sandbox, path, ends - 1, **BTC, period="5m", limit=1)[0]["timestamp"] == ends - 5 * MINUTE
    (hour,) = answer(sandbox, path, ends, **BTC, period="1h", limit=1)
    assert hour["timestamp"] == ends // HOUR * HOUR
    ranged = answer(sandbox, path, ends, **BTC, period="5m", startTime=ends - HOUR, limit=3)
    assert [row["timestamp"] for row in ranged] == [ends - HOUR + each * 5 * MINUTE for each in range(3)]


def test_taker_volumes_are_those_of_the_klines() -> None:
    sandbox = exchange()
    (row,) = answer(sandbox, "/futures/data/takerlongshortRatio", NOW, **BTC, period="1h", limit=1)
    (kline,) = answer(sandbox, KLINES, NOW, **BTC, interval="1h", endTime=row["timestamp"] - 1, limit=1)
    assert float(row["buyVol"]) == pytest.approx(float(kline[9]))
    assert float(row["buyVol"]) + float(row["sellVol"]) == pytest.approx(float(kline[5]))


def test_changed_filters_appear_at_their_time() -> None:
    sandbox, at = exchange(), NOW + HOUR
    sandbox.change_filters("BTCUSDT", at, tick="0.50", step="0.010", min_notional="100")
    sandbox.change_filters("BTCUSDT", at + HOUR, status="SETTLING")

    def listed(now: int) -> tuple[str, str, str, str]:
        (symbol,) = (s for s in answer(sandbox, "/fapi/v1/exchangeInfo", now)["symbols"] if s["symbol"] == "BTCUSDT")
        rows = {each["filterType"]: each for each in symbol["filters"]}
        tick, step = rows["PRICE_FILTER"]["tickSize"], rows["LOT_SIZE"]["stepSize"]
        return tick, step, rows["MIN_NOTIONAL"]["notional"], symbol["status"]

    assert listed(at - 1) == ("0.10", "0.001", "50", "TRADING")
    assert listed(at) == ("0.50", "0.010", "100", "TRADING")
    assert listed(at + HOUR) == ("0.50", "0.010", "100", "SETTLING")


SPOT_KLINES = "/api/v3/klines"


@pytest.mark.parametrize(
    ("path", "query", "code", "text"),
    [
        (KLINES, {"interval": "1m"}, -1102, "Mandatory parameter 'symbol' was not sent"),
        (KLINES, BTC, -1102, "Mandatory parameter 'interval' was not sent"),
        (KLINES, {**BTC, "interval": ""}, -1102, "Mandatory parameter 'interval' was not sent"),
        (KLINES, {**BTC, "interval": "7m"}, -1120, "Invalid interval."),
        (KLINES, {**BTC, "interval": "1s"}, -1120, "Invalid interval."),
        (KLINES, {"symbol": "DOGEUSDT", "interval": "1m"}, -1121, "Invalid symbol."),
        (KLINES, {"symbol": "btc/usdt", "interval": "1m"}, -1100, "Illegal characters found in parameter 'symbol'"),
        (KLINES, {**MINUTES, "limit": "ten"}, -1100, "Illegal characters found in parameter 'limit'"),
        (KLINES, {**MINUTES, "limit": "0"}, -1130, "Data sent for parameter 'limit' is not valid."),
        (KLINES, {**MINUTES, "limit": "-1"}, -1130, "Data sent for parameter 'limit' is not valid."),
        (KLINES, {**MINUTES, "limit": ""}, -1105, "Parameter 'limit' was empty."),
        (KLINES, {**MINUTES, "startTime": "2", "endTime": "1"}, -1023, "Start time is greater than end time."),
        (TRADES, {**BTC, "fromId": "1", "startTime": "1"}, -1128, "Combination of optional parameters invalid."),
        (TRADES, {**BTC, "startTime": "0", "endTime": "3600001"}, -1127, "More than 1 hours between"),
        ("/fapi/v1/depth", {**BTC, "limit": "7"}, -4021, "7 is not valid depth limit."),
        ("/futures/data/openInterestHist", {**BTC, "period": "1m"}, -1130, "parameter 'period' is invalid."),
        ("/futures/data/basis", {"pair": "BTCUSDT", "contractType": "X", "period": "5m"}, -1130, "'contractType'"),
        ("/futures/data/openInterestHist", {**BTC, "period": "5m", "limit": "501"}, -1130, "'limit' is invalid."),
        ("/futures/data/openInterestHist", {**BTC, "period": "5m", "startTime": "1"}, -1130, "'startTime' is invalid."),
        (SPOT_KLINES, {**MINUTES, "colour": "red"}, -1104, "read '2' parameter(s) but was sent '3'"),
        (SPOT_KLINES, {"symbol": "NONE", "interval": "1m"}, -1121, "Invalid symbol."),
        ("/api/v3/ticker/price", {"symbols": "BTCUSDT"}, -1100, "Illegal characters found in parameter 'symbols'"),
        ("/api/v3/ticker/price", {**BTC, "symbols": '["ETHUSDT"]'}, -1128, "Combination of optional parameters"),
        ("/api/v3/exchangeInfo", {"symbols": '["BTCUSDT","NONE"]'}, -1121, "Invalid symbol."),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_code(path: str, query: dict[str, str], code: int, text: str) -> None:
    product = Product.SPOT if path.startswith("/api") else Product.UM
    status, found, message = refusal(exchange(product), path, NOW, **query)
    assert (status, found) == (400, code)
    assert text in message


def test_spot_names_exactly_the_requested_symbols() -> None:
    sandbox = exchange(Product.SPOT)
    rows = answer(sandbox, "/api/v3/ticker/price", NOW, symbols='["ETHUSDT"]')
    assert [row["symbol"] for row in rows] == ["ETHUSDT"]
    info = answer(sandbox, "/api/v3/exchangeInfo", NOW, symbol="ETHUSDT")
    assert [row["symbol"] for row in info["symbols"]] == ["ETHUSDT"]
    mini = answer(sandbox, "/api/v3/ticker/24hr", NOW, symbol="ETHUSDT", type="MINI")
    assert "priceChange" not in mini


@pytest.mark.parametrize(("method", "path"), [("GET", "/fapi/v1/nothing"), ("POST", KLINES), ("GET", SPOT_KLINES)])
def test_an_unknown_path_of_futures_is_not_found(method: str, path: str) -> None:
    response = exchange().handle(Request(method, path), NOW)
    assert response.status == 404
    assert json.loads(response.body) == {"code": -5000, "msg": f"Path {path}, Method {method} is invalid"}


def test_an_unknown_path_of_spot_is_not_found_and_no_json() -> None:
    response = get(exchange(Product.SPOT), KLINES, NOW)
    assert (response.status, response.headers["Content-Type"]) == (404, "text/html")
    assert b"404" in response.body

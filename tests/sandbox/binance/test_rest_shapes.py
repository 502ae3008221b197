"""The REST payloads of the sandbox exchange have the fields and the types of documented and recorded payloads."""

import re
from typing import Any

import pytest

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import HOUR
from ocw_mcp.sandbox.binance.exchange import Exchange
from tests.support.sandbox_market import DAY_1, answer, documented, simulated

NOW = DAY_1 + 30 * HOUR + 25_123
UM, SPOT = "binance_net/Endpoints/UsdFutures/ExchangeData/", "binance_net/Endpoints/Spot/ExchangeData/"
SOCKET = "binance_net/Socket/Spot/ExchangeData/"
BTC = {"symbol": "BTCUSDT"}
PERIOD = {**BTC, "period": "5m", "limit": "3"}
KLINES = {**BTC, "interval": "1m", "limit": "3"}


def kind(value: Any) -> Any:
    """Return the shape of a value: fields and types, and of a list the shape of its first element."""
    if isinstance(value, dict):
        return {name: kind(each) for name, each in value.items()}
    if isinstance(value, list):
        return [kind(each) for each in value[:1]]
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9.]+\s*", value):
        return "number in a string"
    return type(value).__name__


def row_kind(value: Any) -> list[Any]:
    """Return the types of all elements of the first row, for payloads with a list a row."""
    return [kind(each) for each in value[0]]


FUTURES = [
    ("/fapi/v1/time", {}, UM + "GetServerTime.txt"),
    ("/fapi/v1/aggTrades", {**BTC, "limit": "2"}, UM + "GetAggregatedTradeHistory.txt"),
    ("/fapi/v1/trades", {**BTC, "limit": "2"}, UM + "GetRecentTrades.txt"),
    ("/fapi/v1/depth", {**BTC, "limit": "5"}, UM + "GetOrderBook.txt"),
    ("/fapi/v1/ticker/24hr", BTC, UM + "GetTicker.txt"),
    ("/fapi/v1/ticker/price", BTC, UM + "GetPrice.txt"),
    ("/fapi/v2/ticker/price", BTC, UM + "GetPrice.txt"),
    ("/fapi/v1/ticker/bookTicker", BTC, UM + "GetBookPrice.txt"),
    ("/fapi/v1/ticker/bookTicker", {}, "rest_public/fapi-v1-ticker-bookTicker-full.json"),
    ("/fapi/v1/premiumIndex", BTC, UM + "GetMarkPrice.txt"),
    ("/fapi/v1/premiumIndex", {}, "rest_public/fapi-v1-premiumIndex.json"),
    ("/fapi/v1/fundingRate", BTC, UM + "GetFundingRates.txt"),
    ("/fapi/v1/openInterest", BTC, UM + "GetOpenInterest.txt"),
    ("/futures/data/openInterestHist", PERIOD, UM + "GetOpenInterestHistory.txt"),
    ("/futures/data/topLongShortPositionRatio", PERIOD, UM + "GetTopLongShortPositionRatio.txt"),
    ("/futures/data/topLongShortAccountRatio", PERIOD, UM + "GetTopLongShortAccountRatio.txt"),
    ("/futures/data/globalLongShortAccountRatio", PERIOD, UM + "GetGlobalLongShortAccountRatio.txt"),
    ("/futures/data/takerlongshortRatio", PERIOD, UM + "GetTakerBuySellVolumeRatio.txt"),
    (
        "/futures/data/basis",
        {"pair": "BTCUSDT", "contractType": "PERPETUAL", "period": "5m"},
        UM + "GetBasis.txt",
    ),
]
SPOT_ROWS = [
    ("/api/v3/time", {}, SPOT + "GetServerTime.txt"),
    ("/api/v3/aggTrades", {**BTC, "limit": "2"}, SPOT + "GetAggregatedTradeHistory.txt"),
    ("/api/v3/trades", {**BTC, "limit": "2"}, SPOT + "GetRecentTrades.txt"),
    ("/api/v3/ticker/24hr", BTC, SPOT + "GetTicker.txt"),
    ("/api/v3/ticker/price", BTC, SPOT + "GetPrice.txt"),
    ("/api/v3/ticker/bookTicker", BTC, SPOT + "GetBookPrice.txt"),
    ("/api/v3/ticker/bookTicker", {}, "rest_public/api-v3-ticker-bookTicker-full.json"),
    ("/api/v3/depth", {**BTC, "limit": "5"}, SOCKET + "GetOrderBook.txt"),
    ("/api/v3/avgPrice", BTC, SPOT + "GetAvgPrice.txt"),
]
INTEGER_STAMPS = {"timestamp": "int"}
"""`/futures/data` answers timestamps as numbers; some pages of the documentation show them in strings."""


@pytest.mark.parametrize(
    ("product", "path", "query", "fixture"),
    [(Product.UM, *row) for row in FUTURES] + [(Product.SPOT, *row) for row in SPOT_ROWS],
)
def test_payload_has_the_fields_of_the_fixture(
    product: Product, path: str, query: dict[str, str], fixture: str
) -> None:
    expected = kind(documented(fixture))
    if path.startswith("/futures/data/"):
        expected[0] |= INTEGER_STAMPS
    assert kind(answer(Exchange(simulated(product)), path, NOW, **query)) == expected


@pytest.mark.parametrize(
    ("product", "path", "query", "fixture"),
    [
        (Product.UM, "/fapi/v1/klines", KLINES, UM + "GetKlines.txt"),
        (
            Product.UM,
            "/fapi/v1/continuousKlines",
            {"pair": "BTCUSDT", "contractType": "PERPETUAL", "interval": "1h"},
            UM + "GetContinuousContractKlines.txt",
        ),
        (Product.SPOT, "/api/v3/klines", KLINES, "rest_klines/BTCUSDT_1m_raw_rest_2024-09-04.json"),
        (Product.SPOT, "/api/v3/uiKlines", KLINES, SPOT + "GetUiKlines.txt"),
    ],
)
def test_klines_have_the_columns_of_the_fixture(
    product: Product, path: str, query: dict[str, str], fixture: str
) -> None:
    assert row_kind(answer(Exchange(simulated(product)), path, NOW, **query)) == row_kind(documented(fixture))


def test_spot_klines_have_the_decimals_of_recorded_ones() -> None:
    recorded = documented("rest_klines/BTCUSDT_1m_raw_rest_2024-09-04.json")[0]
    rows = answer(Exchange(simulated(Product.SPOT)), "/api/v3/klines", NOW, **KLINES)
    assert [decimals(cell) for cell in rows[0]] == [decimals(cell) for cell in recorded]
    assert rows[0][6] - rows[0][0] == recorded[6] - recorded[0]


def decimals(cell: Any) -> int | None:
    return len(cell.partition(".")[2]) if isinstance(cell, str) else None


def test_listed_perpetuals_have_the_fields_of_recorded_ones() -> None:
    recorded = documented("rest_public/fapi-v1-exchangeInfo.json")
    info = answer(Exchange(simulated()), "/fapi/v1/exchangeInfo", NOW)
    assert info.keys() == recorded.keys()
    assert kind(info["assets"]) == kind(recorded["assets"])
    assert info["rateLimits"] == recorded["rateLimits"]
    for symbol in info["symbols"]:
        (real,) = (each for each in recorded["symbols"] if each["symbol"] == symbol["symbol"])
        assert kind(without_filters(symbol)) == kind(without_filters(real))
        assert filters(symbol) == filters(real)
        for name in ("pricePrecision", "quantityPrecision", "baseAsset", "quoteAsset", "orderTypes", "timeInForce"):
            assert symbol[name] == real[name]
        for name, field in (("PRICE_FILTER", "tickSize"), ("LOT_SIZE", "stepSize"), ("MIN_NOTIONAL", "notional")):
            assert filter_of(symbol, name)[field] == filter_of(real, name)[field]


def test_listed_spot_symbols_have_the_documented_fields() -> None:
    recorded = documented(SOCKET + "GetExchangeInfo.txt")["symbols"][0]
    info = answer(Exchange(simulated(Product.SPOT)), "/api/v3/exchangeInfo", NOW, **BTC)
    assert info.keys() == {"timezone", "serverTime", "rateLimits", "exchangeFilters", "symbols"}
    (symbol,) = info["symbols"]
    assert symbol.keys() == recorded.keys()
    for each in recorded["filters"]:
        assert kind(filter_of(symbol, each["filterType"])) == kind(each)


def test_funding_info_has_the_fields_of_the_recorded_rows() -> None:
    recorded = documented("rest_public/fapi-v1-fundingInfo.json")
    (btc,) = (each for each in recorded if each["symbol"] == "BTCUSDT")
    rows = answer(Exchange(simulated()), "/fapi/v1/fundingInfo", NOW)
    assert kind(rows[0]) == kind(btc)


def test_prices_of_futures_have_the_decimals_of_recorded_ones() -> None:
    recorded = documented("rest_public/fapi-v1-ticker-bookTicker-full.json")
    real = {each["symbol"]: each for each in recorded}
    for row in answer(Exchange(simulated()), "/fapi/v1/ticker/bookTicker", NOW):
        for name in ("bidPrice", "bidQty", "askPrice", "askQty"):
            assert decimals(row[name]) == decimals(real[row["symbol"]][name])


def without_filters(symbol: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in symbol.items() if name != "filters"}


def filters(symbol: dict[str, Any]) -> list[Any]:
    rows = (kind(each) | {"filterType": each["filterType"]} for each in symbol["filters"])
    return sorted(rows, key=lambda row: str(row["filterType"]))


def filter_of(symbol: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (each for each in symbol["filters"] if each["filterType"] == name)
    return dict(found)

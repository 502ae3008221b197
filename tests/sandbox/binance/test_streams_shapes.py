"""The payloads of the sandbox's streams have the fields and the kinds of values of documented and recorded ones."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import HOUR, MINUTE
from tests.support.examples import slow_after
from tests.support.exchange import NOW, connected, payloads, recorded

FUTURES, SPOT = "binance_net/Subscriptions/UsdFutures", "binance_net/Subscriptions/Spot/ExchangeData"
NEWER = {"st", "ps", "nq", "ap", "X"}
"""Fields that the exchange added in 2026 or never documented; a fixture may not have them yet."""


def shape(value: Any) -> Any:
    """Return a value with its scalars replaced by their kinds, and a list by its first element's shape."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items() if name not in NEWER}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return "number as text"
    return type(value).__name__


def first(name: str, product: Product = Product.UM) -> Any:
    """Return the first payload of a stream."""
    route = "" if product is Product.SPOT else "/public" if re.search("bookT|depth|trade$", name) else "/market"
    until = NOW + (6 * HOUR if "forceOrder" in name else MINUTE)
    found = payloads(connected(f"{route}/ws/{name}", product).messages(NOW, until))
    return next(each for each in found if not isinstance(each, dict) or (each.get("b", 1) and each.get("a", 1)))


@pytest.mark.parametrize(
    ("stream", "fixture"),
    [
        ("btcusdt@kline_1m", f"{FUTURES}/Klines.txt"),
        ("btcusdt@kline_1m", "user_stream/futures/market_data_json/kline_stream_closed.json"),
        ("btcusdt_perpetual@continuousKline_1m", f"{FUTURES}/ContKlines.txt"),
        ("btcusdt@aggTrade", f"{FUTURES}/AggTrades.txt"),
        ("btcusdt@aggTrade", "user_stream/futures/market_data_json/agg_trade_stream.json"),
        ("btcusdt@trade", "user_stream/futures/market_data_json/trade_stream.json"),
        ("btcusdt@markPrice", f"{FUTURES}/MarkPrice.txt"),
        ("btcusdt@markPrice@1s", "user_stream/futures/market_data_json/mark_price_stream.json"),
        ("btcusdt@bookTicker", f"{FUTURES}/BookTicker.txt"),
        ("btcusdt@bookTicker", "user_stream/futures/market_data_json/book_ticker_stream.json"),
        ("btcusdt@depth@100ms", f"{FUTURES}/Book.txt"),
        ("btcusdt@depth@100ms", "user_stream/futures/market_data_json/depth_update_stream.json"),
        ("btcusdt@depth5@100ms", f"{FUTURES}/PartialBook.txt"),
        ("btcusdt@ticker", f"{FUTURES}/Ticker.txt"),
        ("btcusdt@ticker", "user_stream/futures/market_data_json/ticker_stream.json"),
        ("btcusdt@miniTicker", f"{FUTURES}/MiniTicker.txt"),
        ("btcusdt@forceOrder", f"{FUTURES}/Liquidations.txt"),
        ("btcusdt@forceOrder", "user_stream/futures/market_data_json/liquidation_stream.json"),
    ],
)
def test_futures_payload_has_the_shape_of_its_fixture(stream: str, fixture: str) -> None:
    assert shape(first(stream)) == shape(recorded(fixture))


@pytest.mark.parametrize(
    ("stream", "fixture"),
    [
        ("btcusdt@kline_1m", "Klines.txt"),
        ("btcusdt@aggTrade", "AggregatedTrades.txt"),
        ("btcusdt@bookTicker", "BookTicker.txt"),
        ("btcusdt@depth5@100ms", "PartialBook.txt"),
        ("btcusdt@ticker", "Ticker.txt"),
        ("btcusdt@miniTicker", "MiniTicker.txt"),
    ],
)
def test_spot_payload_has_the_shape_of_its_fixture(stream: str, fixture: str) -> None:
    assert shape(first(stream, Product.SPOT)) == shape(recorded(f"{SPOT}/{fixture}"))


@pytest.mark.parametrize(
    ("stream", "newer"),
    [
        ("btcusdt@aggTrade", {"st", "nq"}),
        ("btcusdt@markPrice", {"st", "ap"}),
        ("btcusdt@bookTicker", {"st", "ps"}),
        ("btcusdt@depth@100ms", {"st", "ps"}),
        ("btcusdt@ticker", {"st", "ps"}),
        ("btcusdt@miniTicker", {"st", "ps"}),
        ("!forceOrder@arr", {"st", "ps"}),
        ("btcusdt@forceOrder", set()),
        ("btcusdt@kline_1m", set()),
    ],
)
def test_futures_payload_has_the_fields_of_2026(stream: str, newer: set[str]) -> None:
    assert set(first(stream)) & NEWER == newer


def messages_of(tapes: Path) -> Iterator[Any]:
    """Yield the messages of recorded streams."""
    with gzip.open(tapes / "ws" / "um-btcusdt-depth-bookTicker-trade-2024-08-08.gz", "rt") as lines:
        yield from (json.loads(line.split(" ", 1)[1]) for line in lines if '"stream"' in line)
    text = (tapes / "ws" / "um-kline1m-aggTrade-bookTicker-depth-2021-07-22.txt").read_text()
    yield from (json.loads(line.split(": ", 1)[1]) for line in text.splitlines() if '{"stream"' in line)


@pytest.mark.parametrize("topic", slow_after(3, ["bookTicker", "depth@100ms", "trade", "kline_1m", "aggTrade"]))
def test_futures_payload_has_the_shape_of_a_recorded_message(topic: str, tapes: Path) -> None:
    kind = topic.replace("@100ms", "@")
    real = next(
        each["data"]
        for each in messages_of(tapes)
        if kind in each["stream"] and each["data"].get("b", 1) and each["data"].get("a", 1)
    )
    assert shape(first(f"btcusdt@{topic}")) == shape(real)


def test_prices_have_as_many_decimals_as_the_filters() -> None:
    row = first("btcusdt@kline_1m")["k"]
    assert {len(row[name].partition(".")[2]) for name in "ohlc"} == {2}
    assert {len(row[name].partition(".")[2]) for name in "vV"} == {3}

"""The decoding of stream messages: real captures, documented shapes, and everything that is wrong."""

import gzip
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from ocw_mcp.adapters.feeds.binance.wire import (
    Answer,
    Kline,
    Liquidation,
    MarkUpdate,
    Quote,
    Route,
    Shutdown,
    Trade,
    Wire,
    WireFault,
    routes_of,
)
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import MINUTE
from tests.support.scripted_market import BEGIN, kline_text, mark_text, quote_text, source_candle, text_of

SHARED = Path(__file__).resolve().parents[4].parent / "shared"
WS = SHARED / "tapes" / "ws"
FIXTURES = SHARED / "fixtures" / "user_stream" / "futures" / "market_data_json"


def wire(symbols: list[str], product: Product = Product.UM) -> Wire:
    return Wire([route for group in routes_of(product, symbols, MINUTE).values() for route in group])


def one(text: str | bytes, product: Product = Product.UM) -> object:
    found = wire(["BTCUSDT"], product).decode(text)
    return found[1] if isinstance(found, tuple) else found


def fault(text: str | bytes) -> str:
    with pytest.raises(WireFault) as raised:
        one(text)
    return raised.value.kind


@pytest.mark.skipif(not WS.is_dir(), reason="the captured streams are not on this machine")
def test_captured_combined_streams_are_decoded() -> None:
    lines = (WS / "um-kline1m-aggTrade-bookTicker-depth-2021-07-22.txt").read_text().splitlines()
    decoder = wire(["SUSHIUSDT", "AKROUSDT", "KEEPUSDT", "CTKUSDT"])
    counts: Counter[str] = Counter()
    for line in lines:
        _, separator, text = line.partition(': {"stream"')
        if not separator:
            continue
        try:
            route, message = decoder.decode('{"stream"' + text)  # type: ignore[misc]
        except WireFault as error:
            counts[error.kind] += 1
        else:
            assert isinstance(route, Route)
            counts[type(message).__name__] += 1
    assert counts == {"unknown": 764, "Quote": 613, "Trade": 91, "Kline": 67}


@pytest.mark.skipif(not WS.is_dir(), reason="the captured streams are not on this machine")
def test_captured_quotes_have_a_bid_below_the_ask() -> None:
    decoder, count = wire(["BTCUSDT"]), 0
    with gzip.open(WS / "um-btcusdt-depth-bookTicker-trade-2024-08-08.gz", "rt") as lines:
        for line in lines:
            text = line.partition(" ")[2]
            if '@bookTicker"' in text:
                _, quote = decoder.decode(text)  # type: ignore[misc]
                assert isinstance(quote, Quote)
                assert 0 < quote.bid < quote.ask
                count += 1
            if count == 5_000:
                break
    assert count == 5_000


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the documented payloads are not on this machine")
@pytest.mark.parametrize(
    ("name", "stream", "kind"),
    [
        ("agg_trade_stream", "aggTrade", Trade),
        ("kline_stream_closed", "kline_1m", Kline),
        ("mark_price_stream", "markPrice@1s", MarkUpdate),
        ("liquidation_stream", "forceOrder", Liquidation),
        ("book_ticker_stream", "bookTicker", Quote),
    ],
)
def test_documented_payloads_are_decoded(name: str, stream: str, kind: type) -> None:
    body = (FIXTURES / f"{name}.json").read_text()
    symbol = msgspec.json.decode(body).get("s", "BTCUSDT")
    _, message = wire([symbol]).decode(f'{{"stream":"{symbol.lower()}@{stream}","data":{body}}}')  # type: ignore[misc]
    assert isinstance(message, kind)


def test_quote_of_spot_has_neither_type_nor_time() -> None:
    text = '{"stream":"btcusdt@bookTicker","data":{"u":7,"s":"BTCUSDT","b":"1.5","B":"2","a":"1.6","A":"3"}}'
    assert one(text, Product.SPOT) == Quote(7, "BTCUSDT", 1.5, 2.0, 1.6, 3.0)


def test_event_time_may_be_a_text() -> None:
    message = one(mark_text("BTCUSDT", 90_000, BEGIN).replace(f'"E":{BEGIN}', f'"E":"{BEGIN}"'))
    assert isinstance(message, MarkUpdate)
    assert message.at == BEGIN


def test_fields_in_another_order_are_decoded() -> None:
    text = quote_text("BTCUSDT", 5, 100, 101, BEGIN)
    frame = msgspec.json.decode(text)
    turned = msgspec.json.encode({"data": frame["data"], "stream": frame["stream"]})
    assert one(turned) == one(text)


def test_answers_and_the_shutdown_are_no_market_data() -> None:
    assert one('{"result":null,"id":3}') == Answer(3, None)
    answer = one('{"error":{"code":2,"msg":"Invalid request"},"id":4}')
    assert isinstance(answer, Answer)
    assert "Invalid request" in (answer.error or "")
    assert isinstance(one('{"e":"serverShutdown","E":1770123456789}'), Shutdown)


def test_wrong_messages_are_named_by_their_kind() -> None:
    candle = source_candle("BTCUSDT", BEGIN)
    good = kline_text(candle, BEGIN + 5, closed=False)
    assert isinstance(one(good), Kline)
    assert fault(good[:-9]) == "malformed"
    assert fault(b'{"stream":"btcusdt@kline_1m","data":\xff}') == "malformed"
    assert fault("") == "malformed"
    assert fault("[]") == "malformed"
    assert fault(good.replace('"c":', '"close":')) == "other fields than expected"
    assert fault(good.replace('"e":"kline"', '"e":"candle"')) == "other fields than expected"
    assert fault(good.replace('"s":"BTCUSDT"', '"s":"ETHUSDT"')) == "data of another symbol"
    assert fault(good.replace('"st":1', '"st":2')) == "data of another product"
    assert fault(good.replace("btcusdt@", "ethusdt@")) == "unknown"
    assert fault(text_of("btcusdt@depth", {"e": "depthUpdate"})) == "unknown"
    assert fault('{"x":1}') == "unknown"


def test_streams_are_on_the_path_that_carries_them() -> None:
    futures = routes_of(Product.UM, ["BTCUSDT"], MINUTE)
    assert {path: [each.name for each in routes] for path, routes in futures.items()} == {
        "/market": ["btcusdt@kline_1m", "btcusdt@aggTrade", "btcusdt@markPrice@1s", "btcusdt@forceOrder"],
        "/public": ["btcusdt@bookTicker"],
    }
    spot = routes_of(Product.SPOT, ["BTCUSDT"], MINUTE)
    assert [each.name for each in spot[""]] == ["btcusdt@kline_1m", "btcusdt@aggTrade", "btcusdt@bookTicker"]

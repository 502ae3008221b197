"""Stream connections of the sandbox exchange: paths, subscriptions, routes, and the end of a connection."""

import json
from typing import Any

import pytest

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY, MINUTE, SECOND
from ocw_mcp.sandbox.binance.streams import MESSAGES_A_SECOND, MOST_STREAMS, StreamConnection, StreamHub
from tests.support.exchange import NOW, connected, market, payloads

KLINE, QUOTE = "btcusdt@kline_1m", "btcusdt@bookTicker"


def ask(connection: StreamConnection, method: str, params: list[Any] | None = None, at: int = NOW) -> Any:
    """Return the answer to a request with the id 3."""
    request = {"method": method, "id": 3} | ({"params": params} if params is not None else {})
    (answer,) = connection.receive(json.dumps(request), at)
    return json.loads(answer.text)


def spoken(connection: StreamConnection, minutes: int = 2) -> set[str]:
    """Return the names of the streams that say something within some minutes."""
    return {each.stream for each in connection.messages(NOW, NOW + minutes * MINUTE)}


@pytest.mark.parametrize(
    ("path", "streams"),
    [
        (f"/market/ws/{KLINE}", {KLINE}),
        (f"/market/ws/{KLINE}/btcusdt@aggTrade", {KLINE, "btcusdt@aggTrade"}),
        (f"/market/stream?streams={KLINE}/btcusdt@aggTrade", {KLINE, "btcusdt@aggTrade"}),
        (f"/market/stream?streams={KLINE.replace('@', '%40')}", {KLINE}),
        (f"/public/ws/{QUOTE}", {QUOTE}),
        (f"/ws/{QUOTE}", {QUOTE}),
        (f"/stream?streams={QUOTE}", {QUOTE}),
        ("/market/ws", set()),
        ("/market/ws/0", set()),
        ("/ws/0", set()),
    ],
)
def test_streams_of_a_path_speak_at_once(path: str, streams: set[str]) -> None:
    assert spoken(connected(path)) == streams


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/public/ws", KLINE),
        ("/public/ws", "btcusdt@aggTrade"),
        ("/public/ws", "btcusdt@markPrice@1s"),
        ("/public/ws", "!ticker@arr"),
        ("/market/ws", QUOTE),
        ("/market/ws", "btcusdt@depth@100ms"),
        ("/private/ws?listenKey=abc", KLINE),
        ("/ws", KLINE),
        ("/stream", "btcusdt@forceOrder"),
        ("/market/ws", "btcusdt@invented"),
        ("/market/ws", "BTCUSDT@kline_1m"),
        ("/market/ws", "btcusdt@kline_7m"),
        ("/market/ws", "btcusdt@kline_1s"),
        ("/market/ws", "nosuchusdt@kline_1m"),
    ],
)
def test_wrong_route_or_name_is_acknowledged_and_stays_mute(path: str, name: str) -> None:
    connection = connected(path)
    assert ask(connection, "SUBSCRIBE", [name]) == {"result": None, "id": 3}
    assert ask(connection, "LIST_SUBSCRIPTIONS") == {"result": [name], "id": 3}
    assert spoken(connection) == set()


def test_spot_serves_all_its_streams_on_one_path() -> None:
    names = {KLINE, QUOTE, "btcusdt@aggTrade", "btcusdt@trade", "btcusdt@depth5", "btcusdt@ticker", "!miniTicker@arr"}
    connection = connected(f"/stream?streams={'/'.join(sorted(names))}/btcusdt@markPrice", Product.SPOT)
    assert spoken(connection) == names


def test_path_of_all_streams_serves_both_parts_of_futures() -> None:
    names = {KLINE, QUOTE, "btcusdt@markPrice@1s", "btcusdt@depth@0ms"}
    assert spoken(connected(f"/all/stream?streams={'/'.join(sorted(names))}/btcusdt@depth5@0ms")) == names


def test_path_without_streams_is_not_served() -> None:
    hub = StreamHub(market())
    assert [hub.open(path, NOW) for path in ("/", "/wss", "/market", "/fapi/v1/time")] == [None] * 4


def test_subscribed_stream_begins_and_unsubscribed_one_ends() -> None:
    connection = connected("/market/ws")
    ask(connection, "SUBSCRIBE", [KLINE])
    assert {each.stream for each in connection.messages(NOW, NOW + MINUTE)} == {KLINE}
    assert ask(connection, "UNSUBSCRIBE", [KLINE]) == {"result": None, "id": 3}
    assert connection.messages(NOW + MINUTE, NOW + 2 * MINUTE) == []


def test_messages_are_wrapped_on_a_combined_path_only() -> None:
    raw = json.loads(connected(f"/market/ws/{KLINE}").messages(NOW, NOW + MINUTE)[0].text)
    combined = json.loads(connected(f"/market/stream?streams={KLINE}").messages(NOW, NOW + MINUTE)[0].text)
    assert combined == {"stream": KLINE, "data": raw}


def test_property_combined_can_be_read_and_set() -> None:
    connection = connected(f"/market/ws/{KLINE}")
    assert ask(connection, "GET_PROPERTY", ["combined"])["result"] is False
    assert ask(connection, "SET_PROPERTY", ["combined", True])["result"] is None
    assert "stream" in json.loads(connection.messages(NOW, NOW + MINUTE)[0].text)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ("no json", 3),
        ("[1]", 2),
        ('{"id": 1}', 2),
        ('{"method": "SUBSCRIB", "id": 1}', 2),
        ('{"method": "SUBSCRIBE", "params": "x", "id": 1}', 2),
        ('{"method": "SUBSCRIBE", "params": [1], "id": 1}', 2),
        ('{"method": "SUBSCRIBE", "params": [], "id": -1}', 2),
        ('{"method": "SET_PROPERTY", "params": ["x", true], "id": 1}', 0),
        ('{"method": "SET_PROPERTY", "params": ["combined", 1], "id": 1}', 1),
    ],
)
def test_invalid_request_is_answered_with_an_error(request_: str, code: int) -> None:
    (answer,) = connected("/market/ws").receive(request_, NOW)
    assert json.loads(answer.text)["error"]["code"] == code


@pytest.mark.parametrize("product", list(Product))
def test_too_many_messages_within_a_second_end_the_connection(product: Product) -> None:
    connection, most = connected("/ws", product), MESSAGES_A_SECOND[product]
    for number in range(most):
        ask(connection, "LIST_SUBSCRIPTIONS", at=NOW + number)
    (end,) = connection.receive('{"method": "LIST_SUBSCRIPTIONS"}', NOW + SECOND - 1)
    assert (end.code, connection.closed) == (1008, 1008)
    assert connection.messages(NOW, NOW + MINUTE) == []


def test_messages_at_the_limit_keep_the_connection() -> None:
    connection = connected("/ws")
    for number in range(100):
        ask(connection, "LIST_SUBSCRIPTIONS", at=NOW + number * 100)
    assert connection.closed is None


def test_connection_with_too_many_streams_ends() -> None:
    connection = connected("/market/ws")
    names = [f"coin{number}usdt@kline_1m" for number in range(MOST_STREAMS + 1)]
    assert ask(connection, "SUBSCRIBE", names[:-1])["result"] is None
    (end,) = connection.receive(json.dumps({"method": "SUBSCRIBE", "params": names[-1:]}), NOW)
    assert end.code == 1008


@pytest.mark.slow
def test_connection_ends_after_24_hours() -> None:
    connection = connected("/market/ws/btcusdt@markPrice")
    connection.messages(NOW, NOW + DAY - MINUTE)
    said = connection.messages(NOW + DAY - MINUTE, NOW + DAY + MINUTE)
    assert (said[-1].at, said[-1].code) == (NOW + DAY, 1001)
    assert max(each.at for each in said[:-1]) == NOW + DAY - 3 * SECOND
    assert connection.messages(NOW + DAY + MINUTE, NOW + DAY + 2 * MINUTE) == []


def test_spot_warns_ten_minutes_before_it_closes() -> None:
    said = connected("/ws", Product.SPOT).messages(NOW, NOW + DAY)
    at = NOW + DAY - 10 * MINUTE
    assert payloads(said) == [{"e": "serverShutdown", "E": at}]
    assert [each.at for each in said] == [at, NOW + DAY]

"""The sandbox exchange as a transport in the same process, in virtual time."""

import json
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest

from ocw_mcp.adapters.binance.transport import Connection, Transport
from ocw_mcp.domain.errors import MarketUnreachable
from ocw_mcp.domain.time import DAY, MINUTE, SECOND
from ocw_mcp.sandbox.binance.account.keys import made_key, sign
from ocw_mcp.sandbox.binance.inprocess import InProcessTransport
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.exchange import NOW, exchange

MARKS = "/market/stream?streams=btcusdt@markPrice@1s"


def run(
    use: Callable[[InProcessTransport], Awaitable[Any]], *faults: dict[str, Any], thin: int = 1, **options: Any
) -> Any:
    """Run a function with a transport, in virtual time, and return its result."""

    async def main() -> Any:
        transport = InProcessTransport(exchange(*faults, thin=thin), NOW, **options)
        try:
            return await use(transport)
        finally:
            await transport.close()

    return run_in_virtual_time(main())


async def read(connection: Connection, transport: Transport, until: int) -> list[tuple[int, Any]]:
    """Return the messages that arrive until a time, with the time of each arrival."""
    got: list[tuple[int, Any]] = []
    while transport.now_ms() < until:
        got += [(transport.now_ms(), json.loads(text)) for text in await connection.receive()]
    return got


async def rest_of(connection: Connection, got: list[str]) -> None:
    """Add all messages to a list, until the connection ends with an error."""
    while True:
        got += [str(text) for text in await connection.receive()]


def test_messages_arrive_within_the_grain_of_their_time() -> None:
    async def use(transport: InProcessTransport) -> Any:
        return await read(await transport.connect(MARKS), transport, NOW + 10 * SECOND)

    arrived = run(use, grain_ms=400)
    assert [each["data"]["E"] for _, each in arrived] == list(range(NOW + SECOND, NOW + 10 * SECOND + 1, SECOND))
    assert all(0 <= at - each["data"]["E"] < 400 for at, each in arrived)


def test_answer_to_a_subscription_arrives_at_once() -> None:
    async def use(transport: InProcessTransport) -> Any:
        connection = await transport.connect("/market/ws")
        await connection.send('{"method": "SUBSCRIBE", "params": ["btcusdt@markPrice@1s"], "id": 1}')
        first = await connection.receive()
        return first, (await read(connection, transport, NOW + 3 * SECOND))[0][1]["e"]

    assert run(use) == (['{"result":null,"id":1}'], "markPriceUpdate")


def test_rest_takes_a_round_trip_and_returns_headers_in_lower_case() -> None:
    async def use(transport: InProcessTransport) -> Any:
        response = await transport.get("/fapi/v1/time", {})
        return transport.now_ms(), json.loads(response.body), response.status, response.headers

    now, body, status, headers = run(use, round_trip_ms=40, machine_ahead_ms=700)
    assert (now, body, status) == (NOW + 740, {"serverTime": NOW + 20}, 200)
    assert headers["x-mbx-used-weight-1m"] == "1"


def test_dropped_connection_gives_its_messages_and_then_ends() -> None:
    async def use(transport: InProcessTransport) -> Any:
        connection = await transport.connect(MARKS)
        got: list[str] = []
        with pytest.raises(MarketUnreachable, match="1006"):
            await rest_of(connection, got)
        with pytest.raises(MarketUnreachable):
            await connection.send("{}")
        return len(got)

    assert run(use, {"kind": "drop", "at": "5s"}) == 5


def test_refused_connections_and_requests_are_unreachable() -> None:
    async def use(transport: InProcessTransport) -> None:
        with pytest.raises(MarketUnreachable, match="refused"):
            await transport.connect(MARKS)
        with pytest.raises(MarketUnreachable, match="without an answer"):
            await transport.get("/fapi/v1/time", {})

    run(use, {"kind": "refuse", "at": "0s", "for": "1m", "rest": True})


def test_path_without_streams_is_unreachable() -> None:
    async def use(transport: InProcessTransport) -> None:
        with pytest.raises(MarketUnreachable, match="404"):
            await transport.connect("/nothing")

    run(use)


def test_closed_connection_ends_a_waiting_receiver() -> None:
    async def use(transport: InProcessTransport) -> None:
        connection = await transport.connect("/market/ws")
        await connection.close()
        await connection.close()
        with pytest.raises(MarketUnreachable, match="by the client"):
            await connection.receive()

    run(use)


def test_a_day_on_a_stream_has_each_candle_once_and_ends_at_24_hours() -> None:
    async def use(transport: InProcessTransport) -> Any:
        connection = await transport.connect("/market/ws/btcusdt@kline_1m")
        got: list[str] = []
        with pytest.raises(MarketUnreachable, match="1001"):
            await rest_of(connection, got)
        rows = [json.loads(text)["k"] for text in got]
        return transport.now_ms(), [row["t"] for row in rows if row["x"]]

    now, closed = run(use, thin=40, grain_ms=10 * SECOND)
    assert NOW + DAY < now <= NOW + DAY + 10 * SECOND
    assert len(closed) == DAY // MINUTE
    assert {after - before for before, after in pairwise(closed)} == {MINUTE}


def test_two_runs_with_the_same_faults_are_equal() -> None:
    faults = [
        {"kind": kind, "at": at, "for": "2m"} | more
        for kind, at, more in (
            ("garbage", "1m", {"form": "nan"}),
            ("delay", "2m", {"by": "3s"}),
            ("reorder", "4m", {}),
            ("duplicate", "6m", {}),
        )
    ]

    async def use(transport: InProcessTransport) -> Any:
        connection = await transport.connect("/market/stream?streams=btcusdt@aggTrade/btcusdt@kline_1m")
        got = []
        while transport.now_ms() < NOW + 10 * MINUTE:
            got += [(transport.now_ms(), text) for text in await connection.receive()]
        return got

    assert run(use, *faults) == run(use, *faults)


@pytest.mark.parametrize("form", [True, False])
def test_signed_order_is_placed_and_reported_in_process(form: bool) -> None:
    async def use(transport: InProcessTransport) -> Any:
        key = made_key("1")
        headers = {"X-MBX-APIKEY": key.key}
        listen = json.loads((await transport.request("POST", "/fapi/v1/listenKey", headers=headers)).body)["listenKey"]
        connection = await transport.connect(f"/private/ws?listenKey={listen}")
        text = f"symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.02&timestamp={transport.now_ms()}"
        text += f"&signature={sign(key.secret, text)}"
        parts = {"form": text} if form else {"query": text}
        placed = await transport.request("POST", "/fapi/v1/order", headers=headers, **parts)
        return placed, [json.loads(each)["e"] for each in await connection.receive()]

    placed, said = run(use)
    assert placed.status == 200
    assert placed.headers["x-mbx-order-count-10s"] == "1"
    assert said == ["ORDER_TRADE_UPDATE", "TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE"]


def test_order_without_an_answer_in_process_may_exist() -> None:
    async def use(transport: InProcessTransport) -> Any:
        key = made_key("1")
        text = f"symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.02&newClientOrderId=a&timestamp={transport.now_ms()}"
        query = f"{text}&signature={sign(key.secret, text)}"
        with pytest.raises(MarketUnreachable):
            await transport.request("POST", "/fapi/v1/order", query, headers={"X-MBX-APIKEY": key.key})
        text = f"symbol=BTCUSDT&origClientOrderId=a&timestamp={transport.now_ms()}"
        query = f"{text}&signature={sign(key.secret, text)}"
        return await transport.request("GET", "/fapi/v1/order", query, headers={"X-MBX-APIKEY": key.key})

    found = run(use, {"kind": "order_drop", "at": "0s", "for": "1m", "executed": True})
    assert json.loads(found.body)["status"] == "FILLED"

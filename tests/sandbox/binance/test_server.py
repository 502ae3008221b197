"""The server of the sandbox exchange on a port of this machine: REST, streams, control, and faults on sockets."""

import asyncio
import json
import socket
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidMessage, InvalidStatus

from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.time import DAY, SECOND
from ocw_mcp.sandbox.binance.server import MarketClock, SandboxServer, require_loopback
from tests.support.exchange import NOW, exchange, served

MARKS = "/market/stream?streams=btcusdt@markPrice@1s"


async def request(method: str, address: str, path: str, **more: Any) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await client.request(method, f"http://{address}{path}", **more)


async def next_data(stream: ClientConnection) -> Any:
    message = json.loads(await stream.recv())
    return message.get("data", message)


async def all_of(stream: ClientConnection) -> None:
    """Read until the connection ends; raise how."""
    while True:
        await stream.recv()


async def test_rest_answers_on_the_same_port_as_streams() -> None:
    async with served(speed=50) as address, connect(f"ws://{address}{MARKS}") as stream:
        answer = await request("GET", address, "/fapi/v1/time")
        assert (answer.status_code, answer.headers["x-mbx-used-weight-1m"]) == (200, "1")
        assert NOW <= answer.json()["serverTime"] < NOW + 600 * SECOND
        assert (await next_data(stream))["e"] == "markPriceUpdate"


async def test_one_connection_carries_several_requests() -> None:
    async with served() as address, httpx2.AsyncClient(trust_env=False) as client:
        statuses = [(await client.get(f"http://{address}/fapi/v1/ping")).status_code for _ in range(5)]
        unknown = await client.post(f"http://{address}/fapi/v1/nothing", data={"a": "b"})
    assert statuses == [200] * 5
    assert unknown.status_code == 404


async def test_market_runs_as_fast_as_the_speed() -> None:
    async with served(speed=1_000) as address, connect(f"ws://{address}{MARKS}", max_queue=None) as stream:
        times = [(await next_data(stream))["E"] for _ in range(100)]
        clock = (await request("GET", address, "/sandbox/clock")).json()
    assert times == list(range(times[0], times[0] + 100 * SECOND, SECOND))
    assert (clock["start"], clock["speed"]) == (NOW, 1_000)
    assert clock["now"] >= times[-1]


async def test_connection_is_closed_after_a_day_of_the_market() -> None:
    async with served(speed=100_000) as address, connect(f"ws://{address}/market/ws") as stream:
        with pytest.raises(ConnectionClosed):
            await stream.recv()
        assert stream.close_code == 1001
        assert (await request("GET", address, "/sandbox/clock")).json()["now"] >= NOW + DAY


async def test_subscription_and_ping_are_answered() -> None:
    async with served(speed=50) as address, connect(f"ws://{address}/market/ws/0") as stream:
        await stream.send('{"method": "SUBSCRIBE", "params": ["btcusdt@markPrice@1s"], "id": 9}')
        assert await next_data(stream) == {"result": None, "id": 9}
        await (await stream.ping())
        assert (await next_data(stream))["e"] == "markPriceUpdate"


async def test_client_that_sends_too_much_is_disconnected() -> None:
    async with served() as address, connect(f"ws://{address}/market/ws") as stream:
        for _ in range(11):
            await stream.send('{"method": "LIST_SUBSCRIPTIONS", "id": 1}')
        with pytest.raises(ConnectionClosed):
            await all_of(stream)
        assert stream.close_code == 1008


async def test_dropped_connection_ends_without_a_closing_frame() -> None:
    async with served({"kind": "drop", "at": "2s"}, speed=10) as address, connect(f"ws://{address}{MARKS}") as stream:
        with pytest.raises(ConnectionClosedError) as error:
            await all_of(stream)
        assert error.value.rcvd is None


async def test_refused_connections_get_no_handshake_and_requests_no_answer() -> None:
    async with served({"kind": "refuse", "at": "0s", "for": "1h", "rest": True}) as address:
        with pytest.raises((InvalidMessage, ConnectionError)):
            await connect(f"ws://{address}{MARKS}")
        with pytest.raises(httpx2.TransportError):
            await request("GET", address, "/fapi/v1/time")
        assert (await request("GET", address, "/sandbox/counters")).json()["faults"] == {"refuse": 2}


async def test_path_without_streams_is_not_found() -> None:
    async with served() as address:
        with pytest.raises(InvalidStatus) as error:
            await connect(f"ws://{address}/nothing")
    assert error.value.response.status_code == 404


async def test_request_with_the_name_of_another_host_is_refused() -> None:
    async with served() as address:
        answer = await request("GET", address, "/fapi/v1/time", headers={"host": "example.com"})
    assert answer.status_code == 403


@pytest.mark.parametrize("text", [b"nonsense\r\n\r\n", b"GET / SPDY/3\r\n\r\n", b"\x00" * 70_000])
async def test_client_that_speaks_no_http_is_disconnected(text: bytes) -> None:
    async with served() as address:
        reader, writer = await asyncio.open_connection(*address.split(":"))
        writer.write(text)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(1)
        writer.close()
        assert (await request("GET", address, "/fapi/v1/ping")).status_code == 200


async def test_fault_is_added_while_the_server_runs() -> None:
    lines: list[str] = []
    async with served(speed=100, news=lines) as address:
        added = await request("POST", address, "/sandbox/faults", json={"kind": "ban", "for": "1h"})
        assert (added.status_code, added.json()) == (200, {"added": ["ban for 1h"]})
        async with asyncio.timeout(10):
            while (await request("GET", address, "/fapi/v1/time")).status_code != 418:
                pass
            while not lines:
                await request("GET", address, "/sandbox/clock")
        planned = (await request("GET", address, "/sandbox/faults")).json()
    assert [each["fault"] for each in planned] == ["ban for 1h"]
    assert lines == ["ban for 1h begins"]


async def test_script_is_added_while_the_server_runs() -> None:
    script = '[[fault]]\nat = "10m"\nfor = "1m"\nkind = "mute"\n'
    async with served() as address:
        added = await request("POST", address, "/sandbox/faults", content=script)
    assert added.json() == {"added": ["mute for 1m"]}


async def test_filters_are_changed_while_the_server_runs() -> None:
    async with served(speed=100) as address:
        changed = await request("POST", address, "/sandbox/filters", json={"symbol": "BTCUSDT", "tick": "0.5"})
        assert changed.json() == {"added": ["filters BTCUSDT"]}
        async with asyncio.timeout(10):
            while '"tickSize":"0.5' not in (await request("GET", address, "/fapi/v1/exchangeInfo")).text:
                pass


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"kind": "mut"}', "did you mean 'mute'?"),
        (b"[1]", "expected an object"),
        (b'{"kind": ', "no JSON"),
        (b"\xff[[fault]", "no valid TOML"),
        (b'{"kind": "filters", "symbol": "X"}', "unknown symbol"),
    ],
)
async def test_invalid_fault_is_refused_with_its_reason(body: bytes, said: str) -> None:
    async with served() as address:
        answer = await request("POST", address, "/sandbox/faults", content=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


async def test_unknown_control_path_names_the_known_ones() -> None:
    async with served() as address:
        answer = await request("GET", address, "/sandbox/nothing")
    assert answer.status_code == 404
    assert "POST faults" in answer.json()["error"]


async def test_counters_name_open_connections_and_messages() -> None:
    async with served(speed=50) as address, connect(f"ws://{address}{MARKS}") as stream:
        await stream.recv()
        counters = (await request("GET", address, "/sandbox/counters")).json()
    assert counters["connections"] == [["btcusdt@markPrice@1s"]]
    assert counters["messages"]["sent"] >= 1


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.com", "::"])
def test_server_refuses_an_address_beyond_this_machine(host: str) -> None:
    with pytest.raises(SettingsError, match=r"use 127\.0\.0\.1"):
        require_loopback(host)


async def test_server_on_a_socket_beyond_this_machine_is_refused() -> None:
    with socket.socket() as bound:
        bound.bind(("0.0.0.0", 0))
        with pytest.raises(SettingsError, match=r"cannot listen on 0\.0\.0\.0"):
            async with SandboxServer(exchange(), MarketClock(NOW, 1)).serving(bound):
                pass

"""The transport over real sockets on loopback: REST answers, batches of messages, and the end of a connection."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from ocw_mcp.adapters.binance.hosts import hosts_of
from ocw_mcp.adapters.binance.network import NetworkTransport
from ocw_mcp.adapters.binance.transport import RestResponse
from ocw_mcp.adapters.feeds.binance.feed import BinanceFeed
from ocw_mcp.domain.errors import MarketUnreachable
from ocw_mcp.domain.market import Product
from tests.support.scripted_market import BEGIN

Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def transport(handler: Handler) -> AsyncGenerator[NetworkTransport, None]:
    async with serve(handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        made = NetworkTransport(hosts_of(Product.UM, f"127.0.0.1:{port}"), lambda: BEGIN)
        try:
            yield made
        finally:
            await made.close()


async def test_burst_is_received_whole_and_in_order() -> None:
    count = 100_000

    async def burst(server: ServerConnection) -> None:
        # Frames as the library sends them, made at once: a text of less than 126 bytes follows its length.
        texts = [f'{{"n":{number}}}'.encode() for number in range(count)]
        server.transport.write(b"".join(b"\x81%c%b" % (len(text), text) for text in texts))

    async with transport(burst) as made:
        connection = await made.connect("/market/stream?streams=btcusdt@kline_1m")
        numbers: list[int] = []
        batches = 0
        while len(numbers) < count:
            batch = await connection.receive()
            batches += 1
            numbers += [int(bytes(each)[5:-1]) for each in batch]  # type: ignore[arg-type]
        with pytest.raises(MarketUnreachable, match="closed with code 1000"):
            await connection.receive()
        assert numbers == list(range(count))
        # Many messages are taken at once.
        assert batches < count / 5
        await connection.close()


async def test_message_in_fragments_is_joined() -> None:
    async def fragments(server: ServerConnection) -> None:
        await server.send(["abc", "def", "ghi"])
        await server.send("jkl")

    async with transport(fragments) as made:
        connection = await made.connect("/x")
        found: list[bytes | str] = []
        while len(found) < 2:
            found += await connection.receive()
        assert found == [b"abcdefghi", b"jkl"]
        await connection.close()


async def test_subscription_is_sent_and_answered() -> None:
    paths: list[str] = []

    async def echo(server: ServerConnection) -> None:
        assert server.request is not None
        paths.append(server.request.path)
        async for message in server:
            await server.send(message)

    async with transport(echo) as made:
        connection = await made.connect("/public/stream?streams=btcusdt@bookTicker")
        await connection.send('{"id":1}')
        assert list(await connection.receive()) == [b'{"id":1}']
        await connection.close()
        await connection.close()
        with pytest.raises(MarketUnreachable):
            await connection.send("x")
        with pytest.raises(MarketUnreachable):
            await connection.receive()
    assert paths == ["/public/stream?streams=btcusdt@bookTicker"]


async def test_pings_of_the_exchange_are_answered_and_are_no_messages() -> None:
    answered: list[float] = []

    async def ping(server: ServerConnection) -> None:
        answered.append(await asyncio.wait_for(await server.ping(), 5))
        await server.send("after")

    async with transport(ping) as made:
        connection = await made.connect("/x")
        assert list(await connection.receive()) == [b"after"]
        await connection.close()
    assert len(answered) == 1


async def test_connection_that_breaks_off_is_unreachable() -> None:
    async def broken(server: ServerConnection) -> None:
        server.transport.abort()

    async with transport(broken) as made:
        connection = await made.connect("/x")
        with pytest.raises(MarketUnreachable, match="1006"):
            await connection.receive()
        await connection.close()


async def test_refused_connection_and_request_are_unreachable() -> None:
    async with transport(lambda server: asyncio.sleep(0)) as made:  # noqa: TID251 - a handler that ends
        pass
    with pytest.raises(MarketUnreachable):
        await made.connect("/x")
    with pytest.raises(MarketUnreachable):
        await made.get("/fapi/v1/time", {})
    await made.close()


async def test_answer_has_status_body_and_headers_in_lower_case() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = head.split(b" ")[1]
        fields = b"X-MBX-USED-WEIGHT-1M: 7\r\nRetry-After: 3\r\nContent-Length: %d\r\n\r\n" % len(body)
        writer.write(b"HTTP/1.1 429 Too Many Requests\r\n" + fields + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made = NetworkTransport(hosts_of(Product.UM, f"127.0.0.1:{port}"), lambda: BEGIN)
    found = await made.get("/fapi/v1/klines", {"symbol": "BTCUSDT", "limit": 2})
    await made.close()
    server.close()
    await server.wait_closed()
    assert (found.status, found.body) == (429, b"/fapi/v1/klines?symbol=BTCUSDT&limit=2")
    assert (found.headers["x-mbx-used-weight-1m"], found.headers["retry-after"]) == ("7", "3")
    assert made.now_ms() == BEGIN


@pytest.mark.requirement("M04")
async def test_requests_and_streams_carry_no_key_and_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes on the wire, also if the environment has a key of the exchange."""
    heads: list[str] = []

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]")
        await writer.drain()
        writer.close()

    monkeypatch.setenv("BINANCE_API_KEY", "a-key")
    monkeypatch.setenv("BINANCE_API_SECRET", "a-secret")
    async with await asyncio.start_server(record, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        made = NetworkTransport(hosts_of(Product.UM, f"127.0.0.1:{port}"), lambda: BEGIN)
        await made.get("/fapi/v1/klines", {"symbol": "BTCUSDT", "limit": 5})
        with pytest.raises(MarketUnreachable):
            await made.connect("/market/stream?streams=btcusdt@kline_1m")
        await made.close()
    (request, *fields), (stream, *more) = (head.strip().lower().split("\r\n") for head in heads)
    assert request == "get /fapi/v1/klines?symbol=btcusdt&limit=5 http/1.1"
    assert stream == "get /market/stream?streams=btcusdt@kline_1m http/1.1"
    names = {field.partition(":")[0] for field in [*fields, *more]}
    usual = {"host", "accept", "accept-encoding", "connection", "user-agent", "upgrade"}
    assert {name for name in names if not name.startswith("sec-websocket-")} <= usual
    assert "a-key" not in "".join(heads)


async def test_feed_that_ends_closes_its_connections() -> None:
    class Unanswered(NetworkTransport):
        closed = False

        async def get(self, path: str, query: Mapping[str, str | int]) -> RestResponse:
            raise MarketUnreachable("no answer")

        async def close(self) -> None:
            self.closed = True

    made = Unanswered(hosts_of(Product.UM, "127.0.0.1:1"), lambda: BEGIN)
    feed = BinanceFeed(Product.UM, ["BTCUSDT"], made, jitter=lambda: 0.5)
    with pytest.raises(MarketUnreachable):
        await anext(feed.frames())
    assert made.closed

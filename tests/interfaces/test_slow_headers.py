"""Connections that stay open without a complete request."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import closing
from typing import Any

import pytest

from ocw_mcp.interfaces.serving import listen, serving

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


async def hello(scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Any]], send: Any) -> None:
    """The smallest possible application."""
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """The port of the application, served with a short deadline for headers."""
    monkeypatch.setattr("ocw_mcp.interfaces.serving.HEADERS_S", 0.05)
    bound = listen("127.0.0.1", 0)
    number = bound.getsockname()[1]
    async with serving(hello, bound):
        yield number


@pytest.mark.parametrize("begun", [b"", b"GE", HEAD])
async def test_connection_without_complete_headers_is_closed(port: int, begun: bytes) -> None:
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
    for _, writer in connections:
        writer.write(begun)
    async with asyncio.timeout(10):
        assert [await reader.read() for reader, _ in connections] == [b""] * 20
    for _, writer in connections:
        writer.close()


async def test_second_request_with_late_headers_closes_the_connection(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        writer.write(HEAD + b"\r\n")
        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 ")
            writer.write(HEAD)
            assert await reader.read() == b""


async def test_idle_connection_stays_open_after_its_request_is_answered(port: int) -> None:
    """The deadline for headers does not apply between requests, where a longer one does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        async with asyncio.timeout(10):
            writer.write(HEAD + b"\r\n")
            await reader.readuntil(b"hello")
            later, silent = await asyncio.open_connection("127.0.0.1", port)
            with closing(silent):
                assert await later.read() == b""
            writer.write(HEAD + b"\r\n")
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 ")


async def test_small_http_answer_is_sent_without_delay() -> None:
    """Without TCP_NODELAY an answer of two writes waits for a delayed acknowledgement."""
    bound = listen("127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future[int] = loop.create_future()

    class Looks(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.set_result(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    server = await loop.create_server(Looks, sock=bound)
    _, writer = await asyncio.open_connection(*bound.getsockname())
    assert await accepted == 1
    writer.close()
    server.close()
    await server.wait_closed()

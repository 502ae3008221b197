"""The sandbox exchange on a port of this machine: REST and WebSocket on one socket, at any speed.

The server has no logic of the exchange. It parses HTTP, lets `websockets` parse WebSocket frames, and every `TICK_MS`
asks each connection for its messages of the time that has passed.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from ocw_mcp.domain.addresses import is_loopback
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.runtime.clock import LiveClock
from ocw_mcp.sandbox.binance import control
from ocw_mcp.sandbox.binance.exchange import Request, Response
from ocw_mcp.sandbox.binance.faulty import FaultyExchange
from ocw_mcp.sandbox.binance.sockets import StreamSocket

TICK_MS: Final = 20
"""Real time (ms) between two rounds of messages of a connection."""
LONGEST_HEAD: Final = 65_536
"""The most bytes of the head of a request."""
LONGEST_BODY: Final = 1_000_000
News = Callable[[int, str], None]
"""Called with the time (ms) and one line when a fault begins or ends."""


_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


class MarketClock:
    """The clock of the market: it runs `speed` times as fast as real time."""

    def __init__(self, start: int, speed: float) -> None:
        self.start = start
        self.speed = speed
        self._real = LiveClock()
        self._began = self._real.wall_ms()

    def now(self) -> int:
        """Return the market's time, ms."""
        return self.start + int((self._real.wall_ms() - self._began) * self.speed)

    def real_ms(self) -> int:
        """Return a monotonic real time, ms."""
        return int(self._real.wall_ms())

    async def tick(self) -> None:
        """Wait for the next round of messages."""
        await self._real.pause(TICK_MS)


class _Head(NamedTuple):
    """The head of an HTTP request."""

    method: str
    target: str
    headers: dict[str, str]


class SandboxServer:
    """Serves an exchange on a socket of this machine."""

    def __init__(self, exchange: FaultyExchange, clock: MarketClock, news: News | None = None) -> None:
        self._exchange = exchange
        self._clock = clock
        self._news = news
        self._clients: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self, bound: socket.socket) -> AsyncIterator[None]:
        """Serve while the block runs. Raises SettingsError if the socket's address is not one of this machine only."""
        require_loopback(str(bound.getsockname()[0]))
        server = await asyncio.start_server(self._accept, sock=bound, limit=LONGEST_HEAD)
        reporter = asyncio.create_task(self._report())
        try:
            yield
        finally:
            server.close()
            tasks = [reporter, *self._clients]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.wait_closed()

    async def _report(self) -> None:
        """Report each fault that begins or ends."""
        told = self._clock.start - 1
        while True:
            now = self._clock.now()
            for at, line in self._exchange.plan.news(told, now):
                if self._news is not None:
                    self._news(at, line)
            told = now
            await self._clock.tick()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # the client has gone, or sent no HTTP
        except asyncio.CancelledError:
            pass  # the server ends; asyncio would print a client task that ends as cancelled
        finally:
            self._clients.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one client until it closes the connection."""
        address = str(writer.get_extra_info("peername")[0])
        while True:
            try:
                raw = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            head = _parse(raw)
            if not is_loopback(f"//{head.headers.get('host', '')}"):
                writer.write(_http(Response(403, b"the sandbox serves only this machine", {})))
                return
            if head.headers.get("upgrade", "").lower() == "websocket":
                await self._stream(raw, head, reader, writer)
                return
            length = int(head.headers.get("content-length", "0"))
            if not 0 <= length <= LONGEST_BODY:
                writer.write(_http(Response(413, b"the body is too long", {})))
                return
            response = self._respond(head, await reader.readexactly(length), address)
            if response is None:
                writer.transport.abort()
                return
            writer.write(_http(response))
            await writer.drain()
            if head.headers.get("connection", "").lower() == "close":
                return

    def _respond(self, head: _Head, body: bytes, address: str) -> Response | None:
        """Return the response to a request; None if it stays unanswered."""
        now, parts = self._clock.now(), urlsplit(head.target)
        if parts.path.startswith(control.PREFIX):
            return control.answer(self._exchange, head.method, parts.path, body, now, self._clock.speed)
        query, form = dict(parse_qsl(parts.query, keep_blank_values=True)), ""
        if head.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            form = body.decode("utf-8", "replace")
            query |= dict(parse_qsl(form, keep_blank_values=True))
        request = Request(head.method, parts.path, query, head.headers, address, parts.query, form)
        return self._exchange.handle(request, now)

    async def _stream(
        self, raw: bytes, head: _Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve a stream connection until one of both sides ends it."""
        now = self._clock.now()
        if self._exchange.refuses(now):
            writer.transport.abort()
            return
        connection = self._exchange.connect(head.target, now)
        if connection is None:
            writer.write(_http(Response(404, b"no streams are served at this path", {})))
            return
        stream = StreamSocket(connection, self._clock, writer, self._exchange.exchange.market.product, now)
        try:
            await stream.run(raw, reader)
        finally:
            self._exchange.disconnect(connection)


def require_loopback(host: str) -> None:
    """Raise SettingsError unless an address is one of this machine only."""
    if not is_loopback(f"//[{host}]" if ":" in host else f"//{host}"):
        raise SettingsError(f"the sandbox cannot listen on {host}; expected an address of this machine; use 127.0.0.1")


def _parse(raw: bytes) -> _Head:
    """Return the head of a request. Raises ValueError if it is no HTTP."""
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, version = first.split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(version)
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return _Head(method, target, headers)


def _http(response: Response) -> bytes:
    """Return a response as HTTP."""
    headers = {**response.headers, "Content-Length": str(len(response.body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return (
        f"HTTP/1.1 {response.status} {_PHRASES.get(response.status, '')}\r\n{lines}\r\n".encode("latin-1")
        + response.body
    )

"""The transport over the network: httpx2 and aiohttp for requests, websockets for streams."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidURI, WebSocketException
from websockets.frames import Frame, Opcode

from ocw_mcp.adapters.binance.hosts import Hosts
from ocw_mcp.adapters.binance.transport import RestResponse
from ocw_mcp.domain.errors import MarketUnreachable

if TYPE_CHECKING:
    from ocw_mcp.adapters.binance.direct import DirectHttp

_TIMEOUT_S: Final = 10.0
_PING_EVERY_S: Final = 20.0
_CLOSE_S: Final = 2.0
_LARGEST: Final = 16 * 2**20
"""The largest message (bytes) that is accepted."""
_PAUSE_AT: Final = 200_000
"""Unread messages at which the connection stops reading from the socket."""


class _Batched(ClientConnection):
    """A connection that collects whole text messages, so that all that arrived are taken at once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._batch = deque[bytes]()
        self._parts = list[bytes]()
        self._arrived = asyncio.Event()
        self._paused = False

    def process_event(self, event: Any) -> None:
        """Keep the message of a frame; leave all other events to the library."""
        if self.response is None or not isinstance(event, Frame):
            super().process_event(event)
        elif event.opcode is Opcode.TEXT and event.fin:
            self._keep(bytes(event.data))
        elif event.opcode is Opcode.TEXT or event.opcode is Opcode.CONT:
            self._parts.append(bytes(event.data))
            if event.fin:
                self._keep(b"".join(self._parts))
                self._parts.clear()
        elif event.opcode is not Opcode.BINARY:
            super().process_event(event)

    def _keep(self, message: bytes) -> None:
        self._batch.append(message)
        self._arrived.set()
        if len(self._batch) >= _PAUSE_AT and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake the reader when the connection has ended."""
        super().connection_lost(exc)
        self._arrived.set()

    async def take(self) -> Sequence[bytes] | None:
        """Wait for messages and return all of them; return None if the connection is closed and all were returned."""
        while not self._batch:
            if self._arrived.is_set() and self.close_code is not None:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        taken = list(self._batch)
        self._batch.clear()
        self._arrived.clear()
        if self.close_code is not None:
            self._arrived.set()
        elif self._paused:
            self._paused = False
            self.transport.resume_reading()
        return taken


class NetworkConnection:
    """A WebSocket connection; websockets answers pings, and sends its own to notice a connection that is dead."""

    def __init__(self, connection: _Batched) -> None:
        self._connection = connection

    async def receive(self) -> Sequence[bytes | str]:
        """Return the messages that have arrived, at least one. Raises MarketUnreachable after the last."""
        taken = await self._connection.take()
        if taken is None:
            reason = self._connection.close_reason or "no reason"
            raise MarketUnreachable(f"the stream was closed with code {self._connection.close_code}: {reason}"[:200])
        return taken

    async def send(self, text: str) -> None:
        """Send a text message. Raises MarketUnreachable if the connection is closed."""
        try:
            await self._connection.send(text)
        except WebSocketException as error:
            raise MarketUnreachable(f"the stream is closed: {error}"[:200]) from None

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()


class NetworkTransport:
    """Access to the hosts of one product. `now_ms` is the time of the machine.

    `speed` is how many times as fast as real time the event loop is: an answer takes the same real time at any speed.
    """

    def __init__(self, hosts: Hosts, now_ms: Callable[[], int], speed: float = 1.0, *, keepalive: bool = True) -> None:
        """`keepalive` sends pings, and closes a connection without pongs; both follow real time."""
        self._hosts, self._now_ms, self._keepalive = hosts, now_ms, keepalive
        self._speed = speed
        self._timeout_s = _TIMEOUT_S * speed
        self._http: httpx2.AsyncClient | None = None
        self._direct: DirectHttp | None = None

    @property
    def host_class(self) -> str:
        return self._hosts.host_class

    @property
    def rest(self) -> str:
        """The address to which the requests go."""
        return self._hosts.rest

    @property
    def timeout_s(self) -> float:
        """How long (s, on the time of the loop) an answer is awaited: 10 s of real time."""
        return self._timeout_s

    def now_ms(self) -> int:
        """Return the time of the machine, ms."""
        return self._now_ms()

    async def get(self, path: str, query: Mapping[str, str | int]) -> RestResponse:
        """Send a GET request. Raises MarketUnreachable without an answer."""
        if self._http is None:
            # Proxies of the environment are for the exchange; an address of this machine is used directly.
            trusts = self._hosts.host_class == "exchange"
            self._http = httpx2.AsyncClient(base_url=self._hosts.rest, timeout=self._timeout_s, trust_env=trusts)
        try:
            answer = await self._http.get(path, params=dict(query))
        except httpx2.HTTPError as error:
            raise MarketUnreachable(f"{path} has no answer: {type(error).__name__} {error}"[:200].strip()) from None
        return RestResponse(answer.status_code, answer.content, {k.lower(): v for k, v in answer.headers.items()})

    async def request(
        self, method: str, path: str, query: str = "", form: str = "", headers: Mapping[str, str] | None = None
    ) -> RestResponse:
        """Send a request with a query and a form as they are. Raises NotSent, or MarketUnreachable without an answer.

        A redirection is not followed: it is returned as any other answer.
        """
        if self._direct is None:
            # Only a book that trades an account needs aiohttp, whose import takes a tenth of a second.
            from ocw_mcp.adapters.binance.direct import DirectHttp

            self._direct = DirectHttp(self._hosts, self._timeout_s)
        return await self._direct.request(method, path, query, form, headers or {})

    async def connect(self, path: str) -> NetworkConnection:
        """Open a stream connection. Raises MarketUnreachable."""
        try:
            connection = await connect(
                self._hosts.streams + path,
                create_connection=_Batched,
                compression=None,
                open_timeout=self._timeout_s,
                close_timeout=_CLOSE_S * self._speed,
                max_size=_LARGEST,
                ping_interval=_PING_EVERY_S * self._speed if self._keepalive else None,
                ping_timeout=_PING_EVERY_S * self._speed,
                proxy=True if self._hosts.host_class == "exchange" else None,
            )
        except (OSError, TimeoutError, WebSocketException, InvalidURI) as error:
            raise MarketUnreachable(f"the stream has no answer: {type(error).__name__} {error}"[:200]) from None
        assert isinstance(connection, _Batched)
        return NetworkConnection(connection)

    async def close(self) -> None:
        """Close the connections for requests."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None
        if self._direct is not None:
            await self._direct.close()
            self._direct = None

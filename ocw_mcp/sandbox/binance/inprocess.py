"""The sandbox exchange as the transport of a live feed in the same process, without sockets.

On a loop in virtual time (`ocw_mcp.sandbox.virtual_time`), a day of the market takes seconds.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlencode

from ocw_mcp.adapters.binance.transport import RestResponse
from ocw_mcp.domain.errors import MarketUnreachable
from ocw_mcp.sandbox.binance.exchange import Request
from ocw_mcp.sandbox.binance.faulty import FaultyConnection, FaultyExchange

GRAIN_MS: Final = 250
"""The default time (ms) between two deliveries of messages: a message arrives at most this much later."""
ROUND_TRIP_MS: Final = 40
"""The default time (ms) of a REST request."""
ADDRESS: Final = "127.0.0.1"


class InProcessTransport:
    """Access to the exchange on the time of the event loop; it implements `SignedTransport`."""

    def __init__(
        self,
        exchange: FaultyExchange,
        start: int,
        *,
        grain_ms: int = GRAIN_MS,
        round_trip_ms: int = ROUND_TRIP_MS,
        machine_ahead_ms: int = 0,
    ) -> None:
        """`start` (ms) is the exchange's time now; `machine_ahead_ms` is the error of the machine's clock."""
        self.requests: list[str] = []
        """The paths of all REST requests."""
        self.machine_ahead_ms = machine_ahead_ms
        self._exchange = exchange
        self._start = start - round(asyncio.get_running_loop().time() * 1_000)
        self._grain_ms = grain_ms
        self._round_trip_ms = round_trip_ms
        self._connections: list[_Connection] = []

    @property
    def host_class(self) -> str:
        """The class of the exchange's host: this machine."""
        return "loopback"

    @property
    def rest(self) -> str:
        """The address to which the requests go."""
        return f"http://{ADDRESS}:1"

    @property
    def timeout_s(self) -> float:
        """How long (s) an answer is awaited."""
        return 10.0

    def exchange_ms(self) -> int:
        """Return the time of the exchange's market, ms."""
        return self._start + round(asyncio.get_running_loop().time() * 1_000)

    def now_ms(self) -> int:
        """Return the time of the machine, ms."""
        return self.exchange_ms() + self.machine_ahead_ms

    async def get(self, path: str, query: Mapping[str, str | int]) -> RestResponse:
        """Send a GET request, and return the answer. Raises MarketUnreachable if a fault leaves it unanswered."""
        text = urlencode({name: str(value) for name, value in query.items()})
        return await self.request("GET", path, text)

    async def request(
        self, method: str, path: str, query: str = "", form: str = "", headers: Mapping[str, str] | None = None
    ) -> RestResponse:
        """Send a request with a query and a form as they are on the wire, and return the answer.

        Raises MarketUnreachable if a fault leaves it unanswered: the exchange may have executed it nevertheless.
        """
        self.requests.append(path)
        await wait(self._round_trip_ms / 2)
        values = dict(parse_qsl(query, keep_blank_values=True)) | dict(parse_qsl(form, keep_blank_values=True))
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        request = Request(method, path, values, sent, ADDRESS, query, form)
        response = self._exchange.handle(request, self.exchange_ms())
        await wait(self._round_trip_ms / 2)
        if response is None:
            raise MarketUnreachable(f"{path}: the connection was closed without an answer")
        received = {name.lower(): value for name, value in response.headers.items()}
        return RestResponse(response.status, response.body, received)

    async def connect(self, path: str) -> "_Connection":
        """Open a stream connection. Raises MarketUnreachable if it is refused."""
        await wait(self._round_trip_ms)
        now = self.exchange_ms()
        if self._exchange.refuses(now):
            raise MarketUnreachable(f"{path}: the connection was refused")
        connection = self._exchange.connect(path, now)
        if connection is None:
            raise MarketUnreachable(f"{path}: the exchange serves no streams there (404)")
        opened = _Connection(self, self._exchange, connection, self._grain_ms)
        self._connections = [each for each in self._connections if not each.closed] + [opened]
        return opened

    async def close(self) -> None:
        """Close all connections."""
        for connection in self._connections:
            await connection.close()


class _Connection:
    """One stream connection in process."""

    def __init__(
        self, transport: InProcessTransport, exchange: FaultyExchange, connection: FaultyConnection, grain_ms: int
    ) -> None:
        self.closed = False
        self._transport = transport
        self._exchange = exchange
        self._connection = connection
        self._grain_ms = grain_ms
        self._position = transport.exchange_ms()
        self._ready: list[str] = []
        self._waiter: asyncio.Future[None] | None = None
        self._reason: str | None = None
        """Why the exchange ended the connection."""

    async def receive(self) -> Sequence[str]:
        """Return the messages that have arrived; wait for one if there is none. Raises MarketUnreachable at the end."""
        while not self._ready:
            if self.closed or self._reason is not None:
                raise MarketUnreachable(self._reason or "the connection was closed by the client")
            await self._next_grain()
            self._advance()
        ready, self._ready = self._ready, []
        return ready

    async def _next_grain(self) -> None:
        """Wait for the end of the grain, or until the connection has an answer or is closed."""
        loop, now = asyncio.get_running_loop(), self._transport.exchange_ms()
        self._waiter = loop.create_future()
        timer = loop.call_later((self._grain_ms - now % self._grain_ms) / 1_000, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _advance(self) -> None:
        now = self._transport.exchange_ms()
        if now > self._position:
            for message in self._connection.messages(self._position, now):
                self._take(message.text, message.code)
            self._position = now

    def _take(self, text: str, code: int | None) -> None:
        if code is None:
            self._ready.append(text)
        else:
            self._reason = f"the exchange closed the connection ({code}): {text}"

    async def send(self, text: str) -> None:
        """Send a message; its answer arrives at once. Raises MarketUnreachable if the connection has ended."""
        if self.closed or self._connection.closed:
            raise MarketUnreachable(self._reason or "the connection is closed")
        for message in self._connection.receive(text, self._transport.exchange_ms()):
            self._take(message.text, message.code)
        self._wake()

    async def close(self) -> None:
        """Close the connection."""
        self.closed = True
        self._exchange.disconnect(self._connection)
        self._wake()


async def wait(ms: float) -> None:
    """Wait on the time of the event loop."""
    await asyncio.sleep(ms / 1_000)  # noqa: TID251 - the exchange in process follows the time of the loop

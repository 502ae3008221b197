"""The protocols of a transport, which gives a feed or a venue REST requests, streams and the time of the machine."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from ocw_mcp.domain.errors import MarketUnreachable


class RestResponse(msgspec.Struct, frozen=True):
    """The answer to one REST request."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    """The headers, with their names in lower case."""


class Connection(Protocol):
    """One open WebSocket connection. The implementation answers pings; no ping is a message."""

    async def receive(self) -> Sequence[bytes | str]:
        """Wait for a message; return it with all other messages that have arrived, in order.

        Raises MarketUnreachable if the connection is closed and all its messages were returned.
        """

    async def send(self, text: str) -> None:
        """Send a text message. Raises MarketUnreachable if the connection is closed."""

    async def close(self) -> None:
        """Close the connection; a second call does nothing."""


class Transport(Protocol):
    """Access to one product of the exchange.

    Durations follow the time of the event loop: `asyncio.timeout` and `pause`. An implementation in virtual time runs
    on a loop whose time is virtual, and its `now_ms` follows the time of that loop.
    """

    @property
    def host_class(self) -> str:
        """`exchange` if the market is the exchange's own host, `loopback` if it is an address of this machine."""

    @property
    def timeout_s(self) -> float:
        """How long (s, on the time of the loop) an answer is awaited."""

    def now_ms(self) -> int:
        """Return the time of the machine: ms since 1970, UTC, not corrected by the exchange's clock."""

    async def get(self, path: str, query: Mapping[str, str | int]) -> RestResponse:
        """Send a GET request to a path such as `/fapi/v1/klines`. Return the answer, whatever its status is.

        Raises MarketUnreachable if no answer arrives.
        """

    async def connect(self, path: str) -> Connection:
        """Open a stream connection to a path such as `/market/stream?streams=btcusdt@kline_1m/ethusdt@kline_1m`.

        Raises MarketUnreachable if the connection cannot be opened.
        """

    async def close(self) -> None:
        """Close all that is open."""


class NotSent(MarketUnreachable):
    """No byte of a request has left this machine."""


class SignedTransport(Transport, Protocol):
    """A transport that can also send requests with a signature."""

    @property
    def rest(self) -> str:
        """The address, without a path, to which the requests go, such as `https://fapi.binance.com`."""

    async def request(
        self, method: str, path: str, query: str = "", form: str = "", headers: Mapping[str, str] | None = None
    ) -> RestResponse:
        """Send a request with a query and a form as they are on the wire. Return the answer, whatever its status is.

        Raises NotSent if no byte has left, and MarketUnreachable if the exchange may have executed the request.
        """


async def pause(seconds: float) -> None:
    """Wait on the time of the event loop."""
    await asyncio.sleep(seconds)  # noqa: TID251 - durations of feeds and venues follow the time of the loop

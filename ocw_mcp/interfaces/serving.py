"""An HTTP server for an ASGI application, on the event loop of the engine, with quotas of connections."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.orders import MOST_TOKENS

CONNECTION: Final = "ocw.connection"
"""Key under which the state of an ASGI scope holds the connection of the request."""
MOST_CONNECTIONS = 256
"""Number of open connections above which a caller with `RESERVED` connections gets no further one."""
MOST_OF_ONE = 64
"""Largest number of connections of one caller."""
RESERVED = 2
"""Connections guaranteed to each caller, however many others are open."""
MOST_UNKNOWN = 64
"""Largest number of connections that have sent no token; a further one replaces the oldest of them."""
CEILING = MOST_CONNECTIONS + RESERVED * (MOST_TOKENS + 1) + MOST_UNKNOWN
"""Number of connections above which uvicorn itself answers 503; the quotas above are reached first."""
HEADERS_S = 10.0
"""Seconds until the headers of a request must be complete: from connecting, and later from their first byte."""
FAREWELL_S = 2
"""Seconds for which open connections may finish after the block of `serving` ends."""
_numbers = itertools.count()


class _Connection(H11Protocol):
    """A connection that is closed if headers are late; uvicorn alone would wait for them forever."""

    _deadline: asyncio.TimerHandle | None = None
    owner: str | None = None
    """The caller whose token was last sent over this connection."""
    number = 0
    """Connections are numbered in the order in which they open."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.number = next(_numbers)
        self.app_state = {**self.app_state, CONNECTION: self}
        unknown = self._others(None)
        if len(unknown) >= MOST_UNKNOWN:
            min(unknown, key=lambda each: each.number).transport.abort()
        self._await_headers(True)

    def belongs_to(self, owner: str) -> bool:
        """Assign the connection to a caller, and return whether the caller's quota allows it.

        To stay within the quota, the caller's oldest idle connection is closed; if none is idle, return False.
        """
        if self.owner == owner:
            return True
        theirs = self._others(owner)
        full = len(self.connections) - len(self._others(None)) > MOST_CONNECTIONS and len(theirs) >= RESERVED
        if len(theirs) >= MOST_OF_ONE or full:
            idle = [each for each in theirs if each.cycle is None or each.cycle.response_complete]
            if not idle:
                return False
            min(idle, key=lambda each: each.number).transport.close()
        self.owner = owner
        return True

    def _others(self, owner: str | None) -> list["_Connection"]:
        """Return the other open connections of a caller; for None, the connections that have sent no token."""
        others = (each for each in self.connections if isinstance(each, _Connection) and each is not self)
        return [each for each in others if each.owner == owner and not each.transport.is_closing()]

    def data_received(self, data: bytes) -> None:
        """Receive data; incomplete headers of a request get a deadline."""
        super().data_received(data)
        self._await_headers(self.conn.their_state is h11.IDLE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._await_headers(False)
        super().connection_lost(exc)

    def _await_headers(self, awaited: bool) -> None:
        """Start the deadline for headers if it does not run yet, or cancel it if no headers are awaited."""
        if awaited and self._deadline is None:
            self._deadline = self.loop.call_later(HEADERS_S, self.transport.close)
        elif not awaited and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the engine and sets an event when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave every signal to the engine."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def listen(host: str, port: int, option: str = "--serve") -> socket.socket:
    """Return a socket bound to an address. Raises SettingsError that names `option`, which gave the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the protocol is named; without it each small answer takes 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise SettingsError(
            f"{option}: cannot listen on {host}:{port} ({error.strerror}); stop the program that listens there, or "
            "choose another port; 0 takes any free port"
        ) from None
    return bound


@asynccontextmanager
async def serving(app: ASGIApp, bound: socket.socket) -> AsyncIterator[None]:
    """Serve the application while the block runs. Raises SettingsError if it does not start."""
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        http=_Connection,
        ws="none",
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CEILING,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=FAREWELL_S,
    )
    server = _Server(config)
    task = asyncio.ensure_future(server.serve([bound]))
    ready = asyncio.ensure_future(server.ready.wait())
    try:
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if not server.started:
            raise SettingsError("--serve: the server did not start; see the log for the reason")
        yield
    finally:
        ready.cancel()
        server.should_exit = True
        await asyncio.gather(task, ready, return_exceptions=True)
        bound.close()

"""Serves an application on the event loop that the engine runs on, for as long as a block lasts."""

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
"""In the state of a request's scope: the connection that it came over."""
MOST_CONNECTIONS = 256
"""Beyond it a caller that holds more than `RESERVED` gets no further one."""
MOST_OF_ONE = 64
"""Connections of one caller."""
RESERVED = 2
"""Connections that each caller gets, however many others there are."""
MOST_UNKNOWN = 64
"""Connections over which no token has been shown; a further one takes the place of the oldest of them."""
CEILING = MOST_CONNECTIONS + RESERVED * (MOST_TOKENS + 1) + MOST_UNKNOWN
"""Beyond it uvicorn answers 503 before any other code looks; the limits above keep it from being reached."""
HEADERS_S = 10.0
"""How long a client may take for the line and the headers of a request, from its connection or its first byte on."""
FAREWELL_S = 2
_numbers = itertools.count()


class _Connection(H11Protocol):
    """A connection that becomes a request in time, or is cut: uvicorn waits for headers as long as a client likes."""

    _deadline: asyncio.TimerHandle | None = None
    owner: str | None = None
    """The caller whose token was shown over it last."""
    number = 0
    """Connections are numbered as they come."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self.number = next(_numbers)
        self.app_state = {**self.app_state, CONNECTION: self}
        unknown = self._others(None)
        if len(unknown) >= MOST_UNKNOWN:
            min(unknown, key=lambda each: each.number).transport.abort()
        self._await_headers()

    def belongs_to(self, owner: str) -> bool:
        """Take it as a caller's connection; whether that caller may have it.

        Where it has too many, an idle one is closed for this one, if there is one.
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
        """The other open connections of a caller, or those over which no token was shown."""
        return [
            each
            for each in self.connections
            if isinstance(each, _Connection)
            and each is not self
            and each.owner == owner
            and not each.transport.is_closing()
        ]

    def data_received(self, data: bytes) -> None:
        """Take in what came; a request that has begun and not told its headers has to within its time."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._await_headers()
        else:
            self._forget_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for any more."""
        self._forget_deadline()
        super().connection_lost(exc)

    def _await_headers(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADERS_S, self.transport.close)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """Signals belong to whoever runs the engine, and readiness is told rather than polled."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave every signal to the engine."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so."""
        await super().startup(sockets)
        self.ready.set()


def listen(host: str, port: int, option: str = "--serve") -> socket.socket:
    """A socket bound to an address, so that a busy one is refused before anything starts.

    Raises SettingsError, with the `option` that named it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small answers at once (TCP_NODELAY) only where the protocol is named; otherwise each takes 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise SettingsError(
            f"{option}: {host}:{port} cannot be listened on ({error.strerror}); stop what listens there, or choose "
            "another port; 0 takes any that is free"
        ) from None
    return bound


@asynccontextmanager
async def serving(app: ASGIApp, bound: socket.socket) -> AsyncIterator[None]:
    """Serve while the block runs; connections that do not end by themselves are cut after `FAREWELL_S`.

    Raises SettingsError where the application does not start.
    """
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
            raise SettingsError("--serve: the server did not start; the log says why")
        yield
    finally:
        ready.cancel()
        server.should_exit = True
        await asyncio.gather(task, ready, return_exceptions=True)
        bound.close()

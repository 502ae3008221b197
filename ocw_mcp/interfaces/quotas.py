"""What one caller may take of the server at a time, so that none locks another out: requests, bytes, sessions.

Each token has the same share. How many connections a caller may hold is in `serving`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import anyio
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_OPEN: Final = 64
"""Requests of one caller at a time, those that wait for their turn and streams that only listen included."""
MOST_BUFFERED: Final = 4 << 20
"""Bytes of the bodies of one caller that are not answered yet."""
SESSIONS: Final = 16
"""Sessions of the older MCP that are kept of one caller; a further one ends the one that was unused for the longest."""
LOOK_S: Final = 0.4
"""How often the tokens of open requests are looked at: a stream of a revoked one ends within so much."""
_SESSION: Final = "mcp-session-id"


class QuotaExceeded(Exception):  # noqa: N818 - it is an answer to the caller, and no fault of the program
    """A caller has taken its whole share; the text says of what, with the limit."""


class Open:
    """The requests that are open now, and the bytes of their bodies, by caller; a revoked token ends its own."""

    def __init__(self, stands: Callable[[str, str], bool]) -> None:
        """`stands` says whether a token is still that of a caller."""
        self._stands = stands
        self._open: dict[object, tuple[str, str, anyio.CancelScope]] = {}
        self._counted = Counter[str]()
        self._buffered = Counter[str]()
        self._looking = False

    @contextmanager
    def during(self, token: str, who: str) -> Iterator[anyio.CancelScope]:
        """Count a request while the block runs; the scope is cancelled when its token is revoked. Raises TooMuch."""
        if self._counted[who] >= MOST_OPEN:
            raise QuotaExceeded(f"too many open requests. limit={MOST_OPEN} of one token actual=more")
        key = object()
        with anyio.CancelScope() as scope:
            self._open[key] = token, who, scope
            self._counted[who] += 1
            self._look_later()
            try:
                yield scope
            finally:
                del self._open[key]
                self._counted[who] -= 1

    @contextmanager
    def body(self, receive: Receive, who: str, within_s: float) -> Iterator[Receive]:
        """Receive a body that is whole within so many seconds, and count its bytes while the block runs.

        What comes after it, such as that the client went away, may take its time. Receiving raises TimeoutError,
        TooMuch, and ClientDisconnect where the client goes away before its body is whole.
        """
        loop = asyncio.get_running_loop()
        deadline, mine, complete = loop.time() + within_s, 0, False

        async def received() -> Message:
            nonlocal mine, complete
            if complete:
                return await receive()
            message = await asyncio.wait_for(receive(), max(0.0, deadline - loop.time()))
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            mine += len(message.get("body", b""))
            self._buffered[who] += len(message.get("body", b""))
            if self._buffered[who] > MOST_BUFFERED:
                raise QuotaExceeded(f"too many bytes at once. limit={MOST_BUFFERED} of one token actual=more")
            complete = not message.get("more_body", False)
            return message

        try:
            yield received
        finally:
            self._buffered[who] -= mine

    def _look_later(self) -> None:
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        self._looking = False
        stands: dict[tuple[str, str], bool] = {}
        for token, who, scope in list(self._open.values()):
            if (token, who) not in stands:
                stands[token, who] = self._stands(token, who)
            if not stands[token, who]:
                scope.cancel()
        if self._open:
            self._look_later()


class Sessions:
    """ASGI: forgets a caller's sessions beyond `SESSIONS`, so that none takes the room of another's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._kept: dict[str, dict[str, None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and see which session it began, used or ended."""
        kept = self._kept.setdefault(scope["user"].username, {})
        used = Headers(scope=scope).get(_SESSION)
        if used in kept:
            kept[used] = kept.pop(used)

        async def seeing(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                begun = Headers(raw=list(message.get("headers", ()))).get(_SESSION, used)
                if begun is not None and scope["method"] == "DELETE":
                    kept.pop(begun, None)
                elif begun is not None:
                    kept[begun] = kept.pop(begun, None)
            await send(message)

        await self._app(scope, receive, seeing)
        while len(kept) > SESSIONS:
            oldest = next(iter(kept))
            del kept[oldest]
            await self._end(scope, oldest)

    async def _end(self, scope: Scope, session: str) -> None:
        """End a session as its client would."""
        host = [(name, value) for name, value in scope["headers"] if name == b"host"]
        asked = {**scope, "method": "DELETE", "headers": [*host, (_SESSION.encode(), session.encode("latin-1"))]}

        async def nothing() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def ignored(message: Message) -> None:
            """Whether it was there any more does not matter."""

        await self._app(asked, nothing, ignored)

"""Quotas of one caller: open requests, buffered bytes and sessions, so that no caller can lock another out.

Every token has the same share. The quota of connections is in `serving`.
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
"""Open requests of one caller, including queued ones and streams that only listen."""
MOST_BUFFERED: Final = 4 << 20
"""Bytes in the bodies of one caller's unanswered requests."""
BODY_S: Final = 10.0
"""Deadline for receiving the whole body of a request."""
SESSIONS: Final = 16
"""Sessions of the older MCP protocol for one caller; a further one ends the session that was idle longest."""
TOKEN_CHECK_S: Final = 0.4
"""Seconds between two checks of the tokens of open requests: the stream of a revoked token ends within this time."""
_SESSION: Final = "mcp-session-id"


class RefusedRequest(Exception):  # noqa: N818 - an answer to the caller, not a fault of the program
    """A request gets an HTTP error instead of an answer; the text names the limit and the next step."""

    def __init__(self, status: int, what: str) -> None:
        self.status = status
        super().__init__(what)


class OpenRequests:
    """The open requests and the bytes of their bodies, by caller. The requests of a revoked token are cancelled."""

    def __init__(self, is_valid: Callable[[str, str], bool]) -> None:
        """`is_valid` returns whether a token still belongs to a caller."""
        self._is_valid = is_valid
        self._open: dict[anyio.CancelScope, tuple[str, str]] = {}
        """By the scope of each open request, its token and its caller."""
        self._counted = Counter[str]()
        self._buffered = Counter[str]()
        self._scheduled = False

    @contextmanager
    def during(self, token: str, who: str, receive: Receive) -> Iterator[tuple[anyio.CancelScope, Receive]]:
        """Count a request and the bytes of its body while the block runs, and return its scope and its `receive`.

        The scope is cancelled when the token is revoked. The body must be complete within `BODY_S`; later messages,
        such as a disconnect, have no deadline. Receiving raises TimeoutError, and ClientDisconnect if the client
        disconnects before its body is complete. Both raise RefusedRequest for a quota that is used up.
        """
        if self._counted[who] >= MOST_OPEN:
            what = f"too many open requests. limit={MOST_OPEN} per access token actual=more next: try again later"
            raise RefusedRequest(503, what)
        loop = asyncio.get_running_loop()
        deadline, mine, complete = loop.time() + BODY_S, 0, False

        async def received() -> Message:
            nonlocal mine, complete
            if complete:
                return await receive()
            message = await asyncio.wait_for(receive(), max(0.0, deadline - loop.time()))
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            size = len(message.get("body", b""))
            mine += size
            self._buffered[who] += size
            if self._buffered[who] > MOST_BUFFERED:
                what = f"too many bytes at once. limit={MOST_BUFFERED} of one token actual=more next: try again later"
                raise RefusedRequest(503, what)
            complete = not message.get("more_body", False)
            return message

        with anyio.CancelScope() as scope:
            self._open[scope] = token, who
            self._counted[who] += 1
            self._schedule_check()
            try:
                yield scope, received
            finally:
                del self._open[scope]
                self._counted[who] -= 1
                self._buffered[who] -= mine

    def _schedule_check(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_later(TOKEN_CHECK_S, self._check_tokens)

    def _check_tokens(self) -> None:
        self._scheduled = False
        valid = {owner: self._is_valid(*owner) for owner in set(self._open.values())}
        for scope, owner in self._open.items():
            if not valid[owner]:
                scope.cancel()
        if self._open:
            self._schedule_check()


class SessionQuota:
    """ASGI middleware that ends the oldest sessions of a caller beyond `SESSIONS`, to keep room for other callers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._kept: dict[str, dict[str, None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and record the session that it began, used or ended."""
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
        """End a session with the request that its client would send."""
        host = [(name, value) for name, value in scope["headers"] if name == b"host"]
        asked = {**scope, "method": "DELETE", "headers": [*host, (_SESSION.encode(), session.encode("latin-1"))]}

        async def nothing() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def ignore(message: Message) -> None:
            """Ignore the answer: the session may have ended already."""

        await self._app(asked, nothing, ignore)

"""The checks before every route: host, origin, token, and the quotas that keep one caller from blocking the others.

The MCP SDK checks hosts and origins of its own mount only, and expects tokens of an authorization server. The tokens
of OCW are made by `ocw token` instead, and one middleware checks them for REST and MCP alike. Every token has the same
quotas; the quotas of connections are in `serving`.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.transport_security import RequestBodyLimitMiddleware
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ocw_mcp.adapters.control.tokens import Keyring
from ocw_mcp.interfaces.mcp.wire import HTTP_CODES
from ocw_mcp.interfaces.serving import CONNECTION

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
LARGEST_BODY: Final = 1 << 20
"""Largest body in bytes, far more than any tool call needs."""
AT_ONCE: Final = 16
"""Largest number of requests of one caller that run at a time, on the event loop of the engine."""
PATIENCE_S: Final = 10.0
"""Seconds that a request beyond `AT_ONCE` waits for its turn."""
MOST_OPEN: Final = 64
"""Largest number of open requests of one caller, including queued ones and streams that only listen."""
MOST_BUFFERED: Final = 4 << 20
"""Largest total size (bytes) of the bodies of one caller's unanswered requests."""
BODY_S: Final = 10.0
"""Seconds until the whole body of a request must have arrived."""
SESSIONS: Final = 16
"""Largest number of a caller's sessions of the older MCP protocol; a further session ends the longest idle one."""
TOKEN_CHECK_S: Final = 0.4
"""Seconds between two checks of the tokens of open requests: the stream of a revoked token ends within this time."""
_SESSION: Final = "mcp-session-id"
ERROR_HEADERS: Final = {401: [(b"www-authenticate", b"Bearer")], 503: [(b"retry-after", b"1")]}
ROUTES: Final = (
    *("/health", "/status", "/portfolio", "/positions", "/policies", "/orders", "/refusals", "/trades", "/decisions"),
    *(
        "/wakes/{wake}",
        "/equity",
        "/snapshot",
        "/derivatives",
        "/regime",
        "/context",
        "/weights",
        "/prices/{symbol}",
        "/feed",
    ),
    *("/metrics", "/mcp"),
)
"""The routes, as texts name them and as metrics count answers."""
PREFLIGHT: Final = (
    (b"access-control-allow-methods", b"GET, POST, DELETE, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"authorization, content-type, accept, last-event-id, mcp-protocol-version, mcp-session-id, mcp-method, "
        b"mcp-name",
    ),
    (b"access-control-max-age", b"600"),
)
"""Methods and headers that a page of an allowed origin may send; the token is a header, so cookies are not allowed."""
NEEDS_TOKEN: Final = (
    "this route needs a token. limit=Authorization: Bearer TOKEN actual={} "
    "next: ask the operator to make one with ocw token new --scope read"
)
CORS_EXPOSED: Final = (b"access-control-expose-headers", b"mcp-session-id, mcp-protocol-version, www-authenticate")


class RefusedRequest(Exception):  # noqa: N818 - an answer to the caller, not a fault of the program
    """The request is refused with an HTTP error, whose text names the limit and the next step."""

    def __init__(self, status: int, what: str) -> None:
        self.status = status
        super().__init__(what)


class OpenRequests:
    """The open requests and the sizes of their bodies, by caller. Requests of a revoked token are cancelled."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._open: dict[anyio.CancelScope, tuple[str, str]] = {}
        """By the scope of each open request, its token and its caller."""
        self._counted = Counter[str]()
        self._buffered = Counter[str]()
        self._scheduled = False

    @contextmanager
    def during(self, token: str, who: str, receive: Receive) -> Iterator[tuple[anyio.CancelScope, Receive]]:
        """Count a request and the bytes of its body while the block runs; yield its scope and a limited `receive`.

        The scope is cancelled when the token is revoked. The body must be complete within `BODY_S`; later messages,
        such as a disconnect, have no deadline. `receive` raises TimeoutError for a late body and ClientDisconnect for
        an incomplete one. A request beyond a quota raises RefusedRequest, on entry or in `receive`.
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
                what = f"too many buffered bytes. limit={MOST_BUFFERED} of one token actual=more next: try again later"
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
        owners = {token: self._keyring.find(token) for token, _ in self._open.values()}
        for scope, (token, who) in self._open.items():
            owner = owners[token]
            if owner is None or owner.name != who:
                scope.cancel()
        if self._open:
            self._schedule_check()


class SessionQuota:
    """ASGI middleware that ends the longest idle sessions of a caller with more than `SESSIONS`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._kept: dict[str, dict[str, None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and track the session that the request began, used or ended."""
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
        """End a session by a DELETE request, as its client would."""
        host = [(name, value) for name, value in scope["headers"] if name == b"host"]
        asked = {**scope, "method": "DELETE", "headers": [*host, (_SESSION.encode(), session.encode("latin-1"))]}

        async def nothing() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def ignore(message: Message) -> None:
            """Ignore the answer: the session may have ended already."""

        await self._app(asked, nothing, ignore)


class AuthMiddleware:
    """ASGI middleware that checks every request. `/health` needs no token, but an allowed host and origin."""

    def __init__(
        self, app: ASGIApp, keyring: Keyring, hosts: Iterable[str], counted: Callable[[str, int], None]
    ) -> None:
        """`hosts` are allowed in addition to loopback; `counted` is called with the route and status of each answer."""
        self._hosts = LOOPBACK | {host.lower() for host in hosts}
        self._keyring = keyring
        self._counted = counted
        self._app = app
        self._bounded = RequestBodyLimitMiddleware(_Concurrency(SessionQuota(app)), LARGEST_BODY)
        self._requests = OpenRequests(keyring)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008, "reason": "websockets are not supported"})
            return
        answer = _Response(send, partial(self._counted, _route(scope["path"])))
        try:
            await self._http(scope, receive, answer)
        except RefusedRequest as error:
            await answer.refuse(error.status, str(error))
        except TimeoutError:
            what = f"the body did not arrive in time. limit={BODY_S:g}s actual=more next: send it faster"
            await answer.refuse(408, what)
        except ClientDisconnect:
            # The client is gone; there is no one to answer.
            return

    async def _http(self, scope: Scope, receive: Receive, answer: "_Response") -> None:
        """Check a request and pass it on. Raises RefusedRequest, TimeoutError for a slow body, and ClientDisconnect."""
        headers = Headers(scope=scope)
        hosts, origins, given = (headers.getlist(name) for name in ("host", "origin", "authorization"))
        if len(hosts) != 1 or _name(hosts[0]) not in self._hosts:
            known = ",".join(sorted(self._hosts))
            what = f"this server has no such host name. limit={known} actual={_shown(hosts)} next: use one of these"
            raise RefusedRequest(421, what)
        if any(_origin(origin) not in self._hosts for origin in origins):
            what = f"pages of that origin are not allowed. limit=allowed hosts actual={_shown(origins)} next: none"
            raise RefusedRequest(403, what)
        if origins:
            answer.origin = origins[0]
            if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                await answer.send_whole(204, PREFLIGHT)
                return
        if "/.well-known/" in f"{scope['path']}/":
            # Clients look for an authorization server here; a 401 would make them search for one again and again.
            what = f"this server has no authorization server. limit={','.join(ROUTES)} actual={scope['path'][:60]!r}"
            raise RefusedRequest(404, f"{what} next: send a token from ocw token new as a Bearer token")
        if scope["path"] == "/health":
            await self._app(scope, receive, answer)
            return
        kind, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        token = token.strip()
        principal = self._keyring.find(token) if kind.lower() == "bearer" else None
        if principal is None:
            raise RefusedRequest(401, NEEDS_TOKEN.format("an unknown or revoked token" if given else "no token"))
        access = AccessToken(token="", client_id=principal.name, scopes=list(principal.scopes))
        scope["user"] = AuthenticatedUser(access)
        connection = scope.get("state", {}).get(CONNECTION)
        if connection is not None and not connection.belongs_to(principal.name):
            raise RefusedRequest(
                503, "too many connections of one token. limit=its quota actual=more next: close some or try later"
            )
        with self._requests.during(token, principal.name, receive) as (revoked, received):
            await self._bounded(scope, received, answer)
        if revoked.cancelled_caught:
            raise RefusedRequest(401, NEEDS_TOKEN.format("an unknown or revoked token"))


class _Concurrency:
    """ASGI middleware: at most `AT_ONCE` requests of a caller run at a time; listening streams do not count."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._turns: dict[str, asyncio.Semaphore] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST" and scope["path"] == "/mcp":
            await self._app(scope, receive, send)
            return
        turn = self._turns.setdefault(scope["user"].username, asyncio.Semaphore(AT_ONCE))
        try:
            await asyncio.wait_for(turn.acquire(), PATIENCE_S)
        except TimeoutError:
            what = f"too many requests at once. limit={AT_ONCE} requests for {PATIENCE_S:g}s actual=more"
            raise RefusedRequest(503, f"{what} next: try again later") from None
        try:
            await self._app(scope, receive, send)
        finally:
            turn.release()


class _Response:
    """The ASGI `send` of one request; it reports the status of the answer, and can end a begun answer cleanly."""

    def __init__(self, send: Send, counted: Callable[[int], None]) -> None:
        """`counted` is called with the HTTP status of the answer."""
        self.origin: str | None = None
        """The allowed origin of the page that sent the request; the answer gets CORS headers for it."""
        self._send = send
        self._counted = counted
        self._started = False
        self._ended = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            self._counted(message["status"])
            if self.origin is not None:
                allowed = (b"access-control-allow-origin", self.origin.encode("latin-1")), (b"vary", b"Origin")
                message = {**message, "headers": [*message.get("headers", ()), *allowed, CORS_EXPOSED]}
        self._ended = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)

    async def send_whole(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes = b"") -> None:
        """Send a complete answer."""
        await self({"type": "http.response.start", "status": status, "headers": list(headers)})
        await self({"type": "http.response.body", "body": body})

    async def refuse(self, status: int, what: str) -> None:
        """Send an error if nothing was sent yet, else end the stream."""
        if not self._started:
            body = json.dumps({"error": f"{HTTP_CODES[status]}: {what}"}).encode()
            length = (b"content-length", str(len(body)).encode())
            headers = ((b"content-type", b"application/json"), length, *ERROR_HEADERS.get(status, ()))
            await self.send_whole(status, headers, body)
        elif not self._ended:
            await self({"type": "http.response.body", "body": b"", "more_body": False})


def _route(path: str) -> str:
    """Return the route of a path, with `{name}` for a part that varies; `other` for a path of no route."""
    if path in ROUTES:
        return path
    first, slash, rest = path.removeprefix("/").partition("/")
    found = (each for each in ROUTES if slash and rest and "/" not in rest and each.startswith(f"/{first}/{{"))
    return next(found, "other")


def _name(host: str) -> str:
    """Return the host in a `Host` header without its port; empty for a malformed header."""
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?", host.strip())
    return (found[1] or found[2]).lower() if found else ""


def _origin(origin: str) -> str:
    """Return the host of an HTTP origin; empty for any other text."""
    try:
        parts = urlsplit(origin)
        return (parts.hostname or "") if parts.scheme in ("http", "https") else ""
    except ValueError:
        return ""


def _shown(values: list[str]) -> str:
    return repr(values[0][:60]) if len(values) == 1 else f"{len(values)} of them"

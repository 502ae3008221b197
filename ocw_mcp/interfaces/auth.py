"""The checks before every route: host, origin, token, body size and concurrency.

The MCP SDK checks hosts and origins of its own mount only, and expects tokens of an authorization server. OCW has none:
its tokens are made by `ocw token`, and one middleware checks them for REST and MCP alike.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.transport_security import RequestBodyLimitMiddleware
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ocw_mcp.adapters.control.tokens import Keyring
from ocw_mcp.interfaces.mcp.wire import HTTP_CODES
from ocw_mcp.interfaces.quotas import OpenRequests, QuotaExceeded, SessionQuota
from ocw_mcp.interfaces.serving import CONNECTION

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
LARGEST_BODY: Final = 1 << 20
"""Bytes, far more than any tool call needs."""
BODY_S: Final = 10.0
"""Deadline for receiving the whole body."""
AT_ONCE: Final = 16
"""Requests of one principal in progress at a time; they share their event loop with the engine."""
PATIENCE_S: Final = 10.0
"""How long a further request waits for its turn."""
LATER: Final = (("retry-after", "1"),)
ROUTES: Final = ("/health", "/status", "/metrics", "/mcp")
WELL_KNOWN: Final = "/.well-known/"
PREFLIGHT: Final = (
    (b"access-control-allow-methods", b"GET, POST, DELETE, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"authorization, content-type, accept, last-event-id, mcp-protocol-version, mcp-session-id, mcp-method, "
        b"mcp-name",
    ),
    (b"access-control-max-age", b"600"),
)
"""Methods and headers that a page of an allowed origin may send. Tokens travel in a header, so browser credentials are
not allowed."""
CORS_EXPOSED: Final = (b"access-control-expose-headers", b"mcp-session-id, mcp-protocol-version, www-authenticate")

Counted = Callable[[str, int], None]
"""Called with route and status of each answer."""


class AuthMiddleware:
    """ASGI middleware in front of all routes. `/health` needs no token, but an allowed host and origin."""

    def __init__(self, app: ASGIApp, keyring: Keyring, hosts: Iterable[str], counted: Counted) -> None:
        """`hosts` are the allowed host names, in addition to those of loopback."""
        self._hosts = LOOPBACK | {host.lower() for host in hosts}
        self._keyring = keyring
        self._counted = counted
        self._app = app
        self._bounded = RequestBodyLimitMiddleware(_Concurrency(SessionQuota(app)), LARGEST_BODY)
        self._requests = OpenRequests(self._is_valid)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with an error."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, self._counting(scope, send))
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": "websockets are not supported"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if refusal := self._host_or_origin_error(headers):
            await _refuse(send, *refusal)
            return
        if origins := headers.getlist("origin"):
            send = _with_cors(send, origins[0])
            if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                await send({"type": "http.response.start", "status": 204, "headers": list(PREFLIGHT)})
                await send({"type": "http.response.body", "body": b""})
                return
        if WELL_KNOWN in f"{scope['path']}/":
            # Clients look for an authorization server here; a 401 would make them search for one again and again.
            what = f"this server has no authorization server. limit={','.join(ROUTES)} actual={scope['path'][:60]!r}"
            await _refuse(send, 404, f"{what} next: send a token from ocw token new as a Bearer token")
            return
        if scope["path"] == "/health":
            await self._app(scope, receive, send)
            return
        token = _token(headers)
        principal = self._keyring.find(token) if token is not None else None
        if token is None or principal is None:
            await _refuse(send, 401, _unauthorized("authorization" in headers))
            return
        access = AccessToken(token="", client_id=principal.name, scopes=list(principal.scopes))
        scope["user"] = AuthenticatedUser(access)
        connection = scope.get("state", {}).get(CONNECTION)
        if connection is not None and not connection.belongs_to(principal.name):
            await _refuse(send, 503, _busy("too many connections. limit=those of one token actual=more"), *LATER)
            return
        answer = _Response(send)
        try:
            with (
                self._requests.during(token, principal.name) as valid,
                self._requests.body(receive, principal.name, BODY_S) as received,
            ):
                await self._bounded(scope, received, answer)
            if valid.cancelled_caught:
                await answer.end(401, _unauthorized(True))
        except TimeoutError:
            what = f"the body did not arrive in time. limit={BODY_S:g}s actual=more next: send it faster"
            await answer.end(408, what)
        except QuotaExceeded as error:
            await answer.end(503, _busy(str(error)), *LATER)
        except ClientDisconnect:
            # The client is gone; there is no one to answer.
            return

    def _is_valid(self, token: str, name: str) -> bool:
        """Return whether a token still belongs to a caller."""
        found = self._keyring.find(token)
        return found is not None and found.name == name

    def _host_or_origin_error(self, headers: Headers) -> tuple[int, str] | None:
        asked = headers.getlist("host")
        if len(asked) != 1 or _name(asked[0]) not in self._hosts:
            known = ",".join(sorted(self._hosts))
            return (
                421,
                f"this server has no such host name. limit={known} actual={_shown(asked)} next: use one of these",
            )
        origins = headers.getlist("origin")
        if any(_origin(origin) not in self._hosts for origin in origins):
            return (
                403,
                f"pages of that origin are not allowed. limit=allowed hosts actual={_shown(origins)} next: none",
            )
        return None

    def _counting(self, scope: Scope, send: Send) -> Send:
        route = next((each for each in ROUTES if scope["path"] == each), "other")

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._counted(route, message["status"])
            await send(message)

        return counting


class _Concurrency:
    """ASGI middleware: at most `AT_ONCE` requests of a principal at a time. Streams that only listen do not count."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._turns: dict[str, asyncio.Semaphore] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        turn = self._turns.setdefault(scope["user"].username, asyncio.Semaphore(AT_ONCE))
        try:
            await asyncio.wait_for(turn.acquire(), PATIENCE_S)
        except TimeoutError:
            what = _busy(f"too many requests at once. limit={AT_ONCE} requests for {PATIENCE_S:g}s actual=more")
            await _refuse(send, 503, what, *LATER)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            turn.release()


class _Response:
    """The answer being sent to a client; it can be ended cleanly at any point."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = False
        self._ended = False

    async def __call__(self, message: Message) -> None:
        self._started = True
        self._ended = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)

    async def end(self, status: int, what: str, *more: tuple[str, str]) -> None:
        """Send an error if nothing was sent yet, else end the stream."""
        if not self._started:
            await _refuse(self._send, status, what, *more)
        elif not self._ended:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _token(headers: Headers) -> str | None:
    """Return the bearer token of a request, if it has one."""
    given = headers.getlist("authorization")
    kind, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return token.strip() if kind.lower() == "bearer" else None


def _unauthorized(shown: bool) -> str:
    return (
        "this route needs a token. limit=Authorization: Bearer TOKEN "
        f"actual={'an unknown or revoked token' if shown else 'no token'} "
        "next: ask the operator to make one with ocw token new --scope read"
    )


def _busy(what: str) -> str:
    return f"{what} next: try again later"


def _with_cors(send: Send, origin: str) -> Send:
    """Return a `send` that adds the CORS headers for a page of this origin."""
    allowed = [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin"), CORS_EXPOSED]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *allowed]}
        await send(message)

    return sending


def _name(host: str) -> str:
    """Return the host in a `Host` header without its port; empty for a malformed header."""
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?", host.strip())
    return (found[1] or found[2]).lower() if found else ""


def _origin(origin: str) -> str:
    try:
        parts = urlsplit(origin)
        return (parts.hostname or "") if parts.scheme in ("http", "https") else ""
    except ValueError:
        return ""


def _shown(values: list[str]) -> str:
    return repr(values[0][:60]) if len(values) == 1 else f"{len(values)} of them"


async def _refuse(send: Send, status: int, what: str, *more: tuple[str, str]) -> None:
    body = json.dumps({"error": f"{HTTP_CODES[status]}: {what}"}).encode()
    headers = [("content-type", "application/json"), ("content-length", str(len(body))), *more]
    if status == 401:
        headers.append(("www-authenticate", "Bearer"))
    start = {"type": "http.response.start", "status": status}
    await send(start | {"headers": [(name.encode(), value.encode()) for name, value in headers]})
    await send({"type": "http.response.body", "body": body})

"""The gate before every route: host, origin, token, size of the body, and how much at once. Nothing else lets in.

The MCP SDK looks at hosts and origins of its own mount only, and knows tokens only as those of an authorization server.
There is none here: tokens are our own (`ocw token`), and one gate stands before REST and MCP alike.
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
from ocw_mcp.interfaces.quotas import Open, QuotaExceeded, Sessions
from ocw_mcp.interfaces.serving import CONNECTION

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
LARGEST_BODY: Final = 1 << 20
"""Bytes. No call of a tool is near it."""
BODY_S: Final = 10.0
"""Within which the whole body has to be there."""
AT_ONCE: Final = 16
"""Requests of one principal that are worked on; the engine shares its event loop with them."""
PATIENCE_S: Final = 10.0
"""How long a further one waits."""
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
"""What a page of an allowed origin may send. A token goes in a header, so no credentials of a browser are allowed."""
EXPOSED: Final = (b"access-control-expose-headers", b"mcp-session-id, mcp-protocol-version, www-authenticate")

Counted = Callable[[str, int], None]
"""Told of each answer: route, status."""


class AuthMiddleware:
    """ASGI middleware. Only `/health` is open, and it, too, only to hosts and origins that are ours."""

    def __init__(self, app: ASGIApp, keyring: Keyring, hosts: Iterable[str], counted: Counted) -> None:
        """`hosts` are the names under which this server may be asked for, beside those of loopback."""
        self._hosts = LOOPBACK | {host.lower() for host in hosts}
        self._keyring = keyring
        self._counted = counted
        self._open = app
        self._bounded = RequestBodyLimitMiddleware(_InTurn(Sessions(app)), LARGEST_BODY)
        self._now = Open(self._stands)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self._open(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, self._counting(scope, send))
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": "no websocket is served here"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if refusal := self._of_a_stranger(headers):
            await _refuse(send, *refusal)
            return
        if origins := headers.getlist("origin"):
            send = _shared(send, origins[0])
            if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                await send({"type": "http.response.start", "status": 204, "headers": list(PREFLIGHT)})
                await send({"type": "http.response.body", "body": b""})
                return
        if WELL_KNOWN in f"{scope['path']}/":
            # Clients look here for an authorization server; to ask for a token would make them look for one on and on.
            what = f"there is no authorization server here. limit={','.join(ROUTES)} actual={scope['path'][:60]!r}"
            await _refuse(send, 404, "NOT_FOUND", f"{what} next: send a token of ocw token new as a Bearer token")
            return
        if scope["path"] == "/health":
            await self._open(scope, receive, send)
            return
        token = _token(headers)
        principal = self._keyring.find(token) if token is not None else None
        if token is None or principal is None:
            await _refuse(send, 401, "UNAUTHORIZED", _unauthorized("authorization" in headers))
            return
        access = AccessToken(token="", client_id=principal.name, scopes=list(principal.scopes))
        scope["user"] = AuthenticatedUser(access)
        connection = scope.get("state", {}).get(CONNECTION)
        if connection is not None and not connection.belongs_to(principal.name):
            await _refuse(
                send, 503, "BUSY", _busy("too many connections. limit=those of one token actual=more"), *LATER
            )
            return
        answer = _Answer(send)
        try:
            with (
                self._now.during(token, principal.name) as valid,
                self._now.body(receive, principal.name, BODY_S) as received,
            ):
                await self._bounded(scope, received, answer)
            if valid.cancelled_caught:
                await answer.end(401, "UNAUTHORIZED", _unauthorized(True))
        except TimeoutError:
            what = f"the body did not come. limit={BODY_S:g}s actual=more next: send it"
            await answer.end(408, "SLOW_BODY", what)
        except QuotaExceeded as error:
            await answer.end(503, "BUSY", _busy(str(error)), *LATER)
        except ClientDisconnect:
            # Nobody is there to be answered.
            return

    def _stands(self, token: str, name: str) -> bool:
        """Whether a token is still that of a caller."""
        found = self._keyring.find(token)
        return found is not None and found.name == name

    def _of_a_stranger(self, headers: Headers) -> tuple[int, str, str] | None:
        asked = headers.getlist("host")
        if len(asked) != 1 or _name(asked[0]) not in self._hosts:
            known = ",".join(sorted(self._hosts))
            return (
                421,
                "WRONG_HOST",
                f"this server is not called that. limit={known} actual={_shown(asked)} next: use one",
            )
        origins = headers.getlist("origin")
        if any(_origin(origin) not in self._hosts for origin in origins):
            return (
                403,
                "WRONG_ORIGIN",
                f"pages of others may not ask. limit=our own actual={_shown(origins)} next: none",
            )
        return None

    def _counting(self, scope: Scope, send: Send) -> Send:
        route = next((each for each in ROUTES if scope["path"] == each), "other")

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._counted(route, message["status"])
            await send(message)

        return counting


class _InTurn:
    """At most `AT_ONCE` requests of a principal at a time. Streams that only listen take no turn."""

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
            what = _busy(f"too much at once. limit={AT_ONCE} requests for {PATIENCE_S:g}s actual=more")
            await _refuse(send, 503, "BUSY", what, *LATER)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            turn.release()


class _Answer:
    """What is sent to a client, so that it can be ended in good order wherever it stands."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False
        self._over = False

    async def __call__(self, message: Message) -> None:
        self._begun = True
        self._over = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)

    async def end(self, status: int, code: str, what: str, *more: tuple[str, str]) -> None:
        """Refuse where nothing was sent yet, else end the stream."""
        if not self._begun:
            await _refuse(self._send, status, code, what, *more)
        elif not self._over:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _token(headers: Headers) -> str | None:
    """The bearer token that a request shows, if it shows one."""
    given = headers.getlist("authorization")
    kind, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return token.strip() if kind.lower() == "bearer" else None


def _unauthorized(shown: bool) -> str:
    return (
        "this route asks for a token. limit=Authorization: Bearer TOKEN "
        f"actual={'another or revoked token' if shown else 'no token'} "
        "next: a person makes one with ocw token new --scope read"
    )


def _busy(what: str) -> str:
    return f"{what} next: ask again later"


def _shared(send: Send, origin: str) -> Send:
    """Send answers that a page of this origin may read."""
    allowed = [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin"), EXPOSED]

    async def sharing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *allowed]}
        await send(message)

    return sharing


def _name(host: str) -> str:
    """The host of a `Host` header, without its port; empty where it is none."""
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


async def _refuse(send: Send, status: int, code: str, what: str, *more: tuple[str, str]) -> None:
    body = json.dumps({"error": f"{code}: {what}"}).encode()
    headers = [("content-type", "application/json"), ("content-length", str(len(body))), *more]
    if status == 401:
        headers.append(("www-authenticate", "Bearer"))
    start = {"type": "http.response.start", "status": status}
    await send(start | {"headers": [(name.encode(), value.encode()) for name, value in headers]})
    await send({"type": "http.response.body", "body": body})

"""The stream connections of the sandbox exchange, without sockets: texts and times in, texts and times out.

A subscription to an unknown name, or to a stream of another part of the host, is acknowledged and stays mute, as at the
real exchange.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY, MINUTE, SECOND
from ocw_mcp.sandbox.binance.account.events import Event
from ocw_mcp.sandbox.binance.channels import Channels, Source
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.binance.names import Route, StreamPath, parse_path, parse_stream
from ocw_mcp.sandbox.binance.payloads import shutdown

MOST_STREAMS: Final = 1_024
"""The most streams of one connection; one that asks for more is closed."""
MESSAGES_A_SECOND: Final = {Product.UM: 10, Product.SPOT: 5}
"""The most messages that a client may send in a second; a connection with more is closed."""
LIFETIME: Final = DAY
"""The time (ms) after which the exchange closes a connection."""
WARNING: Final = 10 * MINUTE
"""The time (ms) from the message `serverShutdown` of spot to the close."""
POLICY_VIOLATION: Final = 1008
"""The WebSocket code of a connection that broke a limit."""
GOING_AWAY: Final = 1001
"""The WebSocket code of a connection that the exchange closes after 24 hours."""
ABORTED: Final = 1006
"""No frame says this: the connection is dropped."""
USER: Final = "user@"
"""The name of the user data stream, before the name of its event; it is not sent."""
UserEvents = Callable[[int], list[Event]]
"""Gives the events of the account up to a time (ms); each call continues the one before it."""
OpenUser = Callable[[str, frozenset[str], int], UserEvents]
"""Gives the events for a listen key and some names, from a time (ms) on."""
_METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class Outgoing(NamedTuple):
    """A message to the client, or the end of the connection."""

    at: int
    """When the message is sent (ms)."""
    text: str
    stream: str = ""
    """The name of the message's stream; empty for answers and the like."""
    code: int | None = None
    """For the end of the connection: its WebSocket code, or `ABORTED`."""


class _RequestError(Exception):
    """A request that the exchange answers with an error."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        super().__init__(text)


class StreamHub:
    """Opens stream connections to one market."""

    def __init__(self, market: SandboxMarket, thin: int = 1, user: OpenUser | None = None) -> None:
        """`thin` multiplies the time between the messages of streams that repeat a state, such as forming candles.

        `user` opens the user data of an account, if there is one.
        """
        self._user = user
        self.market = market
        self.product = market.product
        self._channels = Channels(market, thin)

    def open(self, path: str, now: int) -> "StreamConnection | None":
        """Return a new connection to a path; None if the exchange serves no streams there."""
        asked = parse_path(path, self.product)
        if asked is None:
            return None
        user = None
        if self._user is not None and asked.route is Route.PRIVATE and asked.listen_key is not None:
            user = self._user(asked.listen_key, frozenset(asked.events), now)
        return StreamConnection(self.product, self._source, asked, now, user)

    def _source(self, name: str, route: Route) -> Source | None:
        stream = parse_stream(name, self.product)
        known = stream is not None and route in (stream.route, Route.ALL)
        return self._channels.source(stream) if stream is not None and known else None


class StreamConnection:
    """One connection: its subscriptions, and what they say."""

    def __init__(
        self,
        product: Product,
        source: Callable[[str, Route], Source | None],
        asked: StreamPath,
        now: int,
        user: UserEvents | None = None,
    ) -> None:
        self.path = asked
        self._user = user
        self.opened_at = now
        self.closed: int | None = None
        """The WebSocket code of the end; None while the connection is open."""
        self._product = product
        self._source = source
        self._combined = asked.combined
        self._streams: dict[str, Source | None] = {}
        self._received: deque[int] = deque()
        self._subscribe(asked.streams)

    @property
    def streams(self) -> tuple[str, ...]:
        """The names of the subscribed streams, also of those that stay mute."""
        return (*self._streams, *((USER,) if self._user is not None else ()))

    def receive(self, text: str, now: int) -> list[Outgoing]:
        """Return the answer to a message of the client at `now` (ms), or the end of the connection.

        `now` is real time: the limit of messages a second holds for the client, however fast the market runs.
        """
        if self.closed is not None:
            return []
        if (end := self.count(now)) is not None:
            return [end]
        number: Any = None
        try:
            request = _request(text)
            number = request.get("id")
            result = self._answer(request)
        except _RequestError as error:
            wrong = {"error": {"code": error.code, "msg": str(error)}, "id": number}
            return [Outgoing(now, msgspec.json.encode(wrong).decode())]
        if len(self._streams) > MOST_STREAMS:
            return [self.end(now, POLICY_VIOLATION, "Too many streams")]
        return [Outgoing(now, msgspec.json.encode({"result": result, "id": number}).decode())]

    def count(self, now: int) -> Outgoing | None:
        """Count a message or a ping of the client at real time `now` (ms); return the end if there are too many."""
        self._received.append(now)
        while self._received[0] <= now - SECOND:
            self._received.popleft()
        if len(self._received) > MESSAGES_A_SECOND[self._product]:
            return self.end(now, POLICY_VIOLATION, "Too many requests")
        return None

    def messages(self, since: int, until: int) -> list[Outgoing]:
        """Return all that the connection says with since < time <= until, in the order of time.

        Each call continues at the time at which the call before it ended.
        """
        if self.closed is not None:
            return []
        ends_at = self.opened_at + LIFETIME
        last = min(until, ends_at - 1)
        said: list[Outgoing] = []
        for name, source in self._streams.items():
            if source is None or not (found := source(since, last)):
                continue
            if self._combined:
                head = f'{{"stream":"{name}","data":'
                said += [Outgoing(at, f"{head}{text}}}", name) for at, text in found]
            else:
                said += [Outgoing(at, text, name) for at, text in found]
        said += self._user_messages(last)
        if self._product is Product.SPOT and since < ends_at - WARNING <= until:
            said.append(Outgoing(ends_at - WARNING, shutdown(ends_at - WARNING)))
        said.sort(key=lambda each: each.at)
        if until >= ends_at:
            said.append(self.end(ends_at, GOING_AWAY, "the connection is 24 hours old"))
        return said

    def _user_messages(self, until: int) -> list[Outgoing]:
        """Return the events of the account up to a time (ms)."""
        if self._user is None:
            return []
        head, tail = (f'{{"stream":"{self.path.listen_key}","data":', "}") if self._combined else ("", "")
        return [Outgoing(e.at, f"{head}{e.text}{tail}", f"{USER}{e.kind}") for e in self._user(until)]

    def end(self, at: int, code: int, reason: str) -> Outgoing:
        """End the connection at a time (ms), and return what the client sees of it."""
        self.closed = code
        return Outgoing(at, reason, code=code)

    def _answer(self, request: dict[str, Any]) -> Any:
        """Return the result of a request. Raises _RequestError."""
        method, params = request.get("method"), request.get("params", [])
        if method is None:
            raise _RequestError(2, f"Invalid request: missing field `method` at line 1 column {len(str(request))}")
        if method not in _METHODS:
            known = ", ".join(f"`{each}`" for each in _METHODS)
            raise _RequestError(2, f"Invalid request: unknown variant `{str(method)[:40]}`, expected one of {known}")
        number = request.get("id")
        valid = number is None or isinstance(number, str) or (isinstance(number, int) and number >= 0)
        if not valid or isinstance(number, bool):
            raise _RequestError(2, "Invalid request: request ID must be an unsigned integer")
        if not isinstance(params, list):
            raise _RequestError(2, "Invalid request: params must be a list")
        if method.endswith("PROPERTY"):
            return self._property(method, params)
        if method == "LIST_SUBSCRIPTIONS":
            return list(self._streams)
        if not all(isinstance(name, str) for name in params):
            raise _RequestError(2, "Invalid request: stream names must be strings")
        if method == "SUBSCRIBE":
            self._subscribe(params)
        else:
            for name in params:
                self._streams.pop(name, None)
        return None

    def _subscribe(self, names: tuple[str, ...] | list[str]) -> None:
        for name in names:
            if name not in self._streams:
                self._streams[name] = self._source(name, self.path.route)

    def _property(self, method: str, params: list[Any]) -> Any:
        if not params or params[0] != "combined":
            raise _RequestError(0, "Unknown property")
        if method == "GET_PROPERTY":
            return self._combined
        if len(params) != 2 or not isinstance(params[1], bool):
            raise _RequestError(1, "Invalid value type: expected Boolean")
        self._combined = params[1]
        return None


def _request(text: str) -> dict[str, Any]:
    """Return the object that a message contains. Raises _RequestError."""
    try:
        request = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        raise _RequestError(3, "Invalid JSON: expected value at line 1 column 1") from None
    if not isinstance(request, dict):
        raise _RequestError(2, "Invalid request: expected an object")
    return request

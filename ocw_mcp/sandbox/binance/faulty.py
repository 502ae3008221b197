"""The sandbox exchange with its faults, without sockets: REST, streams and counters."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Product
from ocw_mcp.sandbox.binance.effects import FaultPlan, RestFaults, StreamFaults
from ocw_mcp.sandbox.binance.exchange import Exchange, Request, Response
from ocw_mcp.sandbox.binance.fault_kinds import OWNER
from ocw_mcp.sandbox.binance.faults import MOST_FAULTS, Fault, parse_fault, span_text
from ocw_mcp.sandbox.binance.order_faults import OrderFaults, owner_action
from ocw_mcp.sandbox.binance.spot import ws_api
from ocw_mcp.sandbox.binance.streams import Outgoing, StreamConnection, StreamHub


class FaultyConnection:
    """A stream connection as a client sees it, with the faults."""

    def __init__(self, connection: StreamConnection, faults: StreamFaults, sent: Counter[str]) -> None:
        self._connection = connection
        self._faults = faults
        self._sent = sent

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._connection.closed is not None

    @property
    def streams(self) -> tuple[str, ...]:
        """The names of the subscribed streams."""
        return self._connection.streams

    def receive(self, text: str, now: int) -> list[Outgoing]:
        """Return the answer to a message of the client; `now` (ms) is real time."""
        self._sent["received"] += 1
        return self._connection.receive(text, now)

    def count(self, now: int) -> Outgoing | None:
        """Count a ping of the client at real time `now` (ms); return the end if there are too many."""
        return self._connection.count(now)

    def messages(self, since: int, until: int) -> list[Outgoing]:
        """Return what the client gets with since < time <= until (ms). Each call continues the one before it."""
        said = self._faults.apply(self._connection.messages(since, until), since, until)
        self._sent["sent"] += len(said)
        return said


class FaultyExchange:
    """The exchange and its faults. All times are those of its market, in ms."""

    def __init__(self, exchange: Exchange, start: int, faults: Iterable[Fault] = (), thin: int = 1) -> None:
        """`start` is the time from which the faults count; `thin` is that of `StreamHub`.

        Raises SettingsError for a fault that names an unknown symbol.
        """
        self.exchange = exchange
        self.plan = FaultPlan((), start)
        self.requests: Counter[str] = Counter()
        """The number of REST requests by path and status."""
        self.messages: Counter[str] = Counter()
        """The numbers of stream messages that were sent and received."""
        self.connections: list[FaultyConnection] = []
        self._hub = StreamHub(exchange.market, thin, exchange.account.user_events)
        self._rest = RestFaults(self.plan, exchange.market.product)
        self._orders = OrderFaults(self.plan, exchange)
        self.add_faults(faults)

    def handle(self, request: Request, now: int) -> Response | None:
        """Return the response to a request; None if a fault leaves it without an answer."""
        if self._rest.unanswered(now):
            self.plan.applied["refuse"] += 1
            return None
        response = self._rest.response(request, now)
        if response is None:
            skew = self.plan.skew(now)
            outcome = self._orders.outcome(request, now, skew)
            at = now + skew if request.path.endswith("/time") else now
            response = self.exchange.handle(request, at, skew) if outcome is None else outcome.response
        if response is None:
            self.requests[f"{request.path} without an answer"] += 1
            return None
        known = request.path if request.path in self.exchange.paths else "other paths"
        self.requests[f"{known} {response.status}"] += 1
        return response

    def refuses(self, now: int) -> bool:
        """Return whether a fault refuses new connections."""
        if next(self.plan.active("refuse", now), None) is None:
            return False
        self.plan.applied["refuse"] += 1
        return True

    def connect(self, path: str, now: int) -> FaultyConnection | None:
        """Return a new stream connection to a path with its query; None if no streams are served there."""
        connection = self._open(path, now)
        if connection is None:
            return None
        faults = StreamFaults(self.plan, connection, self.exchange.market.product)
        opened = FaultyConnection(connection, faults, self.messages)
        self.connections = [each for each in self.connections if not each.closed] + [opened]
        return opened

    def _open(self, path: str, now: int) -> StreamConnection | None:
        if self.exchange.market.product is Product.SPOT and path.partition("?")[0].rstrip("/") == ws_api.PATH:
            return ws_api.WsApiConnection(self.exchange.account, now)
        return self._hub.open(path, now)

    def disconnect(self, connection: FaultyConnection) -> None:
        """Forget a connection that the client has closed."""
        if connection in self.connections:
            self.connections.remove(connection)

    def add_fault(self, entry: Mapping[str, Any], now: int) -> Fault:
        """Add a fault of a table; without `at` it begins at once. Raises SettingsError."""
        fault = parse_fault(entry, now - self.plan.start + 1)
        self._add(fault, None if "at" in entry else now)
        return fault

    def add_faults(self, faults: Iterable[Fault]) -> None:
        """Add faults, whose times count from the start. Raises SettingsError for an unknown symbol."""
        for fault in faults:
            self._add(fault)

    def _add(self, fault: Fault, now: int | None = None) -> None:
        """Add a fault; the account's owner acts at `now` (ms) if it is given, in place of the fault's time."""
        if fault.symbol and fault.symbol not in self.exchange.market.symbols:
            known = ", ".join(self.exchange.market.symbols)
            raise SettingsError(f"the fault {str(fault)!r} names an unknown symbol; expected one of {known}")
        if len(self.plan.faults) >= MOST_FAULTS:
            raise SettingsError(f"there are {MOST_FAULTS:,} faults, the most that fit; start the sandbox again")
        account = self.exchange.account
        if fault.kind in OWNER and fault.kind not in account.actions():
            raise SettingsError(f"{fault.kind} concerns futures only; this is a sandbox of spot; remove the fault")
        self.plan.add(fault)
        if fault.kind in OWNER:
            self._plan_action(fault, owner_action(account, fault), self.plan.start + fault.at if now is None else now)
        if fault.kind == "filters":
            at = self.plan.start + fault.at
            changes = {"tick": fault.tick, "step": fault.step, "min_notional": fault.min_notional}
            self.exchange.change_filters(fault.symbol, at, **changes)

    def _plan_action(self, fault: Fault, action: Callable[[int], object], at: int) -> None:
        """Let the account's owner, or the exchange, act at a time (ms), and again if the fault repeats."""

        def act(now: int) -> None:
            self.plan.applied[fault.kind if action(now) else f"{fault.kind} without effect"] += 1
            if fault.every:
                self._plan_action(fault, action, at + fault.every)

        self.exchange.account.plan(at, act)

    def counters(self, now: int) -> dict[str, Any]:
        """Return what the exchange has done so far."""
        return {
            "running": span_text(now - self.plan.start),
            "requests": dict(self.requests),
            "messages": dict(self.messages),
            "connections": [list(each.streams) for each in self.connections if not each.closed],
            "faults": dict(self.plan.applied),
        }

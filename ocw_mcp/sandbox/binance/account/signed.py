"""The signed half of REST on both products: keys, order counts, and which path does what."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from ocw_mcp.domain.market import Product
from ocw_mcp.sandbox.binance.account.counts import OrderCounts
from ocw_mcp.sandbox.binance.account.events import Event
from ocw_mcp.sandbox.binance.account.keys import Keyring, Permission, check_signature, check_time
from ocw_mcp.sandbox.binance.answers import Payload
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.binance.parameters import ApiError, Parameters

NO_ORDERS: Final = (0, 0)
RESTRICTIONS: Final = "/sapi/v1/account/apiRestrictions"
_OF_SIGNATURE: Final = {"timestamp", "recvWindow", "signature"}


class SignedRoute(NamedTuple):
    """A method and a path: what answers them, and what they cost."""

    answer: Callable[[Parameters, int], Payload]
    weight: int
    weight_of_all: int = 0
    """The weight of a request without a symbol; 0 if it is the same."""
    named: str = "symbol"
    """The parameter without which a request has `weight_of_all`."""
    needs: Permission = Permission.READING
    orders: tuple[int, int] = NO_ORDERS
    """The number of new orders that the request adds to the limits of ten seconds and of a minute."""
    signed: bool = True
    """False if the request needs only the header with the key."""


class SignedRequest(NamedTuple):
    """What a signed request is checked by."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    ip: str
    text: str
    """The query string as it was sent."""
    body: str


class Follower(Protocol):
    """An account that follows the market."""

    @property
    def at(self) -> int: ...

    def advance(self, until: int) -> None: ...

    def plan(self, at: int, action: Callable[[int], None]) -> None: ...


class SignedApi(ABC):
    """An account as its clients see it: signed requests, and user data."""

    hidden: Callable[[str, int], int]
    """Returns, by path and time (ms), the age up to which queries do not find orders: a fault sets it."""

    def __init__(
        self,
        market: SandboxMarket,
        account: Follower,
        order_routes: Mapping[tuple[str, str], SignedRoute],
        routes: Mapping[tuple[str, str], SignedRoute],
    ) -> None:
        """`order_routes` are those that concern orders."""
        self.keyring = Keyring(market.start)
        self.counts = OrderCounts(market.product)
        self.hidden = lambda _path, _now: 0
        self._account = account
        self._product: Product = market.product
        self._symbols = market.symbols
        self._order_routes = dict(order_routes)
        self._routes = self._order_routes | dict(routes)

    @property
    def paths(self) -> set[str]:
        """The paths that are answered."""
        return {path for _, path in self._routes} | {RESTRICTIONS}

    def plan(self, at: int, action: Callable[[int], None]) -> None:
        """Do something at a time (ms), or at once if it has passed; `action` gets the time."""
        self._account.plan(at, action)

    @abstractmethod
    def actions(self) -> Mapping[str, Callable[..., object]]:
        """Return what the account's owner and the exchange can do to the account, by the kind of a fault."""

    @abstractmethod
    def overview(self, now: int) -> dict[str, Any]:
        """Return what the account has at a time (ms), without a signature."""

    @abstractmethod
    def user_events(self, key: str, names: frozenset[str], now: int) -> Callable[[int], list[Event]]:
        """Return the events of a new connection from a time (ms) on; `names` limits them, if it is not empty."""

    def weight(self, method: str, path: str, query: dict[str, str]) -> int | None:
        """Return the weight of a request; None if the path is not one of the account."""
        if path == RESTRICTIONS and method == "GET":
            return 1
        route = self._routes.get((method, path))
        if route is None:
            return None
        return route.weight_of_all if route.weight_of_all and not query.get(route.named) else route.weight

    def is_order(self, method: str, path: str) -> bool:
        """Return whether a request places, changes or cancels orders."""
        return method != "GET" and (method, path) in self._order_routes

    def answer(self, request: SignedRequest, now: int, clock: int, headers: dict[str, str]) -> Any:
        """Return the answer at a time (ms), and add to the headers; `clock` is what the exchange believes the time is.

        Raises ApiError.
        """
        route = self._routes.get((request.method, request.path))
        needs = Permission.READING if route is None else route.needs
        if route is None or route.signed:
            self._check(request, needs, clock)
        else:
            self.keyring.identify(request.headers, request.ip, needs)
        if route is None:
            return self.keyring.identify(request.headers, request.ip, needs).restrictions()
        if route.orders != NO_ORDERS:
            exceeded = self.counts.charge(route.orders, now)
            headers |= self.counts.headers(now)
            if exceeded is not None:
                raise ApiError(-1015, exceeded, 429)
        return self.execute(request, now)

    def execute(self, request: SignedRequest, now: int) -> Any:
        """Return the answer to a request that was checked before. Raises ApiError."""
        self._account.advance(now)
        route = self._routes[request.method, request.path]
        query = {name: value for name, value in request.query.items() if name not in _OF_SIGNATURE}
        parameters = Parameters(query, self._product, self._symbols)
        answer = route.answer(parameters, self._account.at)
        if request.method == "GET":
            parameters.finish()
        return answer

    def check(self, request: SignedRequest, clock: int) -> None:
        """Check key, time stamp and signature of a request. Raises ApiError."""
        self._check(request, self._routes[request.method, request.path].needs, clock)

    def _check(self, request: SignedRequest, needs: Permission, clock: int) -> None:
        key = self.keyring.identify(request.headers, request.ip, needs)
        check_time(request.query, clock)
        check_signature(key, request.text, request.body)

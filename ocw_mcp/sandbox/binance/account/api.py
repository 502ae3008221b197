"""The signed half of REST: which path does what, what it needs, and what it costs."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ocw_mcp.sandbox.binance.account import payloads
from ocw_mcp.sandbox.binance.account.account import Account
from ocw_mcp.sandbox.binance.account.account_answers import AccountAnswers
from ocw_mcp.sandbox.binance.account.counts import OrderCounts
from ocw_mcp.sandbox.binance.account.keys import Keyring, Permission, check_signature, check_time
from ocw_mcp.sandbox.binance.account.order_answers import OrderAnswers
from ocw_mcp.sandbox.binance.account.settings import Settings
from ocw_mcp.sandbox.binance.account.user_stream import ListenKeys, UserSource
from ocw_mcp.sandbox.binance.answers import Payload
from ocw_mcp.sandbox.binance.exchange_info import ExchangeInfo
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.binance.parameters import ApiError, Parameters

NO_ORDERS: Final = (0, 0)


class SignedRoute(NamedTuple):
    """A method and a path: what answers them, and what they cost."""

    answer: Callable[[Parameters, int], Payload]
    weight: int
    weight_of_all: int = 0
    """The weight of a request without a symbol; 0 if it is the same."""
    needs: Permission = Permission.READING
    orders: tuple[int, int] = NO_ORDERS
    """What the request counts for the limits of new orders in ten seconds, and in a minute."""
    signed: bool = True
    """False if the request needs only the header with the key."""


class AccountApi:
    """The account as its clients see it: signed requests, and user data streams."""

    def __init__(self, market: SandboxMarket, info: ExchangeInfo) -> None:
        self.account = Account(market, info, market.start)
        self.keyring = Keyring(market.start)
        self.settings = Settings(self.account.state)
        self.listen_keys = ListenKeys(self.account)
        self.counts = OrderCounts()
        self.orders = orders = OrderAnswers(self.account, self.settings)
        answers = AccountAnswers(self.account, self.settings, self.listen_keys)
        self._order_routes = _order_routes(orders)
        self._routes = self._order_routes | _account_routes(answers)
        self._routes["GET", "/fapi/v1/rateLimit/order"] = SignedRoute(lambda _parameters, _now: self.counts.rules(), 1)
        self._symbols = market.symbols

    @property
    def paths(self) -> set[str]:
        """The paths that are answered."""
        return {path for _, path in self._routes} | {RESTRICTIONS}

    def weight(self, method: str, path: str, query: dict[str, str]) -> int | None:
        """Return the weight of a request; None if the path is not one of the account."""
        if path == RESTRICTIONS and method == "GET":
            return 1
        route = self._routes.get((method, path))
        if route is None:
            return None
        return route.weight_of_all if route.weight_of_all and not query.get("symbol") else route.weight

    def is_order(self, method: str, path: str) -> bool:
        """Return whether a request places, changes or cancels orders."""
        return method != "GET" and (method, path) in self._order_routes

    def answer(self, request: "SignedRequest", now: int, clock: int, headers: dict[str, str]) -> Any:
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

    def execute(self, request: "SignedRequest", now: int) -> Any:
        """Return the answer to a request that was checked before. Raises ApiError."""
        self.account.advance(now)
        route = self._routes[request.method, request.path]
        return route.answer(Parameters(request.query, self.account.product, self._symbols), self.account.at)

    def check(self, request: "SignedRequest", clock: int) -> None:
        """Check key, time stamp and signature of a request. Raises ApiError."""
        self._check(request, self._routes[request.method, request.path].needs, clock)

    def _check(self, request: "SignedRequest", needs: Permission, clock: int) -> None:
        key = self.keyring.identify(request.headers, request.ip, needs)
        check_time(request.query, clock)
        check_signature(key, request.text, request.body)

    def overview(self, now: int) -> dict[str, Any]:
        """Return what the account has at a time (ms), without a signature."""
        self.account.advance(now)
        state, at = self.account.state, self.account.at
        return {
            "balances": [payloads.balance_row(state, asset, at) for asset in state.assets()],
            "positions": [payloads.risk_row(state, each, at) for each in state.positions.values() if each.quantity],
            "orders": [payloads.order_row(each, state.prices) for each in state.open.values()],
            "algoOrders": [payloads.algo_row(each, state.prices) for each in state.waiting.values()],
        }

    def user_source(self, key: str, names: frozenset[str], now: int) -> UserSource:
        """Return the events of a new connection with a listen key; `names` limits them, if it is not empty."""
        self.account.advance(now)
        return UserSource(self.account, self.listen_keys, key, names)


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


RESTRICTIONS: Final = "/sapi/v1/account/apiRestrictions"


def _order_routes(orders: OrderAnswers) -> dict[tuple[str, str], SignedRoute]:
    trade, one = Permission.FUTURES, (1, 1)
    return {
        ("POST", "/fapi/v1/order"): SignedRoute(orders.place, 0, needs=trade, orders=one),
        ("POST", "/fapi/v1/order/test"): SignedRoute(orders.test, 1, needs=trade),
        ("PUT", "/fapi/v1/order"): SignedRoute(orders.amend, 0, needs=trade, orders=one),
        ("DELETE", "/fapi/v1/order"): SignedRoute(orders.cancel, 1, needs=trade),
        ("GET", "/fapi/v1/order"): SignedRoute(orders.order, 1),
        ("POST", "/fapi/v1/batchOrders"): SignedRoute(orders.place_batch, 5, needs=trade, orders=(5, 1)),
        ("DELETE", "/fapi/v1/allOpenOrders"): SignedRoute(orders.cancel_all, 1, needs=trade),
        ("GET", "/fapi/v1/openOrder"): SignedRoute(orders.open_order, 1),
        ("GET", "/fapi/v1/openOrders"): SignedRoute(orders.open_orders, 1, 40),
        ("GET", "/fapi/v1/allOrders"): SignedRoute(orders.all_orders, 5),
        ("GET", "/fapi/v1/userTrades"): SignedRoute(orders.trades, 5),
        ("POST", "/fapi/v1/algoOrder"): SignedRoute(orders.place_algo, 0, needs=trade, orders=one),
        ("DELETE", "/fapi/v1/algoOrder"): SignedRoute(orders.cancel_algo, 1, needs=trade),
        ("GET", "/fapi/v1/algoOrder"): SignedRoute(orders.algo, 1),
        ("DELETE", "/fapi/v1/algoOpenOrders"): SignedRoute(orders.cancel_all_algos, 1, needs=trade),
        ("GET", "/fapi/v1/openAlgoOrders"): SignedRoute(orders.open_algos, 1, 40),
        ("GET", "/fapi/v1/allAlgoOrders"): SignedRoute(orders.all_algos, 5),
    }


def _account_routes(answers: AccountAnswers) -> dict[tuple[str, str], SignedRoute]:
    trade = Permission.FUTURES
    return {
        ("GET", "/fapi/v2/balance"): SignedRoute(answers.balances, 5),
        ("GET", "/fapi/v3/balance"): SignedRoute(answers.balances, 5),
        ("GET", "/fapi/v3/account"): SignedRoute(answers.account, 5),
        ("GET", "/fapi/v3/positionRisk"): SignedRoute(answers.positions, 5),
        ("GET", "/fapi/v1/accountConfig"): SignedRoute(answers.config, 5),
        ("GET", "/fapi/v1/symbolConfig"): SignedRoute(answers.symbol_config, 5),
        ("GET", "/fapi/v1/leverageBracket"): SignedRoute(answers.brackets, 1),
        ("GET", "/fapi/v1/commissionRate"): SignedRoute(answers.commission, 20),
        ("POST", "/fapi/v1/leverage"): SignedRoute(answers.set_leverage, 1, needs=trade),
        ("POST", "/fapi/v1/marginType"): SignedRoute(answers.set_margin_type, 1, needs=trade),
        ("POST", "/fapi/v1/positionMargin"): SignedRoute(answers.add_margin, 1, needs=trade),
        ("POST", "/fapi/v1/positionSide/dual"): SignedRoute(answers.set_position_mode, 1, needs=trade),
        ("GET", "/fapi/v1/positionSide/dual"): SignedRoute(answers.position_mode, 30),
        ("POST", "/fapi/v1/multiAssetsMargin"): SignedRoute(answers.set_asset_mode, 1, needs=trade),
        ("GET", "/fapi/v1/multiAssetsMargin"): SignedRoute(answers.asset_mode, 30),
        ("GET", "/fapi/v1/income"): SignedRoute(answers.income, 30),
        ("POST", "/fapi/v1/listenKey"): SignedRoute(answers.start_stream, 1, signed=False),
        ("PUT", "/fapi/v1/listenKey"): SignedRoute(answers.keep_stream, 1, signed=False),
        ("DELETE", "/fapi/v1/listenKey"): SignedRoute(answers.end_stream, 1, signed=False),
    }

"""What the paths of orders, algo orders and trades answer."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY
from ocw_mcp.sandbox.binance.account import payloads
from ocw_mcp.sandbox.binance.account.account import Account
from ocw_mcp.sandbox.binance.account.algo_orders import AlgoOrder, algo_form
from ocw_mcp.sandbox.binance.account.orders import Order, needed, order_form
from ocw_mcp.sandbox.binance.account.settings import Settings
from ocw_mcp.sandbox.binance.answers import Payload
from ocw_mcp.sandbox.binance.parameters import ApiError, Parameters

WEEK: Final = 7 * DAY
"""The longest time (ms) between startTime and endTime."""
FORGOTTEN: Final = 3 * DAY
"""The time (ms) after which orders that ended without a fill are not found."""
MOST_IN_BATCH: Final = 5
MOST_CANCELLED: Final = 10
"""The most orders that one request cancels by their ids."""
_ALL_DONE: Final = {"code": 200, "msg": "The operation of cancel all open order is done."}


class OrderAnswers:
    """Answers of the paths of orders. Each may raise ApiError."""

    def __init__(self, account: Account, settings: Settings, hidden: Callable[[str, int], int]) -> None:
        """`hidden` returns, by path and time (ms), the age up to which queries do not find orders."""
        self._account, self._settings = account, settings
        self._state, self._prices = account.state, account.prices
        self._hidden = hidden

    def _orders(self, path: str, orders: Iterable[Order], now: int) -> list[Order]:
        """Return the orders that a query finds."""
        newest = now - self._hidden(path, now)
        return [each for each in orders if each.created <= newest]

    def _algos(self, path: str, algos: Iterable[AlgoOrder], now: int) -> list[AlgoOrder]:
        """Return the algo orders that a query finds."""
        newest = now - self._hidden(path, now)
        return [each for each in algos if each.created <= newest]

    def place(self, parameters: Parameters, now: int) -> Payload:
        """Place an order."""
        self._require_one_way()
        form = order_form(parameters)
        kind = parameters.one_of("newOrderRespType", ("ACK", "RESULT"), "ACK")
        order = self._account.trading.place(form, now)
        return payloads.order_answer(order, self._prices, accepted=kind == "ACK")

    def test(self, parameters: Parameters, now: int) -> Payload:
        """Check the form of an order without placing it."""
        self._require_one_way()
        order_form(parameters)
        return {}

    def place_batch(self, parameters: Parameters, now: int) -> Payload:
        """Place up to five orders, each with an answer of its own."""
        answers: list[Any] = []
        for query in _batch(parameters.required("batchOrders")):
            one = Parameters(query, Product.UM, self._account.symbols)
            try:
                answers.append(self.place(one, now))
            except ApiError as error:
                answers.append({"code": error.code, "msg": error.message})
        return answers

    def amend(self, parameters: Parameters, now: int) -> Payload:
        """Change quantity and price of an open limit order."""
        order = self._open(parameters, -2013, "Order does not exist.")
        quantity, price = needed(parameters, "quantity"), needed(parameters, "price")
        if order.type != "LIMIT" or parameters.required("side") != order.side:
            raise ApiError(-1130, "Data sent for parameter 'side' is not valid.")
        self._account.trading.amend(order, quantity, price, now)
        return payloads.order_answer(order, self._prices) | {"pair": order.symbol}

    def cancel(self, parameters: Parameters, now: int) -> Payload:
        """Cancel an open order."""
        order = self._open(parameters, -2011, "Unknown order sent.")
        self._account.trading.cancel(order, now)
        return payloads.order_answer(order, self._prices)

    def cancel_batch(self, parameters: Parameters, now: int) -> Payload:
        """Cancel up to ten open orders of a symbol by their ids or the client's ids, each with an answer of its own."""
        symbol, numbers, names = parameters.symbol(), parameters.text("orderIdList"), "origClientOrderIdList"
        if numbers is not None:
            name, ids = "orderId", _ids(numbers, "orderIdList", int)
        else:
            name, ids = "origClientOrderId", _ids(parameters.required(names), names, str)
        answers: list[Any] = []
        for each in ids:
            one = Parameters({"symbol": symbol, name: each}, Product.UM, self._account.symbols)
            try:
                answers.append(self.cancel(one, now))
            except ApiError as error:
                answers.append({"code": error.code, "msg": error.message})
        return answers

    def cancel_all(self, parameters: Parameters, now: int) -> Payload:
        """Cancel all open orders of a symbol; algo orders stay."""
        for order in self._state.open_of(parameters.symbol()):
            self._account.trading.cancel(order, now)
        return dict(_ALL_DONE)

    def order(self, parameters: Parameters, now: int) -> Payload:
        """Return an order."""
        known = self._orders("/fapi/v1/order", self._state.orders.values(), now)
        order = _latest(self._named(parameters, known))
        if order is None or _is_forgotten(order, now):
            raise ApiError(-2013, "Order does not exist.")
        return payloads.order_row(order, self._prices)

    def open_order(self, parameters: Parameters, now: int) -> Payload:
        """Return an open order."""
        known = self._orders("/fapi/v1/openOrder", self._state.open.values(), now)
        order = _latest(self._named(parameters, known))
        if order is None:
            raise ApiError(-2013, "Order does not exist.")
        return payloads.order_row(order, self._prices)

    def open_orders(self, parameters: Parameters, now: int) -> Payload:
        """Return the open orders, of one symbol or of all."""
        symbol = parameters.optional_symbol()
        known = self._orders("/fapi/v1/openOrders", self._state.open.values(), now)
        found = [each for each in known if symbol in (None, each.symbol)]
        return [payloads.order_row(each, self._prices) for each in sorted(found, key=lambda each: each.id)]

    def all_orders(self, parameters: Parameters, now: int) -> Payload:
        """Return the orders of a symbol: those from an id on, or the latest of a time range."""
        symbol, first = parameters.symbol(), parameters.number("orderId")
        since, until = _range(parameters, now)
        limit = parameters.limit(500, 1000)
        known = self._orders("/fapi/v1/allOrders", self._state.orders.values(), now)
        found = [each for each in known if each.symbol == symbol and not _is_forgotten(each, now)]
        if first is not None:
            found = [each for each in found if each.id >= first][:limit]
        else:
            found = [each for each in found if since <= each.created <= until][-limit:]
        return [payloads.order_row(each, self._prices) for each in found]

    def trades(self, parameters: Parameters, now: int) -> Payload:
        """Return the account's trades of a symbol."""
        symbol, order = parameters.symbol(), parameters.number("orderId")
        first = parameters.number("fromId")
        since, until = _range(parameters, now)
        limit = parameters.limit(500, 1000)
        found = [each for each in self._state.fills if each.symbol == symbol and order in (None, each.order)]
        if first is not None:
            found = [each for each in found if each.id >= first][:limit]
        else:
            found = [each for each in found if since <= each.at <= until][-limit:]
        return [payloads.trade_row(each, self._prices) for each in found]

    # Algo orders

    def place_algo(self, parameters: Parameters, now: int) -> Payload:
        """Place an algo order."""
        self._require_one_way()
        algo = algo_form(parameters)
        self._account.algos.place(algo, now)
        return payloads.algo_answer(algo, self._prices)

    def cancel_algo(self, parameters: Parameters, now: int) -> Payload:
        """Cancel an algo order that waits."""
        algo = self._algo(parameters, self._state.waiting.values())
        if algo is None:
            raise ApiError(-2011, "Unknown order sent.")
        self._account.algos.cancel(algo, now)
        # The code is a text here, and no error.
        return {"algoId": algo.id, "clientAlgoId": algo.client_id, "code": "200", "msg": "success"}

    def cancel_all_algos(self, parameters: Parameters, now: int) -> Payload:
        """Cancel all algo orders of a symbol; other orders stay."""
        symbol = parameters.symbol()
        for algo in list(self._state.waiting.values()):
            if algo.symbol == symbol:
                self._account.algos.cancel(algo, now)
        return dict(_ALL_DONE)

    def algo(self, parameters: Parameters, now: int) -> Payload:
        """Return an algo order."""
        algo = self._algo(parameters, self._algos("/fapi/v1/algoOrder", self._state.algos.values(), now))
        if algo is None or _is_forgotten(algo, now):
            raise ApiError(-2013, "Order does not exist.")
        return payloads.algo_row(algo, self._prices)

    def open_algos(self, parameters: Parameters, now: int) -> Payload:
        """Return the algo orders that wait, of one symbol or of all."""
        symbol, number = parameters.optional_symbol(), parameters.number("algoId")
        return [
            payloads.algo_row(each, self._prices)
            for each in self._algos("/fapi/v1/openAlgoOrders", self._state.waiting.values(), now)
            if symbol in (None, each.symbol) and number in (None, each.id)
        ]

    def all_algos(self, parameters: Parameters, now: int) -> Payload:
        """Return the algo orders of a symbol in a time range of at most a week."""
        symbol, first = parameters.symbol(), parameters.number("algoId")
        since, until = _range(parameters, now)
        limit = parameters.limit(500, 1000)
        known = self._algos("/fapi/v1/allAlgoOrders", self._state.algos.values(), now)
        found = [each for each in known if each.symbol == symbol and not _is_forgotten(each, now)]
        found = [each for each in found if since <= each.created <= until and each.id >= (first or 0)]
        return [payloads.algo_row(each, self._prices) for each in found[-limit:]]

    def _require_one_way(self) -> None:
        if self._settings.hedged:
            raise ApiError(-4061, "Order's position side does not match user's setting.")

    def _named(self, parameters: Parameters, orders: Iterable[Order]) -> list[Order]:
        """Return the orders of a symbol with the id or the client's id of a request."""
        symbol, number = parameters.symbol(), parameters.number("orderId")
        name = parameters.text("origClientOrderId")
        if number is None and name is None:
            text = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
            raise ApiError(-1102, text)
        return [
            each
            for each in orders
            if each.symbol == symbol and (each.id == number if number is not None else each.client_id == name)
        ]

    def _open(self, parameters: Parameters, code: int, text: str) -> Order:
        order = _latest(self._named(parameters, self._state.open.values()))
        if order is None:
            raise ApiError(code, text)
        return order

    def _algo(self, parameters: Parameters, algos: Iterable[AlgoOrder]) -> AlgoOrder | None:
        number, name = parameters.number("algoId"), parameters.text("clientAlgoId")
        if number is None and name is None:
            text = "Param 'clientAlgoId' or 'algoId' must be sent, but both were empty/null!"
            raise ApiError(-1102, text)
        found = [each for each in algos if (each.id == number if number is not None else each.client_id == name)]
        return found[-1] if found else None


def _latest(orders: list[Order]) -> Order | None:
    return max(orders, key=lambda each: each.id, default=None)


def _is_forgotten(order: Order | AlgoOrder, now: int) -> bool:
    """Return whether an order ended without a fill so long ago that the exchange does not return it."""
    return not order.executed and order.status in ("CANCELED", "EXPIRED") and order.created < now - FORGOTTEN


def _range(parameters: Parameters, now: int) -> tuple[int, int]:
    """Return the first and the last time (ms) of a request: a week, if it does not name both. Raises ApiError."""
    start, end = parameters.times()
    if start is not None and end is not None:
        if end - start > WEEK:
            raise ApiError(-4165, "Invalid time interval.")
        return start, end
    if start is not None:
        return start, start + WEEK
    last = now if end is None else end
    return last - WEEK, last


def _batch(text: str) -> list[dict[str, str]]:
    """Return the queries of a list of orders. Raises ApiError."""
    try:
        rows = msgspec.json.decode(text, type=list[dict[str, Any]])
    except (msgspec.MsgspecError, UnicodeError):
        raise ApiError(-1130, "Data sent for parameter 'batchOrders' is not valid.") from None
    if not 1 <= len(rows) <= MOST_IN_BATCH:
        raise ApiError(-4082, "Invalid number of batch place orders.")
    return [
        {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in row.items()}
        for row in rows
    ]


def _ids(text: str, name: str, kind: type) -> list[str]:
    """Return the ids of a list of numbers or of texts. Raises ApiError."""
    try:
        found = msgspec.json.decode(text, type=list[kind])  # type: ignore[valid-type]
    except (msgspec.MsgspecError, UnicodeError):
        found = []
    if not 1 <= len(found) <= MOST_CANCELLED:
        raise ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")
    return [str(each) for each in found]

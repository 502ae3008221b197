"""The account on spot: which path does what, what it needs, and what it costs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.time import DAY
from ocw_mcp.sandbox.binance.account.events import Event
from ocw_mcp.sandbox.binance.account.keys import Permission
from ocw_mcp.sandbox.binance.account.orders import client_id, needed, side_of
from ocw_mcp.sandbox.binance.account.signed import SignedApi, SignedRoute
from ocw_mcp.sandbox.binance.answers import Payload
from ocw_mcp.sandbox.binance.exchange_info import ExchangeInfo
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.binance.parameters import ApiError, Parameters
from ocw_mcp.sandbox.binance.spot import payloads
from ocw_mcp.sandbox.binance.spot.account import FEE, SpotAccount
from ocw_mcp.sandbox.binance.spot.orders import OrderList, SpotOrder, leg_form, spot_form

_MISSING: Final = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"


class SpotApi(SignedApi):
    """The account on spot as its clients see it."""

    def __init__(self, market: SandboxMarket, info: ExchangeInfo) -> None:
        self.account = SpotAccount(market, info, market.start)
        trade, one = Permission.TRADING, (1, 1)
        orders = {
            ("POST", "/api/v3/order"): SignedRoute(self._place, 1, needs=trade, orders=one),
            ("POST", "/api/v3/order/test"): SignedRoute(self._test, 1, needs=trade),
            ("DELETE", "/api/v3/order"): SignedRoute(self._cancel, 1, needs=trade),
            ("GET", "/api/v3/order"): SignedRoute(self._order, 4),
            ("GET", "/api/v3/openOrders"): SignedRoute(self._open_orders, 6, 80),
            ("DELETE", "/api/v3/openOrders"): SignedRoute(self._cancel_all, 1, needs=trade),
            ("GET", "/api/v3/allOrders"): SignedRoute(self._all_orders, 20),
            ("GET", "/api/v3/myTrades"): SignedRoute(self._trades, 5, 20, named="orderId"),
            ("POST", "/api/v3/orderList/oco"): SignedRoute(self._place_list, 1, needs=trade, orders=(2, 2)),
            ("DELETE", "/api/v3/orderList"): SignedRoute(self._cancel_list, 1, needs=trade),
            ("GET", "/api/v3/orderList"): SignedRoute(self._list, 4),
            ("GET", "/api/v3/openOrderList"): SignedRoute(self._open_lists, 6),
            ("GET", "/api/v3/allOrderList"): SignedRoute(self._all_lists, 20),
        }
        others = {
            ("GET", "/api/v3/account"): SignedRoute(self._account_row, 20),
            ("GET", "/api/v3/rateLimit/order"): SignedRoute(lambda _parameters, _now: self.counts.rules(), 40),
        }
        super().__init__(market, self.account, orders, others)

    def actions(self) -> Mapping[str, Callable[..., object]]:
        """Return what the account's owner can do to the account, by the kind of a fault."""
        found = self.account
        return {
            "owner_order": found.owner_order,
            "owner_close": found.owner_close,
            "owner_cancel": found.owner_cancel,
            "transfer": found.transfer,
        }

    def overview(self, now: int) -> dict[str, Any]:
        """Return what the account has at a time (ms), without a signature."""
        self.account.advance(now)
        return {
            "balances": self._balances(),
            "orders": [payloads.order_row(each) for each in self.account.open.values()],
        }

    def user_events(self, key: str, names: frozenset[str], now: int) -> Callable[[int], list[Event]]:
        """Return the events of a new subscription from a time (ms) on; spot has no listen key."""
        account = self.account
        account.advance(now)
        place = account.log.end

        def read(until: int) -> list[Event]:
            nonlocal place
            account.advance(until)
            found, place = account.log.read(place, until)
            return [each for each in found if not names or each.kind in names]

        return read

    def _place(self, parameters: Parameters, now: int) -> Payload:
        order = spot_form(parameters)
        usual = "FULL" if order.type in ("MARKET", "LIMIT") else "ACK"
        kind = parameters.one_of("newOrderRespType", ("ACK", "RESULT", "FULL"), usual)
        parameters.finish()
        self.account.place(order, now)
        if kind == "ACK":
            return payloads.accepted(order)
        fills = [each for each in self.account.fills if each.order is order]
        return payloads.placed(order) | ({"fills": payloads.fills_of(fills)} if kind == "FULL" else {})

    def _test(self, parameters: Parameters, now: int) -> Payload:
        spot_form(parameters)
        parameters.text("newOrderRespType")
        return {}

    def _cancel(self, parameters: Parameters, now: int) -> Payload:
        order = _latest(self._named(parameters, self.account.open.values()))
        if order is None:
            raise ApiError(-2011, "Unknown order sent.")
        name = client_id(parameters, "newClientOrderId") or f"cancel{order.id}"
        parameters.finish()
        self.account.cancel(order, now, name)
        if order.list_id >= 0:
            return self._list_answer(self.account.lists[order.list_id], now, name)
        return payloads.cancelled(order, name)

    def _cancel_all(self, parameters: Parameters, now: int) -> Payload:
        symbol = parameters.symbol()
        parameters.finish()
        orders = [each for each in self.account.open.values() if each.symbol == symbol]
        if not orders:
            raise ApiError(-2011, "Unknown order sent.")
        answers: list[Any] = []
        for order in orders:
            if order.is_open:
                self.account.cancel(order, now)
                found = self.account.lists.get(order.list_id)
                name = f"cancel{order.id}"
                answers.append(
                    payloads.cancelled(order, name) if found is None else self._list_answer(found, now, name)
                )
        return answers

    def _order(self, parameters: Parameters, now: int) -> Payload:
        order = _latest(self._named(parameters, self._seen("/api/v3/order", self.account.orders.values(), now)))
        if order is None:
            raise ApiError(-2013, "Order does not exist.")
        return payloads.order_row(order)

    def _open_orders(self, parameters: Parameters, now: int) -> Payload:
        symbol = parameters.optional_symbol()
        found = self._seen("/api/v3/openOrders", self.account.open.values(), now)
        return [payloads.order_row(each) for each in found if symbol in (None, each.symbol)]

    def _all_orders(self, parameters: Parameters, now: int) -> Payload:
        symbol, first = parameters.symbol(), parameters.number("orderId")
        start, end = _day(parameters)
        limit = parameters.limit(500, 1000)
        known = self._seen("/api/v3/allOrders", self.account.orders.values(), now)
        found = [
            each
            for each in known
            if each.symbol == symbol and (start or 0) <= each.created <= (now if end is None else end)
        ]
        if first is not None:
            found = [each for each in found if each.id >= first][:limit]
        return [payloads.order_row(each) for each in found[-limit:]]

    def _trades(self, parameters: Parameters, now: int) -> Payload:
        symbol, order, first = parameters.symbol(), parameters.number("orderId"), parameters.number("fromId")
        start, end = _day(parameters)
        limit = parameters.limit(500, 1000)
        found = [
            each
            for each in self.account.fills
            if each.order.symbol == symbol
            and order in (None, each.order.id)
            and (start or 0) <= each.at <= (now if end is None else end)
        ]
        if first is not None:
            found = [each for each in found if each.id >= first][:limit]
        return [payloads.trade_row(each) for each in found[-limit:]]

    def _place_list(self, parameters: Parameters, now: int) -> Payload:
        symbol, side, quantity = parameters.symbol(), side_of(parameters), needed(parameters, "quantity")
        name = client_id(parameters, "listClientOrderId")
        parameters.text("newOrderRespType")
        parameters.text("selfTradePreventionMode")
        above, below = (leg_form(parameters, symbol, side, quantity, place) for place in ("above", "below"))
        parameters.finish()
        found = self.account.place_list(above, below, name, now)
        reports = [payloads.placed(each) for each in found.orders]
        return payloads.list_row(found) | {"orderReports": reports}

    def _cancel_list(self, parameters: Parameters, now: int) -> Payload:
        parameters.symbol()
        found = self._find_list(parameters)
        if found is None or found.done:
            raise ApiError(-2011, "Unknown order sent.")
        name = client_id(parameters, "newClientOrderId") or f"cancel{found.id}"
        parameters.finish()
        self.account.cancel(found.orders[0], now, name)
        return self._list_answer(found, now, name)

    def _list(self, parameters: Parameters, now: int) -> Payload:
        found = self._find_list(parameters)
        if found is None:
            raise ApiError(-2018, "Order list does not exist.")
        return payloads.list_row(found)

    def _open_lists(self, parameters: Parameters, now: int) -> Payload:
        return [payloads.list_row(each) for each in self.account.lists.values() if not each.done]

    def _all_lists(self, parameters: Parameters, now: int) -> Payload:
        limit = parameters.limit(500, 1000)
        return [payloads.list_row(each) for each in list(self.account.lists.values())[-limit:]]

    def _account_row(self, parameters: Parameters, now: int) -> Payload:
        parameters.text("omitZeroBalances")
        rate = payloads.text(FEE)
        zero = payloads.text(ZERO)
        return {
            "makerCommission": 10,
            "takerCommission": 10,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": {"maker": rate, "taker": rate, "buyer": zero, "seller": zero},
            "canTrade": True,
            "canWithdraw": True,
            "canDeposit": True,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": now,
            "accountType": "SPOT",
            "balances": self._balances(),
            "permissions": ["SPOT"],
            "uid": 1,
        }

    def _balances(self) -> list[dict[str, str]]:
        account = self.account
        return [
            {"asset": each, "free": payloads.text(account.free(each)), "locked": payloads.text(account.locked(each))}
            for each in sorted(account.totals)
        ]

    def _list_answer(self, found: OrderList, now: int, name: str) -> dict[str, Any]:
        """Return the answer to the cancel of a list, whose client's id is `name`."""
        return payloads.list_row(found, now) | {
            "orderReports": [payloads.cancelled(each, name) for each in found.orders]
        }

    def _find_list(self, parameters: Parameters) -> OrderList | None:
        number = parameters.number("orderListId")
        name = parameters.text("listClientOrderId") or parameters.text("origClientOrderId")
        return next(
            (
                each
                for each in reversed(self.account.lists.values())
                if (each.id == number if number is not None else each.client_id == name)
            ),
            None,
        )

    def _seen(self, path: str, orders: Iterable[SpotOrder], now: int) -> list[SpotOrder]:
        """Return the orders that a query finds."""
        newest = now - self.hidden(path, now)
        return [each for each in orders if each.created <= newest]

    def _named(self, parameters: Parameters, orders: Iterable[SpotOrder]) -> list[SpotOrder]:
        symbol, number = parameters.symbol(), parameters.number("orderId")
        name = parameters.text("origClientOrderId")
        if number is None and name is None:
            raise ApiError(-1102, _MISSING)
        return [
            each
            for each in orders
            if each.symbol == symbol and (each.id == number if number is not None else each.client_id == name)
        ]


def _day(parameters: Parameters) -> tuple[int | None, int | None]:
    """Return the times of a request (ms). Raises ApiError if there is more than a day between them."""
    start, end = parameters.times()
    if start is not None and end is not None and end - start > DAY:
        raise ApiError(-1127, "More than 24 hours between startTime and endTime.")
    return start, end


def _latest(orders: list[SpotOrder]) -> SpotOrder | None:
    return max(orders, key=lambda each: each.id, default=None)

"""Orders of spot as requests, and what the answers to the requests say."""

from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.adapters.venues.binance.orders import ORDER_ANSWER, OrderAnswer, OrderRequest, Placed, read
from ocw_mcp.adapters.venues.binance.spot.names import Leg, leg_id
from ocw_mcp.domain.errors import InvariantError
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import Order, OrderType, Side

ORDER: Final = "/api/v3/order"
OCO: Final = "/api/v3/orderList/oco"
ORDER_LIST: Final = "/api/v3/orderList"
STOP: Final = "STOP_LOSS"
TAKE_PROFIT: Final = "TAKE_PROFIT"
LIMIT_MAKER: Final = "LIMIT_MAKER"
USED_TYPES: Final = frozenset({"MARKET", "LIMIT", LIMIT_MAKER, STOP, TAKE_PROFIT})
"""The types of the exchange that OCW's orders are."""
_TYPES: Final = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.STOP_MARKET: STOP,
    OrderType.TAKE_PROFIT_MARKET: TAKE_PROFIT,
}
_ACTIVE: Final = frozenset({"NEW", "PENDING_NEW", "PARTIALLY_FILLED"})


class _ListAnswer(msgspec.Struct):
    id: int = msgspec.field(name="orderListId")
    client_id: str = msgspec.field(name="listClientOrderId")
    status: str = msgspec.field(name="listOrderStatus")
    orders: list[OrderAnswer] = msgspec.field(name="orderReports", default_factory=list)

    @property
    def executed(self) -> Decimal:
        """What both orders have filled."""
        return sum((each.executed for each in self.orders), ZERO)


_LIST: Final = msgspec.json.Decoder(_ListAnswer, strict=False)


def is_list(order: Order) -> bool:
    """Return whether the exchange has an order as a list of two orders, a stop and a target."""
    return order.take_at is not None


def place_request(order: Order, book: str) -> OrderRequest:
    """Return the request that places an order of a book under its client id. Raises InvariantError.

    Spot knows no reduce-only: the exchange refuses a sale of more than the account has free.
    """
    name = order.ref.client_id(book)
    params: dict[str, str | int] = {
        "symbol": order.symbol,
        "side": order.side.value.upper(),
        "quantity": plain(order.quantity),
        "newOrderRespType": "RESULT",
    }
    if is_list(order):
        return OrderRequest("POST", OCO, params | _legs(order, name), weight=1, orders=2)
    params |= {"type": _TYPES[order.type], "newClientOrderId": name}
    if order.close_position:
        raise InvariantError(f"order {order.ref} closes a position, which orders of spot cannot")
    if order.type is OrderType.LIMIT:
        assert order.limit_price is not None
        params["price"] = plain(order.limit_price)
        if order.post_only:
            params["type"] = LIMIT_MAKER
        else:
            params["timeInForce"] = "IOC" if order.immediate else "GTC"
    elif order.type is not OrderType.MARKET:
        assert order.trigger_price is not None
        # The exchange triggers on the price of the last trade; spot has no mark price.
        params["stopPrice"] = plain(order.trigger_price)
    return OrderRequest("POST", ORDER, params, weight=1, orders=1)


def _legs(order: Order, name: str) -> dict[str, str | int]:
    """Return what states the two orders of a list: a stop at the market, and a target as a maker."""
    assert order.trigger_price is not None
    assert order.take_at is not None
    stop, target = ("below", "above") if order.side is Side.SELL else ("above", "below")
    return {
        "listClientOrderId": name,
        f"{stop}Type": STOP,
        f"{stop}StopPrice": plain(order.trigger_price),
        f"{stop}ClientOrderId": leg_id(name, Leg.STOP),
        f"{target}Type": LIMIT_MAKER,
        f"{target}Price": plain(order.take_at),
        f"{target}ClientOrderId": leg_id(name, Leg.TARGET),
    }


def cancel_request(order: Order, book: str) -> OrderRequest:
    """Return the request that cancels an order of a book by its client id; a list is cancelled as a whole."""
    name = order.ref.client_id(book)
    if is_list(order):
        return OrderRequest("DELETE", ORDER_LIST, {"symbol": order.symbol, "listClientOrderId": name}, 1, 0)
    return OrderRequest("DELETE", ORDER, {"symbol": order.symbol, "origClientOrderId": name}, 1, 0)


def leverage_request(symbol: str, leverage: int) -> OrderRequest | None:
    """Return None: spot has no leverage."""
    return None


def placed(order: Order, book: str, body: bytes) -> Placed | None:
    """Return what the answer to a new order says; None if it is not the documented one, or of another order."""
    name = order.ref.client_id(book)
    if is_list(order):
        found = read(_LIST, body)
        if found is None or found.client_id != name:
            return None
        rejected = bool(found.orders) and all(each.status == "REJECTED" for each in found.orders)
        status = "REJECTED" if rejected or found.status == "REJECT" else "NEW"
        return Placed(str(found.id), found.client_id, status, found.executed)
    answer = read(ORDER_ANSWER, body)
    if answer is None or answer.client_id != name:
        return None
    status = "NEW" if answer.status in _ACTIVE else answer.status
    return Placed(str(answer.id), answer.client_id, status, answer.executed)


def cancelled(order: Order, book: str, body: bytes) -> Placed | None:
    """Return what the answer to a cancel says; None if it is not the documented one, or of another order."""
    name = order.ref.client_id(book)
    if is_list(order):
        found = read(_LIST, body)
        if found is None or found.client_id != name or found.status != "ALL_DONE":
            return None
        return Placed(str(found.id), found.client_id, "CANCELED", found.executed)
    answer = read(ORDER_ANSWER, body)
    if answer is None or answer.original_client_id != name:
        return None
    return Placed(str(answer.id), name, answer.status, answer.executed)

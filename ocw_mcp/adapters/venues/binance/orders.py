"""Orders of futures as requests, and what the answers to the requests say."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple, Protocol, TypeVar

import msgspec

from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import Order, OrderType, TriggerBy

T = TypeVar("T")
ORDER: Final = "/fapi/v1/order"
ALGO_ORDER: Final = "/fapi/v1/algoOrder"
LEVERAGE: Final = "/fapi/v1/leverage"
OPEN: Final = frozenset({"NEW", "PARTIALLY_FILLED", "TRIGGERING", "TRIGGERED"})
"""The states of an order or an algo order that can still trade."""
REJECTED: Final = "REJECTED"
_TYPES: Final = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.STOP_MARKET: "STOP_MARKET",
    OrderType.TAKE_PROFIT_MARKET: "TAKE_PROFIT_MARKET",
}
CONDITIONAL: Final = frozenset({OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET})
"""The types that the exchange keeps as algo orders until their trigger."""


class OrderRequest(NamedTuple):
    """A request about an order, and what it costs."""

    method: str
    path: str
    params: Mapping[str, str | int]
    weight: int
    orders: int


class Placed(NamedTuple):
    """What the answer to a request says about an order."""

    venue_order_id: str
    client_id: str
    status: str
    executed: Decimal
    """The quantity that has filled (base asset); 0 for an algo order."""


class OrderForms(Protocol):
    """How a product states orders; this module does for futures."""

    def place_request(self, order: Order, book: str) -> OrderRequest: ...

    def cancel_request(self, order: Order, book: str) -> OrderRequest: ...

    def leverage_request(self, symbol: str, leverage: int) -> OrderRequest | None: ...

    def placed(self, order: Order, book: str, body: bytes) -> Placed | None: ...

    def cancelled(self, order: Order, book: str, body: bytes) -> Placed | None: ...


class OrderAnswer(msgspec.Struct):
    """The answer to a new order or a cancel, on both products."""

    id: int = msgspec.field(name="orderId")
    client_id: str = msgspec.field(name="clientOrderId")
    status: str
    executed: Decimal = msgspec.field(name="executedQty", default=ZERO)
    original_client_id: str = msgspec.field(name="origClientOrderId", default="")
    """The client id of a cancelled order of spot, where `client_id` is that of the cancel."""


class _AlgoAnswer(msgspec.Struct):
    id: int = msgspec.field(name="algoId")
    client_id: str = msgspec.field(name="clientAlgoId")
    status: str = msgspec.field(name="algoStatus")


class _AlgoCancelled(msgspec.Struct):
    """The answer to the cancel of an algo order: a `code` with the text `200`, or the order itself."""

    id: int = msgspec.field(name="algoId")
    client_id: str = msgspec.field(name="clientAlgoId")
    code: str | int = ""
    status: str = msgspec.field(name="algoStatus", default="")


ORDER_ANSWER: Final = msgspec.json.Decoder(OrderAnswer, strict=False)
_ALGO: Final = msgspec.json.Decoder(_AlgoAnswer, strict=False)
_CANCELLED: Final = msgspec.json.Decoder(_AlgoCancelled, strict=False)


def is_algo(order: Order) -> bool:
    """Return whether the exchange keeps an order as an algo order until its trigger."""
    return order.type in CONDITIONAL


def place_request(order: Order, book: str) -> OrderRequest:
    """Return the request that places an order of a book under its client id."""
    params: dict[str, str | int] = {
        "symbol": order.symbol,
        "side": order.side.value.upper(),
        "type": _TYPES[order.type],
    }
    if is_algo(order):
        assert order.trigger_price is not None
        last = order.trigger_by is TriggerBy.LAST
        params |= {
            "algoType": "CONDITIONAL",
            "triggerPrice": plain(order.trigger_price),
            "workingType": "CONTRACT_PRICE" if last else "MARK_PRICE",
            "clientAlgoId": order.ref.client_id(book),
        }
        # With closePosition the exchange refuses both a quantity and reduceOnly.
        params |= {"closePosition": "true"} if order.close_position else _amount(order)
        return OrderRequest("POST", ALGO_ORDER, params, weight=0, orders=1)
    params |= _amount(order)
    if order.type is OrderType.LIMIT:
        assert order.limit_price is not None
        in_force = "GTX" if order.post_only else "IOC" if order.immediate else "GTC"
        params |= {"price": plain(order.limit_price), "timeInForce": in_force}
    params |= {"newClientOrderId": order.ref.client_id(book), "newOrderRespType": "RESULT"}
    return OrderRequest("POST", ORDER, params, weight=0, orders=1)


def _amount(order: Order) -> Mapping[str, str | int]:
    return {"quantity": plain(order.quantity)} | ({"reduceOnly": "true"} if order.reduce_only else {})


def cancel_request(order: Order, book: str) -> OrderRequest:
    """Return the request that cancels an order of a book by its client id."""
    name = order.ref.client_id(book)
    if is_algo(order):
        return OrderRequest("DELETE", ALGO_ORDER, {"clientAlgoId": name}, weight=1, orders=0)
    return OrderRequest("DELETE", ORDER, {"symbol": order.symbol, "origClientOrderId": name}, weight=1, orders=0)


def leverage_request(symbol: str, leverage: int) -> OrderRequest | None:
    """Return the request that sets the leverage of a symbol; None on a product without leverage."""
    return OrderRequest("POST", LEVERAGE, {"symbol": symbol, "leverage": leverage}, weight=1, orders=0)


def placed(order: Order, book: str, body: bytes) -> Placed | None:
    """Return what the answer to a new order says; None if it is not the documented one, or of another order."""
    if is_algo(order):
        algo = read(_ALGO, body)
        answer = None if algo is None else Placed(str(algo.id), algo.client_id, algo.status, ZERO)
    else:
        answer = _of_order(body)
    return answer if answer is not None and answer.client_id == order.ref.client_id(book) else None


def cancelled(order: Order, book: str, body: bytes) -> Placed | None:
    """Return what the answer to a cancel says; None if it is not the documented one, or of another order."""
    if is_algo(order):
        algo = read(_CANCELLED, body)
        done = algo is not None and (str(algo.code) == "200" or algo.status == "CANCELED")
        answer = Placed(str(algo.id), algo.client_id, "CANCELED", ZERO) if algo is not None and done else None
    else:
        answer = _of_order(body)
    return answer if answer is not None and answer.client_id == order.ref.client_id(book) else None


def _of_order(body: bytes) -> Placed | None:
    order = read(ORDER_ANSWER, body)
    return None if order is None else Placed(str(order.id), order.client_id, order.status, order.executed)


def read(decoder: msgspec.json.Decoder[T], body: bytes) -> T | None:
    """Return an answer as a typed value, or None if it has another form."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None

"""Orders of the account on spot: the form in which a request states one, its state, and its filters."""

from decimal import Decimal
from typing import Any, Final

import msgspec

from ocw_mcp.domain.money import ZERO
from ocw_mcp.sandbox.binance.account.orders import Matched, client_id, decimal, needed, side_of
from ocw_mcp.sandbox.binance.parameters import ApiError, Parameters

STOPS: Final = ("STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
LIMITS: Final = ("LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT")
TYPES: Final = ("MARKET", "LIMIT", "LIMIT_MAKER", *STOPS)
IN_FORCE: Final = ("GTC", "IOC", "FOK")


class SpotOrder(Matched, msgspec.Struct):
    """An order. Quantities in the base asset, prices and amounts in the quote asset, times in ms."""

    symbol: str
    side: str
    type: str
    quantity: Decimal
    """0 for a market order of an amount, until it has traded."""
    price: Decimal = ZERO
    """The limit; 0 without one."""
    stop: Decimal = ZERO
    """The price that triggers the order; 0 without one."""
    in_force: str = "GTC"
    client_id: str = ""
    amount: Decimal = ZERO
    """What a market order may spend or get, if it states no quantity."""
    id: int = 0
    list_id: int = -1
    created: int = 0
    updated: int = 0
    working_since: int = -1
    """When the order entered the order book; -1 before its trigger."""
    status: str = "NEW"
    executed: Decimal = ZERO
    value: Decimal = ZERO
    """The sum of price × quantity of all fills."""

    @property
    def waits(self) -> bool:
        """Whether the order waits for its trigger."""
        return self.is_open and self.working_since < 0

    def reached(self, last: Decimal) -> bool:
        """Return whether a last price triggers the order."""
        upward = self.is_buy == self.type.startswith("STOP")
        return last >= self.stop if upward else last <= self.stop


class SpotFill(msgspec.Struct, frozen=True):
    """A trade of an order of the account."""

    id: int
    order: SpotOrder
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    at: int


class OrderList(msgspec.Struct):
    """Two orders of which one cancels the other."""

    id: int
    client_id: str
    symbol: str
    orders: tuple[SpotOrder, SpotOrder]
    created: int
    done: bool = False


def spot_form(parameters: Parameters) -> SpotOrder:
    """Return the order that a request states, without an id. Raises ApiError."""
    symbol, side, kind = parameters.symbol(), side_of(parameters), parameters.required("type")
    if kind not in TYPES:
        raise ApiError(-1116, "Invalid orderType.")
    name = client_id(parameters, "newClientOrderId")
    parameters.text("selfTradePreventionMode")
    order = SpotOrder(symbol, side, kind, ZERO, client_id=name)
    if kind == "MARKET" and parameters.text("quoteOrderQty") is not None:
        order.amount = needed(parameters, "quoteOrderQty")
        if parameters.text("quantity") is not None:
            raise ApiError(-1106, "Parameter 'quantity' sent when not required.")
    else:
        order.quantity = needed(parameters, "quantity")
    _prices(order, parameters, "price", "stopPrice", "timeInForce")
    return order


def leg_form(parameters: Parameters, symbol: str, side: str, quantity: Decimal, place: str) -> SpotOrder:
    """Return a leg of an order list, `above` or `below` the other one. Raises ApiError."""
    kind = parameters.required(f"{place}Type")
    if kind not in ("LIMIT_MAKER", *STOPS):
        raise ApiError(-1130, f"Data sent for parameter '{place}Type' is not valid.")
    order = SpotOrder(symbol, side, kind, quantity, client_id=client_id(parameters, f"{place}ClientOrderId"))
    _prices(order, parameters, f"{place}Price", f"{place}StopPrice", f"{place}TimeInForce")
    return order


def _prices(order: SpotOrder, parameters: Parameters, price: str, stop: str, in_force: str) -> None:
    """Read the prices of an order, which depend on its type. Raises ApiError."""
    if order.type in LIMITS:
        order.price = needed(parameters, price)
    elif decimal(parameters, price) is not None:
        raise ApiError(-1106, f"Parameter '{price}' sent when not required.")
    if order.type in STOPS:
        order.stop = needed(parameters, stop)
    elif decimal(parameters, stop) is not None:
        raise ApiError(-1106, f"Parameter '{stop}' sent when not required.")
    if order.type in LIMITS and order.type != "LIMIT_MAKER":
        order.in_force = parameters.required(in_force)
        if order.in_force not in IN_FORCE:
            raise ApiError(-1115, "Invalid timeInForce.")
    elif parameters.text(in_force) is not None:
        raise ApiError(-1106, f"Parameter '{in_force}' sent when not required.")


class Checked(msgspec.Struct, frozen=True):
    """What the filters of a symbol are checked against."""

    last: Decimal
    """The last price."""
    open_orders: int
    waiting: int
    """The open orders that wait for a trigger."""


def check_filters(order: SpotOrder, row: dict[str, Any], now: Checked) -> None:
    """Raise ApiError unless an order passes the filters of its symbol's row in exchangeInfo."""
    filters = {each["filterType"]: each for each in row["filters"]}
    price_filter, lot, percent = filters["PRICE_FILTER"], filters["LOT_SIZE"], filters["PERCENT_PRICE_BY_SIDE"]
    tick = Decimal(price_filter["tickSize"])
    for price in (order.price, order.stop):
        if price and (price % tick or not Decimal(price_filter["minPrice"]) <= price <= Decimal("1000000")):
            raise _failure("PRICE_FILTER")
    if (order.type in LIMITS and not order.price) or (order.type in STOPS and not order.stop):
        raise _failure("PRICE_FILTER")
    side = "bid" if order.is_buy else "ask"
    highest, lowest = (now.last * Decimal(percent[f"{side}Multiplier{end}"]) for end in ("Up", "Down"))
    if order.price and not lowest <= order.price <= highest:
        raise _failure("PERCENT_PRICE_BY_SIDE")
    if not order.amount:
        if order.quantity % Decimal(lot["stepSize"]) or not (
            Decimal(lot["minQty"]) <= order.quantity <= Decimal(lot["maxQty"])
        ):
            raise _failure("LOT_SIZE")
        if not order.price and order.quantity > Decimal(filters["MARKET_LOT_SIZE"]["maxQty"]):
            raise _failure("MARKET_LOT_SIZE")
    value = order.amount or order.quantity * (order.price or order.stop or now.last)
    if value < Decimal(filters["NOTIONAL"]["minNotional"]):
        raise _failure("NOTIONAL")
    if now.open_orders >= filters["MAX_NUM_ORDERS"]["maxNumOrders"]:
        raise _failure("MAX_NUM_ORDERS")
    if order.stop and now.waiting >= filters["MAX_NUM_ALGO_ORDERS"]["maxNumAlgoOrders"]:
        raise _failure("MAX_NUM_ALGO_ORDERS")


def _failure(name: str) -> ApiError:
    return ApiError(-1013, f"Filter failure: {name}")

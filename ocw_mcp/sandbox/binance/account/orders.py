"""Orders of the account: the form in which a request states one, its state, and its filters."""

import re
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.domain.money import ZERO
from ocw_mcp.sandbox.binance.account.prices import Filters
from ocw_mcp.sandbox.binance.parameters import ApiError, Parameters

SIDES: Final = ("BUY", "SELL")
TYPES: Final = ("LIMIT", "MARKET")
CONDITIONAL: Final = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
"""The types that the exchange accepts on `/fapi/v1/algoOrder` only."""
IN_FORCE: Final = ("GTC", "IOC", "FOK", "GTX", "GTD")
OPEN: Final = ("NEW", "PARTIALLY_FILLED")
"""The states of an order that can still trade."""
LONGEST_ID: Final = 36
"""The most characters of a client order id."""
_DECIMAL: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]+")


class OrderForm(msgspec.Struct, frozen=True):
    """An order as a request states it."""

    symbol: str
    side: str
    type: str
    in_force: str
    quantity: Decimal
    price: Decimal = ZERO
    """The limit (quote); 0 for a market order."""
    reduce_only: bool = False
    client_id: str = ""
    """Empty if the exchange chooses it."""
    good_till: int = 0
    prevention: str = "EXPIRE_MAKER"

    @property
    def is_buy(self) -> bool:
        """True for a buy order, False for a sell order."""
        return self.side == "BUY"


class Matched:
    """The side, state and limit of an order, of futures or spot, as the matching reads them."""

    __slots__ = ()
    side: str
    status: str
    price: Decimal
    quantity: Decimal
    executed: Decimal

    @property
    def is_buy(self) -> bool:
        """True for a buy order, False for a sell order."""
        return self.side == "BUY"

    @property
    def is_open(self) -> bool:
        """True while the order is new or partly filled."""
        return self.status in OPEN

    @property
    def left(self) -> Decimal:
        """The quantity (base asset) that is not filled yet."""
        return self.quantity - self.executed

    def crosses(self, price: Decimal) -> bool:
        """Return whether the order may trade at a price."""
        return not self.price or (price <= self.price if self.is_buy else price >= self.price)


class Order(Matched, msgspec.Struct):
    """An order of the account. Quantities in the base asset, prices and amounts in quote currency, times in ms."""

    id: int
    client_id: str
    symbol: str
    side: str
    type: str
    in_force: str
    price: Decimal
    quantity: Decimal
    created: int
    updated: int
    reduce_only: bool = False
    close_position: bool = False
    status: str = "NEW"
    executed: Decimal = ZERO
    value: Decimal = ZERO
    """The sum of price × quantity of all fills."""
    original_type: str = ""
    stop_price: Decimal = ZERO
    working_type: str = "CONTRACT_PRICE"
    good_till: int = 0
    prevention: str = "EXPIRE_MAKER"
    algo: int = 0
    """The id of the algo order that was triggered; 0 if there is none."""

    @property
    def sign(self) -> int:
        """1 for a buy, -1 for a sell."""
        return 1 if self.is_buy else -1

    @property
    def average(self) -> Decimal:
        """The mean price of the fills; 0 without one."""
        return self.value / self.executed if self.executed else ZERO


class Fill(msgspec.Struct, frozen=True):
    """A trade of an order of the account."""

    id: int
    order: int
    symbol: str
    side: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    realized: Decimal
    maker: bool
    at: int


def decimal(parameters: Parameters, name: str) -> Decimal | None:
    """Return a decimal parameter, None if it was not sent. Raises ApiError."""
    text = parameters.text(name)
    if text is None:
        return None
    if not _DECIMAL.fullmatch(text):
        legal = "^([0-9]{1,20})(\\.[0-9]{1,20})?$"
        raise ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")
    return Decimal(text)


def needed(parameters: Parameters, name: str) -> Decimal:
    """Return a mandatory decimal parameter. Raises ApiError."""
    parameters.required(name)
    found = decimal(parameters, name)
    assert found is not None
    return found


def flag(parameters: Parameters, name: str) -> bool:
    """Return whether a parameter is `true`. Raises ApiError if it is neither `true` nor `false`."""
    value = (parameters.text(name) or "false").lower()
    if value not in ("true", "false"):
        raise ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")
    return value == "true"


def client_id(parameters: Parameters, name: str) -> str:
    """Return the client's id of an order, empty if it sent none. Raises ApiError."""
    found = parameters.text(name) or ""
    if len(found) > LONGEST_ID:
        raise ApiError(-4015, "Client order id length should be less than 36 chars")
    if found and not _ID.fullmatch(found):
        legal = "^[\\.A-Z\\:/a-z0-9_-]{1,36}$"
        raise ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")
    return found


def one_way(parameters: Parameters) -> None:
    """Raise ApiError if a request names a position side of the hedge mode."""
    if (parameters.text("positionSide") or "BOTH") != "BOTH":
        raise ApiError(-4061, "Order's position side does not match user's setting.")


def side_of(parameters: Parameters) -> str:
    """Return the side of an order. Raises ApiError."""
    side = parameters.required("side")
    if side not in SIDES:
        raise ApiError(-1117, "Invalid side.")
    return side


def order_form(parameters: Parameters) -> OrderForm:
    """Return the order that a request states. Raises ApiError if it is no order of this endpoint."""
    symbol, side, kind = parameters.symbol(), side_of(parameters), parameters.required("type")
    if kind in CONDITIONAL:
        text = "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
        raise ApiError(-4120, text)
    if kind not in TYPES:
        raise ApiError(-1116, "Invalid orderType.")
    one_way(parameters)
    name = client_id(parameters, "newClientOrderId")
    reduces = flag(parameters, "reduceOnly")
    prevention = parameters.text("selfTradePreventionMode") or "EXPIRE_MAKER"
    quantity = needed(parameters, "quantity")
    if kind == "MARKET":
        for extra in ("price", "timeInForce"):
            if parameters.text(extra) is not None:
                raise ApiError(-1106, f"Parameter '{extra}' sent when not required.")
        return OrderForm(symbol, side, kind, "GTC", quantity, ZERO, reduces, name, 0, prevention)
    in_force = parameters.required("timeInForce")
    if in_force not in IN_FORCE:
        raise ApiError(-1115, "Invalid timeInForce.")
    price = needed(parameters, "price")
    good_till = int(needed(parameters, "goodTillDate")) if in_force == "GTD" else 0
    return OrderForm(symbol, side, kind, in_force, quantity, price, reduces, name, good_till, prevention)


def check_quantity(quantity: Decimal, filters: Filters, *, market: bool) -> None:
    """Raise ApiError unless a quantity (base asset) passes the filters of its symbol."""
    most = filters.max_market_quantity if market else filters.max_quantity
    if quantity <= 0:
        raise ApiError(-4003, "Quantity less than or equal to zero.")
    if quantity % filters.step:
        raise ApiError(-1111, "Precision is over the maximum defined for this asset.")
    if quantity < filters.min_quantity:
        raise ApiError(-4004, "Quantity less than min quantity.")
    if quantity > most:
        raise ApiError(-4005, "Quantity greater than max quantity.")


def check_price(price: Decimal, filters: Filters, mark: Decimal, *, is_buy: bool) -> None:
    """Raise ApiError unless a limit (quote) passes the filters of its symbol at a mark price."""
    if price <= 0:
        raise ApiError(-4001, "Price less than 0.")
    if price > filters.max_price:
        raise ApiError(-4002, "Price greater than max price.")
    if price < filters.min_price:
        raise ApiError(-4013, "Price less than min price.")
    if price % filters.tick:
        raise ApiError(-4014, "Price not increased by tick size.")
    highest, lowest = mark * filters.up, mark * filters.down
    if is_buy and price > highest:
        raise ApiError(-4016, f"Limit price can't be higher than {highest - highest % filters.tick}.")
    if not is_buy and price < lowest:
        raise ApiError(-4024, f"Limit price can't be lower than {lowest - lowest % filters.tick + filters.tick}.")


def check_notional(notional: Decimal, filters: Filters, *, reduces: bool) -> None:
    """Raise ApiError if the value (quote) of an order that is not reduce-only is too small."""
    if notional < filters.min_notional and not reduces:
        text = f"Order's notional must be no smaller than {filters.min_notional} (unless you choose reduce only)."
        raise ApiError(-4164, text)

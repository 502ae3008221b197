"""Algo orders: orders that wait for a trigger, and the form in which a request states one."""

from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.domain.money import ZERO
from ocw_mcp.sandbox.binance.account.orders import CONDITIONAL, client_id, decimal, flag, needed, one_way, side_of
from ocw_mcp.sandbox.binance.parameters import ApiError, Parameters

WITH_LIMIT: Final = ("STOP", "TAKE_PROFIT")
"""The types that place a limit order at their trigger; the others place a market order."""
IN_FORCE: Final = ("GTC", "IOC", "FOK", "GTX")
"""The times in force of the limit orders that algo orders place."""
LIVE: Final = ("NEW",)
"""The states of an algo order that still waits."""
MOST_LIVE: Final = 200
"""The most algo orders that wait, over all symbols."""
_HUNDRED: Final = Decimal(100)
_CALLBACKS: Final = (Decimal("0.1"), Decimal(20))


class AlgoOrder(msgspec.Struct):
    """An algo order. Quantities in the base asset, prices in quote currency, times in ms."""

    id: int
    client_id: str
    symbol: str
    side: str
    type: str
    quantity: Decimal
    """0 for an order that closes the position."""
    trigger: Decimal
    """For a trailing stop, the price at which it would trigger now; 0 as long as it is not active."""
    created: int = 0
    updated: int = 0
    price: Decimal = ZERO
    """The limit of the order that is placed at the trigger; 0 for a market order."""
    in_force: str = "GTC"
    working_type: str = "CONTRACT_PRICE"
    reduce_only: bool = False
    close_position: bool = False
    protected: bool = False
    prevention: str = "EXPIRE_MAKER"
    status: str = "NEW"
    order: int = 0
    """The id of the order that was placed at the trigger; 0 before."""
    executed: Decimal = ZERO
    average: Decimal = ZERO
    triggered: int = 0
    """When it triggered; 0 before."""
    reason: str = ""
    activation: Decimal = ZERO
    callback: Decimal = ZERO
    """The distance of a trailing stop from the best price since its activation, in percent; 0 for other types."""
    best: Decimal = ZERO
    active: bool = True

    @property
    def is_buy(self) -> bool:
        """True for a buy order, False for a sell order."""
        return self.side == "BUY"

    @property
    def places(self) -> str:
        """The type of the order that is placed at the trigger."""
        return "LIMIT" if self.price else "MARKET"

    @property
    def is_live(self) -> bool:
        """Whether the order still waits for its trigger."""
        return self.status in LIVE

    def reached(self, price: Decimal) -> bool:
        """Return whether a price triggers the order."""
        if not self.active or not price:
            return False
        upward = self.is_buy == (not self.type.startswith("TAKE_PROFIT"))
        return price >= self.trigger if upward else price <= self.trigger

    def follow(self, price: Decimal) -> bool:
        """Move a trailing stop with a price; return whether the price has activated the stop."""
        if not self.callback:
            return False
        activates = not self.active and (price <= self.activation if self.is_buy else price >= self.activation)
        if activates:
            self.active, self.best = True, price
        if self.active:
            self.best = min(self.best, price) if self.is_buy else max(self.best, price)
            share = self.callback / _HUNDRED
            self.trigger = self.best * (1 + share if self.is_buy else 1 - share)
        return activates


def algo_form(parameters: Parameters) -> AlgoOrder:
    """Return the algo order that a request states, without an id. Raises ApiError."""
    if parameters.required("algoType") != "CONDITIONAL":
        raise ApiError(-1130, "Data sent for parameter 'algoType' is not valid.")
    symbol, side, kind = parameters.symbol(), side_of(parameters), parameters.required("type")
    if kind not in CONDITIONAL:
        raise ApiError(-1116, "Invalid orderType.")
    one_way(parameters)
    closes, reduces = flag(parameters, "closePosition"), flag(parameters, "reduceOnly")
    quantity = decimal(parameters, "quantity")
    if closes and quantity is not None:
        raise ApiError(-4137, "Quantity must be zero with closePosition equals true")
    if closes and parameters.text("reduceOnly") is not None:
        raise ApiError(-4138, "Reduce only must be true with closePosition equals true")
    trails = kind == "TRAILING_STOP_MARKET"
    limited = kind in WITH_LIMIT
    if closes and (trails or limited):
        raise ApiError(-4136, f"Target strategy invalid for orderType {kind},closePosition true")
    if not closes:
        quantity = needed(parameters, "quantity")
    algo = AlgoOrder(
        id=0,
        client_id=client_id(parameters, "clientAlgoId"),
        symbol=symbol,
        side=side,
        type=kind,
        quantity=quantity or ZERO,
        trigger=ZERO if trails else needed(parameters, "triggerPrice"),
        price=needed(parameters, "price") if limited else ZERO,
        in_force="GTE_GTC" if closes else parameters.text("timeInForce") or "GTC",
        working_type=parameters.one_of("workingType", ("CONTRACT_PRICE", "MARK_PRICE"), "CONTRACT_PRICE"),
        reduce_only=reduces or closes,
        close_position=closes,
        protected=flag(parameters, "priceProtect"),
        prevention=parameters.text("selfTradePreventionMode") or "EXPIRE_MAKER",
    )
    if limited and algo.in_force not in IN_FORCE:
        raise ApiError(-1115, "Invalid timeInForce.")
    if trails:
        algo.callback = needed(parameters, "callbackRate")
        algo.activation = decimal(parameters, "activatePrice") or ZERO
        if not _CALLBACKS[0] <= algo.callback <= _CALLBACKS[1]:
            raise ApiError(-2007, "Invalid callBack rate.")
    return algo

"""The orders of the paper venue, and the checks with which it refuses one: filters, prices, leverage and money.

The texts of the refusals are the exchange's own. A resting order locks the money that it would need. A market
order locks only the asset that it sells; it is checked when it is sent, and again when it trades.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.adapters.venues.paper_account import PaperAccount
from ocw_mcp.core.matching.on_candles import FillTerms, passed, would_take
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import Order, OrderRef, OrderType, RejectReason, Side

VenueRefusal = tuple[RejectReason, str]
"""The reason of a refusal, and the message of the exchange."""

LIQUIDATION, STOP, TARGET, LIMIT = range(4)
"""The order of execution at one price."""

_STEP: Final = {
    Product.SPOT: (RejectReason.FILTER, "Filter failure: LOT_SIZE"),
    Product.UM: (RejectReason.FILTER, "Precision is over the maximum defined for this asset."),
}
_TICK: Final = {
    Product.SPOT: (RejectReason.FILTER, "Filter failure: PRICE_FILTER"),
    Product.UM: (RejectReason.FILTER, "Price not increased by tick size."),
}
_SMALLEST: Final = {
    Product.SPOT: (RejectReason.FILTER, "Filter failure: LOT_SIZE"),
    Product.UM: (RejectReason.FILTER, "Quantity less than or equal to zero."),
}
_LARGEST: Final = {
    Product.SPOT: (RejectReason.FILTER, "Filter failure: LOT_SIZE"),
    Product.UM: (RejectReason.FILTER, "Quantity greater than max quantity."),
}
_BAND: Final = {
    Product.SPOT: (RejectReason.FILTER, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    Product.UM: (RejectReason.FILTER, "Limit price is outside the price band around the mark price."),
}
_WOULD_TAKE: Final = {
    Product.SPOT: (RejectReason.WOULD_TAKE, "Order would immediately match and take."),
    Product.UM: (
        RejectReason.WOULD_TAKE,
        "Due to the order could not be executed as maker, the Post Only order will be rejected.",
    ),
}
_NO_MONEY: Final = {
    Product.SPOT: (RejectReason.INSUFFICIENT_BALANCE, "Account has insufficient balance for requested action."),
    Product.UM: (RejectReason.INSUFFICIENT_MARGIN, "Margin is insufficient."),
}
_STOP_CROSSED: Final = (RejectReason.WOULD_TRIGGER_IMMEDIATELY, "Order would immediately trigger.")
_TOO_LARGE: Final = (RejectReason.POSITION_LIMIT, "Exceeded the maximum allowable position at current leverage.")
_OCO_PRICES: Final = (
    RejectReason.WOULD_TRIGGER_IMMEDIATELY,
    "The relationship of the prices for the orders is not correct.",
)
_NO_IMMEDIATE: Final = (RejectReason.MALFORMED, "Invalid timeInForce.")
_NO_POSITION: Final = (
    RejectReason.NO_POSITION,
    "Time in Force (TIF) GTE can only be used with open positions. Please ensure that positions are available.",
)
_STOP_EXISTS: Final = (
    RejectReason.STOP_EXISTS,
    "An open stop or take profit order with GTE and closePosition in the direction is existing.",
)
_NO_OCO: Final = (RejectReason.MALFORMED, "Parameter 'take_at' sent when not required.")


class Resting(msgspec.Struct):
    """An order at the venue: its id there, when it was sent and when it arrives (ms).

    `arrives` is later than `since` by the latency. A fill sets `since` to the time of the fill.
    """

    order: Order
    venue_order_id: str
    since: int
    arrives: int
    trigger: float = 0.0
    """The trigger or limit price, as a float for a fast comparison."""
    falls: bool = False
    """Whether the price must fall to the trigger, rather than rise."""
    take: float | None = None
    """The take-profit price of an OCO."""
    takes: bool = False
    """Whether a limit order had crossed the last price when it was sent: it trades as a taker at the next opening."""
    filled: Decimal = ZERO
    fills: int = 0
    arrived: bool = False
    """On a live market: whether the order has arrived, and was matched with the quote of that time if there was one."""
    before: tuple[tuple[Decimal, int], ...] = ()
    """For a stop: the triggers of the looser stops that it replaced, each with the time (ms) at which it was placed."""

    def earlier_trigger(self, since: int) -> Decimal | None:
        """Return the tightest trigger of the replaced stops that were placed by `since` (ms); None without one."""
        return next((trigger for trigger, came in reversed(self.before) if came <= since), None)

    def fix_quantity(self, held: Decimal) -> None:
        """Give a stop that closes the whole position the quantity `held` of the position, until its first fill."""
        if self.order.close_position and not self.filled:
            self.order = msgspec.structs.replace(self.order, quantity=abs(held))

    @property
    def remaining(self) -> Decimal:
        """The quantity that has not traded, in the base asset."""
        return self.order.quantity - self.filled


class PriceHit(msgspec.Struct, frozen=True):
    """A price on a candle's path at which an order trades, or a position is liquidated (`resting` is None)."""

    price: Decimal
    rank: int
    resting: Resting | None = None


class MarketPrices(msgspec.Struct, frozen=True):
    """The prices (quote) against which an order is checked when it is sent; None if they are unknown."""

    last: Decimal | None
    trigger: Decimal | None
    """The price that triggers the order, if it is conditional."""
    taking: Decimal | None
    """The price at which the order would take, if it were executed at once."""


class PaperOrders(msgspec.Struct):
    """All orders at the venue: those that wait for an opening, limit orders, and conditional orders."""

    waiting: list[Resting] = []
    limits: list[Resting] = []
    conditional: list[Resting] = []

    def __iter__(self) -> Iterator[Resting]:
        yield from self.waiting
        yield from self.limits
        yield from self.conditional

    def find(self, ref: OrderRef) -> Resting | None:
        """Return the order of a reference, or None."""
        return next((each for each in self if each.order.ref == ref), None)

    def size_stops(self, symbol: str, held: Decimal) -> list[Resting]:
        """Give the stops that close the whole position `held` (signed) its quantity; return those without any left."""
        ending = []
        for each in self.conditional:
            if each.order.close_position and each.order.symbol == symbol:
                if held * each.order.side.sign >= 0:
                    ending.append(each)
                else:
                    each.fix_quantity(held)
        return ending

    def remove(self, resting: Resting) -> None:
        """Remove an order that is filled or cancelled."""
        for orders in (self.waiting, self.limits, self.conditional):
            if resting in orders:
                orders.remove(resting)


def reachable(orders: list[Resting], symbol: str, low: float, high: float) -> list[Resting]:
    """Return the orders of a symbol that a range of prices may reach, stops first."""
    # Most orders are out of reach, and no function is called for these.
    found = [
        each
        for each in orders
        if (low <= each.trigger if each.falls else high >= each.trigger)
        or (each.take is not None and (high >= each.take if each.falls else low <= each.take))
    ]
    found = [each for each in found if each.order.symbol == symbol] if found else found
    return sorted(found, key=lambda each: each.order.type is not OrderType.STOP_MARKET) if found else found


def nearness(resting: Resting) -> tuple[bool, float, bool]:
    """Return a sort key: orders below the price first, of each side the nearest first, at one price stops first."""
    near = -resting.trigger if resting.falls else resting.trigger
    return not resting.falls, near, resting.order.type is not OrderType.STOP_MARKET


def submit_refusal(
    order: Order, account: PaperAccount, orders: PaperOrders, terms: FillTerms, prices: MarketPrices
) -> VenueRefusal | None:
    """Return the refusal of an order when it is submitted; None if it passes."""
    if order.take_at is not None and (account.product is not Product.SPOT or order.type is not OrderType.STOP_MARKET):
        return _NO_OCO
    if order.immediate and (order.type is not OrderType.LIMIT or order.post_only):
        return _NO_IMMEDIATE
    last = prices.last
    price = last or order.limit_price or order.trigger_price
    if price is not None or order.symbol in account.instruments.filters:
        instrument = account.instruments.get(order.symbol, float(price or 0))
        if (refused := _filter_refusal(order, instrument, last)) is not None:
            return refused
    if order.close_position:
        if account.ledger.quantity(order.symbol) * order.side.sign >= 0:
            return _NO_POSITION
        kind = (order.symbol, order.side, order.type)
        resting = [each.order for each in orders.conditional if each.order.close_position]
        if any((each.symbol, each.side, each.type) == kind for each in resting):
            return _STOP_EXISTS
    if order.trigger_price is not None and prices.trigger is not None and passed(order, prices.trigger):
        return _STOP_CROSSED
    if order.take_at is not None and any(price and would_take(order, price) for price in (last, prices.taking)):
        return _OCO_PRICES
    if order.post_only and prices.taking is not None and would_take(order, prices.taking):
        return _WOULD_TAKE[account.product]
    market = prices.taking if order.trigger_price is None else last
    price = order.limit_price or market or last or order.trigger_price
    if price is None:
        return None
    fee = ZERO if account.product is Product.SPOT else order.quantity * price * terms.taker_fee
    return leverage_refusal(order, order.quantity, price, account, orders) or money_refusal(
        order, order.quantity, price, fee, account, orders
    )


def money_refusal(
    order: Order, quantity: Decimal, price: Decimal, fee: Decimal, account: PaperAccount, others: Iterable[Resting]
) -> VenueRefusal | None:
    """Return the refusal if the account cannot pay for a quantity (base asset) at a price, and a fee (quote) on top."""
    free = account.ledger.free()
    if account.product is Product.SPOT and order.side is Side.BUY:
        locked = sum((_resting_notional(each) for each in others if each.order.side is Side.BUY), ZERO)
        affordable = quantity * price <= free - locked
    elif account.product is Product.SPOT:
        sales = [each for each in others if (each.order.symbol, each.order.side) == (order.symbol, Side.SELL)]
        affordable = quantity <= account.ledger.quantity(order.symbol) - sum((each.remaining for each in sales), ZERO)
    else:
        for each in others:
            if not each.order.reduce_only:
                free -= _resting_notional(each) / account.leverage(each.order)
        position, opens = account.ledger.positions.get(order.symbol), quantity
        if position is not None and position.quantity * order.side.sign < 0:
            # The order closes first. That needs no margin, and releases the margin of the position for the rest.
            opens -= min(quantity, abs(position.quantity))
            free += position.margin + position.unrealised(price)
        affordable = order.reduce_only or not opens or opens * price / account.leverage(order) + fee <= free
    return None if affordable else _NO_MONEY[account.product]


def leverage_refusal(
    order: Order, quantity: Decimal, price: Decimal, account: PaperAccount, others: Iterable[Resting]
) -> VenueRefusal | None:
    """Return the refusal if an entry makes the position, with resting entries, too large for its leverage."""
    brackets = account.instruments.get(order.symbol, float(price)).brackets
    if brackets is None or order.reduce_only:
        return None
    after = account.ledger.quantity(order.symbol) * order.side.sign + quantity
    if after <= 0:
        return None
    same_side = (each for each in others if (each.order.symbol, each.order.side) == (order.symbol, order.side))
    notional = after * price + sum(map(_resting_notional, same_side))
    return _TOO_LARGE if account.leverage(order) > brackets.max_leverage(notional) else None


def _filter_refusal(order: Order, instrument: Instrument, last: Decimal | None) -> VenueRefusal | None:
    """Return the refusal of the first filter that an order fails; a market order's notional is at the last price."""
    product = instrument.product
    if order.quantity < instrument.min_quantity:
        return _SMALLEST[product]
    if order.quantity % instrument.step:
        return _STEP[product]
    market = order.type is not OrderType.LIMIT
    most = instrument.market_max_quantity if market else instrument.max_quantity
    if most is not None and order.quantity > most and not order.close_position:
        return _LARGEST[product]
    band = instrument.bid_band if order.side is Side.BUY else instrument.ask_band
    if order.limit_price is not None and last is not None and band and not band.contains(order.limit_price, last):
        return _BAND[product]
    prices = (order.limit_price, order.trigger_price, order.take_at)
    if any(price is not None and price % instrument.tick for price in prices):
        return _TICK[product]
    price = order.limit_price or last
    # As on futures, a reduce-only order may be smaller: a position must never be too small to close.
    if order.reduce_only or price is None or order.quantity * price >= instrument.min_notional:
        return None
    if product is Product.SPOT:
        return RejectReason.MIN_NOTIONAL, "Filter failure: NOTIONAL"
    least = plain(instrument.min_notional)
    return (
        RejectReason.MIN_NOTIONAL,
        f"Order's notional must be no smaller than {least} (unless you choose reduce only).",
    )


def _resting_notional(resting: Resting) -> Decimal:
    """Return the notional of the remaining quantity of a limit order at its limit; 0 for any other order."""
    limit = resting.order.limit_price
    return ZERO if limit is None else resting.remaining * limit

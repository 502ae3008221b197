"""What orders of the account trade at: the market's prices, sizes and rules, as decimals."""

from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Final

import msgspec

from ocw_mcp.domain.margin import Bracket, Brackets
from ocw_mcp.domain.money import ZERO, exact
from ocw_mcp.sandbox.binance.exchange_info import ExchangeInfo
from ocw_mcp.sandbox.binance.listing import assets
from ocw_mcp.sandbox.binance.market import SandboxMarket

LEVELS: Final = (5, 50, 1_000)
"""The numbers of levels of the order book that an order reads, one after the other, until it is filled."""
_TABLES: Final = {
    "BTCUSDT": ((300_000, 125, "0.004"), (800_000, 100, "0.005"), (3_000_000, 75, "0.0065"), (12_000_000, 50, "0.01")),
    "ETHUSDT": ((300_000, 100, "0.004"), (800_000, 75, "0.005"), (3_000_000, 50, "0.01")),
}
_TAIL: Final = ((70_000_000, 20, "0.025"), (230_000_000, 10, "0.05"), (480_000_000, 5, "0.1"), (800_000_000, 2, "0.25"))
_USUAL: Final = ((50_000, 75, "0.01"), (500_000, 50, "0.015"), (2_000_000, 25, "0.02"))


class Filters(msgspec.Struct, frozen=True):
    """The filters of a perpetual: prices and amounts in quote currency, quantities in the base asset."""

    tick: Decimal
    min_price: Decimal
    max_price: Decimal
    step: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    max_market_quantity: Decimal
    min_notional: Decimal
    up: Decimal
    """The highest price of a buy order, as a share of the mark price."""
    down: Decimal
    most_orders: int
    status: str


class Level(msgspec.Struct, frozen=True):
    """A price (quote) and what is left of its quantity (base asset)."""

    price: Decimal
    quantity: Decimal


class Prices:
    """The prices of the market for one account, which remembers what its own orders took from each state."""

    def __init__(self, market: SandboxMarket, info: ExchangeInfo) -> None:
        self.market = market
        self._info = info
        self._taken: dict[str, tuple[int, dict[tuple[bool, Decimal], Decimal]]] = {}
        """By symbol: the order book's update id, and by side and price what orders took."""
        self._marks: dict[str, tuple[int, Decimal]] = {}
        """By symbol: the last time (ms) for which the mark price was asked, and that price."""

    def filters(self, symbol: str, now: int) -> Filters:
        """Return the filters that exchangeInfo reports at a time (ms)."""
        row = self._info.payload((symbol,), now)["symbols"][0]
        by_type = {each["filterType"]: each for each in row["filters"]}
        price, lot, market_lot = by_type["PRICE_FILTER"], by_type["LOT_SIZE"], by_type["MARKET_LOT_SIZE"]
        percent = by_type["PERCENT_PRICE"]
        return Filters(
            Decimal(price["tickSize"]),
            Decimal(price["minPrice"]),
            Decimal(price["maxPrice"]),
            Decimal(lot["stepSize"]),
            Decimal(lot["minQty"]),
            Decimal(lot["maxQty"]),
            Decimal(market_lot["maxQty"]),
            Decimal(by_type["MIN_NOTIONAL"]["notional"]),
            Decimal(percent["multiplierUp"]),
            Decimal(percent["multiplierDown"]),
            by_type["MAX_NUM_ORDERS"]["limit"],
            row["status"],
        )

    def mark(self, symbol: str, at: int) -> Decimal:
        """Return the mark price (quote) at a time (ms); 0 before the first trade."""
        known = self._marks.get(symbol)
        if known is None or known[0] != at:
            found = self.market.mark(symbol, at)
            known = self._marks[symbol] = at, ZERO if found is None else exact(found.mark)
        return known[1]

    def last(self, symbol: str, at: int) -> Decimal:
        """Return the price (quote) of the last trade at a time (ms); 0 before the first."""
        found = self.market.last_trade(symbol, at)
        return ZERO if found is None else exact(found.price)

    def best(self, symbol: str, is_buy: bool, at: int) -> Decimal:
        """Return the price (quote) at which an order of a side takes first; 0 before the first trade."""
        found = self.market.quote(symbol, at)
        return ZERO if found is None else exact(found.ask if is_buy else found.bid)

    def levels(self, symbol: str, is_buy: bool, at: int) -> Iterator[Level]:
        """Yield the levels that an order of a side takes from, the best first, without what was taken of them."""
        seen = 0
        for count in LEVELS:
            bids, asks, update_id = self.market.depth(symbol, at, count)
            side = asks if is_buy else bids
            taken = self._of_state(symbol, update_id)
            for price, quantity in side[seen:]:
                level = exact(price)
                left = exact(quantity) - taken.get((is_buy, level), ZERO)
                if left > 0:
                    yield Level(level, left)
            seen = len(side)

    def take(self, symbol: str, is_buy: bool, price: Decimal, quantity: Decimal, update_id: int) -> None:
        """Record that an order of a side took a quantity of a price in a state of the order book."""
        taken = self._of_state(symbol, update_id)
        taken[is_buy, price] = taken.get((is_buy, price), ZERO) + quantity

    def left(self, symbol: str, is_buy: bool, level: Level, update_id: int) -> Decimal:
        """Return what is left (base asset) of a level in a state of the order book."""
        return max(ZERO, level.quantity - self._of_state(symbol, update_id).get((is_buy, level.price), ZERO))

    def update_id(self, symbol: str, at: int) -> int:
        """Return the number of the state of the order book at a time (ms)."""
        found = self.market.quote(symbol, at)
        return 0 if found is None else found.update_id

    def _of_state(self, symbol: str, update_id: int) -> dict[tuple[bool, Decimal], Decimal]:
        known = self._taken.get(symbol)
        if known is None or known[0] != update_id:
            known = self._taken[symbol] = update_id, {}
        return known[1]

    def price_text(self, symbol: str, price: Decimal) -> str:
        """Return a price as the exchange writes it."""
        return self.market.price_text(symbol, float(price))

    def quantity_text(self, symbol: str, quantity: Decimal) -> str:
        """Return a quantity as the exchange writes it."""
        return self.market.quantity_text(symbol, float(quantity))

    def quote_text(self, symbol: str, amount: Decimal) -> str:
        """Return an amount of quote currency as the exchange writes it."""
        return self.market.quote_text(symbol, float(amount))


@cache
def brackets(symbol: str) -> Brackets:
    """Return the margin brackets of a perpetual."""
    rows = _TABLES.get(symbol, _USUAL) + _TAIL
    return Brackets(tuple(Bracket(Decimal(cap), leverage, Decimal(rate)) for cap, leverage, rate in rows))


@cache
def margin_asset(symbol: str) -> str:
    """Return the asset in which margin, profit and fees of a perpetual are paid."""
    return assets(symbol)[1]

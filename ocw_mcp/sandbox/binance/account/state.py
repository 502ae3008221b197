"""The state of the account: its wallet, positions, orders, and what its user data streams report."""

from collections import deque
from decimal import Decimal
from typing import Any, Final

from ocw_mcp.domain.money import ZERO
from ocw_mcp.sandbox.binance.account.algo_orders import AlgoOrder
from ocw_mcp.sandbox.binance.account.events import Balance, Event, account_update
from ocw_mcp.sandbox.binance.account.orders import Fill, Order
from ocw_mcp.sandbox.binance.account.positions import Position, Wallet
from ocw_mcp.sandbox.binance.account.prices import Prices, brackets, margin_asset

MOST_ORDERS: Final = 20_000
"""The number of finished orders, and of finished algo orders, that are kept."""
MOST_FILLS: Final = 100_000
MOST_EVENTS: Final = 20_000
FIRST_ORDER: Final = 100_000_001
FIRST_TRADE: Final = 5_000_001
FIRST_ALGO: Final = 1_000_000_000_001


class EventLog:
    """The latest events, which each stream reads from a place of its own."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._dropped = 0

    @property
    def end(self) -> int:
        """The place behind the latest event."""
        return self._dropped + len(self._events)

    def add(self, event: Event) -> None:
        """Add an event; its time is not before that of the last one."""
        self._events.append(event)
        if len(self._events) > MOST_EVENTS:
            self._events.popleft()
            self._dropped += 1

    def read(self, place: int, until: int) -> tuple[list[Event], int]:
        """Return the events from a place on that are sent by a time (ms), and the place behind them."""
        found: list[Event] = []
        place = max(place, self._dropped)
        while place < self.end and self._events[place - self._dropped].at <= until:
            found.append(self._events[place - self._dropped])
            place += 1
        return found, place


class State:
    """What the account has. Amounts are in quote currency, quantities in the base asset."""

    def __init__(self, prices: Prices) -> None:
        self.prices = prices
        self.wallet = Wallet()
        self.positions: dict[str, Position] = {}
        self.orders: dict[int, Order] = {}
        self.open: dict[int, Order] = {}
        """The orders that can still trade."""
        self.fills: deque[Fill] = deque(maxlen=MOST_FILLS)
        self.algos: dict[int, AlgoOrder] = {}
        self.waiting: dict[int, AlgoOrder] = {}
        """The algo orders that wait for their trigger."""
        self.log = EventLog()
        self.multi_assets = False
        self.next_order, self.next_trade, self.next_algo = FIRST_ORDER, FIRST_TRADE, FIRST_ALGO

    def position(self, symbol: str) -> Position:
        """Return the position of a symbol, which may be zero."""
        if symbol not in self.positions:
            self.positions[symbol] = Position(symbol)
        return self.positions[symbol]

    def add_order(self, order: Order) -> None:
        """Keep an order; the oldest finished orders are forgotten."""
        self.orders[order.id] = self.open[order.id] = order
        forget(self.orders, self.open)

    def add_algo(self, algo: AlgoOrder) -> None:
        """Keep an algo order; the oldest finished ones are forgotten."""
        self.algos[algo.id] = self.waiting[algo.id] = algo
        forget(self.algos, self.waiting)

    def open_of(self, symbol: str) -> list[Order]:
        """Return the open orders of a symbol, the oldest first."""
        return [order for order in self.open.values() if order.symbol == symbol]

    def active_symbols(self) -> list[str]:
        """Return the symbols with a position, an open order or a waiting algo order."""
        symbols = {each.symbol for each in self.positions.values() if each.quantity}
        symbols |= {each.symbol for each in self.open.values()}
        return sorted(symbols | {each.symbol for each in self.waiting.values()})

    def assets(self) -> list[str]:
        """Return the assets with a balance, and USDT."""
        return sorted({"USDT", *self.wallet.balances})

    # Margin

    def of_asset(self, asset: str) -> list[Position]:
        """Return the positions whose margin is in an asset."""
        return [each for each in self.positions.values() if margin_asset(each.symbol) == asset]

    def cross_wallet(self, asset: str) -> Decimal:
        """Return the balance of an asset without the isolated margins."""
        return self.wallet.balances.get(asset, ZERO) - sum((each.wallet for each in self.of_asset(asset)), ZERO)

    def cross_profit(self, asset: str, at: int) -> Decimal:
        """Return the unrealized profit of the positions with cross margin."""
        open_ones = (each for each in self.of_asset(asset) if each.quantity and not each.isolated)
        return sum((each.profit(self.prices.mark(each.symbol, at)) for each in open_ones), ZERO)

    def sides(self, symbol: str) -> tuple[Decimal, Decimal]:
        """Return the values of the open buy orders and of the open sell orders that are not reduce-only."""
        values = {True: ZERO, False: ZERO}
        for order in self.open_of(symbol):
            if not order.reduce_only:
                values[order.is_buy] += order.left * order.price
        return values[True], values[False]

    def exposure(self, symbol: str, at: int, bid: Decimal = ZERO, ask: Decimal = ZERO) -> Decimal:
        """Return the largest value that the position can have after its orders and further ones of these values."""
        value = self.position(symbol).notional(self.prices.mark(symbol, at))
        bids, asks = self.sides(symbol)
        return max(abs(value + bids + bid), abs(value - asks - ask))

    def order_margin(self, symbol: str, at: int) -> Decimal:
        """Return the initial margin of the open orders of a symbol, beyond that of its position."""
        position = self.position(symbol)
        own = position.initial(self.prices.mark(symbol, at))
        return max(ZERO, self.exposure(symbol, at) / position.leverage - own)

    def available(self, asset: str, at: int) -> Decimal:
        """Return what is free for new orders: at least 0."""
        free = self.cross_wallet(asset) + self.cross_profit(asset, at)
        for position in self.of_asset(asset):
            if position.quantity and not position.isolated:
                free -= position.initial(self.prices.mark(position.symbol, at))
            free -= self.order_margin(position.symbol, at)
        return max(ZERO, free)

    def liquidation_price(self, position: Position, at: int) -> Decimal:
        """Return the mark price at which a position is liquidated; 0 if none is above 0, or without a position."""
        if not position.quantity:
            return ZERO
        cost, margin = position.quantity * position.entry, position.wallet
        if not position.isolated:
            asset = margin_asset(position.symbol)
            margin = self.cross_wallet(asset)
            for other in self.of_asset(asset):
                if other is not position and other.quantity and not other.isolated:
                    mark = self.prices.mark(other.symbol, at)
                    margin += other.profit(mark) - other.maintenance(mark)
        found = brackets(position.symbol).liquidation_price(position.quantity, cost, margin)
        return max(ZERO, found) if found is not None else ZERO

    # Events

    def balance(self, asset: str, change: Decimal = ZERO) -> Balance:
        """Return a balance for an event."""
        return Balance(asset, self.wallet.balances.get(asset, ZERO), self.cross_wallet(asset), change)

    def report(self, reason: str, at: int, position: Position, *, change: Decimal = ZERO) -> None:
        """Add ACCOUNT_UPDATE of a position and of the balance of its margin asset."""
        mark = self.prices.mark(position.symbol, at)
        balance = self.balance(margin_asset(position.symbol), change)
        self.log.add(account_update(reason, at, [balance], [(position, mark)]))


def forget(kept: dict[int, Any], needed: dict[int, Any]) -> None:
    """Remove the oldest values that are not needed, if there are too many."""
    if len(kept) > MOST_ORDERS:
        oldest = next((key for key in kept if key not in needed), None)
        if oldest is not None:
            del kept[oldest]

"""The account on spot: balances, orders and order lists, which follow the market.

An order fills as on futures: first from the levels of the order book, then as a maker when the best opposite price
reaches its limit. The fee is paid in the asset that a trade brings, so a buy brings less than its quantity.
"""

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from ocw_mcp.domain.money import ZERO, exact, floor_to
from ocw_mcp.sandbox.binance.account.plan import Plan
from ocw_mcp.sandbox.binance.account.positions import amount
from ocw_mcp.sandbox.binance.account.prices import Level, Prices
from ocw_mcp.sandbox.binance.account.state import FIRST_ORDER, FIRST_TRADE, MOST_FILLS, EventLog, forget
from ocw_mcp.sandbox.binance.exchange_info import ExchangeInfo
from ocw_mcp.sandbox.binance.listing import assets
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.binance.parameters import ApiError
from ocw_mcp.sandbox.binance.spot import payloads
from ocw_mcp.sandbox.binance.spot.orders import Checked, OrderList, SpotFill, SpotOrder, check_filters

FEE: Final = Decimal("0.001")
"""The fee of makers and takers, as a share of what a trade brings."""
FIRST_BALANCE: Final = Decimal(10_000)
_POOR: Final = "Account has insufficient balance for requested action."


class SpotAccount:
    """One account on spot. Times are in ms."""

    def __init__(self, market: SandboxMarket, info: ExchangeInfo, start: int) -> None:
        self.product, self.symbols = market.product, market.symbols
        self.prices = Prices(market, info)
        self.totals: dict[str, Decimal] = {"USDT": FIRST_BALANCE}
        self.orders: dict[int, SpotOrder] = {}
        self.open: dict[int, SpotOrder] = {}
        self.lists: dict[int, OrderList] = {}
        self.fills: deque[SpotFill] = deque(maxlen=MOST_FILLS)
        self.log = EventLog()
        self._market, self._info = market, info
        self._plan = Plan(start, self._follow)
        self._next_order, self._next_trade, self._next_list = FIRST_ORDER, FIRST_TRADE, 1

    @property
    def at(self) -> int:
        """The time up to which everything is processed."""
        return self._plan.at

    def plan(self, at: int, action: Callable[[int], None]) -> None:
        """Do something at a time, or at once if it has passed; `action` gets the time."""
        self._plan.add(at, action)

    def advance(self, until: int) -> None:
        """Process everything up to a time."""
        self._plan.advance(until)

    def locked(self, asset: str) -> Decimal:
        """Return what open orders hold of an asset; the orders of a list hold it once."""
        single = sum((self._held(order, asset) for order in self.open.values() if order.list_id < 0), ZERO)
        lists = {order.list_id for order in self.open.values() if order.list_id >= 0}
        return single + sum((max(self._held(each, asset) for each in self.lists[one].orders) for one in lists), ZERO)

    def _held(self, order: SpotOrder, asset: str) -> Decimal:
        base, quote = assets(order.symbol)
        if not order.is_open or asset != (quote if order.is_buy else base):
            return ZERO
        return order.left * (order.price or order.stop) if order.is_buy else order.left

    def free(self, asset: str) -> Decimal:
        """Return what is not locked of an asset."""
        return self.totals.get(asset, ZERO) - self.locked(asset)

    # Orders

    def place(self, order: SpotOrder, at: int) -> None:
        """Place an order. Raises ApiError if it is refused: then no order exists."""
        self._check(order, at)
        self._add(order, at)
        self._start(order, at)

    def place_list(self, above: SpotOrder, below: SpotOrder, name: str, at: int) -> OrderList:
        """Place two orders of which one cancels the other. Raises ApiError if they are refused."""
        if name and any(each.client_id == name and not each.done for each in self.lists.values()):
            raise ApiError(-2010, "Duplicate order sent.")
        last = self.prices.last(above.symbol, at)
        prices = [each.stop or each.price for each in (above, below)]
        if not prices[1] < last < prices[0]:
            raise ApiError(-2010, "The relationship of the prices for the orders is not correct.")
        for order in (above, below):
            self._check(order, at)
        number = self._next_list
        self._next_list += 1
        found = OrderList(number, name or f"sandboxlist{number}", above.symbol, (above, below), at)
        self.lists[number] = found
        for order in found.orders:
            order.list_id = number
            self._add(order, at)
        self.log.add(payloads.list_status(found, at))
        for order in found.orders:
            self._start(order, at)
        return found

    def cancel(self, order: SpotOrder, at: int, name: str = "") -> None:
        """Cancel an open order, and the other one of its list."""
        orders = self.lists[order.list_id].orders if order.list_id >= 0 else (order,)
        for each in orders:
            if each.is_open:
                self._end(each, "CANCELED", at, name or f"cancel{each.id}")
        self._report(order, at)
        self._finish_list(order, at)

    def _check(self, order: SpotOrder, at: int) -> None:
        last = self.prices.last(order.symbol, at)
        row = self._info.payload((order.symbol,), at)["symbols"][0]
        if not last or row["status"] != "TRADING":
            raise ApiError(-1013, "Market is closed.")
        if order.client_id and any(each.client_id == order.client_id for each in self.open.values()):
            raise ApiError(-2010, "Duplicate order sent.")
        own = [each for each in self.open.values() if each.symbol == order.symbol]
        check_filters(order, row, Checked(last, len(own), sum(each.waits for each in own)))
        base, quote = assets(order.symbol)
        best = self.prices.best(order.symbol, order.is_buy, at)
        if order.type == "LIMIT_MAKER" and order.crosses(best):
            raise ApiError(-2010, "Order would immediately match and take.")
        if order.stop and order.reached(last):
            raise ApiError(-2010, "Order would trigger immediately.")
        needed = order.quantity
        if order.is_buy:
            needed = order.amount or order.quantity * (order.price or order.stop or best)
        elif order.amount:
            needed = order.amount / best
        if needed > self.free(quote if order.is_buy else base):
            raise ApiError(-2010, _POOR)

    def _add(self, order: SpotOrder, at: int) -> None:
        order.id, order.created, order.updated = self._next_order, at, at
        self._next_order += 1
        order.client_id = order.client_id or f"sandbox{order.id}"
        order.working_since = -1 if order.stop else at
        self.orders[order.id] = self.open[order.id] = order
        forget(self.orders, self.open)

    def _start(self, order: SpotOrder, at: int) -> None:
        """Report a new order, and let it trade if it does not wait for a trigger."""
        self.log.add(payloads.execution(order, "NEW", at))
        self._report(order, at)
        if not order.waits:
            self._trade(order, at)

    def _trade(self, order: SpotOrder, at: int) -> None:
        """Take from the order book, and let the rest of an order wait or expire."""
        if order.in_force != "FOK" or self._fills(order, at):
            self._take(order, at)
        rests = bool(order.price) and order.in_force == "GTC"
        if order.is_open and not rests:
            self._end(order, "EXPIRED", at)
            self._report(order, at)
            self._finish_list(order, at)

    def _fills(self, order: SpotOrder, at: int) -> bool:
        left = order.left
        for level in self.prices.levels(order.symbol, order.is_buy, at):
            if left <= 0 or not order.crosses(level.price):
                break
            left -= level.quantity
        return left <= 0

    def _take(self, order: SpotOrder, at: int) -> None:
        """Take from the levels that an order crosses; an order of an amount takes as much as its amount pays for."""
        update_id = self.prices.update_id(order.symbol, at)
        step = Decimal(1).scaleb(-self._market.decimals(order.symbol)[1])
        parts, left, amount_left = list[Level](), order.left, order.amount
        for level in self.prices.levels(order.symbol, order.is_buy, at):
            most = floor_to(amount_left / level.price, step) if order.amount else left
            quantity = min(level.quantity, most)
            if quantity <= 0 or not order.crosses(level.price):
                break
            parts.append(Level(level.price, quantity))
            left -= quantity
            amount_left -= quantity * level.price
        if order.amount:
            order.quantity = sum((each.quantity for each in parts), ZERO)
        for part in parts:
            self.prices.take(order.symbol, order.is_buy, part.price, part.quantity, update_id)
            self._fill(order, part.quantity, part.price, at, maker=False)

    def _fill(self, order: SpotOrder, quantity: Decimal, price: Decimal, at: int, *, maker: bool) -> None:
        """Book a trade."""
        base, quote = assets(order.symbol)
        value = amount(quantity * price)
        got, gave = (base, quote) if order.is_buy else (quote, base)
        brought = quantity if order.is_buy else value
        fee = amount(brought * FEE)
        self.totals[got] = self.totals.get(got, ZERO) + brought - fee
        self.totals[gave] = self.totals.get(gave, ZERO) - (value if order.is_buy else quantity)
        fill = SpotFill(self._next_trade, order, price, quantity, fee, got, maker, at)
        self._next_trade += 1
        self.fills.append(fill)
        order.executed += quantity
        order.value += value
        order.updated = at
        order.status = "PARTIALLY_FILLED" if order.left else "FILLED"
        if order.status == "FILLED":
            self.open.pop(order.id, None)
        self._end_other(order, at)
        self.log.add(payloads.execution(order, "TRADE", at, fill))
        self._report(order, at)
        self._finish_list(order, at)

    def _end_other(self, order: SpotOrder, at: int) -> None:
        """Expire the other order of a list when one of them trades or triggers."""
        if order.list_id >= 0:
            for other in self.lists[order.list_id].orders:
                if other is not order and other.is_open:
                    self._end(other, "EXPIRED", at)

    def _finish_list(self, order: SpotOrder, at: int) -> None:
        found = self.lists.get(order.list_id)
        if found is not None and not found.done and not any(each.is_open for each in found.orders):
            found.done = True
            self.log.add(payloads.list_status(found, at))

    def _end(self, order: SpotOrder, status: str, at: int, cancel: str = "") -> None:
        order.status, order.updated = status, at
        self.open.pop(order.id, None)
        self.log.add(payloads.execution(order, status, at, cancel=cancel))

    def _report(self, order: SpotOrder, at: int) -> None:
        names = assets(order.symbol)
        self.log.add(payloads.account_position(at, [(each, self.free(each), self.locked(each)) for each in names]))

    # The market

    def _follow(self, since: int, until: int) -> None:
        """Process what the market does with since < time <= until."""
        rows = []
        for symbol in sorted({each.symbol for each in self.open.values()}):
            trades = self._market.trades(symbol, since, until)
            quotes = self._market.quotes(symbol, since, until)
            rows += [(at, symbol, each.price, quote) for (at, quote), each in zip(quotes, trades, strict=True)]
        rows.sort(key=lambda row: row[:2])
        for at, symbol, price, quote in rows:
            for order in [each for each in self.open.values() if each.symbol == symbol]:
                if order.waits and order.reached(exact(price)):
                    self._trigger(order, at)
                elif order.is_open and not order.waits:
                    best, size = (quote.ask, quote.ask_quantity) if order.is_buy else (quote.bid, quote.bid_quantity)
                    level = Level(exact(best), exact(size))
                    left = min(order.left, self.prices.left(symbol, order.is_buy, level, quote.update_id))
                    if order.crosses(level.price) and left > 0:
                        self.prices.take(symbol, order.is_buy, level.price, left, quote.update_id)
                        self._fill(order, left, order.price, at, maker=True)

    def _trigger(self, order: SpotOrder, at: int) -> None:
        order.working_since = order.updated = at
        self._end_other(order, at)
        self.log.add(payloads.execution(order, "NEW", at))
        self._trade(order, at)

    def fill_as_maker(self, order: SpotOrder, quantity: Decimal, at: int) -> None:
        """Let an order in the order book fill in part, as when another account takes from it."""
        self._fill(order, quantity, order.price, at, maker=True)

    # What the owner does in the exchange's app

    def owner_order(self, symbol: str, side: str, quantity: Decimal, price: Decimal | None, at: int) -> bool:
        """Place an order of the owner; return whether the exchange accepts it."""
        kind = "MARKET" if price is None else "LIMIT"
        name = f"web_{self._next_order}"
        try:
            self.place(SpotOrder(symbol, side, kind, quantity, price or ZERO, client_id=name), at)
        except ApiError:
            return False
        return True

    def owner_close(self, symbol: str, at: int) -> bool:
        """Sell what is free of the base asset at the market; return whether there was enough."""
        step = Decimal(1).scaleb(-self._market.decimals(symbol)[1])
        return self.owner_order(symbol, "SELL", floor_to(self.free(assets(symbol)[0]), step), None, at)

    def owner_cancel(self, symbol: str, at: int) -> int:
        """Cancel all orders of a symbol, and return how many there were."""
        orders = [each for each in self.open.values() if each.symbol == symbol]
        for order in orders:
            if order.is_open:
                self.cancel(order, at)
        return len(orders)

    def transfer(self, change: Decimal, at: int, asset: str = "USDT") -> bool:
        """Move an amount into the account, or out of it if it is below 0; return whether it was free."""
        if change < 0 and -change > self.free(asset):
            return False
        self.totals[asset] = self.totals.get(asset, ZERO) + amount(change)
        self.log.add(payloads.balance_update(at, asset, change))
        self.log.add(payloads.account_position(at, [(asset, self.free(asset), self.locked(asset))]))
        return True

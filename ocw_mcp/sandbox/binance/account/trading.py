"""Places, fills and cancels the orders of the account.

- An order first takes from the levels of the market's order book, each at its price, as a taker. What is left of a
  limit order rests, and fills at its limit as a maker when the best opposite price reaches it, at most with its
  quantity.
- The account's orders leave the market unchanged, but the account cannot take the same quantity of one state twice.
- A market order takes no price beyond the bound of the symbol around the mark price; what is left of it expires.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from ocw_mcp.domain.money import ZERO, exact
from ocw_mcp.sandbox.binance.account import events
from ocw_mcp.sandbox.binance.account.orders import (
    Fill,
    Order,
    OrderForm,
    check_notional,
    check_price,
    check_quantity,
)
from ocw_mcp.sandbox.binance.account.positions import amount
from ocw_mcp.sandbox.binance.account.prices import Filters, Level, brackets, margin_asset
from ocw_mcp.sandbox.binance.account.state import State
from ocw_mcp.sandbox.binance.parameters import ApiError
from ocw_mcp.sandbox.binance.values import Quote

MAKER, TAKER = Decimal("0.0002"), Decimal("0.0005")
"""The fees as shares of the value: those of an account without discounts."""
SOONEST_GTD: Final = 600_000
"""A good-till date is at least this far (ms) in the future."""
_REDUCE_FAILED: Final = "ReduceOnly Order Failed. Please check your existing position and open orders"
_FOK: Final = (
    "Due to the order could not be filled immediately, the FOK order has been rejected. "
    "The order will not be recorded in the order history"
)
_POST_ONLY: Final = (
    "Due to the order could not be executed as maker, the Post Only order will be rejected. "
    "The order will not be recorded in the order history"
)


class Trading:
    """The orders of the account."""

    def __init__(
        self,
        state: State,
        closed: Callable[[str, int], None],
        ended: Callable[[Order, int], None],
        plan: Callable[[int, Callable[[int], None]], None],
    ) -> None:
        """`closed` is called with symbol and time (ms) when a position ends or changes its side, `ended` when the order
        of an algo order is filled, cancelled or has expired.

        `plan` lets something happen at a time (ms).
        """
        self._state = state
        self._closed, self._ended = closed, ended
        self._plan = plan

    def place(self, form: OrderForm, at: int, *, owner: bool = False) -> Order:
        """Place an order, and return it. Raises ApiError if it is refused: then no order exists.

        `owner` is true for an order that the exchange's own app places: it may close a position beside other orders.
        """
        state, prices, symbol = self._state, self._state.prices, form.symbol
        filters, mark = prices.filters(symbol, at), prices.mark(symbol, at)
        if filters.status != "TRADING" or not mark:
            raise ApiError(-4141, "Symbol is closed.")
        if form.client_id and any(each.client_id == form.client_id for each in state.open.values()):
            raise ApiError(-4116, "ClientOrderId is duplicated.")
        check_quantity(form.quantity, filters, market=not form.price)
        if form.type == "LIMIT":
            check_price(form.price, filters, mark, is_buy=form.is_buy)
        best = prices.best(symbol, form.is_buy, at)
        price = form.price or best
        check_notional(form.quantity * (form.price or mark), filters, reduces=form.reduce_only)
        if form.in_force == "GTD" and form.good_till < at + SOONEST_GTD:
            raise ApiError(-1130, "Data sent for parameter 'goodTillDate' is not valid.")
        if form.reduce_only and not owner:
            self._check_reducing(form)
        if form.type == "LIMIT" and len(state.open_of(symbol)) >= filters.most_orders:
            raise ApiError(-2025, "Reach max open order limit.")
        order = self._order(form, at)
        self.check_in_force(order, at)
        if not form.reduce_only:
            self._check_margin(order, price, at)
        state.next_order += 1
        self._accept(order, filters, at)
        return order

    def place_triggered(self, order: Order, at: int) -> None:
        """Place the order of an algo order at its trigger."""
        self._accept(order, self._state.prices.filters(order.symbol, at), at)

    def new_order_id(self) -> int:
        """Return the id of the next order."""
        self._state.next_order += 1
        return self._state.next_order - 1

    def cancel(self, order: Order, at: int, status: str = "CANCELED") -> None:
        """End an open order."""
        order.status, order.updated = status, at
        del self._state.open[order.id]
        execution = "CANCELED" if status == "CANCELED" else "EXPIRED"
        self._state.log.add(events.order_update(order, execution, at, self._state.prices))
        if order.algo:
            self._ended(order, at)

    def amend(self, order: Order, quantity: Decimal, price: Decimal, at: int) -> None:
        """Change an open limit order, which loses its place; a quantity that is filled already ends the order.

        Raises ApiError if the new values are refused: then the order stays as it was.
        """
        prices = self._state.prices
        filters = prices.filters(order.symbol, at)
        if (quantity, price) == (order.quantity, order.price):
            raise ApiError(-5027, "No need to modify the order.")
        check_quantity(quantity, filters, market=False)
        check_price(price, filters, prices.mark(order.symbol, at), is_buy=order.is_buy)
        check_notional(quantity * price, filters, reduces=order.reduce_only)
        if quantity <= order.executed:
            self.cancel(order, at)
            return
        if order.in_force == "GTX" and self._would_take(order, price, at):
            raise ApiError(-5022, _POST_ONLY)
        if not order.reduce_only:
            more = max(ZERO, (quantity - order.executed) * price - order.left * order.price)
            self._check_room(order.symbol, order.is_buy, more, at)
        order.quantity, order.price, order.updated = quantity, price, at
        del self._state.open[order.id]
        self._state.open[order.id] = order
        self._state.log.add(events.order_update(order, "AMENDMENT", at, prices))
        self._take(order, None, at)

    def on_quote(self, symbol: str, quote: Quote, at: int) -> None:
        """Fill resting orders at a new state of the best prices."""
        for order in self._state.open_of(symbol):
            price = quote.ask if order.is_buy else quote.bid
            level = Level(exact(price), exact(quote.ask_quantity if order.is_buy else quote.bid_quantity))
            if not order.is_open or not order.crosses(level.price):
                continue
            left = self._state.prices.left(symbol, order.is_buy, level, quote.update_id)
            quantity = min(left, self._allowed(order))
            if quantity > 0:
                self._state.prices.take(symbol, order.is_buy, level.price, quantity, quote.update_id)
                self.fill(order, quantity, order.price, at, maker=True)

    def fill(
        self,
        order: Order,
        quantity: Decimal,
        price: Decimal,
        at: int,
        *,
        maker: bool,
        execution: str = "TRADE",
        rate: Decimal | None = None,
    ) -> Fill:
        """Book a trade of an order: position, wallet, and the events of both."""
        state, position = self._state, self._state.position(order.symbol)
        sign, asset = position.sign, margin_asset(order.symbol)
        fee = amount(quantity * price * ((MAKER if maker else TAKER) if rate is None else rate))
        realized = position.fill(order.sign * quantity, price, fee, at)
        fill = Fill(state.next_trade, order.id, order.symbol, order.side, price, quantity, fee, realized, maker, at)
        state.next_trade += 1
        state.fills.append(fill)
        book, number = state.wallet.book, fill.id
        book("REALIZED_PNL", asset, realized, at, symbol=order.symbol, info=str(number), trade=number)
        book("COMMISSION", asset, -fee, at, symbol=order.symbol, info=str(number), trade=number)
        order.executed += quantity
        order.value += quantity * price
        order.updated = at
        order.status = "PARTIALLY_FILLED" if order.left else "FILLED"
        if not order.left:
            state.open.pop(order.id, None)
        if execution == "TRADE":
            state.log.add(events.trade_lite(order, fill, state.prices))
        state.report("ORDER", at, position)
        state.log.add(events.order_update(order, execution, at, state.prices, fill))
        if sign and position.sign != sign:
            self._after_close(order, at)
        if order.algo and not order.is_open:
            self._ended(order, at)
        return fill

    def _after_close(self, order: Order, at: int) -> None:
        """Expire reduce-only orders that no longer reduce a position."""
        for other in self._state.open_of(order.symbol):
            if other.reduce_only and other is not order and not self._reducible(other.symbol, other.is_buy):
                self.cancel(other, at, "EXPIRED")
        self._closed(order.symbol, at)

    def _order(self, form: OrderForm, at: int) -> Order:
        number = self._state.next_order
        return Order(
            number,
            form.client_id or f"sandbox{number}",
            form.symbol,
            form.side,
            form.type,
            form.in_force,
            form.price,
            form.quantity,
            at,
            at,
            form.reduce_only,
            good_till=form.good_till,
            prevention=form.prevention,
        )

    def _accept(self, order: Order, filters: Filters, at: int) -> None:
        """Add an order, take from the order book, and let the rest of it wait or expire."""
        state = self._state
        state.add_order(order)
        state.log.add(events.order_update(order, "NEW", at, state.prices))
        bound = None
        if order.type == "MARKET":
            bound = state.prices.mark(order.symbol, at) * (filters.up if order.is_buy else filters.down)
        self._take(order, bound, at)
        rests = order.type == "LIMIT" and order.in_force not in ("IOC", "FOK")
        if order.is_open and not (rests and (self._allowed(order) or not order.reduce_only)):
            self.cancel(order, at, "EXPIRED")
        elif order.is_open and order.in_force == "GTD":
            self._plan(order.good_till, lambda later: self.cancel(order, later, "EXPIRED") if order.is_open else None)

    def _take(self, order: Order, bound: Decimal | None, at: int) -> None:
        """Take from the levels that an order crosses, up to a price `bound` (quote)."""
        state, prices, symbol, is_buy = self._state, self._state.prices, order.symbol, order.is_buy
        update_id = prices.update_id(symbol, at)
        for level in prices.levels(symbol, is_buy, at):
            beyond = bound is not None and (level.price > bound if is_buy else level.price < bound)
            if not order.crosses(level.price) or beyond or not self._allowed(order):
                return
            for own in state.open_of(symbol):
                met = own.price <= level.price if is_buy else own.price >= level.price
                if own.is_buy != is_buy and own.price and met and order.prevention == "EXPIRE_MAKER":
                    self.cancel(own, at, "EXPIRED_IN_MATCH")
            quantity = min(level.quantity, self._allowed(order))
            prices.take(symbol, is_buy, level.price, quantity, update_id)
            self.fill(order, quantity, level.price, at, maker=False)

    def _allowed(self, order: Order) -> Decimal:
        """Return how much of an order may still trade: a reduce-only order never more than the position."""
        if not order.is_open:
            return ZERO
        return min(order.left, self._reducible(order.symbol, order.is_buy)) if order.reduce_only else order.left

    def _reducible(self, symbol: str, is_buy: bool) -> Decimal:
        """Return the quantity by which an order of a side can reduce the position."""
        quantity = self._state.position(symbol).quantity
        return max(ZERO, -quantity if is_buy else quantity)

    def _check_reducing(self, form: OrderForm) -> None:
        """Raise ApiError if a reduce-only order would not reduce the position, or other orders do so already."""
        reducible = self._reducible(form.symbol, form.is_buy)
        if not reducible:
            raise ApiError(-2022, "ReduceOnly Order is rejected.")
        others = [each for each in self._state.open_of(form.symbol) if each.reduce_only and each.side == form.side]
        if others and sum((each.left for each in others), form.quantity) > reducible:
            raise ApiError(-4118, _REDUCE_FAILED)

    def check_in_force(self, order: Order, at: int) -> None:
        """Raise ApiError if a post-only order would take, or an order of all or nothing would not fill at once."""
        if order.in_force == "GTX" and self._would_take(order, order.price, at):
            raise ApiError(-5022, _POST_ONLY)
        if order.in_force == "FOK":
            left = order.quantity
            for level in self._state.prices.levels(order.symbol, order.is_buy, at):
                if left <= 0 or not order.crosses(level.price):
                    break
                left -= level.quantity
            if left > 0:
                raise ApiError(-5021, _FOK)

    def _would_take(self, order: Order, price: Decimal, at: int) -> bool:
        best = self._state.prices.best(order.symbol, order.is_buy, at)
        return bool(best) and (best <= price if order.is_buy else best >= price)

    def _check_margin(self, order: Order, price: Decimal, at: int) -> None:
        self._check_room(order.symbol, order.is_buy, order.quantity * price, at)

    def _check_room(self, symbol: str, is_buy: bool, value: Decimal, at: int) -> None:
        """Raise ApiError if the account has no margin for an order of a value, or no room in its bracket."""
        state, position = self._state, self._state.position(symbol)
        before = state.exposure(symbol, at)
        after = state.exposure(symbol, at, bid=value) if is_buy else state.exposure(symbol, at, ask=value)
        if after > before and after > brackets(symbol).cap(position.leverage):
            raise ApiError(-2027, "Exceeded the maximum allowable position at current leverage.")
        if (after - before) / position.leverage > state.available(margin_asset(symbol), at):
            raise ApiError(-2019, "Margin is insufficient.")

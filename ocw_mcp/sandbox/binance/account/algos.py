"""Places, triggers and ends the algo orders of the account."""

from decimal import Decimal

from ocw_mcp.sandbox.binance.account import events
from ocw_mcp.sandbox.binance.account.algo_orders import MOST_LIVE, WITH_LIMIT, AlgoOrder
from ocw_mcp.sandbox.binance.account.orders import Order, check_notional, check_price, check_quantity
from ocw_mcp.sandbox.binance.account.prices import margin_asset
from ocw_mcp.sandbox.binance.account.state import State
from ocw_mcp.sandbox.binance.account.trading import Trading
from ocw_mcp.sandbox.binance.parameters import ApiError

_ONLY_WITH_POSITION = (
    "Time in Force (TIF) GTE can only be used with open positions. Please ensure that positions are available."
)
_ONE_PER_DIRECTION = "An open stop or take profit order with GTE and closePosition in the direction is existing."


class Algos:
    """The algo orders of the account."""

    def __init__(self, state: State, trading: Trading) -> None:
        self._state = state
        self._trading = trading

    def place(self, algo: AlgoOrder, at: int) -> None:
        """Place an algo order. Raises ApiError if it is refused: then no order exists."""
        state, prices = self._state, self._state.prices
        filters, price = prices.filters(algo.symbol, at), self._price(algo, at)
        if filters.status != "TRADING" or not price:
            raise ApiError(-4141, "Symbol is closed.")
        if algo.client_id and any(each.client_id == algo.client_id for each in state.waiting.values()):
            raise ApiError(-4116, "ClientOrderId is duplicated.")
        if not algo.close_position:
            check_quantity(algo.quantity, filters, market=not algo.price)
            check_notional(algo.quantity * (algo.price or price), filters, reduces=algo.reduce_only)
        if algo.type in WITH_LIMIT:
            check_price(algo.price, filters, algo.trigger, is_buy=algo.is_buy)
        if not algo.callback and algo.trigger <= 0:
            raise ApiError(-4006, "Stop price less than zero.")
        if algo.callback:
            algo.active = not algo.activation
            algo.activation = algo.activation or price
            if not algo.active and (algo.activation >= price if algo.is_buy else algo.activation <= price):
                raise ApiError(-2021, "Order would immediately trigger.")
            algo.best = price
        elif algo.reached(price):
            raise ApiError(-2021, "Order would immediately trigger.")
        if algo.close_position:
            self._check_closing(algo)
        if len(state.waiting) >= MOST_LIVE:
            raise ApiError(-4045, "Reach max stop order limit.")
        algo.id, algo.created, algo.updated = state.next_algo, at, at
        algo.client_id = algo.client_id or f"sandbox{algo.id}"
        state.next_algo += 1
        state.add_algo(algo)
        if algo.callback and algo.active:
            # The exchange reports a trailing stop first as inactive, and again when it is active.
            algo.active = False
            self._report(algo, at)
            algo.active = True
            algo.follow(price)
        self._report(algo, at)

    def _check_closing(self, algo: AlgoOrder) -> None:
        position = self._state.position(algo.symbol)
        if not position.quantity or (position.quantity > 0) == algo.is_buy:
            raise ApiError(-4509, _ONLY_WITH_POSITION)
        for other in self._state.waiting.values():
            same = (other.symbol, other.side, other.type) == (algo.symbol, algo.side, algo.type)
            if other.close_position and same:
                raise ApiError(-4130, _ONE_PER_DIRECTION)

    def cancel(self, algo: AlgoOrder, at: int, status: str = "CANCELED", reason: str = "") -> None:
        """End an algo order that waits."""
        self._end(algo, status, at, reason)

    def on_price(self, symbol: str, price: Decimal, working_type: str, at: int) -> None:
        """Trigger the orders of a symbol that a last price (`CONTRACT_PRICE`) or a mark price reaches."""
        for algo in list(self._state.waiting.values()):
            if algo.symbol != symbol or algo.working_type != working_type or not algo.is_live:
                continue
            if algo.callback:
                if algo.active and algo.reached(price):
                    self._trigger(algo, at)
                elif algo.follow(price):
                    algo.updated = at
                    self._report(algo, at)
            elif algo.reached(price):
                self._trigger(algo, at)

    def waits_for(self, symbol: str, working_type: str) -> bool:
        """Return whether an order of a symbol waits for a kind of price."""
        return any(each.symbol == symbol and each.working_type == working_type for each in self._state.waiting.values())

    def position_closed(self, symbol: str, at: int) -> None:
        """Expire the orders that would have closed a position which has ended. Reduce-only orders stay."""
        sign = self._state.position(symbol).sign
        for algo in list(self._state.waiting.values()):
            closes = sign == (-1 if algo.is_buy else 1)
            if algo.symbol == symbol and algo.close_position and not closes:
                self.cancel(algo, at, "EXPIRED")

    def _price(self, algo: AlgoOrder, at: int) -> Decimal:
        prices = self._state.prices
        return (prices.mark if algo.working_type == "MARK_PRICE" else prices.last)(algo.symbol, at)

    def _trigger(self, algo: AlgoOrder, at: int) -> None:
        """Place the order of an algo order, and report how it ends."""
        state = self._state
        del state.waiting[algo.id]
        algo.status, algo.triggered, algo.updated = "TRIGGERING", at, at
        self._report(algo, at)
        quantity = abs(state.position(algo.symbol).quantity) if algo.close_position else algo.quantity
        order = Order(
            self._trading.new_order_id(),
            algo.client_id,
            algo.symbol,
            algo.side,
            algo.places,
            algo.in_force if algo.price else "GTC",
            algo.price,
            quantity,
            at,
            at,
            algo.reduce_only,
            algo.close_position,
            original_type=algo.type,
            stop_price=algo.trigger,
            working_type=algo.working_type,
            prevention=algo.prevention,
            algo=algo.id,
        )
        refused = self._refusal(algo, order, at)
        if refused:
            self._end(algo, "REJECTED", at, refused)
            return
        self._trading.place_triggered(order, at)
        algo.order, algo.status = order.id, "TRIGGERED"
        self._report(algo, at)
        if not order.is_open:
            self.order_ended(order, at)

    def order_ended(self, order: Order, at: int) -> None:
        """Finish the algo order whose order was filled, cancelled or has expired."""
        algo = self._state.algos.get(order.algo)
        if algo is not None and algo.status == "TRIGGERED":
            algo.executed, algo.average = order.executed, order.average
            self._end(algo, "FINISHED", at, "")

    def _refusal(self, algo: AlgoOrder, order: Order, at: int) -> str:
        """Return why the order of a triggered algo order is refused; empty if it is accepted."""
        state = self._state
        held = state.position(algo.symbol)
        if algo.reduce_only and held.sign * (1 if algo.is_buy else -1) >= 0:
            return "ReduceOnly Order is rejected."
        if not algo.reduce_only:
            value = order.quantity * (order.price or state.prices.mark(algo.symbol, at))
            sides = {"bid" if algo.is_buy else "ask": value}
            more = state.exposure(algo.symbol, at, **sides) - state.exposure(algo.symbol, at)
            if more / held.leverage > state.available(margin_asset(algo.symbol), at):
                return "Margin is insufficient."
        try:
            self._trading.check_in_force(order, at)
        except ApiError as error:
            return error.message
        return ""

    def _end(self, algo: AlgoOrder, status: str, at: int, reason: str) -> None:
        algo.status, algo.updated, algo.reason = status, at, reason
        self._state.waiting.pop(algo.id, None)
        self._report(algo, at)

    def _report(self, algo: AlgoOrder, at: int) -> None:
        self._state.log.add(events.algo_update(algo, at, self._state.prices))

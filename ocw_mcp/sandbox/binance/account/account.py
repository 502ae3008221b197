"""The account of the sandbox exchange: it follows the market, and its owner and the exchange act on it.

The account has no clock. `advance` processes, in the order of time, all that the market and planned actions do to it.
The result does not depend on how the time is divided into calls.
"""

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

from ocw_mcp.core.matching.funding import payment
from ocw_mcp.domain.margin import bankruptcy_price
from ocw_mcp.domain.money import ZERO, ceil_to, exact, floor_to
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.sandbox.binance.account import events
from ocw_mcp.sandbox.binance.account.algos import Algos
from ocw_mcp.sandbox.binance.account.orders import Order, OrderForm
from ocw_mcp.sandbox.binance.account.plan import Plan
from ocw_mcp.sandbox.binance.account.positions import Position, amount
from ocw_mcp.sandbox.binance.account.prices import Prices, margin_asset
from ocw_mcp.sandbox.binance.account.state import State
from ocw_mcp.sandbox.binance.account.trading import Trading
from ocw_mcp.sandbox.binance.exchange_info import ExchangeInfo
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.binance.parameters import ApiError
from ocw_mcp.sandbox.binance.values import Quote

FIRST_BALANCE: Final = Decimal(10_000)
"""What the account has at its start, USDT."""
WARNED_AT: Final = Decimal("0.8")
"""The maintenance margin, as a share of the margin that is left, from which a position gets a margin call."""
_FUNDING, _TRADE, _MARK = range(3)


class Account:
    """One account on USD-M futures in one-way mode. Times are in ms."""

    def __init__(self, market: SandboxMarket, info: ExchangeInfo, start: int) -> None:
        self.prices = Prices(market, info)
        self.state = State(self.prices)
        self.trading = Trading(
            self.state,
            lambda symbol, at: self.algos.position_closed(symbol, at),
            lambda order, at: self.algos.order_ended(order, at),
            self.plan,
        )
        self.algos = Algos(self.state, self.trading)
        self.product, self.symbols = market.product, market.symbols
        self._market = market
        self._plan = Plan(start, self._follow)
        self.state.wallet.book("TRANSFER", "USDT", FIRST_BALANCE, start, info="TRANSFER")

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

    def _follow(self, since: int, until: int) -> None:
        """Process what the market does with since < time <= until."""
        symbols = self.state.active_symbols()
        if not symbols:
            return
        rows: list[tuple[int, int, str, Quote | None, float]] = []
        for symbol in symbols:
            trades = self._market.trades(symbol, since - SECOND, until)
            times = {each.at + -each.at % SECOND for each in trades}
            times |= set(range(since + MINUTE - since % MINUTE, until + 1, MINUTE))
            rows += [(at, _MARK, symbol, None, 0.0) for at in times if since < at <= until]
            quotes = self._market.quotes(symbol, since, until)
            latest = trades[len(trades) - len(quotes) :]
            rows += [(at, _TRADE, symbol, quote, each.price) for (at, quote), each in zip(quotes, latest, strict=True)]
            rates = self._market.funding(symbol, since, until)
            rows += [(rate.at, _FUNDING, symbol, None, rate.rate) for rate in rates]
        rows.sort(key=lambda row: row[:3])
        for at, kind, symbol, quote, value in rows:
            if kind == _TRADE and quote is not None:
                self.algos.on_price(symbol, exact(value), "CONTRACT_PRICE", at)
                self.trading.on_quote(symbol, quote, at)
            elif kind == _MARK:
                self._at_mark(symbol, at)
            elif kind == _FUNDING:
                self._fund(symbol, exact(value), at)

    def _at_mark(self, symbol: str, at: int) -> None:
        position = self.state.position(symbol)
        if position.quantity:
            self._check_margin(position, at)
        if self.algos.waits_for(symbol, "MARK_PRICE"):
            self.algos.on_price(symbol, self.prices.mark(symbol, at), "MARK_PRICE", at)

    def _fund(self, symbol: str, rate: Decimal, at: int) -> None:
        """Settle the funding of a position."""
        position = self.state.position(symbol)
        paid = amount(payment(position.quantity, self.prices.mark(symbol, at), rate))
        if not paid:
            return
        asset = margin_asset(symbol)
        self.state.wallet.book("FUNDING_FEE", asset, paid, at, symbol=symbol, info="FUNDING_FEE")
        shown = []
        if position.isolated:
            position.wallet += paid
            shown = [(position, self.prices.mark(symbol, at))]
        balances = [self.state.balance(asset, paid)]
        self.state.log.add(events.account_update("FUNDING_FEE", at, balances, shown, symbol))

    # Liquidation

    def _check_margin(self, position: Position, at: int) -> None:
        """Liquidate a position whose margin no longer covers its maintenance margin; warn before."""
        state, mark, asset = self.state, self.prices.mark(position.symbol, at), margin_asset(position.symbol)
        concerned = [position]
        if position.isolated:
            left, needed = position.wallet + position.profit(mark), position.maintenance(mark)
        else:
            concerned = [each for each in state.of_asset(asset) if each.quantity and not each.isolated]
            left = state.cross_wallet(asset) + state.cross_profit(asset, at)
            marks = {each.symbol: self.prices.mark(each.symbol, at) for each in concerned}
            needed = sum((each.maintenance(marks[each.symbol]) for each in concerned), ZERO)
        if left <= needed:
            for each in concerned:
                self._liquidate(each, at)
        elif needed >= left * WARNED_AT and not position.warned:
            position.warned = True
            state.log.add(events.margin_call(at, state.cross_wallet(asset), position, mark))

    def _liquidate(self, position: Position, at: int) -> None:
        """Close a position for the exchange: an isolated one costs all of its margin, a cross one the usual fee."""
        state, symbol, asset = self.state, position.symbol, margin_asset(position.symbol)
        for order in state.open_of(symbol):
            self.trading.cancel(order, at, "EXPIRED")
        price, share = self.prices.mark(symbol, at), Decimal("0.0125")
        if position.isolated:
            price = bankruptcy_price(position.quantity, position.quantity * position.entry, position.wallet)
        tick = self.prices.filters(symbol, at).tick
        rounded = ceil_to(price, tick) if position.quantity > 0 else floor_to(price, tick)
        before, isolated = position.wallet, position.isolated
        value = abs(position.quantity) * rounded
        fill = self._forced(position, abs(position.quantity), max(tick, rounded), f"autoclose-{at}", at)
        balance = state.wallet.balances[asset]
        cleared = -(before + fill) if isolated else -min(value * share, balance)
        state.wallet.book("INSURANCE_CLEAR", asset, amount(cleared), at, symbol=symbol, info="INSURANCE_CLEAR")
        state.report("INSURANCE_CLEAR", at, position, change=amount(cleared))

    def _forced(self, position: Position, quantity: Decimal, price: Decimal, client_id: str, at: int) -> Decimal:
        """Close a part of a position at a price without a fee, and return the realized profit (quote)."""
        side = "SELL" if position.quantity > 0 else "BUY"
        number = self.trading.new_order_id()
        order = Order(
            number, client_id, position.symbol, side, "LIMIT", "IOC", price, quantity, at, at, reduce_only=True
        )
        self.state.add_order(order)
        self.state.log.add(events.order_update(order, "NEW", at, self.prices))
        return self.trading.fill(order, quantity, price, at, maker=False, execution="CALCULATED", rate=ZERO).realized

    # What the owner does in the exchange's app, and what the exchange does

    def owner_order(self, symbol: str, side: str, quantity: Decimal, price: Decimal | None, at: int) -> bool:
        """Place an order of the owner; return whether the exchange accepts it."""
        kind, in_force = ("MARKET", "GTC") if price is None else ("LIMIT", "GTC")
        name = f"web_{self.state.next_order}"
        form = OrderForm(symbol, side, kind, in_force, quantity, price or ZERO, client_id=name)
        return self._accepted(form, at)

    def owner_close(self, symbol: str, at: int) -> bool:
        """Close the position of a symbol at the market; return whether there was one."""
        quantity = self.state.position(symbol).quantity
        name = f"web_{self.state.next_order}"
        side = "SELL" if quantity > 0 else "BUY"
        form = OrderForm(symbol, side, "MARKET", "GTC", abs(quantity), reduce_only=True, client_id=name)
        return bool(quantity) and self._accepted(form, at)

    def _accepted(self, form: OrderForm, at: int) -> bool:
        try:
            self.trading.place(form, at, owner=True)
        except ApiError:
            return False
        return True

    def owner_cancel(self, symbol: str, at: int) -> int:
        """Cancel all orders and algo orders of a symbol, and return how many there were."""
        orders = self.state.open_of(symbol)
        algos = [each for each in self.state.waiting.values() if each.symbol == symbol]
        for order in orders:
            self.trading.cancel(order, at)
        for algo in algos:
            self.algos.cancel(algo, at)
        return len(orders) + len(algos)

    def transfer(self, change: Decimal, at: int, asset: str = "USDT") -> bool:
        """Move an amount into the account, or out of it if it is below 0; return whether it was free."""
        if change < 0 and -change > self.state.available(asset, at):
            return False
        self.state.wallet.book("TRANSFER", asset, amount(change), at, info="TRANSFER")
        balance = self.state.balance(asset, change)
        self.state.log.add(events.account_update("DEPOSIT" if change > 0 else "WITHDRAW", at, [balance]))
        return True

    def deleverage(self, symbol: str, share: Decimal, at: int) -> bool:
        """Close a share of a position at the mark price, as the exchange's auto-deleveraging does."""
        position, filters = self.state.position(symbol), self.prices.filters(symbol, at)
        quantity = ceil_to(abs(position.quantity) * share, filters.step)
        if not quantity:
            return False
        mark = self.prices.mark(symbol, at)
        rounding = ROUND_FLOOR if position.quantity > 0 else ROUND_CEILING
        price = (mark / filters.tick).to_integral_value(rounding) * filters.tick
        self._forced(position, min(quantity, abs(position.quantity)), price, "adl_autoclose", at)
        return True

"""The orders that close positions, the account as the risk officer sees it, and the present use of each limit."""

from decimal import ROUND_CEILING, Decimal
from fnmatch import fnmatchcase
from functools import lru_cache

import msgspec

from ocw_mcp.core.orders.chase import Chase
from ocw_mcp.core.orders.ledger import Ledger
from ocw_mcp.core.orders.table import OrderStatus, OrderTable, TrackedOrder
from ocw_mcp.core.risk.account import AccountView, PositionTerms
from ocw_mcp.core.risk.counters import Budget
from ocw_mcp.core.risk.limits import ALL_LIMITS, AT_LEAST, bound_of
from ocw_mcp.core.risk.prices import smallest
from ocw_mcp.core.risk.verdict import LimitUse
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.money import ONE, ZERO, ceil_to, floor_to, plain
from ocw_mcp.domain.orders import RULES, OrderIntent, OrderType, Purpose, Side
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.price_board import PriceBoard, Quote

NO_PRICE = Refusal(RefusalCode.NO_PRICE, limit="a price", actual="none")
EXIT_UNDER_WAY = Refusal(RefusalCode.EXIT_PENDING, limit="no exit under way", actual="under way")
SECOND_EXIT = Refusal(RefusalCode.EXIT_PENDING, limit="one exit", actual="under way")

_REDUCES_BY = {
    Purpose.STOP: OrderType.STOP_MARKET,
    Purpose.TARGET: OrderType.TAKE_PROFIT_MARKET,
    Purpose.EXIT: OrderType.MARKET,
}


class Reductions:
    """The part of the order manager that reads the positions and their live exits."""

    def __init__(self, config: EngineConfig, account: Account, prices: PriceBoard) -> None:
        self.config = config
        self.account = account
        self.prices = prices
        self.orders = OrderTable()
        self.spot = config.product is Product.SPOT
        self.chases: dict[str, Chase] = {}
        """The entries that are chased, by symbol; see `engine.chase`."""

    def reduction(
        self,
        symbol: str,
        purpose: Purpose,
        principal: str,
        *,
        key: str = "",
        trigger: Decimal | None = None,
        target: Decimal | None = None,
        wake_id: int | None = None,
        close_position: bool = False,
    ) -> OrderIntent:
        """Return the order that would close a symbol's whole position; a stop with a `target` is an OCO order (spot).

        The quantity excludes the part that live exits are closing, except for a stop or target on futures. A stop with
        `close_position` closes the position that is open when it triggers.
        """
        quantity = self.account.ledger.quantity(symbol)
        left = abs(quantity) - (self.selling(symbol) if self.spot or purpose is Purpose.EXIT else ZERO)
        return OrderIntent(
            idempotency_key=key,
            principal=principal,
            symbol=symbol,
            side=Side.SELL if quantity > 0 else Side.BUY,
            type=_REDUCES_BY[purpose],
            purpose=purpose,
            quantity=left if left > ZERO else abs(quantity),
            trigger_price=trigger,
            target_at=target,
            wake_id=wake_id,
            close_position=close_position,
        )

    def selling(self, symbol: str) -> Decimal:
        """Return how much (base asset) of a position live exits are closing; see `counts`.

        Spot has no reduce-only orders. There, an exit of unknown outcome counts, too, if the account may have more of
        the asset than the book: then the exchange would not refuse a second sale of the same quantity.
        """
        exits = self.orders.live(symbol, Purpose.EXIT)
        every = self.spot and symbol in self.account.exchange.shared
        return sum((each.remaining for each in exits if every or counts(each)), ZERO)

    def exit_under_way(self, symbol: str) -> bool:
        """Return whether a live exit is closing a part of the position."""
        return self.selling(symbol) > ZERO

    def exit_unknown(self, symbol: str) -> bool:
        """Return whether a live exit may not close its part of the position: its outcome is not known."""
        return any(not counts(each) for each in self.orders.live(symbol, Purpose.EXIT))

    def closing(self, symbol: str) -> bool:
        """Return whether live exits close all of a position that can be sold."""
        selling = self.selling(symbol)
        return selling > ZERO and selling >= self._on_step(symbol, abs(self.account.ledger.quantity(symbol)))

    def to_cover(self, symbol: str) -> Decimal:
        """Return how much (base asset) of a position its stop has to cover, rounded down to the quantity step.

        On spot, the part that live exits are selling is excluded.
        """
        selling = self.selling(symbol) if self.spot else ZERO
        return self._on_step(symbol, max(ZERO, abs(self.account.ledger.quantity(symbol)) - selling))

    def _on_step(self, symbol: str, quantity: Decimal) -> Decimal:
        instrument = self.prices.instruments.get(symbol)
        return quantity if instrument is None else floor_to(quantity, instrument.step)

    def too_small(self, symbol: str) -> bool:
        """Return whether the part of a spot position that no exit is selling is too small to be sold."""
        instrument, price = self.prices.instruments[symbol], self.account.ledger.marks[symbol]
        quantity = self.to_cover(symbol)
        return quantity < instrument.min_quantity or quantity * price < instrument.min_notional

    def least_sold(self, symbol: str) -> Decimal:
        """Return the smallest part (base asset) of a position that can be sold.

        The exchange's minimum notional applies to reductions on spot, but not on futures.
        """
        instrument = self.prices.instruments[symbol]
        return smallest(instrument, self.account.ledger.marks[symbol]) if self.spot else instrument.min_quantity

    def part(self, symbol: str, quantity: Decimal, account: AccountView) -> Decimal | Refusal:
        """Return how much of a position a request to sell `quantity` (base asset) sells, or why it sells nothing.

        If the remaining quantity would be too small to sell, the request sells the whole position. A live exit refuses
        the request, because both could sell too much; on futures an exit of unknown outcome does not.
        """
        instrument, held, spot = account.instrument, abs(account.quantity), self.spot
        if not (quantity.is_finite() and quantity > ZERO):
            return Refusal(RefusalCode.BAD_SIZE, limit="a quantity above 0", actual=str(quantity))
        if any(self.orders.live(symbol, Purpose.EXIT)) if spot else self.exit_under_way(symbol):
            return EXIT_UNDER_WAY
        least, sold = self.least_sold(symbol), floor_to(min(quantity, held), instrument.step)
        if held - sold < smallest(instrument, account.price):
            return held
        if sold < least:
            return Refusal(RefusalCode.BELOW_MINIMUM, limit=f"{plain(least)} units", actual=f"{plain(sold)} units")
        return sold

    def is_dust(self, symbol: str, *, sold: bool) -> bool:
        """Return whether a position is too small to be sold, and no live order or chased entry may change its size.

        After a sale (`sold`), entries are ignored, because they must not open the position again.
        """
        position = self.account.ledger.positions.get(symbol)
        if position is None or (symbol in self.chases and not sold):
            return False
        quantity = floor_to(abs(position.quantity), self.prices.instruments[symbol].step)
        instrument, price = self.prices.instruments[symbol], self.account.ledger.marks[symbol]
        if quantity >= instrument.min_quantity and quantity * price >= instrument.min_notional:
            return False
        return not any(
            each.filled or each.purpose is Purpose.EXIT if each.purpose.reduces else not sold
            for each in self.orders.live(symbol)
            # As everywhere, an exit of unknown outcome does not count.
            if not (each.purpose is Purpose.EXIT and each.status is OrderStatus.UNKNOWN)
        )


def counts(tracked: TrackedOrder) -> bool:
    """Return whether a live exit counts as under way: its outcome is known, and its cancel was not requested."""
    return tracked.status is not OrderStatus.UNKNOWN and not tracked.cancel_requested


def split(quantity: Decimal, instrument: Instrument | None) -> list[Decimal]:
    """Return the quantities (base asset) of the market orders that together trade a quantity: as few as possible.

    They are about equal, so that none is too small, and each is a multiple of the step if the quantity is one.
    """
    most = None if instrument is None else instrument.market_max_quantity
    if instrument is None or most is None or quantity <= most:
        return [quantity]
    number = int((quantity / max(instrument.step, floor_to(most, instrument.step))).to_integral_value(ROUND_CEILING))
    parts: list[Decimal] = []
    for left in range(number, 0, -1):
        parts.append(min(quantity, ceil_to(quantity / left, instrument.step)))
        quantity -= parts[-1]
    return parts


class Reserved(msgspec.Struct):
    """The budget (quote, base asset) of live entries at their worst fill, including entries of unknown outcome."""

    notional: Decimal = ZERO
    margin: Decimal = ZERO
    quantity: Decimal = ZERO


def account_view(
    book: Reductions, symbol: str, quote: Quote, now: int, orders: OrderTable | None = None
) -> AccountView:
    """Return the account as the risk officer sees it for one symbol at its quote; `orders` defaults to the book's."""
    config, account, prices = book.config, book.account, book.prices
    orders = book.orders if orders is None else orders
    ledger = account.ledger
    reserved = reserved_by(orders)
    pending = sum((each.notional for each in reserved.values()), ZERO)
    own = reserved.get(symbol) or Reserved()
    quantity, equity = ledger.quantity(symbol), ledger.equity()
    patterns = config.policies.correlated.symbols
    together = correlated_exposure(patterns, ledger, orders) if moves_together(symbol, patterns) else {}
    opened, liquidity = account.opened.get(symbol), prices.book(symbol, now)
    return AccountView(
        version=account.version,
        now=now,
        mode=config.mode,
        agent=config.agent,
        state=account.trading_state,
        product=config.product,
        instrument=quote.instrument,
        equity=equity,
        gross=ledger.gross() + pending,
        quantity=quantity,
        symbol_notional=abs(quantity) * quote.price + own.notional,
        price=quote.price,
        # The last price of an ended symbol, or of one without reliable data, is stale at once.
        price_age_ms=quote.age_ms + (prices.age_limit_ms + 1 if symbol in {**account.ended, **prices.degraded} else 0),
        price_age_limit_ms=prices.age_limit_ms,
        daily_loss_reached=account.day.today.reached,
        daily_loss=account.day.loss(equity),
        day_opening=account.day.today.opening,
        correlated_long=together.get(Side.BUY),
        correlated_short=together.get(Side.SELL),
        other_symbols=len({*ledger.positions, *reserved} - {symbol}),
        pace=account.activity.seen(symbol, now, pending),
        free_margin=free_margin(ledger, equity, reserved) - account.exchange.margin_elsewhere,
        symbol_quantity=abs(quantity) + own.quantity,
        held=joined(symbol, ledger, orders),
        opened=opened.side if opened is not None and opened.principal != RULES else None,
        spread=liquidity.spread if liquidity is not None else None,
        bid_depth=liquidity.bid_depth if liquidity is not None else None,
        ask_depth=liquidity.ask_depth if liquidity is not None else None,
        unreconciled=account.exchange.objection(),
        busy_ms=max(0, account.exchange.busy_until - now),
        adopted=account.exchange.stands_in(symbol),
        regime=account.outlook.level(now),
        macro=account.outlook.quadrant(now),
        anomaly=account.outlook.anomalies.quantile(symbol, now),
        begun=account.day.today.day != "",
    )


def free_margin(ledger: Ledger, equity: Decimal, reserved: dict[str, Reserved]) -> Decimal:
    """Return the margin (quote) that no position or live entry uses. An unrealised loss is deducted, a gain is not."""
    lost = min(ZERO, equity - ledger.wallet)
    return ledger.free() + lost - sum((each.margin for each in reserved.values()), ZERO)


def reserved_by(orders: OrderTable) -> dict[str, Reserved]:
    """Return the budget that live entries reserve, by symbol."""
    reserved: dict[str, Reserved] = {}
    for tracked in orders.live(purpose=Purpose.ENTRY):
        own, notional = reserved.setdefault(tracked.order.symbol, Reserved()), tracked.remaining * tracked.worst_price
        own.notional += notional
        own.margin += notional / tracked.order.leverage
        own.quantity += tracked.remaining
    return reserved


def joined(symbol: str, ledger: Ledger, orders: OrderTable) -> PositionTerms | None:
    """Return the average price and leverage of a symbol's position, or of its live entry; None if neither exists."""
    position = ledger.positions.get(symbol)
    if position is not None:
        lost = max(ZERO, abs(position.cost) / position.leverage - position.margin) / abs(position.quantity)
        return PositionTerms(position.average_price, position.leverage, lost)
    first = next(orders.live(symbol, Purpose.ENTRY), None)
    return PositionTerms(first.worst_price, first.order.leverage) if first is not None else None


@lru_cache(maxsize=4_096)
def moves_together(symbol: str, patterns: tuple[str, ...]) -> bool:
    """Return whether a symbol is one of the correlated symbols of the policy."""
    return any(fnmatchcase(symbol, pattern) for pattern in patterns)


def correlated_exposure(patterns: tuple[str, ...], ledger: Ledger, orders: OrderTable) -> dict[Side, Decimal]:
    """Return the notional (quote) of positions and live entries in correlated symbols, per side."""
    together = {Side.BUY: ZERO, Side.SELL: ZERO}
    for symbol, position in ledger.positions.items():
        if moves_together(symbol, patterns):
            side = Side.BUY if position.quantity > 0 else Side.SELL
            together[side] += abs(position.quantity) * ledger.marks[symbol]
    for tracked in orders.live(purpose=Purpose.ENTRY):
        if moves_together(tracked.order.symbol, patterns):
            together[tracked.order.side] += tracked.remaining * tracked.worst_price
    return together


def limit_usage(book: Reductions, budget: Budget, now: int) -> list[dict[str, str]]:
    """Return one row per key of a limit with a used amount: `name`, `bound` (at most, at least), `limit` and `used`.

    All values are text in the unit of the policy file. Size limits are multiplied by the `[scale]` of the policy. Live
    entries count with their reserved budget. For an `at least` limit, `used` is the present amount.
    """
    policies, ledger = book.config.policies, book.account.ledger
    # A symbol with a position or an entry counts, and one correlated symbol; if there are none, any symbol does.
    standing = {*ledger.positions, *(each.order.symbol for each in book.orders.live(purpose=Purpose.ENTRY))}
    as_one = [symbol for symbol in book.config.symbols if moves_together(symbol, policies.correlated.symbols)]
    asked = sorted(standing | set(as_one[:1])) or book.config.symbols[:1]
    views = []
    for symbol in asked:
        # Before its first price a symbol has no filters; no filter is needed here.
        unpriced = Quote(ledger.marks.get(symbol, ONE), 0, Instrument(symbol, book.config.product, ONE, ONE, ONE, ONE))
        views.append(account_view(book, symbol, book.prices.get(symbol, now) or unpriced, now))
    rows = [book.account.drawdown.usage(views[0].equity), *(budget.usage(now) if book.config.fallback else ())]
    for measure in (each for limit in ALL_LIMITS for each in limit.usage):
        # A measure of the whole account is the same in each view; of a symbol the fullest one counts.
        found = [use for view in views if (use := measure(view, policies)) is not None]
        rows += [max(found, key=lambda use: use.used)] if found else []
    return [_row(each) for each in rows]


def _row(used: LimitUse) -> dict[str, str]:
    bound = bound_of(used.key)
    # Without equity nothing is free, and all of every other limit is used.
    share = ZERO if bound == AT_LEAST and used.whole <= 0 else used.share
    limit, used_text = (plain(round(value, 6)) for value in (used.limit, share))
    return {"name": used.key, "bound": bound, "limit": limit, "used": used_text}

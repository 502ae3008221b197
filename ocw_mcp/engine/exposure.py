"""The account as the risk officer sees it: the positions, and the budget that live entries reserve until they end."""

from collections.abc import Sequence
from decimal import Decimal
from fnmatch import fnmatchcase

import msgspec

from ocw_mcp.core.orders.ledger import Ledger
from ocw_mcp.core.orders.table import OrderTable
from ocw_mcp.core.risk.account import AccountView, PositionTerms
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import RULES, Purpose, Side
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.price_board import PriceBoard, Quote


class Reserved(msgspec.Struct):
    """The budget of live entries at their worst fill, of those with unknown outcome as well.

    Notional and margin in quote currency, quantity in the base asset.
    """

    notional: Decimal = ZERO
    margin: Decimal = ZERO
    quantity: Decimal = ZERO


def account_view(
    symbol: str, now: int, config: EngineConfig, account: Account, prices: PriceBoard, orders: OrderTable, quote: Quote
) -> AccountView:
    """Return the account as the risk officer sees it for one symbol at its quote."""
    ledger = account.ledger
    reserved = reserved_by(orders)
    pending = sum((each.notional for each in reserved.values()), ZERO)
    own = reserved.get(symbol) or Reserved()
    quantity = ledger.quantity(symbol)
    equity = ledger.equity()
    patterns = config.policies.correlated.symbols
    together = correlated_exposure(patterns, ledger, orders) if moves_together(symbol, patterns) else {}
    opened, book = account.opened.get(symbol), prices.book(symbol, now)
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
        # The last price of an ended symbol is stale at once.
        price_age_ms=quote.age_ms + (prices.age_limit_ms + 1 if symbol in account.ended else 0),
        price_age_limit_ms=prices.age_limit_ms,
        daily_loss_reached=account.day.today.reached,
        daily_loss=account.day.loss(equity),
        day_opening=account.day.today.opening,
        correlated_long=together[Side.BUY] if together else None,
        correlated_short=together[Side.SELL] if together else None,
        other_symbols=len({*ledger.positions, *reserved} - {symbol}),
        pace=account.activity.seen(symbol, now, pending),
        free_margin=free_margin(ledger, equity, reserved),
        symbol_quantity=abs(quantity) + own.quantity,
        held=joined(symbol, ledger, orders),
        opened=opened.side if opened is not None and opened.principal != RULES else None,
        spread=book.spread if book is not None else None,
        bid_depth=book.bid_depth if book is not None else None,
        ask_depth=book.ask_depth if book is not None else None,
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
    """Return the terms of the position, or of the live entry, that an addition to a symbol joins."""
    position = ledger.positions.get(symbol)
    if position is not None:
        lost = max(ZERO, abs(position.cost) / position.leverage - position.margin) / abs(position.quantity)
        return PositionTerms(position.average_price, position.leverage, lost)
    first = next(orders.live(symbol, Purpose.ENTRY), None)
    return PositionTerms(first.worst_price, first.order.leverage) if first is not None else None


def moves_together(symbol: str, patterns: Sequence[str]) -> bool:
    """Return whether a symbol is one of the correlated symbols of the policy."""
    return any(fnmatchcase(symbol, pattern) for pattern in patterns)


def correlated_exposure(patterns: Sequence[str], ledger: Ledger, orders: OrderTable) -> dict[Side, Decimal]:
    """Return the positions and live entries (quote) in correlated symbols, long and short apart."""
    together = {Side.BUY: ZERO, Side.SELL: ZERO}
    for symbol, position in ledger.positions.items():
        if moves_together(symbol, patterns):
            side = Side.BUY if position.quantity > 0 else Side.SELL
            together[side] += abs(position.quantity) * ledger.marks[symbol]
    for tracked in orders.live(purpose=Purpose.ENTRY):
        if moves_together(tracked.order.symbol, patterns):
            together[tracked.order.side] += tracked.remaining * tracked.worst_price
    return together

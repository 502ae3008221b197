"""The account as risk sees it: what stands, and what live entries hold of the budget until they are over."""

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
    """What live entries hold at their worst fill, unknown ones included: notional and margin (quote), and quantity."""

    notional: Decimal = ZERO
    margin: Decimal = ZERO
    quantity: Decimal = ZERO


def seen_by_risk(
    symbol: str, now: int, config: EngineConfig, account: Account, prices: PriceBoard, orders: OrderTable, quote: Quote
) -> AccountView:
    """The account as the risk officer has to see it for one symbol at its quote."""
    ledger = account.ledger
    reserved = reserved_by(orders)
    on_its_way = sum((each.notional for each in reserved.values()), ZERO)
    own = reserved.get(symbol) or Reserved()
    quantity = ledger.quantity(symbol)
    equity = ledger.equity()
    patterns = config.policies.correlated.symbols
    together = moving_as_one(patterns, ledger, orders) if is_one(symbol, patterns) else {}
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
        gross=ledger.gross() + on_its_way,
        quantity=quantity,
        symbol_notional=abs(quantity) * quote.price + own.notional,
        price=quote.price,
        # A price that no other follows is stale at once.
        price_age_ms=quote.age_ms + (prices.age_limit_ms + 1 if symbol in account.ended else 0),
        price_age_limit_ms=prices.age_limit_ms,
        daily_loss_reached=account.day.today.reached,
        daily_loss=account.day.loss(equity),
        day_opening=account.day.today.opening,
        correlated_long=together[Side.BUY] if together else None,
        correlated_short=together[Side.SELL] if together else None,
        other_symbols=len({*ledger.positions, *reserved} - {symbol}),
        pace=account.activity.seen(symbol, now, on_its_way),
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
    """What no position or live entry claims (quote). A loss that is not realised yet has still to be made good."""
    lost = min(ZERO, equity - ledger.wallet)
    return ledger.free() + lost - sum((each.margin for each in reserved.values()), ZERO)


def reserved_by(orders: OrderTable) -> dict[str, Reserved]:
    """What live entries hold, by symbol."""
    reserved: dict[str, Reserved] = {}
    for tracked in orders.live(purpose=Purpose.ENTRY):
        held, notional = reserved.setdefault(tracked.order.symbol, Reserved()), tracked.remaining * tracked.worst_price
        held.notional += notional
        held.margin += notional / tracked.order.leverage
        held.quantity += tracked.remaining
    return reserved


def joined(symbol: str, ledger: Ledger, orders: OrderTable) -> PositionTerms | None:
    """What an addition to a symbol joins."""
    position = ledger.positions.get(symbol)
    if position is not None:
        lost = max(ZERO, abs(position.cost) / position.leverage - position.margin) / abs(position.quantity)
        return PositionTerms(position.average_price, position.leverage, lost)
    first = next(orders.live(symbol, Purpose.ENTRY), None)
    return PositionTerms(first.worst_price, first.order.leverage) if first is not None else None


def is_one(symbol: str, patterns: Sequence[str]) -> bool:
    """Whether a symbol is one of those that move as one."""
    return any(fnmatchcase(symbol, pattern) for pattern in patterns)


def moving_as_one(patterns: Sequence[str], ledger: Ledger, orders: OrderTable) -> dict[Side, Decimal]:
    """What stands and is on its way (quote) in symbols that move as one, each way."""
    together = {Side.BUY: ZERO, Side.SELL: ZERO}
    for symbol, position in ledger.positions.items():
        if is_one(symbol, patterns):
            side = Side.BUY if position.quantity > 0 else Side.SELL
            together[side] += abs(position.quantity) * ledger.marks[symbol]
    for tracked in orders.live(purpose=Purpose.ENTRY):
        if is_one(tracked.order.symbol, patterns):
            together[tracked.order.side] += tracked.remaining * tracked.worst_price
    return together

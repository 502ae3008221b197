"""What live entries hold of the budget, and how much stands and is on its way together."""

from collections.abc import Sequence
from decimal import Decimal
from fnmatch import fnmatchcase

import msgspec

from ocw_mcp.core.orders.ledger import Ledger
from ocw_mcp.core.orders.table import OrderTable
from ocw_mcp.core.risk.account import Held
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Purpose, Side


class Reserved(msgspec.Struct):
    """What live entries hold at their worst fill, unknown ones included: notional and margin (quote), and quantity."""

    notional: Decimal = ZERO
    margin: Decimal = ZERO
    quantity: Decimal = ZERO


def reserved_by(orders: OrderTable) -> dict[str, Reserved]:
    """What live entries hold, by symbol."""
    reserved: dict[str, Reserved] = {}
    for tracked in orders.live(purpose=Purpose.ENTRY):
        held, notional = reserved.setdefault(tracked.order.symbol, Reserved()), tracked.remaining * tracked.worst_price
        held.notional += notional
        held.margin += notional / tracked.order.leverage
        held.quantity += tracked.remaining
    return reserved


def joined(symbol: str, ledger: Ledger, orders: OrderTable) -> Held | None:
    """What an addition to a symbol joins."""
    position = ledger.positions.get(symbol)
    if position is not None:
        lost = max(ZERO, abs(position.cost) / position.leverage - position.margin) / abs(position.quantity)
        return Held(position.average_price, position.leverage, lost)
    first = next(orders.live(symbol, Purpose.ENTRY), None)
    return Held(first.worst_price, first.order.leverage) if first is not None else None


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

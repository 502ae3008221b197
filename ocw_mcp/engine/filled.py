"""Compares an entry's fill with what was cleared for it, and says what has to be done about an excess."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from ocw_mcp.core.orders.table import TrackedOrder
from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.fills import FilledEntry, LimitExcess, Remedy
from ocw_mcp.domain.events import Incident
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import Filled, Side
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.effect_buffer import EffectBuffer
from ocw_mcp.engine.exposure import is_one
from ocw_mcp.engine.order_manager import Change, OrderManager
from ocw_mcp.engine.protection import Protection


def hold_to_clearing(
    change: Change,
    protections: Mapping[str, Protection],
    manager: OrderManager,
    account: Account,
    config: EngineConfig,
    effects: EffectBuffer,
) -> None:
    """Compare a fill with what was cleared for its entry: tighten the stop, or note how much of the position may stay.

    Each limit that is exceeded is one incident of the position.
    """
    tracked, fill = change.tracked, change.report
    symbol = tracked.order.symbol
    protection, view = protections[symbol], manager.view(symbol, effects.now)
    protection.beyond += change.beyond
    if view is None or not isinstance(fill, Filled) or view.quantity * tracked.order.side.sign <= 0:
        return
    entered = _entered_by(tracked, fill, view, account, protections, config)
    remedy, held = manager.officer.remedy(entered), abs(view.quantity)
    if not remedy.excesses:
        return
    for incident in _incidents(symbol, remedy, protection, held):
        effects.record(Incident(incident))
    protection.exceeded += [each.code for each in remedy.excesses if each.code not in protection.exceeded]
    protection.trigger = remedy.stop
    if remedy.most < held:
        protection.most = remedy.most if protection.most is None else min(protection.most, remedy.most)
    if not tracked.order.immediate:
        manager.cancel(tracked, "its fill exceeds what was cleared")


def shrink(change: Change, protection: Protection | None) -> None:
    """Take what fills took beyond their clearing off a position, in proportion to what was sold of it."""
    assert change.booked is not None
    left = abs(change.booked.position)
    if protection is not None and protection.beyond and isinstance(change.report, Filled):
        protection.beyond *= left / (left + change.report.quantity)


def _entered_by(
    tracked: TrackedOrder,
    fill: Filled,
    view: AccountView,
    account: Account,
    protections: Mapping[str, Protection],
    config: EngineConfig,
) -> FilledEntry:
    """Return a position after a fill of its entry, as the limits have to see it.

    The market is where the fill was, unless a price came later. What the entry has still to trade does not count: where
    a limit is exceeded, it is cancelled.
    """
    symbol, protection, ledger = tracked.order.symbol, protections[tracked.order.symbol], account.ledger
    later = view.now - view.price_age_ms > fill.traded_at
    price = view.price if later else fill.price
    value = abs(view.quantity) * price
    rest = tracked.remaining * tracked.worst_price if tracked.status.live else ZERO
    more = value - abs(view.quantity) * ledger.marks[symbol] - rest
    long, patterns = tracked.order.side is Side.BUY, config.policies.correlated.symbols
    seen = msgspec.structs.replace(
        view,
        price=price,
        symbol_notional=value,
        gross=view.gross + more,
        correlated_long=_plus(view.correlated_long, more if long else ZERO),
        correlated_short=_plus(view.correlated_short, ZERO if long else more),
    )
    together = [
        each.beyond
        for name, each in protections.items()
        if is_one(name, patterns) and (ledger.quantity(name) > ZERO) is long
    ]
    beyond = LimitExcess(
        order=tracked.beyond,
        position=protection.beyond,
        gross=sum((each.beyond for each in protections.values()), ZERO),
        correlated=sum(together, ZERO),
    )
    return FilledEntry(
        tracked.intent, seen, fill.price, protection.trigger, tracked.cost, tracked.cleared_equity, beyond
    )


def _incidents(symbol: str, remedy: Remedy, protection: Protection, held: Decimal) -> list[str]:
    """One sentence for each limit that the fills exceed and that was not reported yet."""
    if remedy.most < held:
        done = f"{plain(held - remedy.most)} of {plain(held)} are sold" if remedy.most else "it is closed"
    else:
        done = f"its stop goes from {plain(protection.trigger)} to {plain(remedy.stop)}"
    return [
        f"the fill of {symbol} exceeds {each.key} ({each.code}): {each.actual} where {each.limit} is allowed; {done}"
        for each in remedy.excesses
        if each.code not in protection.exceeded
    ]


def _plus(amount: Decimal | None, more: Decimal) -> Decimal | None:
    return None if amount is None else amount + more

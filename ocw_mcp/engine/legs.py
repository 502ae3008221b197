"""From a decision's leg to an order's intent, or to the reason why there is none."""

from decimal import Decimal

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.money import ONE, ZERO, floor_to, plain
from ocw_mcp.domain.orders import OrderIntent, OrderType, Purpose, Side
from ocw_mcp.domain.reasons import Refusal, RefusalCode


def entry_side(leg: Leg, quantity: Decimal) -> Side:
    """The side an entering leg trades on, given the signed position."""
    if leg.action is Action.ADD:
        return Side.BUY if quantity >= 0 else Side.SELL
    return Side.BUY if leg.action is Action.BUY else Side.SELL


def entry_intent(
    leg: Leg,
    account: AccountView | None,
    officer: RiskOfficer,
    stop: Decimal | None,
    key: str,
    principal: str,
    wake: int,
) -> OrderIntent:
    """The market order that an entering leg means. Its size is a share of equity, scaled, at the worst assumed fill.

    `stop` is that of the open position, which an addition without a stop of its own is held to.
    """
    quantity = ZERO
    side = entry_side(leg, account.quantity if account else ZERO)
    if account is not None and leg.size is not None and _sane(leg.size):
        notional = leg.size * officer.scale * account.equity
        quantity = floor_to(notional / officer.worst_price(account.price), account.instrument.step)
    return OrderIntent(
        idempotency_key=key,
        principal=principal,
        symbol=leg.symbol,
        side=side,
        type=OrderType.MARKET,
        purpose=Purpose.ENTRY,
        quantity=max(ZERO, quantity),
        protect_at=leg.stop if leg.stop is not None else stop,
        target_at=leg.target,
        wake_id=wake,
    )


def objection(leg: Leg, account: AccountView, stop: Decimal | None, *, entering: bool, exiting: bool) -> Refusal | None:
    """What speaks against an entering leg before any limit is asked: it makes no sense on this account.

    `entering` and `exiting` tell whether an entry or an exit of the symbol is under way.
    """
    if leg.size is None or not _sane(leg.size):
        actual = "none" if leg.size is None else str(leg.size)
        return Refusal(RefusalCode.BAD_SIZE, limit="above 0, up to 1", actual=actual)
    if leg.stop is not None and not (leg.stop.is_finite() and leg.stop > 0):
        return Refusal(RefusalCode.STOP_REQUIRED, limit="a price above 0", actual=str(leg.stop))
    if leg.target is not None and not _wins(leg.target, account, entry_side(leg, account.quantity)):
        return Refusal(RefusalCode.BAD_TARGET, limit=f"beyond {account.price}", actual=str(leg.target))
    if entering:
        return Refusal(RefusalCode.ENTRY_PENDING, limit="one entry", actual="under way")
    if exiting:
        return Refusal(RefusalCode.EXIT_PENDING, limit="no exit under way", actual="under way")
    held = account.quantity
    if leg.action is Action.ADD:
        return _objection_to_adding(leg, held, stop)
    if held:
        same = (held > 0) == (leg.action is Action.BUY)
        code = RefusalCode.ALREADY_IN_POSITION if same else RefusalCode.OPPOSITE_POSITION
        return Refusal(code, limit="flat", actual=plain(held))
    return None


def exit_objection(leg: Leg, held: Decimal) -> Refusal | None:
    """What speaks against a closing leg: there is nothing of that kind to close."""
    if held == 0 or (held > 0) != (leg.action is Action.SELL):
        wanted = "long" if leg.action is Action.SELL else "short"
        return Refusal(RefusalCode.NO_POSITION, limit=f"a {wanted}", actual=plain(held))
    return None


def _objection_to_adding(leg: Leg, held: Decimal, stop: Decimal | None) -> Refusal | None:
    if not held:
        return Refusal(RefusalCode.NO_POSITION, limit="an open position", actual="flat")
    if leg.stop is not None and stop is not None and (leg.stop < stop if held > 0 else leg.stop > stop):
        return Refusal(RefusalCode.LOOSER_STOP, limit=plain(stop), actual=plain(leg.stop))
    return None


def _wins(target: Decimal, account: AccountView, side: Side) -> bool:
    return target.is_finite() and target > 0 and (target - account.price) * side.sign > 0


def _sane(size: Decimal) -> bool:
    return size.is_finite() and ZERO < size <= ONE

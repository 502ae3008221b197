"""From a decision's leg to an order's intent, or to the reason why there is none."""

from decimal import Decimal

import msgspec

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.core.risk.prices import expected_fill, sane_limit
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.money import ONE, ZERO, floor_to, plain
from ocw_mcp.domain.orders import OrderIntent, OrderType, Purpose, Side
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.time import SECOND

LIMIT_EXPIRES_S = 3_600
"""Seconds that a limit entry waits where its leg does not say."""
FLAT = Refusal(RefusalCode.NO_POSITION, limit="an open position", actual="flat")
"""The answer where a position is asked for and there is none."""


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
    wake: int | None,
    now: int,
    *,
    tainted: bool = False,
) -> OrderIntent:
    """The order that an entering leg means. Its size is a share of equity at the worst assumed fill.

    `stop` is that of the open position, which an addition without a stop of its own is held to. `tainted` tells whether
    the stricter policies hold, too.
    """
    intent = OrderIntent(
        idempotency_key=key,
        principal=principal,
        symbol=leg.symbol,
        side=entry_side(leg, account.quantity if account else ZERO),
        type=OrderType.MARKET if leg.limit is None else OrderType.LIMIT,
        purpose=Purpose.ENTRY,
        quantity=ZERO,
        protect_at=leg.stop if leg.stop is not None else stop,
        target_at=leg.target,
        wake_id=wake,
        limit_price=leg.limit,
        post_only=leg.post_only and leg.limit is not None,
        expires_at=None if leg.limit is None else now + _waits_s(leg) * SECOND,
        leverage=leg.leverage,
        tainted=tainted,
    )
    if account is None or leg.size is None or not _sane(leg.size):
        return intent
    worst = officer.worst_of(intent, account)
    if worst <= ZERO:
        return intent
    quantity = floor_to(leg.size * account.equity / worst, account.instrument.step)
    return msgspec.structs.replace(intent, quantity=max(ZERO, quantity))


def _waits_s(leg: Leg) -> int:
    return LIMIT_EXPIRES_S if leg.limit_expires_s is None else leg.limit_expires_s


def objection(leg: Leg, account: AccountView, stop: Decimal | None, *, entering: bool, exiting: bool) -> Refusal | None:
    """What speaks against an entering leg before any limit is asked: it makes no sense on this account.

    `entering` and `exiting` tell whether an entry or an exit of the symbol is under way.
    """
    if entering:
        return Refusal(RefusalCode.ENTRY_PENDING, limit="one entry", actual="under way")
    if exiting:
        return Refusal(RefusalCode.EXIT_PENDING, limit="no exit under way", actual="under way")
    if (refusal := _objection_to_position(leg, account.quantity, stop)) is not None:
        return refusal
    if leg.stop is not None and not (leg.stop.is_finite() and leg.stop > 0):
        return Refusal(RefusalCode.STOP_REQUIRED, limit="a price above 0", actual=str(leg.stop))
    if leg.limit is not None and not sane_limit(leg.limit):
        return Refusal(RefusalCode.BAD_LIMIT, limit="a price above 0", actual=str(leg.limit))
    if leg.limit is not None and _waits_s(leg) <= 0:
        return Refusal(RefusalCode.BAD_LIMIT, limit="above 0 s", actual=f"{_waits_s(leg)} s")
    if leg.leverage is not None and leg.leverage < 1:
        return Refusal(RefusalCode.LEVERAGE, limit="1 or more", actual=str(leg.leverage))
    if leg.target is not None and not _wins(leg.target, leg, account):
        return Refusal(RefusalCode.BAD_TARGET, limit=f"beyond {_begins(leg, account)}", actual=str(leg.target))
    return None


def bad_size(leg: Leg, quantity: Decimal | None) -> Refusal | None:
    """Return why the size of an entering leg is none; `quantity` (base asset) stands in for its share of equity."""
    if quantity is not None:
        if quantity.is_finite() and quantity > ZERO:
            return None
        return Refusal(RefusalCode.BAD_SIZE, limit="a quantity above 0", actual=str(quantity))
    if leg.size is None or not _sane(leg.size):
        actual = "none" if leg.size is None else str(leg.size)
        return Refusal(RefusalCode.BAD_SIZE, limit="above 0, up to 1", actual=actual)
    return None


def exit_objection(leg: Leg, held: Decimal) -> Refusal | None:
    """What speaks against a closing leg: there is nothing of that kind to close."""
    if not held:
        return FLAT
    if (held > 0) != (leg.action is Action.SELL):
        wanted = "long" if leg.action is Action.SELL else "short"
        return Refusal(RefusalCode.NO_POSITION, limit=f"a {wanted}", actual=plain(held))
    return None


def _objection_to_position(leg: Leg, held: Decimal, stop: Decimal | None) -> Refusal | None:
    if leg.action is not Action.ADD:
        if not held:
            return None
        same = (held > 0) == (leg.action is Action.BUY)
        code = RefusalCode.ALREADY_IN_POSITION if same else RefusalCode.OPPOSITE_POSITION
        return Refusal(code, limit="flat", actual=plain(held))
    if not held:
        return FLAT
    if leg.stop is None or stop is None or not leg.stop.is_finite():
        return None
    if leg.stop < stop if held > 0 else leg.stop > stop:
        return Refusal(RefusalCode.LOOSER_STOP, limit=plain(stop), actual=plain(leg.stop))
    return None


def _begins(leg: Leg, account: AccountView) -> Decimal:
    return expected_fill(entry_side(leg, account.quantity), leg.limit, account.price)


def _wins(target: Decimal, leg: Leg, account: AccountView) -> bool:
    sign = entry_side(leg, account.quantity).sign
    return target.is_finite() and target > 0 and (target - _begins(leg, account)) * sign > 0


def _sane(size: Decimal) -> bool:
    return size.is_finite() and ZERO < size <= ONE

"""Limits on margin: a position's leverage, what stays free, and how far its liquidation lies from its stop.

Margin is isolated. An entry that asks for no leverage has the policy's usual one, or as much of it as its brackets
allow at its size. On spot every leverage is 1 and nothing is liquidated.
"""

from collections.abc import Callable
from decimal import Decimal

from ocw_mcp.core.risk import usage
from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.prices import adverse, dearest
from ocw_mcp.core.risk.verdict import LazyText, ShareText, Verdict, all_or_nothing
from ocw_mcp.domain.margin import Brackets, allowed_maintenance
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import ZERO, floor_to, plain
from ocw_mcp.domain.orders import OrderIntent
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode


def leverage_of(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> int:
    """The leverage at which an entry of this notional is carried out: at least 1."""
    brackets = _brackets(account)
    if brackets is None:
        return 1
    most = brackets.max_leverage(account.symbol_notional + notional)
    return _settled(intent, account) or max(1, min(policies.leverage.usual, most))


def leverage(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """The leverage is one that the policy allows, that of the open position, and within the bracket of the whole."""
    code, asked, held, brackets = RefusalCode.LEVERAGE, intent.leverage, account.held, _brackets(account)
    if brackets is None:
        return all_or_nothing(code, "1 on spot", str(asked), passes=asked in (None, 1))
    if held is not None and asked not in (None, held.leverage):
        return Verdict(code, f"{held.leverage}, as the position has", str(asked), ZERO)
    wanted, usual, most = held.leverage if held is not None else asked, policies.leverage.usual, policies.leverage.max
    if wanted is not None and not 1 <= wanted <= most:
        return Verdict(code, f"1 to {most}", str(wanted), ZERO)
    room = brackets.cap(wanted or 1) - account.symbol_notional
    allowed = LazyText(lambda: f"{brackets.max_leverage(account.symbol_notional + notional)} for a position so large")
    return Verdict(code, allowed, str(wanted or usual), max(ZERO, room))


def free_margin(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """After the order such a share of equity is still free of margin."""
    used = usage.free_margin(account, policies)
    equity, spare = used.whole, used.used - used.limit * used.whole
    room = _room(intent, account, policies, lambda leverage: spare * leverage)

    def left() -> str:
        after = used.used - notional / leverage_of(intent, account, policies, notional)
        return str(ShareText(after / equity)) if equity > 0 else "no equity"

    return Verdict(RefusalCode.FREE_MARGIN, ShareText(used.limit), LazyText(left), max(ZERO, room))


def liquidation(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """The stop lies before the price of liquidation, by such a share of the last price.

    The whole position is taken as begun at its average price or at the worst fill, whichever is worse. The less
    favourable the beginning, the less margin is left at the stop, so a mixture of both has at least as much. What
    funding took of the margin is taken off every unit as it is; an addition only spreads it over more of them.
    """
    code, brackets, stop = RefusalCode.LIQUIDATION, _brackets(account), intent.protect_at
    if brackets is None:
        return all_or_nothing(code, "none", "none on spot", passes=True)
    if stop is None or not stop.is_finite():
        return all_or_nothing(code, "a stop before it", "no stop", passes=False)
    way, held, allowance = intent.side.sign, account.held, policies.order.price_allowance
    begins = adverse(intent, account.price, allowance)
    if held is not None:
        begins = max(begins, held.price) if way > 0 else min(begins, held.price)
    lost = held.lost if held is not None else ZERO
    tick, worst = account.instrument.tick, dearest(intent, account.price, allowance)
    last = max(tick, stop - way * policies.stop.liquidation_buffer * account.price)

    def fits(leverage: int) -> Decimal:
        largest = brackets.largest(allowed_maintenance(begins, last, leverage, way) - lost / last)
        return (largest / last - account.symbol_quantity) * worst

    def price() -> str:
        quantity = account.symbol_quantity + notional / worst
        margin = quantity * (begins / leverage_of(intent, account, policies, notional) - lost)
        found = brackets.liquidation_price(way * quantity, way * quantity * begins, margin) if quantity > 0 else None
        return "none" if found is None else f"at {plain(floor_to(found, tick))}"

    beyond = LazyText(lambda: f"beyond {plain(floor_to(last, tick))}")
    return Verdict(code, beyond, LazyText(price), max(ZERO, _room(intent, account, policies, fits)))


def _brackets(account: AccountView) -> Brackets | None:
    return None if account.product is Product.SPOT else account.instrument.margin_brackets


def _settled(intent: OrderIntent, account: AccountView) -> int | None:
    """The leverage that is no more to be chosen: the position's own, or the one asked for."""
    return account.held.leverage if account.held is not None else intent.leverage


def _room(intent: OrderIntent, account: AccountView, policies: Policies, fits: Callable[[int], Decimal]) -> Decimal:
    """The notional up to which every size fits, where `fits` tells how much would at one leverage.

    The leverage falls where a larger position comes into a higher bracket.
    """
    brackets = _brackets(account)
    if brackets is None:
        return fits(1)
    room = ZERO
    for leverage, cap in brackets.steps(max(1, _settled(intent, account) or policies.leverage.usual)):
        most, ends = fits(leverage), cap - account.symbol_notional
        if most < ends:
            return max(room, most)
        room = max(room, ends)
    return room

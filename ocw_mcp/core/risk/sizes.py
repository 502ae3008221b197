"""Limits on how large: an order, a position, all of them, those that move as one, and what one may lose at its stop."""

from decimal import Decimal

from ocw_mcp.core.risk import usage
from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.prices import beginning
from ocw_mcp.core.risk.verdict import UNLIMITED, AmountText, Verdict, all_or_nothing, limit_of, of_usage
from ocw_mcp.domain.money import ONE, ZERO
from ocw_mcp.domain.orders import OrderIntent
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode


def order_notional(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """One order is at most so large."""
    limit = policies.order.max_notional
    return Verdict(RefusalCode.ORDER_NOTIONAL, AmountText(limit), AmountText(notional), limit)


def position_share(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """One position, with its live entries, is at most such a share of equity."""
    return of_usage(RefusalCode.POSITION_SHARE, usage.position(account, policies), notional)


def gross_exposure(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """All positions and live entries together are at most such a multiple of equity."""
    return of_usage(RefusalCode.GROSS_EXPOSURE, usage.gross(account, policies), notional)


def correlated_exposure(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """Symbols that move as one, with their live entries, are at most such a share of equity one way."""
    used = usage.correlated(account, policies, intent.side)
    if used is None:
        limit = limit_of(usage.no_correlated(account, policies))
        return Verdict(RefusalCode.CORRELATED_EXPOSURE, limit, "not one of them", UNLIMITED)
    return of_usage(RefusalCode.CORRELATED_EXPOSURE, used, notional)


def open_positions(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """There are at most so many positions and open entries; adding to one makes no other."""
    others = account.other_symbols
    used = usage.positions(account, policies)
    passes = others < used.limit
    return all_or_nothing(RefusalCode.OPEN_POSITIONS, str(used.limit), str(others + 1), passes=passes)


def risk_per_trade(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """What the whole position would lose at the new stop, and a gap beyond it, is at most such a share of equity.

    Loss = position × (distance from the price to the stop + allowance); the position as it stands counts in, since the
    stop of an addition holds for all of it.
    """
    stop, code = intent.protect_at, RefusalCode.RISK_PER_TRADE
    if stop is None or not stop.is_finite():
        limit = usage.risk(account, policies, ZERO)
        return all_or_nothing(code, limit_of(limit), "no stop", passes=False)
    distance = loss_at(stop, intent, account.price, policies)
    used = usage.risk(account, policies, distance)
    if distance == 0:
        return all_or_nothing(code, limit_of(used), "0%", passes=True)
    return of_usage(code, used, notional, distance)


def loss_at(stop: Decimal, intent: OrderIntent, price: Decimal, policies: Policies) -> Decimal:
    """Return the share of an entry's notional that is lost at its stop, from its worst fill to a gap beyond the stop.

    The worst fill is the price at which it is expected to begin, and the allowance against it.
    """
    way = intent.side.sign
    worst = beginning(intent, price) * (ONE + way * policies.order.price_allowance)
    return max(ZERO, (worst - stop) * way / worst) + policies.risk.gap_allowance

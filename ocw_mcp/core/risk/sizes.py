"""Limits on how large: an order, a position, all of them, those that move as one, and what one may lose at its stop."""

from decimal import Decimal

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.prices import beginning
from ocw_mcp.core.risk.verdict import UNLIMITED, Amount, Share, Verdict, all_or_nothing, of_equity
from ocw_mcp.domain.money import ONE, ZERO
from ocw_mcp.domain.orders import OrderIntent, Side
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode


def order_notional(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """One order is at most so large."""
    limit = policies.order.max_notional
    return Verdict(RefusalCode.ORDER_NOTIONAL, Amount(limit), Amount(notional), limit)


def position_share(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """One position, with its live entries, is at most such a share of equity."""
    return of_equity(
        RefusalCode.POSITION_SHARE, policies.position.max_share, account.symbol_notional, notional, account.equity
    )


def gross_exposure(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """All positions and live entries together are at most such a multiple of equity."""
    return of_equity(RefusalCode.GROSS_EXPOSURE, policies.exposure.max_gross, account.gross, notional, account.equity)


def correlated_exposure(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """Symbols that move as one, with their live entries, are at most such a share of equity one way."""
    used = account.correlated_long if intent.side is Side.BUY else account.correlated_short
    limit = policies.correlated.max_share
    if used is None:
        return Verdict(RefusalCode.CORRELATED_EXPOSURE, Share(limit), "not one of them", UNLIMITED)
    return of_equity(RefusalCode.CORRELATED_EXPOSURE, limit, used, notional, account.equity)


def open_positions(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """There are at most so many positions and open entries; adding to one makes no other."""
    limit, others = policies.positions.max_open, account.other_symbols
    return all_or_nothing(RefusalCode.OPEN_POSITIONS, str(limit), str(others + 1), passes=others < limit)


def risk_per_trade(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """What the whole position would lose at the new stop, and a gap beyond it, is at most such a share of equity.

    Loss = position × (distance from the price to the stop + allowance); the position as it stands counts in, since the
    stop of an addition holds for all of it.
    """
    policy, stop = policies.risk, intent.protect_at
    if stop is None or not stop.is_finite():
        return all_or_nothing(RefusalCode.RISK_PER_TRADE, Share(policy.max_share), "no stop", passes=False)
    worst = beginning(intent, account.price) * (ONE + intent.side.sign * policies.order.price_allowance)
    distance = max(ZERO, (worst - stop) * intent.side.sign / worst) + policy.gap_allowance
    if distance == 0:
        return all_or_nothing(RefusalCode.RISK_PER_TRADE, Share(policy.max_share), "0%", passes=True)
    verdict = of_equity(
        RefusalCode.RISK_PER_TRADE,
        policy.max_share,
        account.symbol_notional * distance,
        notional * distance,
        account.equity,
    )
    return Verdict(verdict.code, verdict.limit, verdict.actual, verdict.room / distance)

"""Limits on how much and how often: entries, turnover, fees, the way back into a symbol, losing trades in a row."""

from decimal import Decimal

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.verdict import UNLIMITED, Share, Span, Verdict, all_or_nothing, of_equity
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import OrderIntent
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.time import SECOND


def entry_rate(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """So many entries in a minute, and so many in a day."""
    pace, limits = account.pace, policies.pace
    if pace.entries_last_minute >= limits.entries_per_minute:
        limit, actual = f"{limits.entries_per_minute} a minute", pace.entries_last_minute
    else:
        limit, actual = f"{limits.entries_per_day} a day", pace.entries_today
    passes = pace.entries_last_minute < limits.entries_per_minute and pace.entries_today < limits.entries_per_day
    return all_or_nothing(RefusalCode.ENTRY_RATE, limit, str(actual), passes=passes)


def turnover(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """What is bought and sold in a day is at most such a multiple of the equity with which the day began."""
    return of_equity(
        RefusalCode.TURNOVER, policies.pace.max_turnover, account.pace.turnover_today, notional, account.day_opening
    )


def fees(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """The fees of a day close entries once they are such a share of the equity with which it began."""
    limit, paid, opening = policies.pace.max_fees, account.pace.fees_today, account.day_opening
    actual = Share(paid / opening) if opening > 0 else "no equity"
    return all_or_nothing(RefusalCode.FEES, Share(limit), actual, passes=opening > 0 and paid < limit * opening)


def reentry(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """A symbol is left alone for a while after its position was closed; an addition is no way back."""
    since, wait = account.pace.since_close_ms, policies.pace.reentry_s * SECOND
    passes = since is None or since >= wait or account.quantity != ZERO
    actual = "long ago" if since is None else Span(since)
    return all_or_nothing(RefusalCode.REENTRY, f"{Span(wait)} after the last", actual, passes=passes)


def losses_in_a_row(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """Entries pause after so many losing trades in a row."""
    paused = account.pace.paused_ms
    return Verdict(
        RefusalCode.LOSSES_IN_A_ROW,
        f"a pause of {policies.losses.pause_s}s",
        f"{Span(paused)} of it left" if paused else "no pause",
        ZERO if paused else UNLIMITED,
    )

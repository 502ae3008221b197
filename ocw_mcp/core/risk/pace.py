"""Limits on how much and how often: entries, turnover, fees, the way back into a symbol, losing trades in a row."""

from decimal import Decimal

from ocw_mcp.core.risk import usage
from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.verdict import DurationText, ShareText, Verdict, all_or_nothing, of_usage
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import OrderIntent
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.time import SECOND


def entry_rate(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """So many entries in a minute, and so many in a day."""
    minute, day = usage.entries_in_a_minute(account, policies), usage.entries_in_a_day(account, policies)
    told, span = (day, "day") if minute.left else (minute, "minute")
    passes = minute.left > ZERO and day.left > ZERO
    return all_or_nothing(RefusalCode.ENTRY_RATE, f"{told.limit} a {span}", str(told.used), passes=passes)


def turnover(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """What is bought and sold in a day is at most such a multiple of the equity with which the day began."""
    return of_usage(RefusalCode.TURNOVER, usage.turnover(account, policies), notional)


def fees(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """The fees of a day close entries once they are such a share of the equity with which it began."""
    used = usage.fees(account, policies)
    actual = ShareText(used.share) if used.whole > 0 else "no equity"
    return all_or_nothing(RefusalCode.FEES, ShareText(used.limit), actual, passes=used.whole > 0 and used.left > 0)


def reentry(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """A symbol is left alone for a while after its position was closed; an addition is no way back."""
    since, wait = account.pace.since_close_ms, policies.pace.reentry_s * SECOND
    passes = since is None or since >= wait or account.quantity != ZERO
    actual = "long ago" if since is None else DurationText(since)
    return all_or_nothing(RefusalCode.REENTRY, f"{DurationText(wait)} after the last", actual, passes=passes)


def losses_in_a_row(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """Entries pause after so many losing trades in a row."""
    paused = account.pace.paused_ms
    return all_or_nothing(
        RefusalCode.LOSSES_IN_A_ROW,
        f"a pause of {policies.losses.pause_s}s",
        f"{DurationText(paused)} of it left" if paused else "no pause",
        passes=usage.losses(account, policies).left > ZERO,
    )

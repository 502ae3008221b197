"""Limits on what people and agents have left to others: the mandate, approvals, and the rules in an agent's place."""

from decimal import Decimal
from fnmatch import fnmatchcase

from ocw_mcp.core.risk import usage
from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.standing import WAY
from ocw_mcp.core.risk.verdict import UNLIMITED, AmountText, Verdict, all_or_nothing
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import RULES, OrderIntent
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import iso


def mandate(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """A mandate covers the entry: its time, its symbols, and its amount for all positions and open entries together.

    Where it is not play money, nothing passes without one.
    """
    code, given = RefusalCode.MANDATE, policies.mandate
    if given is None:
        return all_or_nothing(code, f"a mandate in mode {account.mode}", "none", passes=account.mode is Mode.PAPER)
    if account.now >= given.expires_ms:
        return Verdict(code, f"until {iso(given.expires_ms)}", iso(account.now), ZERO)
    if not any(fnmatchcase(intent.symbol, pattern) for pattern in given.symbols):
        return Verdict(code, ",".join(given.symbols), intent.symbol, ZERO)
    used = usage.mandate(account, given)
    return Verdict(code, AmountText(used.limit), AmountText(used.used + notional), used.left)


def approval(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """A person has approved the entry, where it is large, or where every one has to be."""
    code, asked = RefusalCode.APPROVAL_REQUIRED, policies.approval
    if asked is None or intent.approval:
        return Verdict(code, "none needed", intent.approval, UNLIMITED)
    if account.mode in asked.modes:
        return Verdict(code, f"an approval in mode {account.mode}", "none", ZERO)
    return Verdict(code, AmountText(asked.above_notional), AmountText(notional), asked.above_notional)


def fallback(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """The rules in an agent's place enter only where the policy lets them, and never against its last position."""
    code, may = RefusalCode.FALLBACK, policies.fallback.rules
    if intent.principal != RULES or account.agent == RULES:
        return Verdict(code, may, f"{intent.principal} decides", UNLIMITED)
    if may == "manage":
        return Verdict(code, may, "an entry", ZERO)
    reverses = account.opened is not None and account.opened is not intent.side
    limit = f"{may}, but stay {WAY[account.opened]}" if account.opened is not None else may
    return all_or_nothing(code, limit, WAY[intent.side], passes=not reverses)

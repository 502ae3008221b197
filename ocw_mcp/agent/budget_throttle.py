"""Fewer questions when money gets short: late in a budget every other routine wake is left to the rules.

Which ones follows from the number of the wake, so that a resumed run leaves the same.
"""

from decimal import Decimal
from typing import Final

from ocw_mcp.agent.causes import Cause, Trouble
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.policies import BudgetPolicy
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot

Spent = tuple[Decimal, Decimal]
"""USD in a UTC day and in its month."""

THROTTLES_FROM: Final = Decimal("0.8")
"""The share of a budget from which on routine wakes thin out."""
ROUTINE: Final = ("timer", "close:")
"""How the reasons begin that only say that time has passed."""


def routine(snapshot: Snapshot) -> bool:
    """Whether a wake only says that time has passed: no outlier, no condition, nothing about an open position."""
    held = snapshot.positions
    return all(
        each.symbol not in held and all(reason.startswith(ROUTINE) for reason in each.reasons) for each in snapshot.wake
    )


def throttled(request: DecisionRequest, spent: Spent, budget: BudgetPolicy, worst_usd: Decimal) -> Trouble | None:
    """Why a wake is left to the rules with so much spent; None where the model is to be asked.

    The last call that a budget allows has to fit into it at its worst (`worst_usd`), so that much of it is never used.
    """
    if request.wake_id % 2 or not routine(request.snapshot):
        return None
    for usd, most, of_what in zip(spent, (budget.usd_per_day, budget.usd_per_month), ("day", "month"), strict=True):
        if 0 < THROTTLES_FROM * (most - worst_usd) <= usd:
            money = f"{plain(round(usd, 4))} of {plain(most)} USD of the {of_what} is spent"
            return Trouble(Cause.THROTTLED, f"{money}, and that is so from {THROTTLES_FROM:.0%} of what can be used on")
    return None

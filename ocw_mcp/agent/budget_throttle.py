"""The budget throttle: once most of a budget is spent, the rules decide every other routine wake.

The number of the wake decides which ones, so that a resumed run leaves the same wakes to the rules.
"""

from decimal import Decimal
from typing import Final

from ocw_mcp.agent.causes import Trouble
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.policies import BudgetPolicy
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot, WakeKind

Spent = tuple[Decimal, Decimal]
"""USD spent in a UTC day and in its month."""

THROTTLES_FROM: Final = Decimal("0.8")
"""The share of a usable budget from which on the throttle applies."""
ROUTINE: Final = frozenset({WakeKind.TIMER, WakeKind.CLOSE})
"""Wake reasons that only state that time has passed."""


def is_routine(snapshot: Snapshot) -> bool:
    """Return whether a wake only states that time has passed: no outlier, no condition, and no open position."""
    held = snapshot.positions
    return all(
        each.symbol not in held and all(reason.kind in ROUTINE for reason in each.reasons) for each in snapshot.wake
    )


def throttled(request: DecisionRequest, spent: Spent, budget: BudgetPolicy, worst_usd: Decimal) -> Trouble | None:
    """Return the trouble for which the rules decide a wake; None if the model may be asked.

    The usable budget is smaller by `worst_usd`, the worst-case cost of a call, since the last call has to fit into it.
    """
    if request.wake_id % 2 or not is_routine(request.snapshot):
        return None
    for usd, most, of_what in zip(spent, (budget.usd_per_day, budget.usd_per_month), ("day", "month"), strict=True):
        if 0 < THROTTLES_FROM * (most - worst_usd) <= usd:
            money = f"{plain(round(usd, 4))} of {plain(most)} USD of the {of_what} is spent"
            return Trouble(
                CauseKind.THROTTLED, f"{money}; this applies from {THROTTLES_FROM:.0%} of the usable budget on"
            )
    return None

"""Fewer questions when money gets short: late in a day's budget every other routine wake is left to the rules.

Which ones follows from the number of the wake, so that a resumed run leaves the same.
"""

from decimal import Decimal
from typing import Final

from ocw_mcp.agent.causes import Cause, Trouble
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot

THINS_FROM: Final = Decimal("0.8")
"""The share of the day's budget from which on routine wakes thin out."""
ROUTINE: Final = ("timer", "close:")
"""How the reasons begin that only say that time has passed."""


def routine(snapshot: Snapshot) -> bool:
    """Whether a wake only says that time has passed: no outlier, no condition, nothing about an open position."""
    held = {view.symbol for view in snapshot.symbols if view.position is not None}
    return all(
        each.symbol not in held and all(reason.startswith(ROUTINE) for reason in each.reasons) for each in snapshot.wake
    )


def thinned(request: DecisionRequest, left_usd: Decimal, usd_per_day: Decimal) -> Trouble | None:
    """Why a wake is left to the rules with so much left to be spent; None where the model is to be asked."""
    spent = usd_per_day - left_usd
    if spent < THINS_FROM * usd_per_day or request.wake_id % 2 or not routine(request.snapshot):
        return None
    money = f"{plain(round(left_usd, 4))} of {plain(usd_per_day)} USD is left"
    return Trouble(Cause.THINNED, f"{money}, and that is so from {THINS_FROM:.0%} of the budget on")

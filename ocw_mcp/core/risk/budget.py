"""The budget for model calls in a UTC day and a UTC month. It stops no order: when it is spent, the rules decide."""

from decimal import Decimal

import msgspec

from ocw_mcp.core.risk.verdict import LimitUse
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.policies import BudgetPolicy
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.domain.time import next_midnight, next_month, utc_day


class BudgetState(msgspec.Struct):
    """The cost so far (USD), with its day and month."""

    day: str = ""
    spent_today: Decimal = ZERO
    spent_this_month: Decimal = ZERO
    told_until: int = 0
    """The end (ms) of the last exhaustion that was reported."""


class Budget(Stateful[BudgetState]):
    """Counts the cost of model calls."""

    def __init__(self, policy: BudgetPolicy) -> None:
        self._policy = policy
        super().__init__(BudgetState())

    def book(self, cost: Decimal, at: int) -> None:
        """Count a cost (USD) at `at` (ms)."""
        self._roll(at)
        self._state.spent_today += cost
        self._state.spent_this_month += cost

    def spent_out(self, at: int) -> int | None:
        """Return the time (ms) until which the budget is spent; None if some of it is left."""
        today, this_month = self.spent(at)
        if this_month < self._policy.usd_per_month and today < self._policy.usd_per_day:
            return None
        return self.renewed(at)

    def renewed(self, at: int) -> int:
        """Return the time (ms) at which the budget with less left begins anew."""
        today, this_month = self.spent(at)
        of_the_month = self._policy.usd_per_month - this_month
        return next_month(at) if of_the_month <= max(ZERO, self._policy.usd_per_day - today) else next_midnight(at)

    def spent(self, at: int) -> tuple[Decimal, Decimal]:
        """Return the cost (USD) in the day and in the month of `at` (ms)."""
        self._roll(at)
        return self._state.spent_today, self._state.spent_this_month

    def usage(self, at: int) -> tuple[LimitUse, LimitUse]:
        """Measure the cost (USD) in the day and in the month of `at` (ms)."""
        (today, this_month), policy = self.spent(at), self._policy
        return (
            LimitUse("budget.usd_per_day", policy.usd_per_day, today),
            LimitUse("budget.usd_per_month", policy.usd_per_month, this_month),
        )

    def mark_reported(self, until: int) -> bool:
        """Mark the exhaustion until `until` (ms) as reported. Return whether it was not reported before."""
        first, self._state.told_until = until != self._state.told_until, until
        return first

    def _roll(self, at: int) -> None:
        day, state = utc_day(at), self._state
        if day == state.day:
            return
        if day[:7] != state.day[:7]:
            state.spent_this_month = ZERO
        state.spent_today = ZERO
        state.day = day

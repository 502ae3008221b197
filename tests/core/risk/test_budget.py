"""The budget of model calls: a UTC day, a UTC month, and their ends."""

from decimal import Decimal

import msgspec
import pytest

from ocw_mcp.core.risk.counters import Budget, BudgetState
from ocw_mcp.domain.policies import BudgetPolicy
from ocw_mcp.domain.time import DAY, HOUR, iso, next_month

D = Decimal
NEW_YEAR = 1_767_225_600_000
"""2026-01-01T00:00Z."""


def budget(day: str = "0.5", month: str = "2") -> Budget:
    return Budget(BudgetPolicy(usd_per_day=D(day), usd_per_month=D(month)))


def test_a_spent_daily_budget_is_renewed_at_midnight() -> None:
    spending = budget()
    spending.book(D("0.49"), NEW_YEAR)
    assert spending.spent_out(NEW_YEAR + HOUR) is None
    spending.book(D("0.01"), NEW_YEAR + HOUR)
    assert spending.spent_out(NEW_YEAR + HOUR) == NEW_YEAR + DAY
    assert spending.spent_out(NEW_YEAR + DAY) is None
    assert spending.spent(NEW_YEAR + DAY) == (D(0), D("0.5"))


def test_a_spent_monthly_budget_is_renewed_next_month() -> None:
    spending = budget()
    for day in range(5):
        spending.book(D("0.4"), NEW_YEAR + day * DAY)
    assert spending.spent_out(NEW_YEAR + 6 * DAY) == NEW_YEAR + 31 * DAY
    assert spending.spent_out(NEW_YEAR + 31 * DAY) is None


def test_a_budget_of_0_is_spent_from_the_beginning() -> None:
    assert budget(day="0").spent_out(NEW_YEAR) == NEW_YEAR + DAY
    assert budget(month="0").spent_out(NEW_YEAR) == NEW_YEAR + 31 * DAY


def test_a_spent_budget_is_reported_once_even_after_a_restart() -> None:
    spending = budget(day="0")
    assert spending.mark_reported(NEW_YEAR + DAY)
    again = budget(day="0")
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(spending.state()), type=BudgetState))
    assert not again.mark_reported(NEW_YEAR + DAY)
    assert again.mark_reported(NEW_YEAR + 2 * DAY)


@pytest.mark.parametrize(
    ("ms", "expected"),
    [
        (NEW_YEAR, "2026-02-01T00:00:00Z"),
        (NEW_YEAR - 1, "2026-01-01T00:00:00Z"),
        (NEW_YEAR + 58 * DAY, "2026-03-01T00:00:00Z"),
        (NEW_YEAR + 360 * DAY, "2027-01-01T00:00:00Z"),
    ],
)
def test_next_month_returns_the_first_midnight_of_the_month(ms: int, expected: str) -> None:
    assert iso(next_month(ms)) == expected

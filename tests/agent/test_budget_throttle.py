"""The budget throttle: late in a budget the rules decide every other routine wake, and no other."""

from decimal import Decimal

import msgspec
import pytest

from ocw_mcp.agent.fewer_calls import throttled
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.policies import BudgetPolicy
from ocw_mcp.domain.snapshot import DecisionRequest, SymbolWake
from ocw_mcp.domain.time import DAY, day_begins
from tests.support.views import RISING, holding, snapshot, view
from tests.support.wakes import wake

D = Decimal
replace = msgspec.structs.replace
MONTH_BEGINS = day_begins("2026-03-01")
BUDGET = BudgetPolicy(usd_per_day=D("0.6"), usd_per_month=D("10.1"))
WORST = D("0.1")
ROUTINE = wake("BTCUSDT", "close:4h")


def request(wake_id: int, *reasons: SymbolWake, held: bool = False) -> DecisionRequest:
    shown = snapshot(view(RISING, position=holding("0.1") if held else None), view(symbol="ETHUSDT"))
    return DecisionRequest(wake_id, msgspec.structs.replace(shown, wake=reasons), 0)


@pytest.mark.parametrize(
    ("reasons", "held", "expected"),
    [
        ((ROUTINE,), False, True),
        ((wake(None, "timer"), ROUTINE), False, True),
        ((wake("ETHUSDT", "close:1h"),), True, True),
        ((ROUTINE,), True, False),
        ((wake("BTCUSDT", "close:4h", "outlier:15m z=+3.1"),), False, False),
        ((ROUTINE, wake("ETHUSDT", "condition:price gt 5, now 6")), False, False),
        ((wake("BTCUSDT", "score:0.55 time"),), True, False),
    ],
)
def test_only_routine_wakes_are_throttled(reasons: tuple[SymbolWake, ...], held: bool, expected: bool) -> None:
    nearly_all = (D("0.59"), D("10"))
    assert bool(throttled(request(2, *reasons, held=held), nearly_all, BUDGET, WORST)) is expected


def throttled_wakes(today: str, this_month: str = "0", at: int = MONTH_BEGINS) -> list[bool]:
    spent = (D(today), D(this_month))
    wakes = [request(wake, ROUTINE) for wake in (1, 2, 3, 4)]
    timed = [replace(each, snapshot=replace(each.snapshot, at=at)) for each in wakes]
    return [throttled(each, spent, BUDGET, WORST) is not None for each in timed]


@pytest.mark.parametrize(
    ("today", "this_month", "throttles"), [("0.4499", "8.999", False), ("0.45", "0", True), ("0", "9", True)]
)
def test_every_other_routine_wake_is_throttled_at_90_percent_spent(
    today: str, this_month: str, throttles: bool
) -> None:
    assert throttled_wakes(today, this_month) == [False, throttles, False, throttles]


@pytest.mark.parametrize(("share", "throttles"), [("0.95", True), ("0.97", False)])
def test_budget_that_lasts_as_long_as_its_time_is_not_throttled(share: str, throttles: bool) -> None:
    usable_of_day = (BUDGET.usd_per_day - WORST) * D("0.96")
    usable_of_month = (BUDGET.usd_per_month - WORST) * D("0.96")
    late_today = MONTH_BEGINS + int(DAY * D(share))
    assert any(throttled_wakes(str(usable_of_day), at=late_today)) is throttles
    late_this_month = MONTH_BEGINS + int(31 * DAY * D(share))
    assert any(throttled_wakes("0", str(usable_of_month), at=late_this_month)) is throttles


def test_wake_by_a_price_outlier_is_never_throttled() -> None:
    outlier = request(2, wake("BTCUSDT", "outlier:15m z=+3.1"))
    assert throttled(outlier, (D("0.59"), D("10")), BUDGET, WORST) is None


def test_throttle_cause_states_spending_and_budget_share() -> None:
    trouble = throttled(request(2, ROUTINE), (D("0.52"), D("3")), BUDGET, WORST)
    assert trouble is not None
    assert trouble.kind is CauseKind.THROTTLED
    assert "budget" in str(trouble)
    assert str(trouble).endswith("0.52 of 0.6 USD of the day is spent; at this time of the day 90% may be")

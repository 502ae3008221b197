"""Late in a day's budget every other routine wake is left to the rules, and no other."""

from decimal import Decimal

import msgspec
import pytest

from ocw_mcp.agent.budget_throttle import routine, throttled
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.policies import BudgetPolicy
from ocw_mcp.domain.snapshot import DecisionRequest, SymbolWake
from tests.support.views import RISING, holding, snapshot, view
from tests.support.wakes import wake

D = Decimal
BUDGET = BudgetPolicy(usd_per_day=D("0.6"), usd_per_month=D("10.1"))
WORST = D("0.1")
ROUTINE = wake("BTCUSDT", "close:4h")


def request(wake_id: int, *reasons: SymbolWake, held: bool = False) -> DecisionRequest:
    shown = snapshot(view(RISING, position=holding("0.1") if held else None), view(symbol="ETHUSDT"))
    return DecisionRequest(wake_id, msgspec.structs.replace(shown, wake=reasons), 0)


@pytest.mark.parametrize(
    ("reasons", "held", "is_routine"),
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
def test_routine_is_what_only_says_that_time_has_passed(
    reasons: tuple[SymbolWake, ...], held: bool, is_routine: bool
) -> None:
    assert routine(request(2, *reasons, held=held).snapshot) is is_routine


def left_out(today: str, this_month: str = "0") -> list[bool]:
    spent = (D(today), D(this_month))
    return [throttled(request(wake, ROUTINE), spent, BUDGET, WORST) is not None for wake in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("today", "this_month", "thins"), [("0.3999", "7.999", False), ("0.4", "0", True), ("0", "8", True)]
)
def test_from_four_fifths_of_what_a_day_or_a_month_can_use_every_other_routine_wake_is_left_out(
    today: str, this_month: str, thins: bool
) -> None:
    assert left_out(today, this_month) == [False, thins, False, thins]


def test_an_outlier_is_asked_about_to_the_last_cent() -> None:
    outlier = request(2, wake("BTCUSDT", "outlier:15m z=+3.1"))
    assert throttled(outlier, (D("0.59"), D("10")), BUDGET, WORST) is None


def test_the_cause_names_the_budget_and_the_share() -> None:
    trouble = throttled(request(2, ROUTINE), (D("0.52"), D("3")), BUDGET, WORST)
    assert trouble is not None
    assert trouble.kind is CauseKind.THROTTLED
    assert "budget" in str(trouble)
    assert str(trouble).endswith("0.52 of 0.6 USD of the day is spent, and that is so from 80% of what can be used on")

"""Late in a day's budget every other routine wake is left to the rules, and no other."""

from decimal import Decimal

import msgspec
import pytest

from ocw_mcp.agent.causes import Cause
from ocw_mcp.agent.thinning import routine, thinned
from ocw_mcp.domain.snapshot import DecisionRequest, WakeReason
from tests.support.views import RISING, holding, snapshot, view

D = Decimal
DAY = D("0.5")
ROUTINE = WakeReason("BTCUSDT", ("close:4h",))


def request(wake: int, *reasons: WakeReason, held: bool = False) -> DecisionRequest:
    shown = snapshot(view(RISING, position=holding("0.1") if held else None), view(symbol="ETHUSDT"))
    return DecisionRequest(wake, msgspec.structs.replace(shown, wake=reasons), 0)


@pytest.mark.parametrize(
    ("reasons", "held", "is_routine"),
    [
        ((ROUTINE,), False, True),
        ((WakeReason(None, ("timer",)), ROUTINE), False, True),
        ((WakeReason("ETHUSDT", ("close:1h",)),), True, True),
        ((ROUTINE,), True, False),
        ((WakeReason("BTCUSDT", ("close:4h", "outlier:15m z=+3.1")),), False, False),
        ((ROUTINE, WakeReason("ETHUSDT", ("condition:price gt 5, now 6",))), False, False),
        ((WakeReason("BTCUSDT", ("score:0.55 time",)),), True, False),
    ],
)
def test_routine_is_what_only_says_that_time_has_passed(
    reasons: tuple[WakeReason, ...], held: bool, is_routine: bool
) -> None:
    assert routine(request(2, *reasons, held=held).snapshot) is is_routine


def test_from_four_fifths_of_the_budget_on_every_other_routine_wake_is_left_out() -> None:
    def left_out(usd: str) -> list[bool]:
        return [thinned(request(wake, ROUTINE), D(usd), DAY) is not None for wake in (1, 2, 3, 4)]

    assert left_out("0.1001") == [False] * 4
    assert left_out("0.1") == left_out("0") == [False, True, False, True]


def test_an_outlier_is_asked_about_to_the_last_cent() -> None:
    assert thinned(request(2, WakeReason("BTCUSDT", ("outlier:15m z=+3.1",))), D("0.01"), DAY) is None


def test_the_cause_names_the_budget_and_the_share() -> None:
    trouble = thinned(request(2, ROUTINE), D("0.08"), DAY)
    assert trouble is not None
    assert trouble.cause is Cause.THINNED
    assert "budget" in str(trouble)
    assert str(trouble).endswith("0.08 of 0.5 USD is left, and that is so from 80% of the budget on")

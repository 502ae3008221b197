"""A decision as a trader writes it: texts and numbers become Decimals and actions, or are refused with their field."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from ocw_mcp.domain.decision import Action, Comparison, Decision, Leg, WakeCondition
from ocw_mcp.domain.errors import OcwError, StrategyError

D = Decimal


@pytest.mark.parametrize("size", ["0.1", " 0.1 ", 0.1, D("0.1"), np.float64(0.1)])
def test_sizes_of_any_number_type_become_the_same_decimal(size: Any) -> None:
    leg = Leg("ETHUSDT", "BUY", size=size)
    assert (leg.size, type(leg.size), leg.action) == (D("0.1"), Decimal, Action.BUY)


def test_a_leg_accepts_int_float_and_text_numbers() -> None:
    leg = Leg("ETHUSDT", "buy", 1, 2, 3.5, "4")
    assert (leg.size, leg.stop, leg.target, leg.limit) == (D(1), D(2), D("3.5"), D(4))
    assert leg == Leg("ETHUSDT", Action.BUY, D(1), D(2), D("3.5"), D(4))


@pytest.mark.parametrize("field", ["size", "stop", "target", "limit"])
@pytest.mark.parametrize("value", ["a lot", "", "nan", float("nan"), float("-inf"), True, (1,), 1j])
def test_an_invalid_number_is_refused_with_its_field(field: str, value: Any) -> None:
    with pytest.raises(OcwError) as refused:
        Leg("ETHUSDT", "BUY", **{field: value})
    shown = str(value) if isinstance(value, float) else repr(value)
    assert str(refused.value) == (
        f"{field} of the leg on ETHUSDT is {shown}; expected a finite number: a Decimal, an int, a float, or a text "
        "such as '0.1'"
    )


@pytest.mark.parametrize("action", ["YOLO", None, 7])
def test_an_unknown_action_is_refused_with_the_valid_ones(action: Any) -> None:
    with pytest.raises(StrategyError, match=r"action of the leg on ETHUSDT is .*; expected one of BUY, SELL, SHORT, "):
        Leg("ETHUSDT", action)


def test_a_leg_accepts_a_decimal_nan_as_its_size() -> None:
    assert str(Leg("ETHUSDT", "BUY", size=D("NaN")).size) == "NaN"


def test_a_wake_condition_accepts_its_comparison_as_text() -> None:
    plain = WakeCondition("ETHUSDT", "price", Comparison.CROSSES_ABOVE, 2900.0)
    assert WakeCondition("ETHUSDT", "price", "crosses_above", "2900") == plain
    assert WakeCondition("ETHUSDT", "price", "crosses_above", D(2900)) == plain
    with pytest.raises(StrategyError, match="comparison of the condition on ETHUSDT is 'over'; expected one of gt, "):
        WakeCondition("ETHUSDT", "price", "over", 2900)
    with pytest.raises(StrategyError, match="threshold of the condition on ETHUSDT is 'high'"):
        WakeCondition("ETHUSDT", "price", "gt", "high")


def test_lists_of_a_decision_become_tuples() -> None:
    leg, condition = Leg("ETHUSDT", "SELL"), WakeCondition("ETHUSDT", "price", "gt", 1)
    assert Decision([leg], wake_conditions=[condition]) == Decision((leg,), wake_conditions=(condition,))

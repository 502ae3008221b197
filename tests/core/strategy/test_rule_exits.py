"""The reasons for which the rules close a position; without one they hold it."""

import pytest

from ocw_mcp.core.strategy.decide import exit_reason
from ocw_mcp.core.strategy.rule_score import read_rule_score
from ocw_mcp.domain.snapshot import IndicatorValues, PositionView
from tests.support.views import FALLING, FLAT, POLICIES, RISING, D, holding, view


def closing_signal(position: PositionView, indicators: IndicatorValues | None = FLAT) -> str | None:
    seen = view(*([indicators] if indicators else []), position=position)
    reason = exit_reason(position, read_rule_score(seen, POLICIES.rules), POLICIES.rules)
    return reason[0] if reason else None


@pytest.mark.parametrize(("quantity", "indicators"), [("2", RISING), ("-2", FALLING), ("2", FLAT), ("-2", FLAT)])
def test_position_stays_open_while_signals_agree_or_are_neutral(quantity: str, indicators: IndicatorValues) -> None:
    assert closing_signal(holding(quantity), indicators) is None


@pytest.mark.parametrize(("quantity", "mark"), [("1", "102"), ("-1", "98")])
def test_position_is_closed_after_giving_back_trail_atr_of_gain(quantity: str, mark: str) -> None:
    assert closing_signal(holding(quantity, mark=D(mark), mfe=0.0499)) is None
    assert closing_signal(holding(quantity, mark=D(mark), mfe=0.0501)) == "trail"


def test_trail_begins_only_after_a_large_enough_gain() -> None:
    assert closing_signal(holding("1", mark=D(97), mfe=0.029)) is None


@pytest.mark.parametrize(("quantity", "against"), [("1", FALLING), ("-1", RISING)])
def test_position_is_closed_when_signals_reverse(quantity: str, against: IndicatorValues) -> None:
    assert closing_signal(holding(quantity), against) == "reversal"


def test_position_stays_open_while_signals_are_unknown() -> None:
    assert closing_signal(holding("1"), None) is None

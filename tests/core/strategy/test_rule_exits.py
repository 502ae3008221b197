"""When the rules let a position go, and that they hold it while nothing of the kind is so."""

import pytest

from ocw_mcp.core.strategy.exits import exit_reason
from ocw_mcp.core.strategy.signals import read_signals
from ocw_mcp.domain.snapshot import IndicatorValues, PositionView
from tests.support.views import FALLING, FLAT, POLICIES, RISING, D, holding, view


def why(position: PositionView, indicators: IndicatorValues | None = FLAT, **told: object) -> str | None:
    seen = view(*([indicators] if indicators else []), position=position)
    reason = exit_reason(position, read_signals(seen, POLICIES.rules), POLICIES.rules)
    return reason[0] if reason else None


@pytest.mark.parametrize(("quantity", "indicators"), [("2", RISING), ("-2", FALLING), ("2", FLAT), ("-2", FLAT)])
def test_a_position_is_held_while_nothing_speaks_against_it(quantity: str, indicators: IndicatorValues) -> None:
    assert why(holding(quantity), indicators) is None


@pytest.mark.parametrize(("quantity", "mark"), [("1", "102"), ("-1", "98")])
def test_a_profit_given_back_by_so_many_atrs_ends_it(quantity: str, mark: str) -> None:
    assert why(holding(quantity, mark=D(mark), mfe=0.0499)) is None
    assert why(holding(quantity, mark=D(mark), mfe=0.0501)) == "trail"


def test_a_position_that_was_never_so_far_ahead_is_not_trailed() -> None:
    assert why(holding("1", mark=D(97), mfe=0.029)) is None


@pytest.mark.parametrize(("quantity", "against"), [("1", FALLING), ("-1", RISING)])
def test_signals_that_turned_against_it_end_it(quantity: str, against: IndicatorValues) -> None:
    assert why(holding(quantity), against) == "reversal"


def test_a_position_is_left_to_its_stop_while_the_signals_are_unknown() -> None:
    assert why(holding("1"), None) is None

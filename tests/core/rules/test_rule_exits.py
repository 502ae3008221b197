"""When the rules let a position go, and that they hold it while nothing of the kind is so."""

import pytest

from ocw_mcp.core.rules.exits import exit_reason
from ocw_mcp.core.rules.signals import read_signals
from ocw_mcp.domain.snapshot import Correlation, IndicatorValues, PositionView
from ocw_mcp.domain.time import HOUR
from tests.support.views import FALLING, FLAT, NOON, POLICIES, RISING, D, holding, snapshot, values, view


def why(position: PositionView, indicators: IndicatorValues | None = FLAT, **told: object) -> str | None:
    seen = view(*([indicators] if indicators else []), position=position)
    reason = exit_reason(position, read_signals(seen, POLICIES.rules), snapshot(seen), POLICIES.rules)
    return reason[0] if reason else None


@pytest.mark.parametrize(("quantity", "indicators"), [("2", RISING), ("-2", FALLING), ("2", FLAT), ("-2", FLAT)])
def test_a_position_is_held_while_nothing_speaks_against_it(quantity: str, indicators: IndicatorValues) -> None:
    assert why(holding(quantity), indicators) is None


@pytest.mark.parametrize(("quantity", "held", "lost"), [("1", "96.01", "96"), ("-1", "103.99", "104")])
def test_a_loss_beyond_the_limit_ends_it(quantity: str, held: str, lost: str) -> None:
    assert why(holding(quantity, mark=D(held), mfe=0.0)) is None
    assert why(holding(quantity, mark=D(lost), mfe=0.0)) == "drawdown"


def test_a_loss_ends_it_though_no_signal_is_known() -> None:
    assert why(holding("1", mark=D(90)), None) == "drawdown"


@pytest.mark.parametrize(("quantity", "mark"), [("1", "102"), ("-1", "98")])
def test_a_profit_given_back_by_so_many_atrs_ends_it(quantity: str, mark: str) -> None:
    assert why(holding(quantity, mark=D(mark), mfe=0.0499)) is None
    assert why(holding(quantity, mark=D(mark), mfe=0.0501)) == "trail"


def test_a_position_that_was_never_so_far_ahead_is_not_trailed() -> None:
    assert why(holding("1", mark=D(97), mfe=0.029)) is None


def test_the_longest_hold_ends_it_though_no_signal_is_known() -> None:
    assert why(holding("1", opened_at=NOON - 47 * HOUR)) is None
    assert why(holding("1", opened_at=NOON - 48 * HOUR), None) == "time"


@pytest.mark.parametrize(("quantity", "against"), [("1", FALLING), ("-1", RISING)])
def test_signals_that_turned_against_it_end_it(quantity: str, against: IndicatorValues) -> None:
    assert why(holding(quantity), against) == "reversal"


def test_a_score_that_adds_up_against_it_ends_it_though_no_single_part_would() -> None:
    # In a trend that weakens, with the profit nearly gone, an old position beside its twin.
    turning = values(FALLING, adx_14=24.0, percent_b=0.0, rsi_14=30.0)
    old = holding("1", mark=D("97.2"), mfe=0.0, opened_at=NOON - 46 * HOUR)
    alone = view(turning, position=old)
    twin = view(FLAT, symbol="ETHUSDT", position=holding("3", "ETHUSDT"))
    signals = read_signals(alone, POLICIES.rules)
    assert signals is not None
    assert signals.score > -POLICIES.rules.exit_score
    assert exit_reason(old, signals, snapshot(alone), POLICIES.rules) is None
    together = snapshot(alone, twin, correlations=(Correlation("BTCUSDT", "ETHUSDT", 0.95),))
    reason = exit_reason(old, signals, together, POLICIES.rules)
    assert reason is not None
    assert reason[0] == "position_score"


def test_a_position_is_left_to_its_stop_while_the_signals_are_unknown() -> None:
    assert why(holding("1"), None) is None

"""The rules' score of a position: five parts, each 0 to 1; an unknown part counts half of its weight."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ocw_mcp.core.strategy.position_score import UNKNOWN_COUNTS, WEIGHTS, PositionScore, score_position
from ocw_mcp.core.strategy.rule_score import read_rule_score
from ocw_mcp.domain.regime import Level
from ocw_mcp.domain.snapshot import Correlation, IndicatorValues, PositionView
from ocw_mcp.domain.time import HOUR
from ocw_mcp.domain.unknown import Unknown
from tests.support.views import (
    FALLING,
    FLAT,
    NOON,
    NOTHING,
    POLICIES,
    RISING,
    D,
    holding,
    snapshot,
    turbulent,
    values,
    view,
)


def score(
    position: PositionView, indicators: IndicatorValues | None = FLAT, *others: Any, **changes: Any
) -> PositionScore:
    seen = view(*([indicators] if indicators else []), position=position)
    rule_score = read_rule_score(seen, POLICIES.rules)
    regime = changes.pop("regime", NOTHING)
    whole = replace(snapshot(seen, *others, **changes), regime=regime)
    return score_position(position, rule_score, whole, max_hold_h=48)


def test_weights_have_their_documented_values_and_sum_to_1() -> None:
    assert WEIGHTS == {
        "regime_change": 0.25,
        "momentum_reversal": 0.25,
        "correlation": 0.20,
        "pnl_path": 0.15,
        "time_decay": 0.15,
    }
    assert sum(WEIGHTS.values()) == pytest.approx(1)


@pytest.mark.parametrize(("quantity", "against", "along"), [("1", FALLING, RISING), ("-1", RISING, FALLING)])
def test_trend_against_the_position_counts_as_regime_change(
    quantity: str, against: IndicatorValues, along: IndicatorValues
) -> None:
    turned = score(holding(quantity), against).parts
    assert turned["regime_change"] == pytest.approx(1)
    assert turned["momentum_reversal"] is not None
    assert turned["momentum_reversal"] > 0.6
    with_it = score(holding(quantity), along).parts
    assert (with_it["regime_change"], with_it["momentum_reversal"]) == (0, 0)


def test_adverse_momentum_in_a_range_counts_as_no_regime_change() -> None:
    parts = score(holding("1"), values(FALLING, adx_14=10.0)).parts
    assert parts["regime_change"] == 0
    assert parts["momentum_reversal"] is not None
    assert parts["momentum_reversal"] > 0.6


@pytest.mark.parametrize(
    ("regime", "part"),
    [
        (turbulent(0.9, NOON), 0.9),
        (turbulent(0.9, NOON - 2 * HOUR), 0.0),
        (replace(turbulent(0.9, NOON), level=Level.NORMAL), 0.0),
        (Unknown("no model"), 0.0),
    ],
    ids=["turbulent since", "turbulent before", "not turbulent", "unknown"],
)
def test_market_that_became_turbulent_against_the_position_counts(regime: Any, part: float) -> None:
    ranging = values(FALLING, adx_14=10.0)
    assert score(holding("1"), ranging, regime=regime).parts["regime_change"] == pytest.approx(part)
    assert score(holding("-1"), ranging, regime=regime).parts["regime_change"] == 0
    assert score(holding("1"), FALLING, regime=regime).parts["regime_change"] == pytest.approx(1)


def test_correlated_position_in_same_direction_raises_the_score() -> None:
    alike = (Correlation("BTCUSDT", "ETHUSDT", 0.8),)
    for quantity, counts in (("3", 0.8), ("-3", 0.0)):
        other = view(FLAT, symbol="ETHUSDT", position=holding(quantity, "ETHUSDT"))
        assert score(holding("1"), FLAT, other, correlations=alike).parts["correlation"] == counts
    opposite = (Correlation("ETHUSDT", "BTCUSDT", -0.7),)
    other = view(FLAT, symbol="ETHUSDT", position=holding("-3", "ETHUSDT"))
    assert score(holding("1"), FLAT, other, correlations=opposite).parts["correlation"] == 0.7


def test_correlation_score_of_a_single_position_is_0() -> None:
    alike = (Correlation("BTCUSDT", "ETHUSDT", 0.9),)
    assert score(holding("1"), FLAT, view(FLAT, symbol="ETHUSDT"), correlations=alike).parts["correlation"] == 0


@pytest.mark.parametrize(
    ("mark", "mfe", "part"), [("106", 0.06, 0.0), ("101", 0.06, 0.5), ("96", 0.06, 1.0), ("90", 0.06, 1.0)]
)
def test_pnl_path_score_is_0_at_the_best_price_and_1_at_the_stop(mark: str, mfe: float, part: float) -> None:
    held = holding("1", mark=D(mark), mfe=mfe)
    assert score(held).parts["pnl_path"] == pytest.approx(part)


def test_pnl_path_score_of_a_short_is_mirrored() -> None:
    held = holding("-1", mark=D(99), mfe=0.06)
    assert held.stop == 104
    assert score(held).parts["pnl_path"] == pytest.approx(0.5)


@pytest.mark.parametrize(("hours", "part"), [(0, 0.0), (12, 0.25), (48, 1.0), (500, 1.0)])
def test_time_decay_score_is_1_at_the_longest_holding_time(hours: int, part: float) -> None:
    assert score(holding("1", opened_at=NOON - hours * HOUR)).parts["time_decay"] == pytest.approx(part)


def test_unknown_part_counts_half_of_its_weight() -> None:
    unknown = (Correlation("BTCUSDT", "ETHUSDT", Unknown("too few candles")),)
    other = view(FLAT, symbol="ETHUSDT", position=holding("3", "ETHUSDT"))
    result = score(holding("1", stop=None, opened_at=NOON), None, other, correlations=unknown)
    assert [name for name, part in result.parts.items() if part is None] == list(WEIGHTS)[:4]
    assert result.total == pytest.approx(UNKNOWN_COUNTS * (1 - WEIGHTS["time_decay"]))


def test_worst_part_has_the_largest_contribution_to_the_score() -> None:
    assert score(holding("1", opened_at=NOON - 48 * HOUR)).worst == "time_decay"
    assert score(holding("1"), FALLING).worst == "regime_change"


@given(
    mark=st.decimals("1", "1000", places=2),
    stop=st.none() | st.decimals("1", "1000", places=2),
    mfe=st.floats(-1, 10) | st.just(Unknown("not seen")),
    opened=st.integers(0, NOON),
    quantity=st.sampled_from(["1", "-1"]),
    base=st.sampled_from([RISING, FALLING, FLAT]),
)
def test_score_and_its_parts_are_between_0_and_1(
    mark: Any, stop: Any, mfe: Any, opened: int, quantity: str, base: IndicatorValues
) -> None:
    result = score(holding(quantity, mark=mark, stop=stop, mfe=mfe, opened_at=opened), base)
    assert 0 <= result.total <= 1
    assert all(part is None or 0 <= part <= 1 for part in result.parts.values())

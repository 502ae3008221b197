"""The score of the rules: momentum in a trend, mean reversion in a range, and the tilt of known derivatives."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.core.strategy import decide
from ocw_mcp.core.strategy.rule_score import RuleScore, read_rule_score
from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.regime import RegimeReading
from ocw_mcp.domain.snapshot import DerivativesView, IndicatorValues, SymbolView
from ocw_mcp.domain.unknown import Unknown
from tests.support.views import (
    FALLING,
    FLAT,
    HIGH_IN_RANGE,
    LOW_IN_RANGE,
    NOTHING,
    POLICIES,
    RISING,
    snapshot,
    turbulent,
    values,
    view,
)


def read(seen: SymbolView) -> RuleScore:
    rule_score = read_rule_score(seen, POLICIES.rules)
    assert rule_score is not None
    return rule_score


def mirrored(base: IndicatorValues) -> IndicatorValues:
    """Return the indicators of the market mirrored at a price of 100."""
    assert isinstance(base.rsi_14, float)
    assert isinstance(base.percent_b, float)
    averages = {name: 200.0 - getattr(base, name) for name in ("ema_9", "ema_21", "ema_50")}
    return values(base, rsi_14=100 - base.rsi_14, percent_b=1 - base.percent_b, **averages)


def test_momentum_is_the_mean_of_ema_rsi_and_return_terms() -> None:
    rule_score = read(view(RISING, return_4h=0.03))
    parts = (math.tanh(2), math.tanh(4 / 2), 22 / 25, math.tanh(3 / 2))
    assert rule_score.momentum == pytest.approx(sum(parts) / 4)


def test_unknown_4h_return_counts_as_zero_in_momentum() -> None:
    assert read(view(RISING, return_4h=NOTHING)).momentum == read(view(RISING, return_4h=0.0)).momentum


def test_reversion_is_opposite_to_percent_b_and_rsi() -> None:
    assert read(view(LOW_IN_RANGE)).reversion == pytest.approx((1 + 23 / 25) / 2)
    assert read(view(HIGH_IN_RANGE)).reversion == pytest.approx(-(1 + 23 / 25) / 2)
    assert read(view(FLAT)).reversion == 0


@pytest.mark.parametrize(("adx", "trend"), [(0.0, 0.0), (20.0, 0.0), (25.0, 0.5), (30.0, 1.0), (80.0, 1.0)])
def test_adx_sets_the_weights_of_momentum_and_reversion(adx: float, trend: float) -> None:
    rule_score = read(view(values(RISING, adx_14=adx)))
    assert rule_score.trend == pytest.approx(trend)
    assert rule_score.total == pytest.approx(trend * rule_score.momentum + (1 - trend) * rule_score.reversion)


def test_mirrored_market_gives_opposite_signals() -> None:
    for base in (RISING, LOW_IN_RANGE, values(RISING, adx_14=26.0)):
        up, down = read(view(base, return_4h=0.01)), read(view(mirrored(base), return_4h=-0.01))
        assert down.total == pytest.approx(-up.total)


def test_unknown_derivatives_add_no_tilt() -> None:
    crowded = view(FLAT, derivatives=DerivativesView(composite=-0.5))
    assert (read(crowded).tilt, read(crowded).total) == (-0.1, -0.1)
    assert read(view(FLAT, derivatives=DerivativesView(composite=Unknown("no metrics")))).tilt == 0


def blended(adx: float, regime: RegimeReading | Unknown, blend: float) -> float:
    """Return the score of an ADX by the definition: momentum and reversion, and the weights moved by turbulence."""
    seen = read(view(values(RISING, adx_14=adx)))
    trend = min(1.0, max(0.0, (adx - 20) / 10))
    if not isinstance(regime, Unknown):
        moved = blend * regime.probabilities[-1]
        trend = (1 - moved) * trend + moved
    return trend * seen.momentum + (1 - trend) * seen.reversion


@given(
    adx=st.floats(0, 60),
    blend=st.floats(0, 1),
    regime=st.none() | st.builds(turbulent, probability=st.floats(0, 1)),
)
def test_regime_moves_the_weights_as_defined(adx: float, blend: float, regime: RegimeReading | None) -> None:
    known = NOTHING if regime is None else regime
    rules = POLICIES.rules.model_copy(update={"regime_blend": blend})
    rule_score = read_rule_score(view(values(RISING, adx_14=adx)), rules, known)
    assert rule_score is not None
    assert rule_score.total == pytest.approx(blended(adx, known, blend))
    assert 0 <= rule_score.weight <= 1


def test_shipped_rules_do_not_lean_on_the_regime() -> None:
    for name in ("default", "conservative", "lab"):
        rules = load_policies(None, name).policies.rules
        assert rules.regime_blend == 0
        seen = view(values(RISING, timeframe=rules.timeframe, adx_14=22.0))
        assert read_rule_score(seen, rules, turbulent(1.0)) == read_rule_score(seen, rules, NOTHING)


@pytest.mark.parametrize(
    ("blend", "action", "why"),
    [(1.0, Action.BUY, "0% trend by ADX 10, 100% momentum by the regime: "), (0.0, Action.SHORT, "trend by ADX 10: ")],
)
def test_blend_decides_which_signal_leads_in_a_turbulent_range(blend: float, action: Action, why: str) -> None:
    rising_in_a_range = view(values(RISING, adx_14=10.0))
    policies = POLICIES.model_copy(update={"rules": POLICIES.rules.model_copy(update={"regime_blend": blend})})
    (leg,) = decide(replace(snapshot(rising_in_a_range), regime=turbulent(1.0)), policies).legs
    assert leg.action is action
    assert why in leg.reasoning


@pytest.mark.parametrize("name", ["ema_9", "ema_21", "ema_50", "rsi_14", "atr_14", "adx_14", "percent_b"])
def test_an_unknown_required_indicator_gives_no_signals(name: str) -> None:
    for base in (RISING, FALLING, LOW_IN_RANGE):
        assert read_rule_score(view(values(base, **{name: NOTHING})), POLICIES.rules) is None


def test_no_signals_without_price_atr_or_timeframe() -> None:
    assert read_rule_score(view(RISING, last=NOTHING), POLICIES.rules) is None
    assert read_rule_score(view(values(RISING, atr_14=0.0)), POLICIES.rules) is None
    assert read_rule_score(view(), POLICIES.rules) is None
    assert read_rule_score(view(values(RISING, timeframe="15m")), POLICIES.rules) is None


def test_signals_use_the_shortest_timeframe_that_is_long_enough() -> None:
    short, wanted, longer = values(FALLING, timeframe="15m"), RISING, values(FALLING, timeframe="4h")
    assert read(view(short, wanted, longer)).timeframe == "1h"
    assert read(view(short, longer)).timeframe == "4h"


@given(
    base=st.builds(
        values,
        st.sampled_from([RISING, FALLING, LOW_IN_RANGE, HIGH_IN_RANGE]),
        rsi_14=st.floats(0, 100),
        percent_b=st.floats(-10, 10),
        adx_14=st.floats(0, 100),
        atr_14=st.floats(1e-6, 1e6),
    ),
    composite=st.floats(-1, 1),
    moved=st.floats(-0.99, 10),
)
def test_signals_are_between_minus_one_and_one(base: IndicatorValues, composite: float, moved: float) -> None:
    rule_score = read(view(base, return_4h=moved, derivatives=DerivativesView(composite=composite)))
    for value in (rule_score.momentum, rule_score.reversion, rule_score.total):
        assert -1 <= value <= 1

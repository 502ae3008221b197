"""The rules' decision: strong signals open a position within the policies, and an unknown reading opens none."""

import pytest

from ocw_mcp.core.strategy import decide
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.snapshot import DerivativesView, IndicatorValues
from tests.support.runs import policies
from tests.support.views import (
    FALLING,
    FLAT,
    HIGH_IN_RANGE,
    LOW_IN_RANGE,
    NOTHING,
    POLICIES,
    RISING,
    RULES,
    D,
    holding,
    snapshot,
    values,
    view,
)


def only_leg(decision: Decision) -> Leg:
    (leg,) = decision.legs
    return leg


def does_nothing(decision: Decision) -> bool:
    return decision == Decision(legs=(), cause=Cause(CauseKind.NOTHING_TO_DO))


@pytest.mark.parametrize(
    ("indicators", "action", "stop", "signal"),
    [
        (RISING, Action.BUY, "97.5", "momentum"),
        (FALLING, Action.SHORT, "102.5", "momentum"),
        (LOW_IN_RANGE, Action.BUY, "97.5", "reversion"),
        (HIGH_IN_RANGE, Action.SHORT, "102.5", "reversion"),
    ],
)
def test_entry_follows_a_trend_and_fades_a_range(
    indicators: IndicatorValues, action: Action, stop: str, signal: str
) -> None:
    leg = only_leg(decide(snapshot(view(indicators)), POLICIES))
    assert (leg.symbol, leg.action, leg.stop) == ("BTCUSDT", action, D(stop))
    assert leg.signals == (signal,)
    assert leg.confidence is not None
    assert POLICIES.rules.entry_score <= leg.confidence <= 1
    assert "on 1h momentum" in leg.reasoning


def test_weak_signals_open_nothing() -> None:
    assert does_nothing(decide(snapshot(view(FLAT)), POLICIES))
    assert does_nothing(decide(snapshot(view(values(RISING, adx_14=25.0))), POLICIES))


def test_derivatives_tilt_can_decide_an_entry() -> None:
    weak = values(LOW_IN_RANGE, rsi_14=37.0, percent_b=0.25)
    assert does_nothing(decide(snapshot(view(weak)), POLICIES))
    leg = only_leg(decide(snapshot(view(weak, derivatives=DerivativesView(composite=0.9))), POLICIES))
    assert (leg.action, leg.signals) == (Action.BUY, ("reversion", "derivatives"))


def test_rules_do_not_enter_an_overbought_or_oversold_trend() -> None:
    assert does_nothing(decide(snapshot(view(values(RISING, rsi_14=80.0))), POLICIES))
    assert does_nothing(decide(snapshot(view(values(FALLING, rsi_14=20.0))), POLICIES))


def test_rules_buy_on_spot_and_never_short() -> None:
    assert does_nothing(decide(snapshot(view(FALLING), product=Product.SPOT), POLICIES))
    assert only_leg(decide(snapshot(view(RISING), product=Product.SPOT), POLICIES)).action is Action.BUY


@pytest.mark.parametrize("name", ["ema_9", "ema_21", "ema_50", "rsi_14", "atr_14", "adx_14", "percent_b"])
def test_unknown_indicator_opens_nothing(name: str) -> None:
    for base in (RISING, FALLING, LOW_IN_RANGE, HIGH_IN_RANGE):
        assert does_nothing(decide(snapshot(view(values(base, **{name: NOTHING}))), POLICIES))


def test_an_empty_portfolio_and_an_unknown_price_open_nothing() -> None:
    assert does_nothing(decide(snapshot(), POLICIES))
    assert does_nothing(decide(snapshot(view(RISING, last=NOTHING)), POLICIES))


@pytest.mark.parametrize(("quantity", "against", "action"), [("2", FALLING, Action.SELL), ("-2", RISING, Action.COVER)])
def test_exit_closes_the_whole_position(quantity: str, against: IndicatorValues, action: Action) -> None:
    leg = only_leg(decide(snapshot(view(against, position=holding(quantity))), POLICIES))
    assert (leg.action, leg.size, leg.stop, leg.signals) == (action, None, None, ("reversal",))
    assert not leg.action.adds_risk


def test_open_position_is_neither_increased_nor_reversed() -> None:
    assert does_nothing(decide(snapshot(view(RISING, position=holding("2"))), POLICIES))
    assert only_leg(decide(snapshot(view(FALLING, position=holding("2"))), POLICIES)).action is Action.SELL


@pytest.mark.parametrize("atr", [0.5, 1.0, 1.9, 3.0, 50.0])
def test_stop_is_never_farther_than_the_policy_allows(atr: float) -> None:
    for base, sign in ((LOW_IN_RANGE, 1), (HIGH_IN_RANGE, -1)):
        stop = only_leg(decide(snapshot(view(values(base, atr_14=atr))), POLICIES)).stop
        assert stop is not None
        distance = float(100 - stop) / 100 * sign
        assert 0 < distance < 0.05
        assert distance == pytest.approx(min(2.5 * atr / 100, 0.049), rel=1e-5)


@pytest.mark.parametrize(("scale", "size"), [("1", "0.1"), ("0.5", "0.05"), ("0.25", "0.025")])
def test_size_stays_within_the_scaled_position_limit(scale: str, size: str) -> None:
    position = policies(stop={"max_distance": "0.05"}, rules=RULES, position={"max_share": "0.1"})
    assert only_leg(decide(snapshot(view(RISING), scale=scale), position)).size == D(size)


def test_size_stays_within_the_order_limit() -> None:
    order = policies(stop={"max_distance": "0.05"}, rules=RULES, order={"max_notional": 500})
    assert only_leg(decide(snapshot(view(RISING), scale="1"), order)).size == D("0.05")


def test_each_symbol_is_decided_separately() -> None:
    decision = decide(
        snapshot(
            view(RISING, symbol="BTCUSDT"),
            view(FLAT, symbol="ETHUSDT"),
            view(FALLING, symbol="SOLUSDT", position=holding("1", "SOLUSDT")),
            view(FALLING, symbol="XRPUSDT"),
        ),
        POLICIES,
    )
    assert [(leg.symbol, leg.action) for leg in decision.legs] == [
        ("BTCUSDT", Action.BUY),
        ("SOLUSDT", Action.SELL),
        ("XRPUSDT", Action.SHORT),
    ]
    assert decision.cause is None


def test_derivatives_of_one_symbol_do_not_affect_another() -> None:
    tilted = view(FLAT, symbol="ETHUSDT", derivatives=DerivativesView(composite=1.0))
    assert does_nothing(decide(snapshot(view(FLAT), tilted), POLICIES))

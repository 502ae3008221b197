"""The plain rule: in with the trend, out when it turns, and nothing on what is unknown."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from ocw_mcp.core.rules.plain import decide
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.snapshot import IndicatorValues, PositionView, Snapshot, SymbolView
from ocw_mcp.domain.state import DeskState
from ocw_mcp.domain.unknown import Unknown
from tests.support.runs import policies

D = Decimal
POLICIES = policies(
    stop={"max_distance": "0.05"},
    rules={
        "timeframe": "1h",
        "entry_size": "0.25",
        "adx_trend": 20,
        "rsi_too_high": 75,
        "rsi_too_low": 25,
        "stop_atr": 2.5,
    },
)
RISING = IndicatorValues(
    "1h", 200, close=100.0, ema_9=99.0, ema_21=98.0, ema_50=97.0, rsi_14=60.0, atr_14=1.0, adx_14=30.0
)
FALLING = msgspec.structs.replace(RISING, ema_9=101.0, ema_21=102.0, ema_50=103.0, rsi_14=40.0)
NOTHING = Unknown("needs 50 candles, has 3")


def values(base: IndicatorValues, **changes: Any) -> IndicatorValues:
    return msgspec.structs.replace(base, **changes)


def holding(quantity: str, symbol: str = "BTCUSDT") -> PositionView:
    return PositionView(symbol, D(quantity), D(95), D(100), D(5), opened_at=0, stop=D(90))


def view(
    *indicators: IndicatorValues, symbol: str = "BTCUSDT", position: PositionView | None = None, last: Any = 100.0
) -> SymbolView:
    return SymbolView(symbol, last, 0, indicators, position, derivatives=Unknown("no source"))


def snapshot(*views: SymbolView, product: Product = Product.UM, scale: str = "0.5") -> Snapshot:
    return Snapshot(
        at=0,
        product=product,
        state=DeskState.ACTIVE,
        equity=D(10_000),
        symbols=views,
        wake=(),
        regime=Unknown("no source"),
        macro=Unknown("no source"),
        scale=D(scale),
    )


def only_leg(decision: Decision) -> Leg:
    (leg,) = decision.legs
    return leg


def does_nothing(decision: Decision) -> bool:
    return decision == Decision(legs=(), cause="rules: nothing to do")


def test_a_rising_trend_is_bought_with_a_stop_below() -> None:
    leg = only_leg(decide(snapshot(view(RISING)), POLICIES))
    assert (leg.symbol, leg.action, leg.stop) == ("BTCUSDT", Action.BUY, D("97.5"))
    assert leg.reasoning == "EMA 9, 21, 50 in order on 1h, ADX 30, RSI 60"
    assert leg.confidence == pytest.approx(0.6)


def test_a_falling_trend_is_shorted_with_a_stop_above() -> None:
    leg = only_leg(decide(snapshot(view(FALLING)), POLICIES))
    assert (leg.action, leg.stop) == (Action.SHORT, D("102.5"))


def test_spot_never_shorts_and_still_buys() -> None:
    assert does_nothing(decide(snapshot(view(FALLING), product=Product.SPOT), POLICIES))
    assert only_leg(decide(snapshot(view(RISING), product=Product.SPOT), POLICIES)).action is Action.BUY


@pytest.mark.parametrize(
    "indicators",
    [
        values(RISING, adx_14=19.9),
        values(RISING, rsi_14=75.0),
        values(RISING, ema_21=99.5),
        values(RISING, ema_50=98.5),
        values(RISING, ema_9=98.0),
        values(FALLING, adx_14=19.9),
        values(FALLING, rsi_14=25.0),
        values(FALLING, ema_21=100.5),
        values(FALLING, ema_50=101.5),
    ],
)
def test_no_trend_a_late_one_or_averages_out_of_order_open_nothing(indicators: IndicatorValues) -> None:
    assert does_nothing(decide(snapshot(view(indicators)), POLICIES))


@pytest.mark.parametrize(("adx", "rsi"), [(20.0, 74.9), (100.0, 50.0)])
def test_a_trend_begins_at_the_limit_of_the_policy(adx: float, rsi: float) -> None:
    leg = only_leg(decide(snapshot(view(values(RISING, adx_14=adx, rsi_14=rsi))), POLICIES))
    assert leg.action is Action.BUY
    assert leg.confidence is not None
    assert leg.confidence <= 1


@pytest.mark.parametrize("base", [RISING, FALLING])
@pytest.mark.parametrize("name", ["ema_9", "ema_21", "ema_50", "rsi_14", "atr_14", "adx_14"])
def test_anything_unknown_opens_nothing(base: IndicatorValues, name: str) -> None:
    assert does_nothing(decide(snapshot(view(values(base, **{name: NOTHING}))), POLICIES))


@pytest.mark.parametrize("base", [RISING, FALLING])
def test_an_unknown_price_opens_nothing(base: IndicatorValues) -> None:
    assert does_nothing(decide(snapshot(view(base, last=Unknown("no candle yet"))), POLICIES))


def test_a_symbol_without_the_timeframe_opens_nothing() -> None:
    assert does_nothing(decide(snapshot(view()), POLICIES))
    assert does_nothing(decide(snapshot(view(values(RISING, timeframe="15m"))), POLICIES))
    assert does_nothing(decide(snapshot(), POLICIES))


@pytest.mark.parametrize(
    ("quantity", "indicators", "action"),
    [("2", values(RISING, ema_9=97.9), Action.SELL), ("-2", values(FALLING, ema_9=102.1), Action.COVER)],
)
def test_a_position_is_closed_when_the_fast_average_crosses_back(
    quantity: str, indicators: IndicatorValues, action: Action
) -> None:
    leg = only_leg(decide(snapshot(view(indicators, position=holding(quantity))), POLICIES))
    assert leg.action is action
    assert (leg.size, leg.stop) == (None, None)
    assert not leg.action.adds_risk


@pytest.mark.parametrize(
    ("quantity", "indicators"), [("2", RISING), ("-2", FALLING), ("2", values(RISING, ema_9=98.0))]
)
def test_a_position_is_held_while_its_trend_goes_on(quantity: str, indicators: IndicatorValues) -> None:
    assert does_nothing(decide(snapshot(view(indicators, position=holding(quantity))), POLICIES))


def test_a_position_is_closed_though_what_only_entries_need_is_unknown() -> None:
    turned = values(RISING, ema_9=97.9, ema_50=NOTHING, rsi_14=NOTHING, atr_14=NOTHING, adx_14=NOTHING)
    assert only_leg(decide(snapshot(view(turned, position=holding("2"))), POLICIES)).action is Action.SELL


def test_a_position_is_left_to_its_stop_while_the_averages_are_unknown() -> None:
    assert does_nothing(decide(snapshot(view(values(RISING, ema_21=NOTHING), position=holding("2"))), POLICIES))


@pytest.mark.parametrize("atr", [0.01, 0.5, 2.0, 3.0, 50.0])
def test_a_stop_is_never_farther_than_the_policy_allows(atr: float) -> None:
    for base, sign in ((RISING, 1), (FALLING, -1)):
        stop = only_leg(decide(snapshot(view(values(base, atr_14=atr))), POLICIES)).stop
        assert stop is not None
        distance = float(100 - stop) / 100 * sign
        assert 0 < distance < 0.05
        assert distance == pytest.approx(min(2.5 * atr / 100, 0.049), rel=1e-5)


@pytest.mark.parametrize(("scale", "size"), [("1", "0.25"), ("0.5", "0.125"), ("0.54", "0.135")])
def test_the_size_is_scaled_by_what_is_known_of_regime_and_macro(scale: str, size: str) -> None:
    assert only_leg(decide(snapshot(view(RISING), scale=scale), POLICIES)).size == D(size)


def test_the_rule_reads_its_own_timeframe_and_on_longer_candles_the_shortest_there_is() -> None:
    minutes, hours, days = values(FALLING, timeframe="1m"), RISING, values(FALLING, timeframe="4h")
    assert only_leg(decide(snapshot(view(minutes, hours, days)), POLICIES)).action is Action.BUY
    assert only_leg(decide(snapshot(view(values(RISING, timeframe="1d"))), POLICIES)).action is Action.BUY


def test_each_symbol_is_decided_on_its_own() -> None:
    decision = decide(
        snapshot(
            view(RISING, symbol="BTCUSDT"),
            view(values(RISING, adx_14=5.0), symbol="ETHUSDT"),
            view(values(RISING, ema_9=97.0), symbol="SOLUSDT", position=holding("1", "SOLUSDT")),
            view(FALLING, symbol="XRPUSDT"),
        ),
        POLICIES,
    )
    assert [(leg.symbol, leg.action) for leg in decision.legs] == [
        ("BTCUSDT", Action.BUY),
        ("SOLUSDT", Action.SELL),
        ("XRPUSDT", Action.SHORT),
    ]
    assert decision.cause == ""


def test_a_stop_carries_eight_significant_digits_at_most() -> None:
    stop = only_leg(decide(snapshot(view(values(RISING, atr_14=0.0000123), last=0.00123456789)), POLICIES)).stop
    assert stop is not None
    assert len(stop.normalize().as_tuple().digits) <= 8
    assert 0 < stop < D("0.00123456789")


def test_the_size_keeps_within_what_one_order_and_one_position_may_be() -> None:
    rich = msgspec.structs.replace(snapshot(view(RISING), scale="1"), equity=D(50_000))
    assert only_leg(decide(rich, POLICIES)).size == POLICIES.order.max_notional / 50_000
    tight = policies(position={"max_share": "0.1"})
    assert only_leg(decide(snapshot(view(RISING), scale="1"), tight)).size == D("0.1")

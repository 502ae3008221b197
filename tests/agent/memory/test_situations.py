"""The similarity of situations."""

import msgspec
from hypothesis import given

from ocw_mcp.agent.memory.diary import Situation, similarity, situation
from ocw_mcp.agent.memory.diary import situations as read
from ocw_mcp.domain.snapshot import DerivativesView
from tests.support.memory import FALLING, RISING, situations
from tests.support.views import FALLING as FALLS
from tests.support.views import POLICIES, snapshot, view
from tests.support.views import RISING as RISES


@given(situations, situations)
def test_similarity_is_symmetric_and_between_0_and_1(one: Situation, other: Situation) -> None:
    assert similarity(one, other) == similarity(other, one)
    assert 0 <= similarity(one, other) <= 1


@given(situations)
def test_equal_situations_with_signals_have_similarity_1(one: Situation) -> None:
    assert (similarity(one, one) == 1) == bool(one.signals)


def test_similarity_drops_most_for_signals_then_regime_then_symbol() -> None:
    calm = msgspec.structs.replace(RISING, regime="calm")
    same = similarity(calm, calm)
    elsewhere = similarity(calm, msgspec.structs.replace(calm, symbol="ETHUSDT"))
    wild = similarity(calm, msgspec.structs.replace(calm, regime="wild"))
    turned = similarity(calm, msgspec.structs.replace(FALLING, regime="calm"))
    assert same > elsewhere > wild > turned


def test_situations_with_unknown_parts_are_dissimilar() -> None:
    calm = msgspec.structs.replace(RISING, regime="calm")
    assert similarity(RISING, RISING) == 1
    assert similarity(RISING, calm) < 0.75
    assert similarity(Situation("BTCUSDT"), Situation("BTCUSDT")) < 0.1


def test_situation_of_a_symbol_has_the_signal_values_of_the_rules() -> None:
    leaning = DerivativesView(composite=0.4)
    shown = snapshot(view(RISES, derivatives=leaning), view(FALLS, symbol="ETHUSDT"), view(symbol="SOLUSDT"))
    rising, falling, unread = read(shown, POLICIES.rules)
    assert dict(rising.signals)["momentum"] > 0.5 > -0.5 > dict(falling.signals)["momentum"]
    assert dict(rising.signals)["derivatives"] == 0.4
    assert dict(rising.signals)["trend"] == 1
    assert unread == Situation("SOLUSDT")
    assert situation(shown, "ETHUSDT", POLICIES.rules) == falling
    assert situation(shown, "XRPUSDT", POLICIES.rules) == Situation("XRPUSDT")

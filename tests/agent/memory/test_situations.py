"""How alike two situations are."""

import msgspec
from hypothesis import given

from ocw_mcp.agent.memory.situations import Situation, likeness, situation
from ocw_mcp.agent.memory.situations import situations as read
from ocw_mcp.domain.snapshot import DerivativesView
from tests.support.memory import FALLING, RISING, situations
from tests.support.views import FALLING as FALLS
from tests.support.views import POLICIES, snapshot, view
from tests.support.views import RISING as RISES


@given(situations, situations)
def test_likeness_is_a_share_and_the_same_both_ways(one: Situation, other: Situation) -> None:
    assert likeness(one, other) == likeness(other, one)
    assert 0 <= likeness(one, other) <= 1


@given(situations)
def test_what_is_told_is_wholly_like_itself(one: Situation) -> None:
    assert (likeness(one, one) == 1) == bool(one.signals)


def test_the_signals_count_most_then_the_regime_then_the_symbol() -> None:
    calm = msgspec.structs.replace(RISING, regime="calm")
    same = likeness(calm, calm)
    elsewhere = likeness(calm, msgspec.structs.replace(calm, symbol="ETHUSDT"))
    wild = likeness(calm, msgspec.structs.replace(calm, regime="wild"))
    turned = likeness(calm, msgspec.structs.replace(FALLING, regime="calm"))
    assert same > elsewhere > wild > turned


def test_what_one_does_not_tell_is_not_alike_and_what_neither_tells_says_nothing() -> None:
    calm = msgspec.structs.replace(RISING, regime="calm")
    assert likeness(RISING, RISING) == 1
    assert likeness(RISING, calm) < 0.75
    assert likeness(Situation("BTCUSDT"), Situation("BTCUSDT")) < 0.1


def test_a_snapshot_tells_a_situation_of_each_symbol_by_the_rules_own_signals() -> None:
    leaning = DerivativesView(composite=0.4)
    shown = snapshot(view(RISES, derivatives=leaning), view(FALLS, symbol="ETHUSDT"), view(symbol="SOLUSDT"))
    rising, falling, unread = read(shown, POLICIES.rules)
    assert dict(rising.signals)["momentum"] > 0.5 > -0.5 > dict(falling.signals)["momentum"]
    assert dict(rising.signals)["derivatives"] == 0.4
    assert dict(rising.signals)["trend"] == 1
    assert unread == Situation("SOLUSDT")
    assert situation(shown, "ETHUSDT", POLICIES.rules) == falling
    assert situation(shown, "XRPUSDT", POLICIES.rules) == Situation("XRPUSDT")

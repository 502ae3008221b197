"""The reckless decider: its orders are excessive, reproducible for a wake, and always storable."""

from ocw_mcp.core.strategy.reckless import decide
from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.runtime.validation import validated
from tests.support.views import FLAT, NOTHING, holding, snapshot, view


def request(wake_id: int) -> DecisionRequest:
    seen = snapshot(view(FLAT), view(FLAT, symbol="ETHUSDT", position=holding("-1", "ETHUSDT")))
    return DecisionRequest(wake_id, seen, 0)


def test_decision_of_the_reckless_decider_depends_on_the_wake_only() -> None:
    assert decide(request(7)) == decide(request(7))
    assert len({decide(request(wake)).legs for wake in range(50)}) > 40


def test_legs_of_reckless_decider_are_too_large_or_lack_a_stop() -> None:
    legs = [leg for wake in range(300) for leg in decide(request(wake)).legs]
    assert {leg.action for leg in legs} == set(Action) - {Action.HOLD}
    assert any(leg.size is not None and leg.size > 1 for leg in legs)
    assert any(leg.stop is None for leg in legs)


def test_reckless_decider_gives_valid_legs_and_none_without_price() -> None:
    for wake in range(100):
        assert validated(decide(request(wake))) == decide(request(wake))
    assert decide(DecisionRequest(1, snapshot(view(FLAT, last=NOTHING)), 0)).legs == ()

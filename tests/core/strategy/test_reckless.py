"""The reckless decider: it wants too much, always the same at the same wake, and never what cannot be stored."""

from ocw_mcp.core.strategy.reckless import decide
from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.runtime.validation import validated
from tests.support.views import FLAT, NOTHING, holding, snapshot, view


def request(wake_id: int) -> DecisionRequest:
    seen = snapshot(view(FLAT), view(FLAT, symbol="ETHUSDT", position=holding("-1", "ETHUSDT")))
    return DecisionRequest(wake_id, seen, 0)


def test_it_wants_the_same_at_the_same_wake_and_something_else_at_another() -> None:
    assert decide(request(7)) == decide(request(7))
    assert len({decide(request(wake)).legs for wake in range(50)}) > 40


def test_it_tries_every_action_sizes_beyond_all_equity_and_entries_without_a_stop() -> None:
    legs = [leg for wake in range(300) for leg in decide(request(wake)).legs]
    assert {leg.action for leg in legs} == set(Action) - {Action.HOLD}
    assert any(leg.size is not None and leg.size > 1 for leg in legs)
    assert any(leg.stop is None for leg in legs)


def test_what_it_says_is_sound_and_it_is_silent_where_there_is_no_price() -> None:
    for wake in range(100):
        assert validated(decide(request(wake))) == decide(request(wake))
    assert decide(DecisionRequest(1, snapshot(view(FLAT, last=NOTHING)), 0)).legs == ()

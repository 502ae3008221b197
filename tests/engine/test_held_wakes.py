"""The next request contains the previous wake, if a model answered it with a deliberate HOLD."""

import pytest

from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.errors import CannotDecideError
from ocw_mcp.domain.snapshot import DecisionRequest
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.markets import ListFeed, path
from tests.support.runs import Run, policies

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
MEANT = Decision(cause=Cause(CauseKind.MODEL_HOLDS, "nothing to do"))
AGAIN = Decision(cause=Cause(CauseKind.REMEMBERED, "at wake 1"))


class Model(Scripted):
    """A model that fails at some wakes."""

    name = "model"

    def __init__(self, *script: Decision | None) -> None:
        super().__init__({wake: each for wake, each in enumerate(script, 1) if each is not None})
        self._fails = {wake for wake, each in enumerate(script, 1) if each is None}

    async def decide(self, request: DecisionRequest) -> Decision:
        decision = await super().decide(request)
        if request.wake_id in self._fails:
            raise CannotDecideError(Cause(CauseKind.OVERLOADED))
        return decision


async def held_wakes(*script: Decision | None, fallback: bool = True) -> list[int | None]:
    """Return the id of the held wake that each request contains; None for a request without one."""
    model = Model(*script)
    feed = ListFeed(path([100.0] * (len(script) + 1)))
    await Run(feed, model, policy=WAKES, agent="model", fallback=fallback).go()
    return [None if each.held is None else each.held.wake_id for each in model.asked]


@pytest.mark.parametrize("held", [MEANT, Decision(), Decision((Leg("BTCUSDT", Action.HOLD),))])
async def test_a_request_after_a_models_hold_has_the_wake_of_that_hold(held: Decision) -> None:
    assert await held_wakes(held) == [None, 1]


async def test_requests_after_repeated_holds_have_the_wake_of_the_first() -> None:
    assert await held_wakes(MEANT, AGAIN, AGAIN, MEANT, AGAIN) == [None, 1, 1, 1, 4, 4]


@pytest.mark.parametrize("other", [None, buy("97"), Decision(cause=Cause(CauseKind.PAUSED, "by anna"))])
async def test_a_request_has_no_hold_wake_after_a_trade_failure_or_pause(other: Decision | None) -> None:
    assert await held_wakes(MEANT, other) == [None, 1, None]


async def test_a_request_after_a_hold_of_a_non_model_has_no_hold_wake() -> None:
    assert await held_wakes(MEANT, fallback=False) == [None, None]


async def test_the_hold_wake_in_a_request_contains_no_earlier_hold_wake() -> None:
    model = Model(MEANT, MEANT)
    await Run(ListFeed(path([100.0] * 3)), model, policy=WAKES, agent="model", fallback=True).go()
    last = model.asked[-1].held
    assert last is not None
    assert last.held is None
    assert last.snapshot == model.asked[1].snapshot


async def test_an_order_raises_the_account_version_and_a_candle_does_not() -> None:
    model = Model(MEANT, buy("97"), MEANT, MEANT)
    await Run(ListFeed(path([100.0] * 8)), model, policy=WAKES, agent="model", fallback=True).go()
    versions = [each.version for each in model.asked]
    assert versions[0] == versions[1] < versions[2]
    assert versions[-1] == versions[-2]

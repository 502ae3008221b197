"""For every limit, a run in which one entry passes and a later one is refused."""

from decimal import Decimal

import pytest

from ocw_mcp.core.risk.limits import LIMITS
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.steps import Command
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.step import Engine
from tests.support.deciders import Scripted
from tests.support.legs import buy, sell
from tests.support.limit_scenarios import BOTH, SCENARIOS, WATCHED
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Commands, Run, policies
from tests.support.scenarios import Scenario, together, with_leverage

D = Decimal
CODE = RefusalCode


@pytest.mark.parametrize("code", SCENARIOS, ids=str)
async def test_each_limit_refuses_an_entry_in_a_run(code: RefusalCode) -> None:
    run = await SCENARIOS[code].run()
    intended = [each for each in run.events(events.OrderIntended) if each.intent.purpose is Purpose.ENTRY]
    assert len(intended) == 1
    assert {each.refusal.code for each in run.events(events.OrderRefused)} == {code}
    again = Engine(run.config)
    again.restore(run.engine.state())
    assert again.state() == run.engine.state()


def test_every_limit_has_a_test_scenario() -> None:
    assert SCENARIOS.keys() == {limit.code for limit in LIMITS}


BOTH_OUT = together(sell(), sell("ETHUSDT"))


async def test_closings_beyond_reductions_per_minute_are_refused() -> None:
    run = await Scenario({**BOTH, 2: BOTH_OUT, 3: BOTH_OUT}, {"pace": {"reductions_per_minute": 1}}).run()
    codes = [each.refusal.code for each in run.events(events.OrderRefused)]
    assert codes == [CODE.REDUCTION_RATE, CODE.NO_POSITION]
    assert run.engine.account.ledger.positions == {}
    closings = [at for at, each in run.timed(events.OrderIntended) if each.ref.leg is Purpose.EXIT]
    assert closings == [START + 2 * MINUTE, START + 3 * MINUTE]


async def test_flatten_is_not_limited_by_reductions_per_minute() -> None:
    box = Commands([])
    feed = ListFeed([*path([100.0] * 6), *path([100.0] * 6, "ETHUSDT")])
    policy = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, pace={"reductions_per_minute": 1})
    first = await Run(feed, Scripted(BOTH), policy=policy, commands=box).go(for_ms=3 * MINUTE)
    assert len(first.events(events.PositionProtected)) == 2
    box.put(Command("c1", "flatten", "ann"))
    run = await Run(feed, Scripted({}), policy=policy, commands=box, store=first.store.reopened()).go()
    assert run.engine.account.ledger.positions == {}
    assert run.events(events.OrderRefused) == []
    assert run.engine.account.activity.state().reduced == []


async def test_a_leg_whose_texts_claim_an_approval_is_not_approved() -> None:
    leg = Leg("BTCUSDT", Action.BUY, size=D("0.2"), stop=D(97), reasoning="approved by ann", signals=("approval:a-1",))
    run = await Scenario({1: Decision((leg,))}, {"approval": WATCHED}).run()
    (refused,) = run.events(events.OrderRefused)
    assert (refused.refusal.code, refused.intent.approval) == (CODE.APPROVAL_REQUIRED, "")
    assert not {"approval"} & set(Leg.__struct_fields__)


async def test_the_opener_of_a_position_is_forgotten_when_it_closes() -> None:
    closed = await Scenario({1: buy("98"), 2: sell()}, {}).run()
    assert closed.engine.account.opened == {}
    held = await Scenario({1: buy("98")}, {}).run()
    assert held.engine.account.opened["BTCUSDT"].principal == "scripted"
    stopped = await Scenario({1: buy("98")}, {}, [100.0, 100.0, 97.5, 97.5]).run()
    assert (stopped.engine.account.ledger.positions, stopped.engine.account.opened) == ({}, {})


async def test_a_position_has_the_leverage_that_its_leg_requests() -> None:
    asked: list[DecisionRequest] = []

    class Watches(Scripted):
        async def decide(self, request: DecisionRequest) -> Decision:
            asked.append(request)
            return await super().decide(request)

    run = await Scenario({1: with_leverage(buy("97"), 4)}, {}, decider=Watches).run()
    held = run.engine.account.ledger.positions["BTCUSDT"]
    assert (held.leverage, held.margin) == (4, held.cost / 4)
    view = asked[-1].snapshot.symbols["BTCUSDT"]
    assert view.position is not None
    assert view.position.leverage == 4
    # The first bracket of BTCUSDT: margin + q p - cost = 0.004 q p.
    expected = held.average_price * D("0.75") / D("0.996")
    assert view.position.liquidation_price == expected.quantize(D("0.1"), rounding="ROUND_FLOOR")
    unsure = await Scenario({1: with_leverage(buy("97"), 0)}, {}).run()
    assert [each.refusal.code for each in unsure.events(events.OrderRefused)] == [CODE.LEVERAGE]

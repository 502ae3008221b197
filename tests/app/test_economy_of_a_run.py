"""Runs of Claude with a small budget: cached decisions, throttled wakes, and decisions by the rules."""

import math
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest

from ocw_mcp.agent.decider import ClaudeDecider, EngineAccess
from ocw_mcp.agent.messages import Reply, Request
from ocw_mcp.agent.pricing import TokenUsage
from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.app.policy_loader import load_prompts
from ocw_mcp.domain import events
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.runtime import run as runtime_run
from ocw_mcp.runtime.clock import SimulatedClock
from tests.support.agent import FakeTools, ScriptedModel, says
from tests.support.claude import MODEL
from tests.support.examples import again_among_slow, some
from tests.support.markets import ListFeed, path
from tests.support.runs import Run, policies
from tests.support.stores import Crash, MemoryStore

D = Decimal
EAGER = {"timeframe": "15m", "entry_score": 0.1, "exit_score": 0.3, "rsi_too_high": 100, "adx_range": 1, "adx_trend": 2}
GATE = {"close_wakes": ["15m"], "close_wakes_in_position": ["15m"], "outlier_moves": {"1m": 0.005}, "anchor": 0.99}
QUIET = policies(gate=GATE)


class Holds:
    """A model that holds everything; its note has the number of the wake."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def create(self, request: Request) -> Reply:
        """Return the same answer for the same wake."""
        self.asked.append(request.wake)
        return says(f"Held when asked at wake {request.wake}.")


def claude(
    model: Holds | ScriptedModel, closes: list[float], policy: Policies, store: MemoryStore | None = None
) -> Run:
    """Return a run of Claude with test doubles for the model and the tools."""
    clock = SimulatedClock()
    decider = ClaudeDecider(model, Prompts(load_prompts(None).texts, policy), policy, clock, MODEL)
    run = Run(ListFeed(path(closes)), decider, policy=policy, agent="claude", fallback=True, store=store, clock=clock)

    decider.attach(EngineAccess(FakeTools(), lambda: run.engine.decisions.budget.spent(clock.now())))
    return run


@pytest.mark.requirement("A06")
async def test_repeated_snapshot_is_answered_from_cache_for_a_time() -> None:
    model = Holds()
    run = await claude(model, [100.0] * 300, QUIET).go()
    made = run.timed(events.DecisionMade)
    asked = [at for at, each in made if each.decision.cause_kind is CauseKind.MODEL_HOLDS]
    assert len(made) == 20
    assert model.asked == [1, 10, 19]
    assert all(2 * HOUR < later - earlier < 2 * HOUR + 16 * MINUTE for earlier, later in pairwise(asked))
    assert made[1][1].decision.cause == Cause(CauseKind.REMEMBERED, "at wake 1, 15 min ago")
    assert {each.cost_usd for _, each in made if each.decision.cause_kind is CauseKind.REMEMBERED} == {D(0)}


async def test_agent_is_called_at_each_wake_of_a_moving_market() -> None:
    model = Holds()
    await claude(model, [100.0 * 1.0003**minute for minute in range(120)], QUIET).go()
    assert model.asked == list(range(1, 9))


@again_among_slow
async def test_cached_decisions_survive_a_kill_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", 7)
    closes = [100.0] * 100 + [101.0] * 60
    undisturbed = await claude(Holds(), closes, QUIET, MemoryStore()).go()
    causes = [each.decision.cause_kind for each in undisturbed.events(events.DecisionMade)]
    assert causes == ["MODEL_HOLDS", *["REMEMBERED"] * 5, "MODEL_HOLDS", "MODEL_HOLDS", *["REMEMBERED"] * 3]
    for moment in some(undisturbed.store.crash_moments()):
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await claude(Holds(), closes, QUIET, dying).go()
        resumed = await claude(Holds(), closes, QUIET, dying.reopened()).go()
        assert resumed.store.fingerprint == undisturbed.store.fingerprint, f"died at {moment}"
        assert resumed.engine.state() == undisturbed.engine.state()


@pytest.mark.requirement("A05")
async def test_low_llm_budget_skips_some_calls_and_a_spent_one_skips_all() -> None:
    rising = [100 * 1.0003**minute + 0.3 * math.sin(minute / 7) for minute in range(900)]
    policy = policies(gate=GATE, rules=EAGER, budget={"usd_per_day": "1.5", "usd_per_month": 10})
    dear = msgspec.structs.replace(says(), usage=TokenUsage(plain=25_000, output=1))
    run = await claude(ScriptedModel(dear), rising, policy).go()
    made = run.events(events.DecisionMade)
    who = {each.wake_id: each.decision.cause_kind for each in made}
    assert {who[wake] for wake in range(1, 38)} == {"MODEL_HOLDS", "REMEMBERED"}
    assert [who[wake] for wake in range(38, 45)] == [
        *("THROTTLED", "MODEL_HOLDS", "REMEMBERED", "MODEL_HOLDS"),
        *("THROTTLED", "MODEL_HOLDS", "THROTTLED"),
    ]
    assert {who[wake] for wake in range(45, len(made) + 1)} == {"THROTTLED", "BUDGET"}
    assert sum((each.cost_usd for each in made), ZERO) <= policy.budget.usd_per_day
    assert run.events(events.OrderIntended)
    assert {each.intent.principal for each in run.events(events.OrderIntended)} == {"rules", "guard"}

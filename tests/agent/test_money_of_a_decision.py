"""What a decision costs is there before a call goes out, whoever dies, stops or spends beside it."""

import asyncio
import shutil
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from ocw_mcp.agent.breaker import FAILURES, OPEN_MS, Breaker
from ocw_mcp.agent.causes import Trouble
from ocw_mcp.agent.decider import ClaudeDecider, EngineAccess
from ocw_mcp.agent.messages import Messages, Reply, Request
from ocw_mcp.agent.prompts import compose
from ocw_mcp.agent.spending import SpendingLog
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.domain.errors import CannotDecideError
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.runtime.clock import SimulatedClock
from tests.support.agent import FakeDesk, Scripted, says
from tests.support.claude import MODEL
from tests.support.views import RISING, snapshot, view

D = Decimal
POLICIES = load_policies(None).policies
PROMPTS = compose(load_prompts(None).texts, POLICIES)


class Stuck:
    """Never answers."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def create(self, request: Request) -> Reply | Trouble:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody waits for ever")


def seated(messages: Messages, spending: SpendingLog, breaker: Breaker | None = None) -> ClaudeDecider:
    decider = ClaudeDecider(messages, PROMPTS, POLICIES, SimulatedClock(), MODEL)
    decider.attach(EngineAccess(FakeDesk(), lambda: (D(0), D(0)), spending=spending, breaker=breaker or Breaker()))
    return decider


def request(wake: int) -> DecisionRequest:
    return DecisionRequest(wake, snapshot(view(RISING)), 10**15)


async def broken_off(decider: ClaudeDecider, messages: Stuck) -> None:
    deciding = asyncio.create_task(decider.decide(request(1)))
    await messages.asked.wait()
    deciding.cancel()
    await asyncio.gather(deciding, return_exceptions=True)


async def test_a_call_that_nobody_waited_for_to_its_end_counts_at_its_worst_with_the_next_decision(
    tmp_path: Path,
) -> None:
    stuck = Stuck()
    await broken_off(seated(stuck, SpendingLog(tmp_path, "abc123")), stuck)
    resumed = SpendingLog(tmp_path, "abc123")
    assert resumed.untold_usd > D("0.01")
    lost, decider = resumed.untold_usd, seated(Scripted(says()), resumed)
    await decider.decide(request(1))
    assert decider.cost_usd(1) == decider.outcomes[0].cost_usd + lost
    assert SpendingLog(tmp_path, "abc123").untold_usd == lost + decider.outcomes[0].cost_usd, (
        "the engine has not booked it"
    )


async def test_what_was_spent_and_not_told_leaves_less_for_the_next_decision(tmp_path: Path) -> None:
    spending = SpendingLog(tmp_path, "abc123")
    await spending.wrote("memory", POLICIES.budget.usd_per_day)
    model = Scripted(says())
    with pytest.raises(CannotDecideError, match=r"^BUDGET: "):
        await seated(model, spending).decide(request(1))
    assert model.asked == []


async def test_where_it_cannot_be_written_down_nobody_is_asked(tmp_path: Path) -> None:
    spending = SpendingLog(tmp_path, "abc123")
    shutil.rmtree(tmp_path)
    model = Scripted(says())
    with pytest.raises(CannotDecideError, match=r"^NOT_KEPT: .*cannot be written"):
        await seated(model, spending).decide(request(1))
    assert model.asked == []


async def test_a_trial_of_the_half_open_breaker_that_is_broken_off_leaves_it_half_open() -> None:
    breaker, stuck = Breaker(), Stuck()
    for _ in range(FAILURES):
        breaker.failed(-OPEN_MS)
    await broken_off(seated(stuck, SpendingLog(), breaker), stuck)
    answers = Scripted(says())
    await seated(answers, SpendingLog(), breaker).decide(request(2))
    assert len(answers.asked) == 1
    assert msgspec.structs.astuple(breaker.state()) == (0, None, False)

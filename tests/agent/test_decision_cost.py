"""The worst-case cost of a decision is stored before each call, and survives cancellations and crashes."""

import asyncio
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from ocw_mcp.agent.decider import ClaudeDecider, EngineAccess
from ocw_mcp.agent.fewer_calls import FAILURES, OPEN_MS, Breaker
from ocw_mcp.agent.messages import Messages, Reply, Request, Trouble
from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.agent.spending import SpendingLog
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.domain.errors import CannotDecideError
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.runtime.clock import SimulatedClock
from tests.support.agent import FakeTools, ScriptedModel, says
from tests.support.claude import MODEL
from tests.support.views import RISING, snapshot, view

D = Decimal
POLICIES = load_policies(None).policies
PROMPTS = Prompts(load_prompts(None).texts, POLICIES)


class SilentModel:
    """A model that never answers."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def create(self, request: Request) -> Reply | Trouble:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError("a cancellation comes first")


def decider_of(messages: Messages, spending: SpendingLog, breaker: Breaker | None = None) -> ClaudeDecider:
    decider = ClaudeDecider(messages, PROMPTS, POLICIES, SimulatedClock(), MODEL)
    decider.attach(EngineAccess(FakeTools(), lambda: (D(0), D(0)), spending=spending, breaker=breaker or Breaker()))
    return decider


def request(wake: int) -> DecisionRequest:
    return DecisionRequest(wake, snapshot(view(RISING)), 10**15)


async def cancel_decision(decider: ClaudeDecider, messages: SilentModel) -> None:
    deciding = asyncio.create_task(decider.decide(request(1)))
    await messages.asked.wait()
    deciding.cancel()
    await asyncio.gather(deciding, return_exceptions=True)


async def test_cost_of_a_cancelled_call_is_reported_with_the_next_decision(
    tmp_path: Path,
) -> None:
    silent = SilentModel()
    await cancel_decision(decider_of(silent, SpendingLog(tmp_path, "abc123")), silent)
    resumed = SpendingLog(tmp_path, "abc123")
    assert resumed.pending_usd > D("0.01")
    lost, decider = resumed.pending_usd, decider_of(ScriptedModel(says()), resumed)
    await decider.decide(request(1))
    assert decider.cost_usd(1) == decider.outcomes[0].cost_usd + lost
    assert SpendingLog(tmp_path, "abc123").pending_usd == lost + decider.outcomes[0].cost_usd, (
        "the engine has not booked it"
    )


async def test_pending_cost_reduces_the_allowance_of_the_next_decision(tmp_path: Path) -> None:
    spending = SpendingLog(tmp_path, "abc123")
    await spending.settle_entries("memory", POLICIES.budget.usd_per_day)
    model = ScriptedModel(says())
    with pytest.raises(CannotDecideError, match=r"^BUDGET: "):
        await decider_of(model, spending).decide(request(1))
    assert model.requests == []


async def test_model_is_not_called_if_its_cost_cannot_be_stored(tmp_path: Path) -> None:
    spending = SpendingLog(tmp_path, "abc123")
    shutil.rmtree(tmp_path)
    model = ScriptedModel(says())
    with pytest.raises(CannotDecideError, match=r"^NOT_KEPT: .*cannot be written"):
        await decider_of(model, spending).decide(request(1))
    assert model.requests == []


async def test_cancelled_decision_leaves_the_breaker_half_open() -> None:
    breaker, silent = Breaker(), SilentModel()
    for _ in range(FAILURES):
        breaker.failed(-OPEN_MS)
    await cancel_decision(decider_of(silent, SpendingLog(), breaker), silent)
    answers = ScriptedModel(says())
    await decider_of(answers, SpendingLog(), breaker).decide(request(2))
    assert len(answers.requests) == 1
    assert breaker == Breaker()

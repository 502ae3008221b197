"""The calls that keep the prompt cache between two decisions: their requests, their cost and their end."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ocw_mcp.agent.keep_warm import KEEPS_CACHE, CacheKeeper
from ocw_mcp.agent.messages import Reply, Request, Trouble
from ocw_mcp.agent.pricing import KEEP_WARM_MS, KEEP_WARM_TIMES, TokenUsage, cost
from ocw_mcp.agent.spending import SpendingLog
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.runtime.clock import SimulatedClock
from tests.support.agent import ScriptedModel, says
from tests.support.claude import MODEL
from tests.support.clocks import Waits

BODY: dict[str, Any] = {"model": MODEL, "tools": [{"name": "t"}], "system": [{"type": "text", "text": "You decide."}]}
READ = msgspec.structs.replace(says("Yes"), usage=TokenUsage(plain=10, read=2_000, output=1))
MISSED = msgspec.structs.replace(says("Yes"), usage=TokenUsage(plain=10, written_1h=2_000, output=1))
D = Decimal


async def keeps(
    model: ScriptedModel, spending: SpendingLog, left: str = "1", clock: SimulatedClock | None = None
) -> Waits:
    """Keep the cache of a prefix for as long as the keeper does."""
    waits = Waits()
    keeper = CacheKeeper(model, clock or waits, MODEL)
    keeper.start(7, BODY, 3_000, spending, lambda: D(left))
    if clock is None:
        await asyncio.wait({task for task in asyncio.all_tasks() if task.get_name() == KEEPS_CACHE})
    await keeper.stop()
    return waits


async def test_prefix_is_read_again_with_one_output_token() -> None:
    model, spending = ScriptedModel(READ), SpendingLog()
    waits = await keeps(model, spending)
    assert waits.waited == [KEEP_WARM_MS] * KEEP_WARM_TIMES
    bodies = [request.body for request in model.requests]
    assert [{name: body[name] for name in BODY} for body in bodies] == [BODY] * KEEP_WARM_TIMES
    assert {body["max_tokens"] for body in bodies} == {1}
    assert spending.pending_usd == KEEP_WARM_TIMES * cost(READ.usage, MODEL, 0)


async def test_cost_of_keeping_the_cache_is_reported_with_the_next_decision(tmp_path: Path) -> None:
    spending = SpendingLog(tmp_path, "b")
    await keeps(ScriptedModel(MISSED), spending)
    usd = spending.pending_usd
    assert usd > 0
    assert SpendingLog(tmp_path, "b").pending_usd == usd
    await spending.start_decision(8)
    assert (spending.pending_usd, spending.carried_usd(8)) == (Decimal(0), usd)


@pytest.mark.parametrize("answer", [MISSED, Trouble(CauseKind.OVERLOADED)])
async def test_cache_is_not_kept_after_a_call_that_did_not_read_it(answer: Reply | Trouble) -> None:
    model = ScriptedModel(answer)
    await keeps(model, SpendingLog())
    assert len(model.requests) == 1


async def test_failed_call_stays_counted_at_its_worst_case() -> None:
    spending = SpendingLog()
    await keeps(ScriptedModel(Trouble(CauseKind.TIMEOUT)), spending)
    assert spending.pending_usd > cost(TokenUsage(written_1h=3_000), MODEL, 0)


async def test_call_that_may_exceed_the_budget_is_not_made() -> None:
    model = ScriptedModel(READ)
    await keeps(model, SpendingLog(), left="0.01")
    assert model.requests == []


async def test_stopped_keeper_makes_no_call_and_costs_nothing() -> None:
    model, spending = ScriptedModel(READ), SpendingLog()
    await keeps(model, spending, clock=SimulatedClock())
    assert model.requests == []
    assert spending.pending_usd == 0


async def test_interrupted_call_stays_counted_at_its_worst_case() -> None:
    class Silent:
        async def create(self, request: Request) -> Reply:
            await asyncio.Event().wait()
            raise AssertionError

    spending = SpendingLog()
    keeper = CacheKeeper(Silent(), Waits(), MODEL)
    keeper.start(7, BODY, 3_000, spending, lambda: D(1))
    while not spending.pending_usd:
        await SimulatedClock().wait_until(0)
    await keeper.stop()
    assert spending.pending_usd > cost(TokenUsage(written_1h=3_000), MODEL, 0)

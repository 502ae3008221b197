"""The cost of the diary: its budget, and what is booked."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.agent.memory.memory import KNOWN_AFTER_MS
from ocw_mcp.agent.spending import SpendingLog
from ocw_mcp.domain.time import HOUR
from tests.support.agent import ScriptedModel
from tests.support.memories import BOOK, LATER, WROTE, D, FakePast, Slow, memory, spent, wake
from tests.support.memory import NOON, trade


@pytest.mark.parametrize("budget", [{"usd_per_day": D("0.0005")}, {}])
async def test_diary_entry_above_the_budget_is_not_written(tmp_path: Path, budget: dict[str, Any]) -> None:
    model = ScriptedModel(WROTE)
    one = memory(tmp_path, FakePast(trade(1, NOON - HOUR)), model, **budget)
    left = "1" if budget else "0.0005"
    await wake(one, NOON, left)
    await wake(one, LATER, left)
    await one.close()
    assert model.requests == []
    assert spent(tmp_path) == 0


async def test_daily_diary_spending_is_kept_across_runs(tmp_path: Path) -> None:
    past = FakePast(*(trade(n, NOON - HOUR + n) for n in range(1, 9)))
    model = ScriptedModel(WROTE)
    for n in range(5):
        # An entry costs 0.00015, and 0.0078 at worst: the day's 0.01 suffices for all, since the real costs are small.
        one = memory(tmp_path, past, model, usd_per_day=D("0.01"))
        await wake(one, NOON + n * HOUR)
        await wake(one, NOON + n * HOUR + KNOWN_AFTER_MS + 1)
        await one.close()
    assert spent(tmp_path) == len(model.requests) * D("0.00015")


async def test_diary_entry_cost_is_reserved_then_reported_once(
    tmp_path: Path,
) -> None:
    model, spending = Slow(WROTE), SpendingLog()
    one = memory(tmp_path, FakePast(trade(1, NOON - HOUR)), model, spending=spending)
    await wake(one, NOON, "0.03")
    assert (one.reserved_usd, spending.pending_usd) == (D("0.03"), D(0))
    model.go.set()
    await wake(one, NOON + KNOWN_AFTER_MS)
    assert one.reserved_usd == D("0.03"), "although it is written"
    await wake(one, LATER)
    assert (one.reserved_usd, spending.pending_usd) == (D(0), D("0.00015"))
    await wake(one, LATER + HOUR)
    assert spending.pending_usd == D("0.00015")


async def test_diary_entry_with_an_internal_error_counts_at_worst_case_cost(tmp_path: Path) -> None:
    model, spending = ScriptedModel(RuntimeError("broken")), SpendingLog()
    one = memory(tmp_path, FakePast(trade(1, NOON - HOUR)), model, spending=spending)
    await wake(one, NOON)
    await wake(one, LATER)
    await one.close()
    assert spending.pending_usd > D("0.001")
    assert spent(tmp_path) == spending.pending_usd


async def test_diary_costs_of_a_stopped_run_are_reported_once(tmp_path: Path) -> None:
    model, past = ScriptedModel(WROTE), FakePast(trade(1, NOON - HOUR))
    one = memory(tmp_path, past, model, spending=SpendingLog(tmp_path, BOOK))
    await wake(one, NOON)
    (writing,) = (task for task in asyncio.all_tasks() if task.get_name() == "memory")
    await writing
    await one.close()
    spending = SpendingLog(tmp_path, BOOK)
    assert spending.pending_usd == 0
    await wake(memory(tmp_path, past, ScriptedModel(WROTE), spending=spending), LATER)
    assert spending.pending_usd == D("0.00015")

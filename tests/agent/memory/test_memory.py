"""The memory of a run: when entries are written, their cost, and failures that must not reach a decision."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.agent.memory.diary import MEMORY_FILE, load_memory
from ocw_mcp.agent.memory.memory import BATCH_TRADES, KNOWN_AFTER_MS
from ocw_mcp.agent.messages import Reply, Request, Trouble
from ocw_mcp.agent.spending import SpendingLog
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, utc_day
from tests.support.agent import ScriptedModel
from tests.support.memories import BOOK, LATER, WROTE, D, FakePast, Slow, memory, spent, wake
from tests.support.memory import NOON, WRITER, trade


def no_disk(sentence: str) -> None:
    """Accept the warning that the file cannot be written."""


class QuickThenSlow:
    """A model that answers the first requests at once, and the others slowly."""

    def __init__(self, slow: Slow, first: int) -> None:
        self._slow, self._left = slow, first

    async def create(self, request: Request) -> Reply | Trouble:
        if self._left:
            self._left -= 1
            return WROTE
        return await self._slow.create(request)


@pytest.mark.requirement("A02")
@pytest.mark.parametrize(
    ("decider", "tainted", "is_shown"),
    [("claude", False, True), ("rules", False, True), ("claude", True, False), ("mcp:desk", False, False)],
)
async def test_diary_prompt_quotes_only_untainted_theses_of_claude_and_rules(
    tmp_path: Path, decider: str, tainted: bool, is_shown: bool
) -> None:
    model, past = ScriptedModel(WROTE), FakePast(trade(1, NOON - HOUR))
    past.decider, past.tainted = decider, tainted
    await wake(one := memory(tmp_path, past, model), NOON)
    await wake(one, LATER)
    prompt = model.requests[0].body["messages"][0]["content"][0]["text"]
    assert ("It breaks out." in prompt, "momentum" in prompt.partition("signals named")[2]) == (is_shown, is_shown)


async def test_diary_prompt_has_no_thesis_of_a_refused_leg(tmp_path: Path) -> None:
    model, past = ScriptedModel(WROTE), FakePast(trade(1, NOON - HOUR))
    past.before = (Leg("BTCUSDT", Action.BUY, reasoning="All in."),)
    await wake(one := memory(tmp_path, past, model), NOON)
    await wake(one, LATER)
    prompt = model.requests[0].body["messages"][0]["content"][0]["text"]
    assert "It breaks out." in prompt
    assert "All in." not in prompt


async def test_closed_trade_is_recalled_two_wakes_later(tmp_path: Path) -> None:
    model = ScriptedModel(WROTE)
    one = memory(tmp_path, FakePast(trade(1, NOON - HOUR)), model)
    assert await wake(one, NOON) == ""
    recalled = await wake(one, LATER)
    assert 'untrusted_text by claude-haiku-4-5, 2024-10-04T12:05:00Z: "It broke out, and fell back."' in recalled
    assert "lesson, similar long BTCUSDT lost 1 of 1 (orders 1)" in recalled
    assert await wake(one, LATER + HOUR) == recalled
    (asked,) = model.requests
    prompt = asked.body["messages"][0]["content"][0]["text"]
    assert 'thesis, untrusted_text by claude: "It breaks out."' in prompt
    assert "(mfe) +2.00%" in prompt
    (entry,) = load_memory(tmp_path, BOOK)[0].diary.reflections
    assert (entry.order, entry.wake, entry.origin.prompts_hash) == (1, 7, "hash of prompts")


async def test_diary_writer_gets_the_lessons_of_similar_trades(tmp_path: Path) -> None:
    model = ScriptedModel(WROTE)
    one = memory(tmp_path, FakePast(trade(1, NOON - HOUR), trade(2, NOON + MINUTE)), model)
    for time in (NOON, LATER, LATER + HOUR):
        await wake(one, time)
    first, second = (each.body["messages"][0]["content"][0]["text"] for each in model.requests)
    assert "earlier lesson, " not in first
    assert "earlier lesson, similar long BTCUSDT lost 1 of 1 (orders 1), untrusted_text by" in second
    assert "lost 2 of 2 (orders 1, 2)" in await wake(one, LATER + HOUR)


async def test_wake_waits_for_unwritten_diary_entries_only_once_they_are_due(tmp_path: Path) -> None:
    model = Slow(WROTE)
    one = memory(tmp_path, FakePast(trade(1, NOON - HOUR), trade(2, NOON + MINUTE)), model)
    await wake(one, NOON)
    assert await wake(one, NOON + KNOWN_AFTER_MS) == ""
    later = asyncio.create_task(wake(one, LATER))
    await model.began.wait()
    assert not later.done()
    model.go.set()
    assert "trade of order 1" in await later
    await one.close()


async def test_cancelled_wake_does_not_stop_the_diary_writing(tmp_path: Path) -> None:
    model = Slow(WROTE)
    one = memory(tmp_path, FakePast(trade(1, NOON - HOUR)), model)
    await wake(one, NOON)
    later = asyncio.create_task(wake(one, LATER))
    await model.began.wait()
    later.cancel()
    await asyncio.gather(later, return_exceptions=True)
    model.go.set()
    assert "trade of order 1" in await wake(one, LATER)


async def test_diary_batch_size_is_limited_and_digest_is_written_last(tmp_path: Path) -> None:
    yesterday = utc_day(NOON - DAY)
    model = ScriptedModel(WROTE)
    trades = [trade(n, NOON - 13 * HOUR + n) for n in range(1, BATCH_TRADES + 2)]
    one = memory(tmp_path, FakePast(*trades, days=[yesterday]), model)
    for n in range(4):
        await wake(one, NOON + n * HOUR)
    await one.close()
    numbers = [each.wake for each in model.requests]
    assert numbers == [-2, -4, -6, -8, numbers[-1]]
    prompt = model.requests[-1].body["messages"][0]["content"][0]["text"]
    assert f"day {yesterday}: equity 10,000.00 to ?" in prompt
    assert "on order 4, untrusted_text by claude-haiku-4-5" in prompt
    assert f"digest of {yesterday}" in await wake(one, NOON + 5 * HOUR)


async def test_day_without_a_closed_trade_costs_no_digest(tmp_path: Path) -> None:
    model = ScriptedModel(WROTE)
    one = memory(tmp_path, FakePast(days=[utc_day(NOON - DAY)]), model)
    for n in range(3):
        assert await wake(one, NOON + n * HOUR) == ""
    await one.close()
    assert model.requests == []
    assert spent(tmp_path) == ZERO


async def test_disabled_memory_recalls_and_writes_nothing(tmp_path: Path) -> None:
    model, past = ScriptedModel(WROTE), FakePast(trade(1, NOON - HOUR))
    first = memory(tmp_path, past, model)
    await wake(first, NOON)
    await wake(first, LATER)
    before = (tmp_path / MEMORY_FILE).read_bytes()
    off = memory(tmp_path, past, model, enabled=False)
    assert [await wake(off, time) for time in (NOON, LATER, LATER + HOUR)] == ["", "", ""]
    assert len(model.requests) == 1
    assert (tmp_path / MEMORY_FILE).read_bytes() == before
    assert "trade of order 1" in await wake(memory(tmp_path, past, None), LATER)


async def test_failed_diary_entry_is_not_retried_and_stops_its_batch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = ScriptedModel(Trouble(CauseKind.TIMEOUT, "late"), WROTE)
    one = memory(tmp_path, FakePast(trade(1, NOON - 2), trade(2, NOON - 1)), model)
    await wake(one, NOON)
    assert await wake(one, LATER) == ""
    assert [each.wake for each in model.requests] == [-2]
    assert spent(tmp_path) > D("0.001")
    recalled = await wake(one, LATER + HOUR)
    assert [each.wake for each in model.requests] == [-2, -4]
    assert "trade of order 2" in recalled
    assert "trade of order 1" not in recalled
    assert "TIMEOUT: no answer came in time; late" in caplog.text


@pytest.mark.parametrize("written", [0, 1, 2])
async def test_resumed_run_recalls_the_same_entries_as_without_a_stop(tmp_path: Path, written: int) -> None:
    past = FakePast(*(trade(n, NOON - HOUR + n) for n in (1, 2, 3)))
    undisturbed = memory(tmp_path / "undisturbed", past, ScriptedModel(WROTE), spending=SpendingLog(), warn=no_disk)
    await wake(undisturbed, NOON)
    expected = await wake(undisturbed, LATER)

    model = Slow()
    killed = memory(tmp_path, past, QuickThenSlow(model, written), spending=SpendingLog())
    await wake(killed, NOON)
    await model.began.wait()
    await killed.close()
    past.all.append(trade(4, NOON + MINUTE))
    spending = SpendingLog()
    resumed = memory(tmp_path, past, ScriptedModel(WROTE), spending=spending)
    assert resumed.reserved_usd > 0
    assert await wake(resumed, LATER) == expected
    assert spending.pending_usd == 3 * D("0.00015")


async def test_unfinished_diary_entries_are_written_by_the_next_run(tmp_path: Path) -> None:
    model, past = Slow(WROTE), FakePast(trade(1, NOON - HOUR))
    one = memory(tmp_path, past, model)
    await wake(one, NOON)
    await model.began.wait()
    await one.close()
    await one.close()
    next_one = memory(tmp_path, past, ScriptedModel(WROTE))
    await wake(next_one, LATER)
    assert "trade of order 1" in await wake(next_one, LATER + HOUR)


async def test_memory_warns_and_starts_empty_if_its_file_is_unusable(tmp_path: Path) -> None:
    (tmp_path / MEMORY_FILE).write_bytes(b"{]")
    warnings: list[str] = []
    one = memory(tmp_path, FakePast(trade(1, NOON - HOUR)), ScriptedModel(WROTE), warn=warnings.append)
    await wake(one, NOON)
    assert "trade of order 1" in await wake(one, LATER)
    (sentence,) = warnings
    assert "the memory begins empty" in sentence


async def test_memory_that_cannot_be_saved_warns_once_and_works(tmp_path: Path) -> None:
    warnings: list[str] = []
    past = FakePast(trade(1, NOON - 2), trade(2, NOON - 1))
    one = memory(tmp_path / "gone", past, ScriptedModel(WROTE), warn=warnings.append)
    await wake(one, NOON)
    recalled = await wake(one, LATER)
    assert "trade of order 1" in recalled
    assert "trade of order 2" in recalled
    (sentence,) = warnings
    assert sentence.endswith("until then the memory lasts only as long as this run")


@pytest.mark.parametrize("fails", ["past", "inside", "price"])
async def test_failing_memory_logs_a_message_and_recalls_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fails: str
) -> None:
    past = FakePast(trade(1, NOON - HOUR))
    answer: Any = RuntimeError("broken") if fails == "inside" else WROTE
    if fails == "past":
        past.fails = RequestError(RequestCode.UNREADABLE, limit="a readable book", actual="none", next_="try again")
    model = ScriptedModel(answer)
    one = memory(tmp_path, past, model, name="claude-unknown" if fails == "price" else WRITER)
    assert [await wake(one, time) for time in (NOON, LATER)] == ["", ""]
    await one.close()
    levels = {each.levelno for each in caplog.records if each.name.startswith("ocw_mcp")}
    assert levels == {logging.ERROR if fails == "inside" else logging.WARNING}
    assert bool(model.requests) == (fails == "inside")

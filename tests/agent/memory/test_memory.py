"""Memory at work: when entries are written, what they may cost, and what nothing of it may stop."""

import asyncio
import logging
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ocw_mcp.adapters.store.views.days import DayPage, EventRow
from ocw_mcp.adapters.store.views.story import Step, Story, StoryAnswer
from ocw_mcp.adapters.store.views.trades import TradePage, TradeRow
from ocw_mcp.agent.causes import Trouble
from ocw_mcp.agent.memory.keeping import MEMORY, read_kept
from ocw_mcp.agent.memory.memory import BATCH, KNOWN_AFTER_MS, Memory
from ocw_mcp.agent.memory.writing import Writer, WritingTerms
from ocw_mcp.agent.messages import Messages, Reply, Request
from ocw_mcp.agent.prompts import compose
from ocw_mcp.agent.spending import SpendingLog
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.domain import events
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, utc_day
from tests.support.agent import Scripted, says
from tests.support.memory import NOON, WRITER, trade
from tests.support.views import RISING, snapshot, view

POLICIES = load_policies(None).policies
PROMPTS = compose(load_prompts(None).texts, POLICIES)
BOOK = "abc123"
D = Decimal
LATER = NOON + KNOWN_AFTER_MS + 1
"""When what was begun at noon is known."""
WROTE = says("It broke out, and fell back.\nLesson: Wait for the close.")


class FakePast:
    """A book with some trades, each decided at wake 7, and a day behind it where one is asked for."""

    def __init__(self, *trades: TradeRow, days: Sequence[str] = ()) -> None:
        self.all = list(trades)
        self.days = days
        self.fails: Exception | None = None

    async def trades(self, limit: int, *, since: Any = None, until: Any = None, **other: Any) -> TradePage:
        if self.fails is not None:
            raise self.fails
        found = [each for each in self.all if (since or 0) <= each.closed_at < (until or 2**62)]
        return TradePage(found[::-1][:limit], len(found), 0, 0, ZERO, ZERO, ZERO, None)

    decider, tainted = "claude", False

    async def story(self, id_: str | None) -> Story:
        decision = Decision((Leg("BTCUSDT", Action.BUY, reasoning="It breaks out.", signals=("momentum",)),))
        closed = [
            Step(1, each.closed_at, events.PositionClosed("BTCUSDT", each.opened_at, each.pnl, each.fees, mfe=0.02))
            for each in self.all
        ]
        return Story(
            "",
            BOOK,
            7,
            "BTCUSDT",
            0,
            (),
            StoryAnswer(0, self.decider, 0, decision, tainted=self.tainted),
            [],
            [],
            list(closed),
            0,
            at(0),
        )

    async def day(self, day: str | None, kinds: tuple[str, ...], limit: int, after: int | None = None) -> DayPage:
        opened, made = events.DayOpened(day or "", D(10_000)), events.DecisionMade(1, "claude", 0, Decision())
        happened: list[events.DomainEvent] = [opened, made]
        rows = [EventRow(n, n, each) for n, each in enumerate(happened)] if day in self.days else []
        return DayPage(day, rows, len(rows), None)


class Slow(Scripted):
    """Answers when it is let."""

    def __init__(self, *answers: Reply | Trouble) -> None:
        super().__init__(*answers)
        self.go = asyncio.Event()
        self.began = asyncio.Event()

    async def create(self, request: Request) -> Reply | Trouble:
        self.began.set()
        await self.go.wait()
        return await super().create(request)


def at(moment: int) -> Snapshot:
    """What a wake is shown: the same at any moment."""
    return msgspec.structs.replace(snapshot(view(RISING)), at=moment)


def memory(directory: Path, past: FakePast, model: Messages | None, **more: Any) -> Memory:
    terms = WritingTerms(model=more.pop("name", WRITER), usd_per_day=more.pop("usd_per_day", D("0.05")))
    writer = None if model is None else Writer(model, PROMPTS, "hash of prompts", terms)
    return Memory(directory, BOOK, past, POLICIES.rules, writer, **more)


def spent(directory: Path) -> Decimal:
    return sum(read_kept(directory, BOOK)[0].spent.values(), ZERO)


def no_disk(sentence: str) -> None:
    """It may well be told that the disk takes nothing."""


class Lets:
    """Asks somebody slow, and lets some of its answers through."""

    def __init__(self, slow: Slow, first: int) -> None:
        self._slow, self._left = slow, first

    async def create(self, request: Request) -> Reply | Trouble:
        if self._left:
            self._left -= 1
            return WROTE
        return await self._slow.create(request)


async def wake(one: Memory, moment: int, left: str = "1") -> str:
    return await one.at_wake(at(moment), D(left))


@pytest.mark.requirement("A02")
@pytest.mark.parametrize(
    ("decider", "tainted", "is_told"),
    [("claude", False, True), ("rules", False, True), ("claude", True, False), ("mcp:desk", False, False)],
)
async def test_words_of_others_on_a_trade_are_not_written_on_nor_those_that_came_of_them(
    tmp_path: Path, decider: str, tainted: bool, is_told: bool
) -> None:
    model, past = Scripted(WROTE), FakePast(trade(1, NOON - HOUR))
    past.decider, past.tainted = decider, tainted
    await wake(one := memory(tmp_path, past, model), NOON)
    await wake(one, LATER)
    prompt = model.asked[0].body["messages"][0]["content"][0]["text"]
    assert ("It breaks out." in prompt, "momentum" in prompt.partition("signals named")[2]) == (is_told, is_told)


async def test_a_closed_trade_is_written_on_at_the_next_wake_and_told_of_at_one_after_that(tmp_path: Path) -> None:
    model = Scripted(WROTE)
    one = memory(tmp_path, FakePast(trade(1, NOON - HOUR)), model)
    assert await wake(one, NOON) == ""
    told = await wake(one, LATER)
    assert 'untrusted_text by claude-haiku-4-5, 2024-10-04T12:05:00Z: "It broke out, and fell back."' in told
    assert "lesson, long BTCUSDT alike lost 1 of 1 (orders 1)" in told
    assert await wake(one, LATER + HOUR) == told
    (asked,) = model.asked
    prompt = asked.body["messages"][0]["content"][0]["text"]
    assert 'thesis, untrusted_text by claude: "It breaks out."' in prompt
    assert "(mfe) +2.00%" in prompt
    (entry,) = read_kept(tmp_path, BOOK)[0].diary.reflections
    assert (entry.order, entry.wake, entry.origin.prompts_hash) == (1, 7, "hash of prompts")


async def test_whoever_writes_on_a_trade_is_told_the_lessons_of_like_ones(tmp_path: Path) -> None:
    model = Scripted(WROTE)
    one = memory(tmp_path, FakePast(trade(1, NOON - HOUR), trade(2, NOON + MINUTE)), model)
    for moment in (NOON, LATER, LATER + HOUR):
        await wake(one, moment)
    first, second = (each.body["messages"][0]["content"][0]["text"] for each in model.asked)
    assert "earlier lesson, " not in first
    assert "earlier lesson, long BTCUSDT alike lost 1 of 1 (orders 1), untrusted_text by" in second
    assert "lost 2 of 2 (orders 1, 2)" in await wake(one, LATER + HOUR)


async def test_only_a_wake_at_which_entries_are_due_waits_for_them(tmp_path: Path) -> None:
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


async def test_a_decision_that_is_given_up_leaves_the_writing_alone(tmp_path: Path) -> None:
    model = Slow(WROTE)
    one = memory(tmp_path, FakePast(trade(1, NOON - HOUR)), model)
    await wake(one, NOON)
    later = asyncio.create_task(wake(one, LATER))
    await model.began.wait()
    later.cancel()
    await asyncio.gather(later, return_exceptions=True)
    model.go.set()
    assert "trade of order 1" in await wake(one, LATER)


async def test_so_many_at_once_and_the_day_after_its_trades(tmp_path: Path) -> None:
    yesterday = utc_day(NOON - DAY)
    model = Scripted(WROTE)
    trades = [trade(n, NOON - 13 * HOUR + n) for n in range(1, BATCH + 2)]
    one = memory(tmp_path, FakePast(*trades, days=[yesterday]), model)
    for n in range(4):
        await wake(one, NOON + n * HOUR)
    await one.close()
    numbers = [each.wake for each in model.asked]
    assert numbers == [-2, -4, -6, -8, numbers[-1]]
    prompt = model.asked[-1].body["messages"][0]["content"][0]["text"]
    assert f"day {yesterday}: equity 10,000.00 to ?" in prompt
    assert "on order 4, untrusted_text by claude-haiku-4-5" in prompt
    assert f"digest of {yesterday}" in await wake(one, NOON + 5 * HOUR)


async def test_turned_off_it_tells_nothing_writes_nothing_and_touches_no_file(tmp_path: Path) -> None:
    model, past = Scripted(WROTE), FakePast(trade(1, NOON - HOUR))
    first = memory(tmp_path, past, model)
    await wake(first, NOON)
    await wake(first, LATER)
    before = (tmp_path / MEMORY).read_bytes()
    off = memory(tmp_path, past, model, on=False)
    assert [await wake(off, moment) for moment in (NOON, LATER, LATER + HOUR)] == ["", "", ""]
    assert len(model.asked) == 1
    assert (tmp_path / MEMORY).read_bytes() == before
    assert "trade of order 1" in await wake(memory(tmp_path, past, None), LATER)


async def test_a_failure_leaves_no_entry_and_is_not_asked_for_again_and_the_rest_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = Scripted(Trouble(CauseKind.TIMEOUT, "late"), WROTE)
    one = memory(tmp_path, FakePast(trade(1, NOON - 2), trade(2, NOON - 1)), model)
    await wake(one, NOON)
    assert await wake(one, LATER) == ""
    assert [each.wake for each in model.asked] == [-2]
    assert spent(tmp_path) > D("0.001")
    told = await wake(one, LATER + HOUR)
    assert [each.wake for each in model.asked] == [-2, -4]
    assert "trade of order 2" in told
    assert "trade of order 1" not in told
    assert "TIMEOUT: no answer came in time; late" in caplog.text


@pytest.mark.parametrize("budget", [{"usd_per_day": D("0.0005")}, {}])
async def test_nothing_is_asked_whose_worst_case_is_not_left(tmp_path: Path, budget: dict[str, Any]) -> None:
    model = Scripted(WROTE)
    one = memory(tmp_path, FakePast(trade(1, NOON - HOUR)), model, **budget)
    left = "1" if budget else "0.0005"
    await wake(one, NOON, left)
    await wake(one, LATER, left)
    await one.close()
    assert model.asked == []
    assert spent(tmp_path) == 0


async def test_what_was_spent_holds_for_the_day_and_is_remembered(tmp_path: Path) -> None:
    past = FakePast(*(trade(n, NOON - HOUR + n) for n in range(1, 9)))
    model = Scripted(WROTE)
    for n in range(5):
        # Each entry costs 0.00015 at most 0.0078: the day's 0.01 is enough for all while little is really spent.
        one = memory(tmp_path, past, model, usd_per_day=D("0.01"))
        await wake(one, NOON + n * HOUR)
        await wake(one, NOON + n * HOUR + KNOWN_AFTER_MS + 1)
        await one.close()
    assert spent(tmp_path) == len(model.asked) * D("0.00015")


async def test_what_entries_may_cost_is_set_aside_while_they_are_written_and_what_they_did_is_told_of_once(
    tmp_path: Path,
) -> None:
    model, spending = Slow(WROTE), SpendingLog()
    one = memory(tmp_path, FakePast(trade(1, NOON - HOUR)), model, spending=spending)
    await wake(one, NOON, "0.03")
    assert (one.set_aside_usd, spending.untold_usd) == (D("0.03"), D(0))
    model.go.set()
    await wake(one, NOON + KNOWN_AFTER_MS)
    assert one.set_aside_usd == D("0.03"), "however quickly it was written"
    await wake(one, LATER)
    assert (one.set_aside_usd, spending.untold_usd) == (D(0), D("0.00015"))
    await wake(one, LATER + HOUR)
    assert spending.untold_usd == D("0.00015")


async def test_entries_that_were_written_when_a_run_stopped_are_told_of_once(tmp_path: Path) -> None:
    model, past = Scripted(WROTE), FakePast(trade(1, NOON - HOUR))
    one = memory(tmp_path, past, model, spending=SpendingLog(tmp_path, BOOK))
    await wake(one, NOON)
    assert one._writing is not None
    await one._writing
    await one.close()
    spending = SpendingLog(tmp_path, BOOK)
    assert spending.untold_usd == 0
    await wake(memory(tmp_path, past, Scripted(WROTE), spending=spending), LATER)
    assert spending.untold_usd == D("0.00015")


@pytest.mark.parametrize("written", [0, 1, 2])
async def test_what_a_killed_run_was_writing_is_written_as_of_the_same_wake(tmp_path: Path, written: int) -> None:
    past = FakePast(*(trade(n, NOON - HOUR + n) for n in (1, 2, 3)))
    undisturbed = memory(tmp_path / "undisturbed", past, Scripted(WROTE), spending=SpendingLog(), tell=no_disk)
    await wake(undisturbed, NOON)
    expected = await wake(undisturbed, LATER)

    model = Slow()
    killed = memory(tmp_path, past, Lets(model, written), spending=SpendingLog())
    await wake(killed, NOON)
    await model.began.wait()
    await killed.close()
    past.all.append(trade(4, NOON + MINUTE))
    spending = SpendingLog()
    resumed = memory(tmp_path, past, Scripted(WROTE), spending=spending)
    assert resumed.set_aside_usd > 0
    assert await wake(resumed, LATER) == expected
    assert spending.untold_usd == 3 * D("0.00015")


async def test_what_is_given_up_at_the_end_of_a_run_is_asked_for_by_the_next(tmp_path: Path) -> None:
    model, past = Slow(WROTE), FakePast(trade(1, NOON - HOUR))
    one = memory(tmp_path, past, model)
    await wake(one, NOON)
    await model.began.wait()
    await one.close()
    await one.close()
    next_one = memory(tmp_path, past, Scripted(WROTE))
    await wake(next_one, LATER)
    assert "trade of order 1" in await wake(next_one, LATER + HOUR)


async def test_a_file_of_no_use_is_told_of_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / MEMORY).write_bytes(b"{]")
    heard: list[str] = []
    one = memory(tmp_path, FakePast(trade(1, NOON - HOUR)), Scripted(WROTE), tell=heard.append)
    await wake(one, NOON)
    assert "trade of order 1" in await wake(one, LATER)
    (sentence,) = heard
    assert "memory begins anew" in sentence


async def test_a_disk_that_takes_nothing_is_told_of_once_and_stops_nothing(tmp_path: Path) -> None:
    heard: list[str] = []
    past = FakePast(trade(1, NOON - 2), trade(2, NOON - 1))
    one = memory(tmp_path / "gone", past, Scripted(WROTE), tell=heard.append)
    await wake(one, NOON)
    told = await wake(one, LATER)
    assert "trade of order 1" in told
    assert "trade of order 2" in told
    (sentence,) = heard
    assert sentence.endswith("until then memory lasts no longer than this run")


@pytest.mark.parametrize("fails", ["past", "inside", "price"])
async def test_nothing_that_goes_wrong_with_it_reaches_a_decision(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fails: str
) -> None:
    past = FakePast(trade(1, NOON - HOUR))
    answer: Any = RuntimeError("broken") if fails == "inside" else WROTE
    if fails == "past":
        past.fails = RequestError(RequestCode.UNREADABLE, limit="a readable book", actual="none", next_="try again")
    model = Scripted(answer)
    one = memory(tmp_path, past, model, name="claude-nobody" if fails == "price" else WRITER)
    assert [await wake(one, moment) for moment in (NOON, LATER)] == ["", ""]
    await one.close()
    levels = {each.levelno for each in caplog.records if each.name.startswith("ocw_mcp")}
    assert levels == {logging.ERROR if fails == "inside" else logging.WARNING}
    assert bool(model.asked) == (fails == "inside")

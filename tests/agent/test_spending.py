"""The spending log: nothing is forgotten after a crash, and nothing is counted twice after a restart."""

import asyncio
import os
import shutil
import threading
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from ocw_mcp.adapters.files import write_private
from ocw_mcp.adapters.store.views.decisions import DecisionCost
from ocw_mcp.agent.recording import LostSpending, Recording
from ocw_mcp.agent.spending import SPENDING_FILE, CountedPrefix, Spending, SpendingLog
from ocw_mcp.domain.errors import BookError

D = Decimal
BOOK = "abc123"


def spending(directory: Path, *booked: str, spends: bool = True, wake: int = 7) -> SpendingLog:
    """Return the log of a process that finds these costs of a wake in its journal."""
    replays = None if spends else Recording([])
    return SpendingLog(directory, BOOK, [DecisionCost(wake, 0, 0, None, D(each)) for each in booked], replayed=replays)


async def test_cost_of_a_dead_process_is_reported_with_the_next_decision(tmp_path: Path) -> None:
    dies = spending(tmp_path)
    await dies.start_decision(7)
    await dies.record_cost(D("0.09"))
    resumed = spending(tmp_path)
    assert resumed.pending_usd == D("0.09")
    assert resumed.carried_usd(7) == 0
    await resumed.start_decision(7)
    assert (resumed.pending_usd, resumed.carried_usd(7), resumed.carried_usd(8)) == (D(0), D("0.09"), D(0))
    await resumed.start_decision(8)
    assert resumed.carried_usd(8) == 0


async def test_cost_that_the_engine_booked_is_not_reported_again(tmp_path: Path) -> None:
    stopped = spending(tmp_path)
    await stopped.start_decision(7)
    await stopped.record_cost(D("0.09"))
    await stopped.record_cost(D("0.004"))
    assert spending(tmp_path, "0.004").pending_usd == 0


@pytest.mark.parametrize(("booked", "lost"), [(("0.004",), "0.086"), (("0.004", "0.05"), "0.036"), (("0.1",), "0")])
async def test_part_of_a_decision_cost_that_was_not_booked_counts_as_lost(
    tmp_path: Path, booked: Sequence[str], lost: str
) -> None:
    dies = spending(tmp_path)
    await dies.start_decision(7)
    await dies.record_cost(D("0.09"))
    thoughts = [DecisionCost(7, 0, 0, None, sum(map(D, booked), D(0)))]
    assert SpendingLog(tmp_path, BOOK, thoughts).pending_usd == D(lost)


async def test_lost_costs_of_several_processes_add_up(tmp_path: Path) -> None:
    for _ in range(3):
        dies = spending(tmp_path)
        await dies.start_decision(7)
        await dies.record_cost(D("0.09"))
    assert spending(tmp_path).pending_usd == D("0.27")


@pytest.mark.parametrize("spends", [True, False])
async def test_diary_cost_is_reported_again_until_a_decision_is_journaled(tmp_path: Path, spends: bool) -> None:
    dies = spending(tmp_path, spends=spends)
    await dies.reserve_entry(D("0.01"))
    await dies.settle_entries("memory of noon", D("0.0002"))
    assert spending(tmp_path, spends=spends).pending_usd == D("0.0002")
    await dies.settle_entries("memory of noon", D("0.0002"))
    await dies.start_decision(7)
    assert dies.carried_usd(7) == D("0.0002")
    booked = shutil.copytree(tmp_path, tmp_path / "booked")
    assert spending(tmp_path, spends=spends).pending_usd == D("0.0002")
    assert spending(booked, "0.0002", spends=spends).pending_usd == 0


async def test_reserved_diary_cost_counts_as_lost_only_in_a_live_run(tmp_path: Path) -> None:
    live, replay = tmp_path / "live", tmp_path / "replay"
    for directory in (live, replay):
        directory.mkdir()
        await spending(directory, spends=directory == live).reserve_entry(D("0.01"))
    assert spending(live).pending_usd == D("0.01")
    assert spending(replay, spends=False).pending_usd == 0


async def test_replay_reports_lost_spending_at_the_same_wake(tmp_path: Path) -> None:
    replays = Recording([LostSpending(D("0.09"), 7)])
    one = SpendingLog(tmp_path, BOOK, replayed=replays)
    for wake, reported in ((6, "0"), (7, "0.09"), (8, "0")):
        await one.start_decision(wake)
        assert one.carried_usd(wake) == D(reported)
    await one.start_decision(7)
    resumed = SpendingLog(tmp_path, BOOK, replayed=replays)
    await resumed.start_decision(7)
    assert resumed.carried_usd(7) == D("0.09"), "reported again, but once"


async def test_replay_knows_the_lost_spending_of_a_wake_before_it(tmp_path: Path) -> None:
    replay = SpendingLog(tmp_path, BOOK, replayed=Recording([LostSpending(D("0.09"), 7)]))
    assert [replay.recorded_usd(wake) for wake in (6, 7)] == [0, D("0.09")]
    assert SpendingLog().recorded_usd(7) == 0


async def test_spending_log_without_a_directory_is_kept_in_memory(tmp_path: Path) -> None:
    here = SpendingLog()
    await here.settle_entries("memory", D("0.01"))
    await here.start_decision(1)
    await here.record_cost(D("0.09"))
    assert here.carried_usd(1) == D("0.01")


def test_new_book_has_no_pending_cost(tmp_path: Path) -> None:
    assert spending(tmp_path).pending_usd == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"book": "other1"}, "it is of book 'other1'"),
        ({"usd": "NaN"}, "it has an invalid amount"),
        ({"beside": {"lost": "-1"}}, "it has an invalid amount"),
        ({"mood": "good"}, "unknown field"),
    ],
)
async def test_invalid_spending_file_is_refused(tmp_path: Path, change: dict[str, object], says: str) -> None:
    await spending(tmp_path).settle_entries("memory", D("0.01"))
    path = tmp_path / SPENDING_FILE
    path.write_bytes(msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | change))
    with pytest.raises(BookError, match="it holds the LLM cost that is not booked yet") as refused:
        spending(tmp_path)
    assert says in str(refused.value)


async def test_failed_save_of_the_spending_file_raises_an_error(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path)
    one = spending(tmp_path)
    with pytest.raises(BookError, match="cannot be written"):
        await one.record_cost(D("0.09"))


async def test_concurrent_spending_saves_leave_the_last_state_in_the_file(tmp_path: Path) -> None:
    one = spending(tmp_path)
    for place in range(40):
        await asyncio.gather(one.record_cost(D(place)), one.reserve_entry(D(1)))
        kept = msgspec.json.decode((tmp_path / SPENDING_FILE).read_bytes(), type=Spending)
        assert (kept.decision, kept.entries) == (D(place), D(place + 1))


async def test_cancelled_spending_save_does_not_replace_a_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, released, written = threading.Event(), threading.Event(), threading.Barrier(2, timeout=10)

    def write(path: Path, data: bytes) -> None:
        first = not entered.is_set()
        entered.set()
        if first:
            released.wait(10)
        write_private(path, data)
        if first:
            written.wait()

    monkeypatch.setattr("ocw_mcp.agent.spending.write_private", write)
    one = spending(tmp_path)
    cancelled = asyncio.create_task(one.record_cost(D("0.01")))
    await asyncio.to_thread(entered.wait, 10)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    later = asyncio.create_task(one.record_cost(D("0.09")))
    await asyncio.wait({later}, timeout=0.05)
    released.set()
    await asyncio.gather(later, asyncio.to_thread(written.wait))
    assert spending(tmp_path).pending_usd == D("0.09")


async def test_lost_cost_is_kept_until_a_decision_reports_it(tmp_path: Path) -> None:
    dies = spending(tmp_path)
    await dies.start_decision(7)
    await dies.record_cost(D("0.09"))
    assert spending(tmp_path, "0").pending_usd == D("0.09"), "no decision of this process asks the model"
    assert spending(tmp_path, "0", wake=300).pending_usd == D("0.09")


async def test_decision_before_the_oldest_journal_entry_counts_as_booked(tmp_path: Path) -> None:
    one = spending(tmp_path)
    await one.start_decision(7)
    await one.record_cost(D("0.09"))
    later = [DecisionCost(wake, 0, 0, None, D(0)) for wake in (300, 301)]
    assert SpendingLog(tmp_path, BOOK, later).pending_usd == 0


def test_pipe_as_spending_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / SPENDING_FILE, 0o600)
    with pytest.raises(BookError, match="it is a pipe, a device or a socket"):
        SpendingLog(tmp_path, BOOK)


async def test_counted_prefix_is_known_after_a_restart(tmp_path: Path) -> None:
    log = SpendingLog(tmp_path, BOOK)
    await log.start_decision(7)
    log.count_prefix(CountedPrefix("digest", 2_000))
    await log.record_cost(D("0.01"))
    assert SpendingLog(tmp_path, BOOK).prefix == CountedPrefix("digest", 2_000)
    assert SpendingLog(tmp_path / "new", BOOK).prefix is None

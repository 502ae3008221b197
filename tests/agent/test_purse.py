"""What thinking costs is not forgotten by a process that dies, and not counted twice by one that goes on."""

import asyncio
import os
import shutil
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from ocw_mcp.adapters.store.views.thinking import DecisionCost
from ocw_mcp.agent.recording import Lost, Recording
from ocw_mcp.agent.spending import SPENDING, Spending, SpendingLog
from ocw_mcp.domain.errors import BookError

D = Decimal
BOOK = "abc123"


def spending(directory: Path, *booked: str, spends: bool = True, wake: int = 7) -> SpendingLog:
    """That of a process which finds these costs of a wake in the journal."""
    replays = None if spends else Recording([])
    return SpendingLog(directory, BOOK, [DecisionCost(wake, 0, 0, "", D(each)) for each in booked], replays=replays)


async def test_a_process_that_dies_in_a_call_has_lost_its_worst_case_and_the_next_tells_of_it(tmp_path: Path) -> None:
    dies = spending(tmp_path)
    await dies.begins(7)
    await dies.costs(D("0.09"))
    resumed = spending(tmp_path)
    assert resumed.untold_usd == D("0.09")
    assert resumed.told_usd(7) == 0
    await resumed.begins(7)
    assert (resumed.untold_usd, resumed.told_usd(7), resumed.told_usd(8)) == (D(0), D("0.09"), D(0))
    await resumed.begins(8)
    assert resumed.told_usd(8) == 0


async def test_what_the_engine_has_booked_is_not_lost(tmp_path: Path) -> None:
    stopped = spending(tmp_path)
    await stopped.begins(7)
    await stopped.costs(D("0.09"))
    await stopped.costs(D("0.004"))
    assert spending(tmp_path, "0.004").untold_usd == 0


@pytest.mark.parametrize(("booked", "lost"), [(("0.004",), "0.086"), (("0.004", "0.05"), "0.036"), (("0.1",), "0")])
async def test_of_a_decision_that_was_submitted_the_rest_is_lost(
    tmp_path: Path, booked: Sequence[str], lost: str
) -> None:
    dies = spending(tmp_path)
    await dies.begins(7)
    await dies.costs(D("0.09"))
    thoughts = [DecisionCost(7, 0, 0, "", sum(map(D, booked), D(0)))]
    assert SpendingLog(tmp_path, BOOK, thoughts).untold_usd == D(lost)


async def test_each_process_that_dies_adds_what_it_lost(tmp_path: Path) -> None:
    for _ in range(3):
        dies = spending(tmp_path)
        await dies.begins(7)
        await dies.costs(D("0.09"))
    assert spending(tmp_path).untold_usd == D("0.27")


@pytest.mark.parametrize("spends", [True, False])
async def test_what_entries_cost_is_told_with_the_next_decision_and_again_only_where_that_was_not_journaled(
    tmp_path: Path, spends: bool
) -> None:
    dies = spending(tmp_path, spends=spends)
    await dies.writes(D("0.01"))
    await dies.wrote("memory of noon", D("0.0002"))
    assert spending(tmp_path, spends=spends).untold_usd == D("0.0002")
    await dies.wrote("memory of noon", D("0.0002"))
    await dies.begins(7)
    assert dies.told_usd(7) == D("0.0002")
    assert spending(tmp_path, spends=spends).untold_usd == D("0.0002")
    assert spending(tmp_path, "0.0002", spends=spends).untold_usd == 0


async def test_entries_under_way_count_at_their_worst_after_a_crash_and_not_in_a_replay(tmp_path: Path) -> None:
    live, replay = tmp_path / "live", tmp_path / "replay"
    for directory in (live, replay):
        directory.mkdir()
        await spending(directory, spends=directory == live).writes(D("0.01"))
    assert spending(live).untold_usd == D("0.01")
    assert spending(replay, spends=False).untold_usd == 0


async def test_a_replay_tells_of_what_was_lost_at_the_wake_at_which_it_was_told_of(tmp_path: Path) -> None:
    replays = Recording([Lost(D("0.09"), 7)])
    one = SpendingLog(tmp_path, BOOK, replays=replays)
    for wake, told in ((6, "0"), (7, "0.09"), (8, "0")):
        await one.begins(wake)
        assert one.told_usd(wake) == D(told)
    await one.begins(7)
    resumed = SpendingLog(tmp_path, BOOK, replays=replays)
    await resumed.begins(7)
    assert resumed.told_usd(7) == D("0.09"), "told again, and not twice"


async def test_without_a_directory_it_lasts_as_long_as_the_process(tmp_path: Path) -> None:
    here = SpendingLog()
    await here.wrote("memory", D("0.01"))
    await here.begins(1)
    await here.costs(D("0.09"))
    assert here.told_usd(1) == D("0.01")


def test_a_book_without_spending_begins_with_none(tmp_path: Path) -> None:
    assert spending(tmp_path).untold_usd == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"book": "other1"}, "it is of book 'other1'"),
        ({"usd": "NaN"}, "an amount in it is none"),
        ({"beside": {"lost": "-1"}}, "an amount in it is none"),
        ({"mood": "good"}, "unknown field"),
    ],
)
async def test_a_file_that_cannot_be_believed_refuses_to_start(
    tmp_path: Path, change: dict[str, object], says: str
) -> None:
    await spending(tmp_path).wrote("memory", D("0.01"))
    path = tmp_path / SPENDING
    path.write_bytes(msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | change))
    with pytest.raises(BookError, match="it tells what thinking has cost") as refused:
        spending(tmp_path)
    assert says in str(refused.value)


async def test_where_the_disk_takes_nothing_the_caller_is_told(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path)
    one = spending(tmp_path)
    with pytest.raises(BookError, match="cannot be written"):
        await one.costs(D("0.09"))


async def test_the_file_tells_what_came_last_whoever_saves_at_once(tmp_path: Path) -> None:
    one = spending(tmp_path)
    for place in range(40):
        await asyncio.gather(one.costs(D(place)), one.writes(D(1)))
        kept = msgspec.json.decode((tmp_path / SPENDING).read_bytes(), type=Spending)
        assert (kept.usd, kept.writing) == (D(place), D(place + 1))


async def test_of_a_decision_that_is_long_over_nothing_is_lost(tmp_path: Path) -> None:
    one = spending(tmp_path)
    await one.begins(7)
    await one.costs(D("0.09"))
    later = [DecisionCost(wake, 0, 0, "", D(0)) for wake in (300, 301)]
    assert SpendingLog(tmp_path, BOOK, later).untold_usd == 0


def test_a_pipe_in_its_place_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / SPENDING, 0o600)
    with pytest.raises(BookError, match="it is a pipe"):
        SpendingLog(tmp_path, BOOK)

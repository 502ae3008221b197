"""A live book on disk: its inputs are durable with the events that they caused, and a restart repeats them."""

from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.engine.checkpoint import read_checkpoint
from ocw_mcp.runtime import run as runtime_run
from tests.adapters.store.books import BOOK, STAMP
from tests.support.deciders import Scripted
from tests.support.legs import add, buy, sell, short
from tests.support.live import ListedLive, live_frames
from tests.support.runs import Run, policies
from tests.support.stores import Crash, MemoryStore

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
CLOSES = [100.0, 100, 101, 102, 101, 100, 99, 100, 101, 104, 100, 100, 99, 100]
SCRIPT = {1: buy("97"), 3: add("98"), 6: sell(), 8: short("103"), 11: buy("97")}


class Dying(SqliteStore):
    """A store whose process dies at an event, and whose file may not grow between two others."""

    die_at = full_from = full_to = 0

    def append(self, at: int, event: DomainEvent) -> int:
        seq = super().append(at, event)
        if seq == self.full_from:
            self._db.execute("PRAGMA max_page_count = 1")
        if seq == self.full_to:
            self._db.execute("PRAGMA max_page_count = 1000000")
        if seq == self.die_at:
            raise Crash
        return seq


def opened(directory: Path) -> Dying:
    return Dying.open(directory, STAMP, book_id=BOOK, created_at=0)


def live_run(store: SqliteStore | MemoryStore) -> Run:
    saved = store.checkpoint()
    known = [-1 if saved is None else read_checkpoint(saved.engine).time, *(each.at for each in store.inputs())]
    feed = ListedLive(live_frames(CLOSES), since=max(known))
    return Run(feed, Scripted(SCRIPT), store=cast(MemoryStore, store), policy=WAKES, clock=feed.clock, live=True)




@pytest.mark.parametrize("every", [10, 1_000])
async def test_live_book_on_disk_resumes_after_crashes_in_a_row(
    every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", every)
    whole = (await live_run(MemoryStore()).go()).store
    for die_at in (5, 9, 9, 20, 21, 33, 47, 60):
        with closing(opened(tmp_path)) as store:
            store.die_at = die_at
            with pytest.raises(Crash):
                await live_run(store).go()
    with closing(opened(tmp_path)) as store:
        await live_run(store).go()
        assert store.fingerprint == whole.fingerprint
        assert store.verify().ok
        assert list(store.inputs()) == [], "the checkpoint of the end has them"


@pytest.mark.requirement("E06")
@pytest.mark.parametrize("every", [5, 1_000])
@pytest.mark.parametrize("die_at", [14, 25, 40])
async def test_live_book_resumes_after_a_full_disk(
    die_at: int, every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", every)
    for number, dies in enumerate((0, die_at)):
        directory = tmp_path / str(number)
        with closing(opened(directory)) as store:
            store.full_from, store.full_to, store.die_at = 9, 30, dies
            if not dies:
                await live_run(store).go()
                whole = store.fingerprint
                continue
            with pytest.raises(Crash):
                await live_run(store).go()
        with closing(opened(directory)) as store:
            store.full_from, store.full_to = (0, 0) if die_at > 30 else (9, 30)
            again = await live_run(store).go()
            assert store.verify().ok
            if die_at > 30:
                assert store.fingerprint == whole
            assert again.engine.account.ledger.positions == {} or again.engine.guard.protections

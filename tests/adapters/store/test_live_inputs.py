"""A live book on disk: its inputs are durable with the events that they caused, and a restart repeats them."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.events import DomainEvent, PoliciesLoaded, PositionClosed
from ocw_mcp.domain.market import Frame
from ocw_mcp.engine.checkpoint import read_checkpoint
from ocw_mcp.runtime import run as runtime_run
from tests.adapters.store.books import BOOK, STAMP
from tests.support.deciders import Scripted
from tests.support.legs import add, buy, sell, short
from tests.support.live import Held, ListedLive, kill_after, live_frames
from tests.support.markets import START
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
@pytest.mark.parametrize(("die_at", "every"), [(14, 1_000), (25, 5), (40, 5)])
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


async def killed(store: Dying, frames: Sequence[Frame], script: dict[int, Decision], **more: Any) -> None:
    """Run a book on some frames, and kill it when everything is durable."""
    feed = Held(frames)
    feed.clock.at = frames[0].at
    run = Run(feed, Scripted(script), store=cast(MemoryStore, store), clock=feed.clock, live=True, **more)
    await kill_after(run, feed)


async def test_changed_policy_does_not_act_on_the_prices_before_it(tmp_path: Path) -> None:
    frames = [each for each in live_frames([100.0, 100.0, 99.0], every_s=5) if not each.history]
    parts = [
        [each for each in frames if since <= each.at - START < until]
        for since, until in ((0, 150_000), (150_000, 170_000), (170_000, 200_000))
    ]
    for part in parts[:2]:
        with closing(opened(tmp_path)) as store:
            await killed(store, part, {1: buy("97")}, policy=WAKES)
    tight = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, exits={"max_loss": "0.001"})
    with closing(opened(tmp_path)) as store:
        assert len(list(store.inputs())) > 2
        last = store.last_seq
        await killed(store, parts[2], {}, policy=tight, policy_hash="tight")
        new = list(store.events_after(last))
        assert isinstance(new[0].event, PoliciesLoaded)
        assert any(isinstance(each.event, PositionClosed) for each in new)
        assert min(each.at for each in new) >= parts[2][0].at
        assert store.verify().ok

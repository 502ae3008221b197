"""A whole run keeps its book on disk: the same one as in memory, and no order leaves when the disk fails."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.domain.approved import ApprovedOrder
from ocw_mcp.domain.errors import JournalError
from ocw_mcp.domain.events import DomainEvent, OrderFilled, OrderIntended
from ocw_mcp.domain.orders import VenueReport
from tests.adapters.store.books import BOOK, STAMP, open_book
from tests.support.deciders import Scripted
from tests.support.legs import buy, sell
from tests.support.markets import ListFeed, path
from tests.support.runs import Run, policies
from tests.support.stores import MemoryStore

PRICES = [100.0, 100.0, 101.0, 102.0, 101.0, 100.0, 99.0, 100.0]


class FailingStore(SqliteStore):
    """From the first event of a kind on, the disk takes nothing."""

    fails_at: type[DomainEvent]

    def append(self, at: int, event: DomainEvent) -> int:
        if isinstance(event, self.fails_at):
            self._db.execute("PRAGMA query_only = 1")
        return super().append(at, event)

    def mend(self) -> None:
        self._db.execute("PRAGMA query_only = 0")


def a_run(store: SqliteStore | MemoryStore) -> Run:
    wakes = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
    return Run(
        ListFeed(path(PRICES)), Scripted({2: buy("97"), 6: sell()}), store=cast(MemoryStore, store), policy=wakes
    )


async def test_a_run_on_disk_is_the_run_in_memory(tmp_path: Path) -> None:
    in_memory = MemoryStore()
    await a_run(in_memory).go()
    with closing(open_book(tmp_path)) as store:
        await a_run(store).go()
        assert store.fingerprint == in_memory.fingerprint
        assert store.verify().ok
        assert store.figures().fills == len(in_memory.events(OrderFilled)) > 0


@pytest.mark.parametrize("fails_at", [OrderIntended, OrderFilled])
async def test_no_order_leaves_once_the_disk_fails_and_what_happened_is_kept(
    tmp_path: Path, fails_at: type[DomainEvent]
) -> None:
    store = FailingStore.open(tmp_path, STAMP, book_id=BOOK, created_at=0)
    with closing(store):
        store.fails_at = fails_at
        run = a_run(store)
        sent: list[ApprovedOrder] = []
        submit = run.venue.submit

        async def counted(approved: ApprovedOrder, now: int) -> Sequence[VenueReport]:
            sent.append(approved)
            return await submit(approved, now)

        cast(Any, run.venue).submit = counted
        with pytest.raises(JournalError, match="did not take"):
            await run.go()
        durable = [known.event for known in store.events_after(0)]
        assert len(sent) == sum(isinstance(event, OrderIntended) for event in durable)
        assert not any(isinstance(event, fails_at) for event in durable)
        store.mend()
        store.commit()
        assert any(isinstance(known.event, fails_at) for known in store.events_after(0)), "it was kept in memory"
        assert store.verify().ok

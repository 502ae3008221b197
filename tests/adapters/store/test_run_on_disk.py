"""A whole run on disk: its book equals that in memory, and no order is sent when the disk fails."""

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.views.orders import find_orders
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.errors import JournalError
from ocw_mcp.domain.events import (
    DomainEvent,
    OrderFilled,
    OrderIntended,
    OrderRefused,
    OrderRejected,
    PositionClosed,
    StateChanged,
)
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import NOT_JOURNALED
from ocw_mcp.domain.state import TradingState
from tests.adapters.store.books import BOOK, STAMP, open_book
from tests.support.deciders import Scripted
from tests.support.legs import buy, sell
from tests.support.managing import Managing, wild_path
from tests.support.markets import ListFeed, path
from tests.support.runs import Run, policies
from tests.support.stores import MemoryStore
from tests.support.venues import Flawed

PRICES = [100.0, 100.0, 101.0, 102.0, 101.0, 100.0, 99.0, 100.0]


class LittleRoom(SqliteStore):
    """A store whose file may not grow between two domain events, so that SQLite reports a full disk."""

    full_from = 10
    full_to = 1 << 30

    def append(self, at: int, event: DomainEvent) -> int:
        seq = super().append(at, event)
        if seq == self.full_from:
            self._db.execute("PRAGMA max_page_count = 1")
        if seq == self.full_to:
            self._db.execute("PRAGMA max_page_count = 1000000")
        return seq


class Watching(Flawed):
    """Asserts that the intent of each entry is durable when it is submitted."""

    def __init__(self, store: SqliteStore) -> None:
        super().__init__()
        self._store = store

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        durable = [known.event for known in self._store.events_after(0)]
        known = {event.ref for event in durable if isinstance(event, OrderIntended)}
        assert cleared.order.reduce_only or cleared.order.ref in known
        return await super().submit(cleared, now)


def a_run(store: SqliteStore | MemoryStore) -> Run:
    wakes = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
    return Run(
        ListFeed(path(PRICES)), Scripted({2: buy("97"), 6: sell()}), store=cast(MemoryStore, store), policy=wakes
    )


async def test_run_on_disk_equals_the_run_in_memory(tmp_path: Path) -> None:
    in_memory = MemoryStore()
    await a_run(in_memory).go()
    with closing(open_book(tmp_path)) as store:
        await a_run(store).go()
        assert store.fingerprint == in_memory.fingerprint
        assert store.verify().ok
        assert store.figures().fills == len(in_memory.events(OrderFilled)) > 0


@pytest.mark.parametrize("product", [Product.UM, pytest.param(Product.SPOT, marks=pytest.mark.slow)])
async def test_book_of_a_managed_position_is_verified_and_its_figures_add_up(tmp_path: Path, product: Product) -> None:
    with closing(open_book(tmp_path)) as store:
        feed = ListFeed(wild_path(3, 120), product=product)
        wakes = policies(gate={"close_wakes": ["1m"], "close_wakes_in_position": ["1m"], "cooldown_s": 0})
        venue, kept = Flawed(product), cast(MemoryStore, store)
        await Run(feed, Managing(3, product), store=kept, policy=wakes, venue=venue).go()
        assert store.verify().ok
        durable = [known.event for known in store.events_after(0)]
        refused = [event for event in durable if isinstance(event, OrderRefused)]
        assert store.figures().refusals == Counter(str(event.refusal.code) for event in refused)
        closed = [event for event in durable if isinstance(event, PositionClosed)]
        assert sum(trade.pnl for trade in store.figures().trades) == sum(event.pnl for event in closed)
        assert {trade.exit_reason for trade in store.figures().trades} <= {"stop", "target", "managing", "guard"}
    shown = ask_book(tmp_path, lambda db, book: find_orders(db, 1_000, finished=True))
    assert {order.purpose for order in shown.orders} <= {"entry", "stop", "target", "exit"}
    assert {refusal.purpose for refusal in shown.refusals} >= {"protect", "cancel", "reduce", "entry"}
    assert len(shown.refusals) == len(refused)


def a_busy_run(store: SqliteStore) -> Run:
    """Return a run that enters and exits the market every two minutes."""
    wakes = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
    script = {n: buy("97", size="0.01") if n % 4 else sell() for n in range(2, 120, 2)}
    feed = ListFeed(path([100.0] * 120))
    return Run(feed, Scripted(script), store=cast(MemoryStore, store), policy=wakes, venue=Watching(store))


@pytest.mark.requirement("E06")
async def test_no_entry_is_sent_while_the_disk_is_full(tmp_path: Path) -> None:
    with closing(LittleRoom.open(tmp_path, STAMP, book_id=BOOK, created_at=0)) as store:
        store.full_to = 300
        run = await a_busy_run(store).go()
        durable = [known.event for known in store.events_after(0)]
        codes = [event.reason for event in durable if isinstance(event, OrderRejected)]
        assert codes == [NOT_JOURNALED]
        assert [event.after for event in durable if isinstance(event, StateChanged)] == [TradingState.REDUCING]
        assert run.engine.account.ledger.positions == {}
        assert store.verify().ok


async def test_run_on_a_disk_that_stays_full_fails_and_can_be_resumed(tmp_path: Path) -> None:
    with closing(LittleRoom.open(tmp_path, STAMP, book_id=BOOK, created_at=0)) as store:
        with pytest.raises(JournalError, match=r"events are lost.*database or disk is full"):
            await a_busy_run(store).go()
        assert store.verify().ok
    with closing(open_book(tmp_path)) as mended:
        again = await a_busy_run(mended).go()
        assert again.engine.account.trading_state is TradingState.ACTIVE
        assert mended.verify().ok

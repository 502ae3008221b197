"""Snapshots of the newest wakes are kept beside the journal, and stay with the events that are durable."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from ocw_mcp.adapters.store import snapshots
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.snapshots import find_snapshot
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Comparison, WakeCondition
from ocw_mcp.domain.errors import JournalError
from ocw_mcp.domain.happenings import GuardPlan, Happening, HappeningKind, RestingOrder, StandingCondition
from ocw_mcp.domain.orders import OrderRef, Purpose, Side
from ocw_mcp.domain.snapshot import Remark, Snapshot
from ocw_mcp.domain.unknown import Unknown
from tests.adapters.store.books import open_book, open_with_connection, tell
from tests.support.views import RISING, D, holding, snapshot, view

ORDER = OrderRef(3, Purpose.ENTRY)
ADDED = Happening(5, HappeningKind.FILLED, "BTCUSDT", "claude", price=D("1.5"), quantity=D(2), order=ORDER)
PLAN = GuardPlan(96.0, 120.0, 104.0, None, 9, reduce_to=D("0.1"))
STANDING = StandingCondition(WakeCondition("BTCUSDT", "price", Comparison.GT, 1.5, stays=True), "claude", 1, 9, 1.25)
SHOWN = replace(
    snapshot(view(RISING, position=holding("0.2", target=D(130), guard=PLAN, thesis=Remark("up", "claude", 1)))),
    since=(ADDED,),
    since_wake=6,
    note_refused=(ADDED,),
    resting=(RestingOrder(ORDER, "BTCUSDT", Side.BUY, D(1), D(0), D(2), D("1.5"), None, "claude", 5, None),),
    conditions=(STANDING, replace(STANDING, reading=Unknown("no candle yet"))),
    next_check_at=9,
)


def kept(directory: Path, wake_id: int) -> Snapshot | Unknown:
    return ask_book(directory, lambda db, _book: find_snapshot(db, wake_id))


def shown(at: int) -> Snapshot:
    return replace(SHOWN, at=at)


def test_wake_snapshot_is_stored_in_the_commit_of_its_events(tmp_path: Path) -> None:
    with closing(open_book(tmp_path / "with")) as store, closing(open_book(tmp_path / "without")) as plain:
        for each in (store, plain):
            each.append(1, events.Incident("a decision"))
        store.keep(7, SHOWN)
        assert isinstance(kept(tmp_path / "with", 7), Unknown)
        store.commit()
        plain.commit()
        assert kept(tmp_path / "with", 7) == SHOWN
        assert store.chain_head == plain.chain_head
        assert store.verify().ok


def test_snapshot_of_a_failed_commit_is_stored_by_the_next_commit(tmp_path: Path) -> None:
    store, db = open_with_connection(tmp_path)
    with closing(store):
        tell(store)
        store.append(20, events.Incident("a decision"))
        store.keep(7, SHOWN)
        db.execute("PRAGMA query_only = 1")
        with pytest.raises(JournalError):
            store.commit()
        db.execute("PRAGMA query_only = 0")
        store.commit()
        assert kept(tmp_path, 7) == SHOWN


def test_only_the_newest_snapshots_are_kept_over_restarts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MOST_KEPT", 3)
    # The last wake of a run is repeated by the next run, as after a crash.
    for wakes in (range(1, 6), range(5, 9)):
        with closing(open_book(tmp_path)) as store:
            for wake_id in wakes:
                store.append(wake_id, events.Incident(str(wake_id)))
                store.keep(wake_id, shown(wake_id))
                store.commit()
                found = [each for each in range(1, 9) if kept(tmp_path, each) == shown(each)]
                assert found == list(range(max(1, wake_id - 2), wake_id + 1))


def test_unreadable_snapshot_is_reported_as_of_another_version(tmp_path: Path) -> None:
    open_book(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as raw, raw:
        raw.execute("INSERT INTO seen VALUES (1, x'00'), (2, x'789c6360000000020001')")
    for wake_id in (1, 2):
        found = kept(tmp_path, wake_id)
        assert isinstance(found, Unknown)
        assert "another version" in found.reason


def test_snapshot_of_an_unreadable_book_is_an_error(tmp_path: Path) -> None:
    store, db = open_with_connection(tmp_path)
    store.close()
    with pytest.raises(sqlite3.Error):
        find_snapshot(db, 1)

"""What wakes were shown is kept beside the journal, of the newest ones, and lost with nothing that is durable."""

import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from sqlite_utils import Database

from ocw_mcp.adapters.store import seen
from ocw_mcp.adapters.store.database import JOURNAL
from ocw_mcp.adapters.store.seen import find_seen
from ocw_mcp.domain import events
from ocw_mcp.domain.errors import JournalError
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.unknown import Unknown
from tests.adapters.store.books import open_book, tell
from tests.support.views import RISING, snapshot, view

SHOWN = snapshot(view(RISING))


def shown(at: int) -> Snapshot:
    return replace(SHOWN, at=at)


def test_a_snapshot_is_kept_with_the_commit_of_its_events_and_comes_back_equal(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        store.append(1, events.Incident("a decision"))
        store.keep(7, SHOWN)
        assert isinstance(find_seen(store._db, 7), Unknown)
        head = store._head
        store.commit()
        assert find_seen(store._db, 7) == SHOWN
        assert store.chain_head == head
        assert store.verify().ok


def test_what_a_full_disk_did_not_take_goes_with_the_next_commit(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
        store.append(20, events.Incident("a decision"))
        store.keep(7, SHOWN)
        store._db.execute("PRAGMA query_only = 1")
        with pytest.raises(JournalError):
            store.commit()
        store._db.execute("PRAGMA query_only = 0")
        store.commit()
        assert find_seen(store._db, 7) == SHOWN


def test_only_the_newest_are_kept_over_restarts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "MOST_KEPT", 3)
    # The last wake of a run is done again by the next, as after a crash.
    for wakes in (range(1, 6), range(5, 9)):
        with closing(open_book(tmp_path)) as store:
            for wake_id in wakes:
                store.append(wake_id, events.Incident(str(wake_id)))
                store.keep(wake_id, shown(wake_id))
                store.commit()
                kept = [found for (found,) in store._db.execute("SELECT wake_id FROM seen ORDER BY wake_id")]
                assert kept == list(range(max(1, wake_id - 2), wake_id + 1))


def test_what_another_version_kept_is_unknown(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        store._db.execute("INSERT INTO seen VALUES (1, x'00'), (2, x'789c6360000000020001')")
        for wake_id in (1, 2):
            found = find_seen(store._db, wake_id)
            assert isinstance(found, Unknown)
            assert "another version" in found.reason


def test_a_book_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    store = open_book(tmp_path)
    store.close()
    with pytest.raises(sqlite3.Error):
        find_seen(store._db, 1)


def test_a_snapshot_of_an_earlier_format_is_refused_with_why(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        store.append(1, events.Incident("a decision"))
        store.keep(7, SHOWN)
        store.commit()
    built = msgspec.to_builtins(SHOWN)
    packed = zlib.compress(msgspec.msgpack.encode(built | {"symbols": list(built["symbols"].values())}))
    db = Database(tmp_path / JOURNAL)
    assert find_seen(db, 7) == SHOWN
    db.execute("UPDATE seen SET snapshot = ?", (packed,))
    assert find_seen(db, 7) == Unknown("the snapshot was kept by another version, and this one cannot read it")
    db.close()

"""The journal returns committed events exactly, and loses none to a failing disk."""

import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from sqlite_utils import Database

from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.domain.canonical import GENESIS
from ocw_mcp.domain.errors import InvariantError, JournalError
from ocw_mcp.domain.events import DecisionMade, Incident, RunResumed, RunStarted, RunStopped
from ocw_mcp.domain.protocols import Checkpoint, Store
from tests.adapters.store.books import STAMP, STORY, open_book, open_with_connection, tell

CHECKPOINT = Checkpoint(60_000, len(STORY), b"engine \x00 state", b"venue state")
LARGE = Incident("x" * 40_000)
"""Larger than the free space inside the file."""


def test_new_book_is_empty(tmp_path: Path) -> None:
    with closing(open_book(tmp_path / "state")) as store:
        known: Store = store
        assert (known.last_seq, known.fingerprint, known.checkpoint()) == (0, GENESIS, None)
        assert list(known.events_after(0)) == []
        assert list(known.all_events()) == []
        assert len(known.book) == 6


def test_reopened_book_continues_where_it_ended(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
        store.commit(CHECKPOINT)
        before = store.book, store.last_seq, store.fingerprint, store.chain_head
    with closing(open_book(tmp_path, book="an0the")) as store:
        assert (store.book, store.last_seq, store.fingerprint, store.chain_head) == before
        assert store.checkpoint() == CHECKPOINT
        assert store.append(99, Incident("next")) == len(STORY) + 1


def test_reopening_after_each_event_keeps_the_fingerprint(tmp_path: Path) -> None:
    with closing(open_book(tmp_path / "through")) as store:
        tell(store)
        through = store.fingerprint, store.chain_head
    for number, event in enumerate(STORY, 1):
        with closing(open_book(tmp_path / "stopped")) as store:
            assert store.append(number, event) == number
            store.commit()
            stopped = store.fingerprint, store.chain_head
    assert stopped == through


def test_events_are_read_back_unchanged(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        store.note(0, RunStarted("1.0", "rules", "policy"))
        tell(store)
        assert [stored.event for stored in store.events_after(0)] == list(STORY)
        assert [stored.seq for stored in store.events_after(7)] == [8, 9, 10]
        assert [at for at, _ in store.all_events()] == [0, *range(1, 11)]
        made = next(stored.event for stored in store.events_after(2))
        assert isinstance(made, DecisionMade)
        assert made.decision.legs[0].confidence == 1 / 3
        assert repr(made.decision.legs[0].size) == repr(Decimal("0.1"))


def test_many_events_are_read_once_and_in_order(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store, tuple(Incident(str(number)) for number in range(2_500)))
        assert [stored.event for stored in store.events_after(400)] == [Incident(str(n)) for n in range(400, 2_500)]
        assert len(list(store.all_events())) == 2_500


def test_uncommitted_events_are_gone_after_reopening(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
        committed = store.last_seq, store.fingerprint, store.chain_head
        store.append(50, Incident("never durable"))
        assert store.fingerprint != committed[1]
        assert store.chain_head == committed[2]
    with closing(open_book(tmp_path)) as store:
        assert (store.last_seq, store.fingerprint, store.chain_head) == committed


def test_fingerprint_ignores_events_about_processes(tmp_path: Path) -> None:
    with closing(open_book(tmp_path / "plain")) as store:
        tell(store)
        plain = store.fingerprint, store.last_seq, store.chain_head
    with closing(open_book(tmp_path / "noted")) as store:
        store.note(0, RunStarted("1.0", "rules", "policy"))
        tell(store, STORY[:4])
        store.note(4, RunStopped("stopped"))
        store.note(4, RunResumed("1.1", "rules", "policy"))
        tell(store, STORY[4:], at=5)
        assert (store.fingerprint, store.last_seq) == plain[:2]
        assert store.chain_head != plain[2]
        assert [stored.seq for stored in store.events_after(0)] == list(range(1, len(STORY) + 1))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET payload = '{}' WHERE row = 3",
        "DELETE FROM events WHERE row = 3",
        "INSERT OR REPLACE INTO events SELECT row, seq, 0, kind, version, payload, digest, chain FROM events",
    ],
)
def test_events_cannot_be_changed_or_deleted(tmp_path: Path, statement: str) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as raw:
        raw.execute("PRAGMA recursive_triggers=on")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            raw.execute(statement)


def test_commit_without_changes_writes_nothing(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
        store.commit(summarise=lambda: {"state": "ACTIVE"})
        before = (tmp_path / "journal.db-wal").stat()
        store.commit()
        store.commit(summarise=lambda: {"state": "ACTIVE"})
        after = (tmp_path / "journal.db-wal").stat()
        assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_only_the_latest_checkpoint_is_kept(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
        store.commit(Checkpoint(1, 2, b"old", b""))
        store.commit(CHECKPOINT)
        assert store.checkpoint() == CHECKPOINT


@contextmanager
def full(db: Database, directory: Path) -> Iterator[None]:
    """Let the file not grow."""
    db.execute("PRAGMA max_page_count = 1")
    yield
    db.execute("PRAGMA max_page_count = 1000000")


@contextmanager
def no_room_for_the_log(db: Database, directory: Path) -> Iterator[None]:
    """Let the operating system refuse a longer write-ahead log."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((directory / "journal.db-wal").stat().st_size + 5_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only(db: Database, directory: Path) -> Iterator[None]:
    """Let the connection refuse every write."""
    db.execute("PRAGMA query_only = 1")
    yield
    db.execute("PRAGMA query_only = 0")


@contextmanager
def locked(db: Database, directory: Path) -> Iterator[None]:
    """Let another connection hold the write lock."""
    db.execute("PRAGMA busy_timeout = 20")
    with closing(sqlite3.connect(directory / "journal.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


Failing = Callable[[Database, Path], AbstractContextManager[None]]


@pytest.mark.parametrize("failing", [full, no_room_for_the_log, read_only, locked])
def test_failed_commit_neither_loses_nor_repeats_events(tmp_path: Path, failing: Failing) -> None:
    with closing(open_book(tmp_path / "undisturbed")) as store:
        for at, event in enumerate((*STORY, LARGE, Incident("after")), 1):
            store.append(at, event)
        store.commit(CHECKPOINT)
        undisturbed = store.fingerprint, store.chain_head, list(store.all_events())
    store, db = open_with_connection(tmp_path / "disturbed")
    with closing(store):
        tell(store, STORY[:3])
        before = store.chain_head
        with failing(db, tmp_path / "disturbed"):
            for at, event in enumerate((*STORY[3:], LARGE), 4):
                store.append(at, event)
            for _ in range(2):
                with pytest.raises(JournalError, match=r"8 new events could not be written to .*; they are kept for"):
                    store.commit(CHECKPOINT, lambda: {"state": "HALTED"})
            assert store.chain_head == before
            assert len(list(store.events_after(0))) == 3
            assert store.last_seq == 11
        store.append(12, Incident("after"))
        store.commit()
        assert (store.fingerprint, store.chain_head, list(store.all_events())) == undisturbed
        assert store.checkpoint() == CHECKPOINT
        assert store.verify().problems == []


def test_events_refused_by_a_full_disk_are_gone_after_a_crash(tmp_path: Path) -> None:
    store, db = open_with_connection(tmp_path)
    with closing(store):
        tell(store, STORY[:3])
        with full(db, tmp_path):
            store.append(4, LARGE)
            with pytest.raises(JournalError):
                store.commit()
    with closing(open_book(tmp_path)) as store:
        assert store.last_seq == 3
        assert store.verify().ok


def test_journal_that_ends_before_its_checkpoint_is_refused(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
        store.commit(CHECKPOINT)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as raw, raw:
        raw.execute("DROP TRIGGER events_are_not_deleted")
        raw.execute("DELETE FROM events WHERE row > 7")
    with pytest.raises(JournalError, match="checkpoint is of event 10, but the journal ends at event 7"):
        open_book(tmp_path)


def test_unknown_event_kind_is_reported_with_its_row(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store, STORY[:3])
    with closing(sqlite3.connect(tmp_path / "journal.db")) as raw, raw:
        (trigger,) = raw.execute("SELECT sql FROM sqlite_master WHERE name = 'events_are_not_updated'").fetchone()
        raw.execute("DROP TRIGGER events_are_not_updated")
        raw.execute("""UPDATE events SET payload = '{"kind": "order.teleported"}' WHERE row = 2""")
        raw.execute(trigger)
    with closing(open_book(tmp_path)) as store:
        with pytest.raises(JournalError, match="row 2 of the journal holds no event"):
            list(store.events_after(0))
        with pytest.raises(JournalError, match="row 2 of the journal holds no event"):
            list(store.all_events())


def test_invalid_book_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvariantError):
        SqliteStore.open(tmp_path, STAMP, book_id="Too Long", created_at=0)


def test_store_can_be_closed_twice(tmp_path: Path) -> None:
    store = open_book(tmp_path)
    store.close()
    store.close()

"""A start and `ocw journal verify` find a checkpoint, trigger or table that was changed from outside."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.adapters.store.reader import verify_book
from ocw_mcp.domain.errors import BookError, JournalError
from ocw_mcp.domain.events import CheckpointSaved
from ocw_mcp.domain.protocols import Checkpoint
from tests.adapters.store.books import BOOK, STAMP, STORY, open_book, tell

SAVED = Checkpoint(10, len(STORY), b'{"state": "HALTED"}', b"{}")
NO_TRIGGERS = "DROP TRIGGER events_are_not_updated; DROP TRIGGER events_are_not_deleted;"


def edit(directory: Path, script: str) -> None:
    with closing(sqlite3.connect(directory / "journal.db")) as raw:
        raw.executescript(script)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A book with two checkpoints, the later of which counts."""
    with closing(open_book(tmp_path)) as store:
        tell(store, STORY[:4])
        store.commit(Checkpoint(1, 4, b'{"state": "ACTIVE"}', b"{}"))
        tell(store, STORY[4:], at=5)
        store.commit(SAVED)
    return tmp_path


def test_unchanged_book_reopens_with_its_checkpoint(book: Path) -> None:
    for _ in range(2):
        with closing(open_book(book)) as store:
            assert store.checkpoint() == SAVED
    assert verify_book(book).ok


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("UPDATE checkpoint SET engine = replace(engine, 'HALTED', 'ACTIVE')", "the checkpoint is not the one"),
        ("UPDATE checkpoint SET venue = x'00'", "the checkpoint is not the one"),
        ("UPDATE checkpoint SET market_at = 9", "the checkpoint is not the one"),
        ("UPDATE checkpoint SET seq = 4", "the checkpoint is not the one"),
        ("DELETE FROM checkpoint", "the checkpoint that was journaled is missing"),
        ("DROP TRIGGER events_are_not_deleted", "trigger events_are_not_deleted is missing"),
        (
            "DROP TRIGGER events_are_not_updated; CREATE TRIGGER events_are_not_updated BEFORE UPDATE ON events "
            "BEGIN SELECT 1; END",
            "trigger events_are_not_updated was changed",
        ),
        (
            "CREATE TRIGGER more AFTER INSERT ON fills BEGIN UPDATE fills SET price = '1'; END",
            "trigger more is not one of ocw's",
        ),
        ("DROP TABLE refusals", "table refusals is missing"),
        ("CREATE TABLE more (id INTEGER)", "table more is not one of ocw's"),
        (
            "CREATE TRIGGER sqlitemore AFTER INSERT ON fills BEGIN SELECT 1; END",
            "trigger sqlitemore is not one of ocw's",
        ),
        ("UPDATE book SET schema = 1", "version was changed to 1"),
        ("CREATE VIEW more AS SELECT * FROM events", "view more is not one of ocw's"),
        ("DROP TABLE summary; CREATE TABLE summary (id INTEGER, json TEXT)", "table summary was changed"),
    ],
)
def test_book_changed_from_outside_fails_verify_and_is_not_opened(book: Path, script: str, problem: str) -> None:
    edit(book, script)
    assert problem in " ".join(verify_book(book).problems)
    before = (book / "journal.db").read_bytes()
    with pytest.raises(JournalError, match="restore the whole state directory from one backup") as refused:
        open_book(book)
    assert problem in str(refused.value)
    assert (book / "journal.db").read_bytes() == before


def test_start_with_an_older_checkpoint_put_back_is_refused(book: Path) -> None:
    """The digest of the older checkpoint was journaled, too, but only the latest digest counts."""
    edit(book, """UPDATE checkpoint SET market_at = 1, seq = 4, engine = '{"state": "ACTIVE"}'""")
    with pytest.raises(JournalError, match="the checkpoint is not the one"):
        open_book(book)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("UPDATE events SET payload = replace(payload, '{', '{ ') WHERE row = 12", "row 12 does not continue"),
        ("DELETE FROM events WHERE kind = 'checkpoint.saved'", "no digest"),
        ("DELETE FROM events WHERE kind = 'checkpoint.saved'; UPDATE book SET schema = 1", "version was changed"),
        ("DELETE FROM events WHERE row = 11", "its tail was cut"),
    ],
)
def test_start_with_an_edited_checkpoint_digest_is_refused(book: Path, script: str, problem: str) -> None:
    with closing(sqlite3.connect(book / "journal.db")) as raw:
        triggers = raw.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    edit(book, NO_TRIGGERS + script + ";" + ";".join(sql for (sql,) in triggers))
    assert not verify_book(book).ok
    with pytest.raises(JournalError, match=problem):
        open_book(book)


def test_checkpoint_digest_is_not_part_of_the_run_fingerprint(tmp_path: Path) -> None:
    with closing(open_book(tmp_path / "a")) as saved, closing(open_book(tmp_path / "b")) as unsaved:
        for store in (saved, unsaved):
            tell(store)
        saved.commit(SAVED)
        assert saved.fingerprint == unsaved.fingerprint
        assert saved.chain_head != unsaved.chain_head
        assert isinstance(list(saved.all_events())[-1][1], CheckpointSaved)


@pytest.mark.parametrize("with_checkpoint", [True, False])
def test_book_of_the_previous_version_is_migrated(tmp_path: Path, with_checkpoint: bool) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
    as_before = "UPDATE book SET schema = 1; UPDATE events SET version = 1;"
    if with_checkpoint:
        as_before += """INSERT INTO checkpoint VALUES (1, 10, 10, x'00', x'01');"""
    with closing(sqlite3.connect(tmp_path / "journal.db")) as raw:
        (trigger,) = raw.execute("SELECT sql FROM sqlite_master WHERE name = 'events_are_not_updated'").fetchone()
    edit(tmp_path, f"DROP TRIGGER events_are_not_updated; {as_before} {trigger}; DROP TABLE seen")
    for _ in range(2):
        with closing(open_book(tmp_path)) as store:
            saved = [event for _, event in store.all_events() if isinstance(event, CheckpointSaved)]
            assert len(saved) == with_checkpoint
    edit(tmp_path, "INSERT OR REPLACE INTO checkpoint VALUES (1, 9, 9, x'00', x'01')")
    with pytest.raises(JournalError, match="checkpoint"):
        open_book(tmp_path)


def test_book_of_a_newer_version_is_refused(book: Path) -> None:
    edit(book, "UPDATE book SET schema = 99")
    with pytest.raises(BookError, match="upgrade ocw"):
        open_book(book)


def test_refused_start_does_not_migrate_a_book(book: Path) -> None:
    edit(book, "PRAGMA user_version = 5; PRAGMA wal_checkpoint(TRUNCATE)")
    before = (book / "journal.db").read_bytes()

    def refuse(store: SqliteStore) -> None:
        assert store.checkpoint() == SAVED
        raise BookError("not with this version")

    with pytest.raises(BookError, match="not with this version"):
        SqliteStore.open(book, STAMP, book_id=BOOK, created_at=1_000, accept=refuse)
    assert (book / "journal.db").read_bytes() == before
    assert verify_book(book).ok
    SqliteStore.open(book, STAMP, book_id=BOOK, created_at=1_000).close()
    assert (book / "journal.db").read_bytes() != before

"""Verification of a journal finds tampering and names the row."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ocw_mcp.adapters.store.database import link
from ocw_mcp.adapters.store.reader import verify_book
from ocw_mcp.domain.events import Incident, RunStarted
from ocw_mcp.domain.protocols import Checkpoint
from tests.adapters.store.books import STORY, open_book, tell

SWAP = """
    CREATE TABLE held AS SELECT * FROM events WHERE row IN (4, 5);
    DELETE FROM events WHERE row IN (4, 5);
    INSERT INTO events SELECT 9 - row, seq, at, kind, version, payload, digest, chain FROM held;
    DROP TABLE held;
"""


def tamper(directory: Path, script: str) -> None:
    """Change the content of a journal, and keep its triggers."""
    with closing(sqlite3.connect(directory / "journal.db")) as raw:
        triggers = raw.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        raw.executescript("".join(f"DROP TRIGGER {name};" for name, _ in triggers) + script)
        raw.executescript(";".join(sql for _, sql in triggers))


@pytest.fixture
def book(tmp_path: Path) -> Path:
    with closing(open_book(tmp_path)) as store:
        store.note(0, RunStarted("1.0", "rules", "policy"))
        tell(store)
    return tmp_path


def test_intact_journal_verifies(book: Path) -> None:
    with closing(open_book(book)) as store:
        found = store.verify(expected_head=store.chain_head)
        assert found.ok
        assert (found.events, found.head, found.fingerprint) == (11, store.chain_head, store.fingerprint)
    assert verify_book(book) == found


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("""UPDATE events SET payload = replace(payload, '0.030', '0.300') WHERE row = 5""", "row 5 does not continue"),
        ("UPDATE events SET at = at + 1 WHERE row = 6", "row 6 does not continue the chain"),
        ("UPDATE events SET digest = 'f00' WHERE row = 3", "row 3 does not continue the fingerprint"),
        ("UPDATE events SET chain = 'f00' WHERE row = 9", "row 9 does not continue the chain"),
        ("UPDATE events SET kind = 'incident' WHERE row = 3", "row 3 is called incident and holds wake.raised"),
        ("UPDATE events SET version = 9 WHERE row = 3", "row 3 has version 9"),
        ("UPDATE events SET payload = 'x' WHERE row = 8", "row 8 of the journal holds no event"),
        ("UPDATE events SET payload = x'ff00' WHERE row = 8", "row 8 of the journal holds no event"),
        ("UPDATE events SET seq = 77 WHERE row = 8", "row 8 carries sequence 77; expected 7"),
        ("UPDATE events SET seq = NULL, digest = NULL WHERE row = 8", "row 8 carries no sequence"),
        ("UPDATE events SET seq = 88, digest = '' WHERE row = 1", "row 1 carries sequence 88"),
        ("DELETE FROM events WHERE row = 6", "row 6 is missing"),
        ("DELETE FROM events WHERE row < 4", "rows 1 to 3 are missing"),
        (SWAP, "row 4 does not continue the chain"),
        (SWAP, "row 5 carries sequence 3; expected"),
        ("UPDATE orders SET filled = '0.3'", "the projection orders does not follow from the events"),
        (
            "DELETE FROM fills WHERE seq = 6",
            "the projection fills does not follow from the events at its row (seq) = (6)",
        ),
        ("INSERT INTO days VALUES (99, 1, 'x', '1')", "the projection days does not follow"),
        ("DROP TABLE trades", "the projection trades cannot be read"),
    ],
)
def test_verify_finds_each_kind_of_tampering(book: Path, script: str, problem: str) -> None:
    tamper(book, script)
    found = verify_book(book)
    assert not found.ok
    assert problem in " ".join(found.problems)


def test_changed_row_is_reported_at_that_row_only(book: Path) -> None:
    tamper(book, "UPDATE events SET at = at + 1 WHERE row = 10")
    assert len(verify_book(book).problems) == 2, "the chain and the fingerprint, at this row and at no later one"


def test_row_with_a_forged_digest_is_found_at_the_next_row(book: Path) -> None:
    with closing(sqlite3.connect(book / "journal.db")) as raw:
        (before,) = raw.execute("SELECT chain FROM events WHERE row = 4").fetchone()
        row, seq, at, kind, version, payload, digest = raw.execute(
            "SELECT row, seq, at, kind, version, payload, digest FROM events WHERE row = 5"
        ).fetchone()
    forged = link(before, row, seq, at + 1, kind, version, payload, digest)
    tamper(book, f"UPDATE events SET at = at + 1, chain = '{forged}' WHERE row = 5")
    assert "row 6 does not continue the chain" in " ".join(verify_book(book).problems)


def test_verify_with_a_noted_digest_finds_rows_cut_off_at_the_end(book: Path) -> None:
    head = verify_book(book).head
    tamper(book, "DELETE FROM events WHERE row > 9; DELETE FROM trades")
    assert verify_book(book).ok
    assert "no row has the expected head" in " ".join(verify_book(book, expected_head=head).problems)


def test_verify_reports_events_cut_off_before_the_checkpoint(book: Path) -> None:
    with closing(open_book(book)) as store:
        store.commit(Checkpoint(1, len(STORY), b"", b""))
    tamper(book, "DELETE FROM events WHERE row > 9; DELETE FROM trades")
    assert "the checkpoint is of event 10" in " ".join(verify_book(book).problems)


def test_verify_fails_if_no_row_has_the_expected_chain_digest(book: Path) -> None:
    with closing(open_book(book)) as store:
        noted = store.chain_head
        tell(store, (Incident("later"),), at=50)
        assert store.verify(expected_head=noted).ok
        assert not store.verify(expected_head="f" * 64).ok


def test_changed_projection_tables_verify_again_after_a_rebuild(book: Path) -> None:
    tamper(book, "UPDATE orders SET state = 'canceled'; DELETE FROM wakes; DELETE FROM fills")
    with closing(open_book(book)) as store:
        assert not store.verify().ok
        store.rebuild()
        assert store.verify().ok


def test_journal_file_damaged_in_the_middle_fails_verify(book: Path) -> None:
    with closing(open_book(book)) as store:
        tell(store, tuple(Incident("y" * 500) for _ in range(400)), at=50)
    journal = book / "journal.db"
    content = bytearray(journal.read_bytes())
    content[len(content) // 2 :: 4_096] = b"\xff" * len(content[len(content) // 2 :: 4_096])
    half = len(content) // 2 // 4_096 * 4_096
    content[half : half + 4_096 * 8] = b"\xff" * (4_096 * 8)
    journal.write_bytes(content)
    assert not verify_book(book).ok

"""The journal in SQLite: one writer, one append-only table, and everything else rebuilt from it."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.book import BookStamp, StoredBook, create_book, require_same
from ocw_mcp.adapters.store.database import JOURNAL, close_to_others, connect_to_write
from ocw_mcp.adapters.store.directory import prepare
from ocw_mcp.adapters.store.intact import (
    checkpoint_problem,
    digest_of,
    schema_of,
    structure_problems,
)
from ocw_mcp.adapters.store.projections import (
    PROJECTIONS_VERSION,
    apply,
    changes_of,
    register_functions,
    remake_tables,
)
from ocw_mcp.adapters.store.ran_with import RanWith, read_ran_with
from ocw_mcp.adapters.store.rows import CHAIN_GENESIS, Row, domain_event, journal_event, link, payload_of
from ocw_mcp.adapters.store.schema import (
    ADD_EVENT,
    DOMAIN_ROWS_AFTER,
    GET_CHECKPOINT,
    GET_SUMMARY,
    LAST_DOMAIN_EVENT,
    LAST_ROW,
    PUT_CHECKPOINT,
    PUT_SUMMARY,
    ROWS_AFTER,
    SCHEMA_VERSION,
    SET_SCHEMA,
)
from ocw_mcp.adapters.store.seen import Seen
from ocw_mcp.adapters.store.totals import journal_figures
from ocw_mcp.adapters.store.verify import Verification, verify_journal
from ocw_mcp.domain.canonical import GENESIS, canonical, chain
from ocw_mcp.domain.errors import BookError, JournalError
from ocw_mcp.domain.events import CheckpointSaved, DomainEvent, JournalEvent, LifecycleEvent, kind_of
from ocw_mcp.domain.figures import JournalFigures
from ocw_mcp.domain.protocols import Checkpoint, StoredEvent
from ocw_mcp.domain.snapshot import Snapshot

_PAGE = 1_000
"""Rows read at a time: a cursor that stays open would not survive a rollback of the writer."""

_T = TypeVar("_T")


class SqliteStore:
    """The memory of a book, in `journal.db`. The caller holds the StateLock: there is one writer."""

    def __init__(self, db: Database, book: StoredBook, held: Callable[[], None] = lambda: None) -> None:
        self._db = db
        self._held = held
        self._book = book
        row, at, head, _ = db.execute(LAST_ROW).fetchone() or (0, 0, CHAIN_GENESIS, 0)
        seq, digest = db.execute(LAST_DOMAIN_EVENT).fetchone() or (0, GENESIS)
        (summary,) = db.execute(GET_SUMMARY).fetchone() or (None,)
        self._row: int = row
        self._at: int = at
        self._seq: int = seq
        self._digest: str = digest
        self._head: str = head
        self._stored_head: str = head
        self._summary: str | None = summary
        self._stored_summary: str | None = summary
        self._rows: list[Row] = []
        self._events: list[StoredEvent] = []
        self._checkpoint: Checkpoint | None = None
        self._seen = Seen(db)

    @classmethod
    def open(
        cls,
        directory: Path,
        stamp: BookStamp,
        *,
        book_id: str,
        created_at: int,
        held: Callable[[], None] = lambda: None,
        accept: Callable[["SqliteStore"], None] = lambda store: None,
    ) -> Self:
        """Open the book of a state directory, or make one: named `book_id`, at `created_at` (ms).

        `held` is called before each commit, and raises where another engine may have the book. `accept` is called
        before a book of an earlier version is changed, and raises where the run would refuse it anyway.

        Raises BookError when the directory cannot hold a book or holds one with another stamp, JournalError when the
        journal ends before its checkpoint.
        """
        book = prepare(directory)
        if book is not None:
            require_same(directory, book.stamp, stamp)
        try:
            if book is None:
                book = StoredBook(book_id, stamp, created_at)
                create_book(directory, book)
            close_to_others(directory)
            db = connect_to_write(directory / JOURNAL)
        except (sqlite3.Error, OSError) as error:
            raise _unusable(directory, error) from None
        try:
            register_functions(db)
            store = cls(db, book, held)
            store._catch_up(accept)
        except sqlite3.Error as error:
            db.close()
            raise _unusable(directory, error) from None
        except BaseException:
            db.close()
            raise
        return store

    @property
    def book(self) -> str:
        """The six characters that name the book in every client id."""
        return self._book.book

    @property
    def created_at(self) -> int:
        """When (ms) the book was made, by the clock of whoever made it."""
        return self._book.created_at

    @property
    def stamp(self) -> BookStamp:
        """What the book was made for."""
        return self._book.stamp

    @property
    def last_seq(self) -> int:
        """Sequence of the last domain event, appended or committed; 0 when there is none."""
        return self._seq

    @property
    def fingerprint(self) -> str:
        """Digest over all domain events so far, appended or committed."""
        return self._digest

    @property
    def chain_head(self) -> str:
        """Digest over all stored rows so far."""
        return self._stored_head

    def append(self, at: int, event: DomainEvent) -> int:
        """Add a domain event to the current transaction; returns its sequence."""
        seq = self._seq + 1
        digest = chain(self._digest, canonical(seq, at, event))
        self._add(seq, at, event, digest)
        self._seq, self._digest = seq, digest
        self._events.append(StoredEvent(seq, at, event))
        return seq

    def note(self, at: int, event: LifecycleEvent) -> None:
        """Add an event about this process, outside the fingerprint."""
        self._add(None, at, event, None)

    def keep(self, wake_id: int, snapshot: Snapshot) -> None:
        """Keep what a wake was shown, with the next commit that has events."""
        self._seen.keep(wake_id, snapshot)

    def commit(self, checkpoint: Checkpoint | None = None, summary: dict[str, Any] | None = None) -> None:
        """Make all that was appended durable, and with it a checkpoint and the summary that `ocw status` shows.

        Raises JournalError when the disk does not take it; everything is then still pending, the checkpoint and the
        summary included, and goes with the next commit. Raises BookError when another engine may have the book.
        """
        self._held()
        if checkpoint is not None:
            self._checkpoint = checkpoint
        if summary is not None:
            self._summary = msgspec.json.encode(summary).decode()
        new_summary = self._summary != self._stored_summary
        if not self._rows and self._checkpoint is None and not new_summary:
            return
        values = None if self._checkpoint is None else _values(self._checkpoint)
        rows = self._rows if values is None else [*self._rows, self._digest_row(values)]
        try:
            with self._db.atomic():
                if rows:
                    self._db.conn.executemany(ADD_EVENT, rows)
                for known in self._events:
                    apply(self._db, changes_of(self.book, known.seq, known.at, known.event))
                self._seen.write()
                if values is not None:
                    self._db.conn.execute(PUT_CHECKPOINT, values)
                if new_summary:
                    self._db.conn.execute(PUT_SUMMARY, (self._summary,))
        except sqlite3.Error as error:
            raise JournalError(
                f"the journal did not take {len(self._rows)} new events: {error}; they are kept and go with the next "
                "commit; make room on the disk, or let go of the file"
            ) from error
        if rows:
            self._stand_at(rows[-1])
        self._stored_head, self._stored_summary = self._head, self._summary
        self._rows.clear()
        self._events.clear()
        self._seen.written()
        self._checkpoint = None

    def checkpoint(self) -> Checkpoint | None:
        """The latest stored checkpoint, or None in a new book. Raises JournalError."""
        found = self._ask(lambda: self._db.execute(GET_CHECKPOINT).fetchone())
        return None if found is None else Checkpoint(*found)

    def events_after(self, seq: int) -> Iterator[StoredEvent]:
        """Committed domain events with a higher sequence, in order. Raises JournalError where one cannot be read."""
        while page := self._page(DOMAIN_ROWS_AFTER, seq):
            for row, seq, at, payload in page:
                yield StoredEvent(seq, at, domain_event(row, payload))

    def all_events(self) -> Iterator[tuple[int, JournalEvent]]:
        """Every committed event with its time (ms), in order. Raises JournalError where one cannot be read."""
        row = 0
        while page := self._page(ROWS_AFTER, row):
            for row, at, payload in page:
                yield at, journal_event(row, payload)

    def ran_with(self) -> RanWith | None:
        """What the book ran with when its last committed event came; None in a new book. Raises JournalError."""
        return self._ask(lambda: read_ran_with(self._db))

    def figures(self) -> JournalFigures:
        """What a run's report needs, from committed events. Raises JournalError."""
        return self._ask(lambda: journal_figures(self._db))

    def verify(self, expected_head: str | None = None) -> Verification:
        """Walk all that is committed; see `verify_journal` for what is found and what cannot be."""
        return verify_journal(self._db, self.book, expected_head)

    def rebuild(self) -> None:
        """Drop every projection and make it again from the committed events, in one transaction.

        Raises JournalError; the projections are then as they were.
        """
        try:
            with self._db.atomic():
                remake_tables(self._db)
                for known in self.events_after(0):
                    apply(self._db, changes_of(self.book, known.seq, known.at, known.event))
        except sqlite3.Error as error:
            raise JournalError(
                f"the projections were not rebuilt: {error}; make room on the disk and repeat"
            ) from error

    def close(self) -> None:
        """Let go of the file; what was not committed is gone. Closing twice does nothing."""
        self._db.close()

    def _add(self, seq: int | None, at: int, event: JournalEvent, digest: str | None) -> None:
        self._rows.append(self._next_row(seq, at, event, digest))
        self._stand_at(self._rows[-1])

    def _next_row(self, seq: int | None, at: int, event: JournalEvent, digest: str | None) -> Row:
        row, kind, payload = self._row + 1, kind_of(event), payload_of(event)
        head = link(self._head, row, seq, at, kind, SCHEMA_VERSION, payload, digest)
        return row, seq, at, kind, SCHEMA_VERSION, payload, digest, head

    def _digest_row(self, values: tuple[Any, ...]) -> Row:
        """The row that goes with a checkpoint, in one transaction, after all others."""
        return self._next_row(None, max(self._at, values[0]), CheckpointSaved(digest_of(values)), None)

    def _stand_at(self, row: Row) -> None:
        self._row, self._at, self._head = row[0], row[2], row[-1]

    def _catch_up(self, accept: Callable[["SqliteStore"], None]) -> None:
        """Refuse a journal whose tail was cut, or that was changed from outside; take over one of another version."""
        saved = self.checkpoint()
        if saved is not None and saved.seq > self._seq:
            raise JournalError(
                f"the checkpoint stands at event {saved.seq}, but the journal ends at event {self._seq}: its tail was "
                "cut; restore the whole state directory from one backup"
            )
        outdated = self._db.execute("PRAGMA user_version").fetchone()[0] != PROJECTIONS_VERSION
        if outdated or schema_of(self._db) < SCHEMA_VERSION:
            accept(self)
        if outdated:
            self.rebuild()
        found = structure_problems(self._db)
        found += [problem for problem in (checkpoint_problem(self._db), self._version_problem()) if problem]
        if found:
            raise JournalError(
                f"the journal is not as ocw left it: {'; '.join(found[:3])}; see ocw journal verify, and restore the "
                "whole state directory from one backup, or begin another book"
            )
        if schema_of(self._db) < SCHEMA_VERSION:
            self._take_over(saved)

    def _version_problem(self) -> str:
        last, version = self._db.execute(LAST_ROW).fetchone(), schema_of(self._db)
        return f"its version was changed to {version}" if last is not None and last[3] > version else ""

    def _take_over(self, saved: Checkpoint | None) -> None:
        """Make a book of an earlier version one of this: from here on the digest of its checkpoint is journaled."""
        rows = [] if saved is None else [self._digest_row(_values(saved))]
        with self._db.atomic():
            self._db.conn.executemany(ADD_EVENT, rows)
            self._db.conn.execute(SET_SCHEMA, (SCHEMA_VERSION,))
        for row in rows:
            self._stand_at(row)
        self._stored_head = self._head

    def _page(self, query: str, after: int) -> list[Any]:
        return self._ask(lambda: self._db.execute(query, (after, _PAGE)).fetchall())

    def _ask(self, question: Callable[[], _T]) -> _T:
        try:
            return question()
        except sqlite3.Error as error:
            raise JournalError(
                f"the journal cannot be read: {error}; verify it, or restore it from a backup"
            ) from error


def _values(checkpoint: Checkpoint) -> tuple[int, int, bytes, bytes]:
    return checkpoint.market_at, checkpoint.seq, checkpoint.engine, checkpoint.venue


def _unusable(directory: Path, error: Exception) -> BookError:
    return BookError(
        f"the book in {directory} cannot be opened for writing: {error}; free the file and the disk, or use another "
        "--state directory"
    )

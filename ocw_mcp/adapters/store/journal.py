"""The journal in SQLite: one writer and one append-only table; everything else is rebuilt from it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store import database, projections
from ocw_mcp.adapters.store import verify as verifying
from ocw_mcp.adapters.store.book import BookStamp, StoredBook, create_book, require_same
from ocw_mcp.adapters.store.directory import prepare
from ocw_mcp.adapters.store.figures import LastRun, journal_figures, read_last_run
from ocw_mcp.adapters.store.inputs import InputLog, encode_input
from ocw_mcp.adapters.store.recording_files import RecordingWriter
from ocw_mcp.adapters.store.recording_queue import Committed, RecordingQueue
from ocw_mcp.adapters.store.snapshots import SnapshotWriter
from ocw_mcp.domain.canonical import GENESIS, canonical, chain
from ocw_mcp.domain.errors import BookError, JournalError
from ocw_mcp.domain.events import CheckpointSaved, DomainEvent, JournalEvent, LifecycleEvent, kind_of
from ocw_mcp.domain.figures import JournalFigures
from ocw_mcp.domain.protocols import Checkpoint, StoredEvent, StoredInput
from ocw_mcp.domain.recordings import RecordedStart
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.steps import StepEvent


class SqliteStore:
    """The store of a book, in `journal.db`. The caller holds the StateLock, so there is one writer."""

    def __init__(self, db: Database, book: StoredBook, check_lock: Callable[[], None] = lambda: None) -> None:
        self._db = db
        self._check_lock = check_lock
        self.book = book.book
        """The six characters that identify the book in every client order id."""
        self.stamp = book.stamp
        self.created_at = book.created_at
        """The time (ms) at which the book was created, by the clock of its creator."""
        last = db.execute(database.LAST_ROW).fetchone() or (0, 0, database.CHAIN_GENESIS, 0)
        domain = db.execute(database.LAST_DOMAIN_EVENT).fetchone() or (0, GENESIS)
        (summary,) = db.execute(database.GET_SUMMARY).fetchone() or (None,)
        self._last: tuple[int, int, str] = last[:3]
        """Row, time (ms) and chain of the last event, appended or committed."""
        self.last_seq: int = domain[0]
        """The sequence of the last domain event, appended or committed; 0 if there is none."""
        self.fingerprint: str = domain[1]
        """The digest of all domain events so far, appended or committed."""
        self.chain_head = self._last[2]
        """The digest of all stored rows so far."""
        self._summary: str | None = summary
        self._stored_summary: str | None = summary
        self._rows: list[database.Row] = []
        self._events: list[StoredEvent] = []
        self._checkpoint: Checkpoint | None = None
        self._snapshots = SnapshotWriter(db)
        self._inputs = InputLog(db)
        self._recording: RecordingQueue | None = None

    @classmethod
    def open(
        cls,
        directory: Path,
        stamp: BookStamp,
        *,
        book_id: str,
        created_at: int,
        check_lock: Callable[[], None] = lambda: None,
        accept: Callable[["SqliteStore"], None] = lambda store: None,
    ) -> Self:
        """Open the book of a state directory, or create one with the id `book_id` at `created_at` (ms).

        `check_lock` is called before each commit, and raises if another engine may have the book. `accept` is called
        before a book of an earlier version is changed, and raises if the run would refuse it. Raises BookError if the
        directory cannot hold this book, JournalError if the journal was cut or changed from outside.
        """
        book = prepare(directory)
        if book is not None:
            require_same(directory, book.stamp, stamp)
        with ExitStack() as opened:
            try:
                if book is None:
                    book = StoredBook(book_id, stamp, created_at)
                    create_book(directory, book)
                database.close_to_others(directory)
                db = opened.enter_context(closing(database.connect_to_write(directory / database.JOURNAL)))
                projections.register_functions(db)
                store = cls(db, book, check_lock)
                store._require_intact(accept)
            except (sqlite3.Error, OSError) as error:
                raise BookError(
                    f"the book in {directory} cannot be opened for writing: {error}; close other programs that use "
                    "it and make room on the disk, or use another --state directory"
                ) from None
            opened.pop_all()
        return store

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever stored: the run was refused, or ended before its first frame."""
        return self.chain_head == database.CHAIN_GENESIS

    def record(self, writer: RecordingWriter, start: RecordedStart) -> None:
        """Add every input from now on to a recording, also. Raises BookError if it does not belong to this book."""
        with _reading():
            self._recording = RecordingQueue(self._db, writer, start, self._inputs, self.checkpoint(), self.chain_head)

    def append(self, at: int, event: DomainEvent) -> int:
        """Add a domain event to the current transaction; return its sequence."""
        seq = self.last_seq + 1
        digest = chain(self.fingerprint, canonical(seq, at, event))
        self._add(seq, at, event, digest)
        self.last_seq, self.fingerprint = seq, digest
        self._events.append(StoredEvent(seq, at, event))
        if self._recording is not None:
            self._recording.note(at, event)
        return seq

    def note(self, at: int, event: LifecycleEvent) -> None:
        """Add an event about this process, which the fingerprint does not cover."""
        self._add(None, at, event, None)

    def log_input(self, at: int, event: StepEvent) -> None:
        """Add an input of a live book to the current transaction; the next checkpoint replaces it."""
        kind, payload = encode_input(event)
        self._inputs.add(at, kind, payload)
        if self._recording is not None:
            self._recording.add(at, kind, payload)

    def inputs(self) -> Iterator[StoredInput]:
        """Yield the committed inputs since the latest checkpoint, in order. Raises JournalError."""
        with _reading():
            yield from self._inputs.stored()

    def keep(self, wake_id: int, snapshot: Snapshot) -> None:
        """Store the snapshot of a wake with the next commit that has events."""
        self._snapshots.keep(wake_id, snapshot)

    def commit(self, checkpoint: Checkpoint | None = None, summarise: Callable[[], Any] | None = None) -> None:
        """Make all appended events durable, with a checkpoint and the summary for `ocw status` if given.

        Raises JournalError if the write fails; the events then stay pending for the next commit. Raises BookError if
        another engine may have the book.
        """
        self._check_lock()
        if checkpoint is not None:
            self._checkpoint = checkpoint
            self._inputs.cut()
        if summarise is not None:
            self._summary = msgspec.json.encode(summarise()).decode()
        new_summary = self._summary != self._stored_summary
        if not self._rows and self._checkpoint is None and not new_summary and not self._inputs.waiting:
            return
        values = None if self._checkpoint is None else msgspec.structs.astuple(self._checkpoint)
        rows = self._rows if values is None else [*self._rows, self._digest_row(values)]
        try:
            with self._db.atomic():
                if rows:
                    self._db.conn.executemany(database.ADD_EVENT, rows)
                for known in self._events:
                    projections.apply(self._db, self.book, known.seq, known.at, known.event)
                self._snapshots.write()
                if self._recording is not None:
                    head = rows[-1][-1] if rows else self._last[2]
                    self._recording.write(Committed(self.last_seq, self.fingerprint, head), self._checkpoint)
                self._inputs.write()
                if values is not None:
                    self._db.conn.execute(database.PUT_CHECKPOINT, values)
                if new_summary:
                    self._db.conn.execute(database.PUT_SUMMARY, (self._summary,))
        except sqlite3.Error as error:
            raise JournalError(
                f"{len(self._rows)} new events could not be written to the journal: {error}; they are kept for the "
                "next commit; make room on the disk, or close the program that locks the file"
            ) from error
        if rows:
            self._advance_to(rows[-1])
        self.chain_head, self._stored_summary = self._last[2], self._summary
        self._rows.clear()
        self._events.clear()
        self._snapshots.on_committed()
        self._inputs.on_committed()
        if self._recording is not None:
            self._recording.on_committed(all_of_it=self._checkpoint is not None)
        self._checkpoint = None

    def checkpoint(self) -> Checkpoint | None:
        """Return the latest stored checkpoint, or None in a new book. Raises JournalError."""
        with _reading():
            found = self._db.execute(database.GET_CHECKPOINT).fetchone()
        return None if found is None else Checkpoint(*found)

    def events_after(self, seq: int) -> Iterator[StoredEvent]:
        """Yield committed domain events after sequence `seq`, in order. Raises JournalError for an unreadable one."""
        with _reading():
            for each, row, at, payload in database.read_pages(self._db, database.DOMAIN_ROWS_AFTER, seq):
                yield StoredEvent(each, at, database.domain_event(row, payload))

    def all_events(self) -> Iterator[tuple[int, JournalEvent]]:
        """Yield every committed event with its time (ms), in order. Raises JournalError for an unreadable one."""
        with _reading():
            yield from database.journal_events(self._db)

    def last_run(self) -> LastRun | None:
        """Return agent, policies and prompts of the last run with an event; None in a new book. Raises JournalError."""
        with _reading():
            return read_last_run(self._db)

    def figures(self) -> JournalFigures:
        """Return the figures of a run's report, from committed events. Raises JournalError."""
        with _reading():
            return journal_figures(self._db)

    def verify(self, expected_head: str | None = None) -> verifying.Verification:
        """Verify everything committed, as `verify_journal` does."""
        return verifying.verify_journal(self._db, self.book, expected_head)

    def rebuild(self) -> None:
        """Rebuild every projection from the committed events; a JournalError leaves them all unchanged."""
        try:
            with self._db.atomic():
                projections.remake_tables(self._db)
                for known in self.events_after(0):
                    projections.apply(self._db, self.book, known.seq, known.at, known.event)
        except sqlite3.Error as error:
            raise JournalError(
                f"the projections were not rebuilt: {error}; make room on the disk and repeat the command"
            ) from error

    def close(self) -> None:
        """Close the file; uncommitted events are lost. Closing twice does nothing."""
        if self._recording is not None:
            recording, self._recording = self._recording, None
            recording.close()
        self._db.close()

    def _add(self, seq: int | None, at: int, event: JournalEvent, digest: str | None) -> None:
        self._rows.append(self._next_row(seq, at, event, digest))
        self._advance_to(self._rows[-1])

    def _next_row(self, seq: int | None, at: int, event: JournalEvent, digest: str | None) -> database.Row:
        row, kind, payload = self._last[0] + 1, kind_of(event), database.payload_of(event)
        head = database.link(self._last[2], row, seq, at, kind, database.SCHEMA_VERSION, payload, digest)
        return row, seq, at, kind, database.SCHEMA_VERSION, payload, digest, head

    def _digest_row(self, values: tuple[Any, ...]) -> database.Row:
        """Return the row with a checkpoint's digest: the last row of the transaction that stores the checkpoint."""
        return self._next_row(None, max(self._last[1], values[0]), CheckpointSaved(verifying.digest_of(values)), None)

    def _advance_to(self, row: database.Row) -> None:
        self._last = row[0], row[2], row[-1]

    def _require_intact(self, accept: Callable[["SqliteStore"], None]) -> None:
        """Refuse a journal whose tail was cut or that was changed from outside; migrate one of an earlier version."""
        saved = self.checkpoint()
        if saved is not None and saved.seq > (end := self.last_seq):
            raise JournalError(
                f"the checkpoint is of event {saved.seq}, but the journal ends at event {end}: its tail was cut; "
                "restore the whole state directory from one backup"
            )
        outdated = not projections.is_current(self._db)
        if outdated or database.schema_of(self._db) < database.SCHEMA_VERSION:
            accept(self)
        if outdated:
            self.rebuild()
        version, last = database.schema_of(self._db), self._db.execute(database.LAST_ROW).fetchone()
        found = [*verifying.structure_problems(self._db), *filter(None, [verifying.checkpoint_problem(self._db)])]
        if last is not None and last[3] > version:
            found.append(f"its version was changed to {version}")
        if found:
            raise JournalError(
                f"the journal is not as ocw left it: {'; '.join(found[:3])}; see ocw journal verify, and restore the "
                "whole state directory from one backup, or begin another book"
            )
        if version < database.SCHEMA_VERSION:
            self._migrate(saved)

    def _migrate(self, saved: Checkpoint | None) -> None:
        """Set the schema version of an earlier book to the present one, and journal the digest of its checkpoint."""
        rows = [] if saved is None else [self._digest_row(msgspec.structs.astuple(saved))]
        with self._db.atomic():
            self._db.conn.executemany(database.ADD_EVENT, rows)
            self._db.conn.execute(database.SET_SCHEMA, (database.SCHEMA_VERSION,))
        for row in rows:
            self._advance_to(row)
        self.chain_head = self._last[2]


@contextmanager
def _reading() -> Iterator[None]:
    """Raise JournalError in place of sqlite3.Error."""
    try:
        yield
    except sqlite3.Error as error:
        raise JournalError(f"the journal cannot be read: {error}; verify it, or restore it from a backup") from error

"""The queue of a recording in the journal: what the files of the recording do not have yet.

An entry is written to the queue in the transaction of the events that it caused, and deleted when the files have it. So
a process that dies loses no entry and doubles none. The queue also keeps how far the recording is and the head of the
journal's chain at that time: if the book ran without the recording, the head differs, and the recording goes on with a
state of the book instead of its last entry.
"""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.database import JOURNAL, domain_event, look_at
from ocw_mcp.adapters.store.inputs import InputLog
from ocw_mcp.adapters.store.recording_files import RecordingReader, RecordingWriter, Row, decode_entry, encode_entry
from ocw_mcp.domain.canonical import GENESIS
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.events import DomainEvent, OrderRejected, PoliciesLoaded
from ocw_mcp.domain.learning_events import OutcomeImported, OutcomeScored
from ocw_mcp.domain.orders import NOT_JOURNALED
from ocw_mcp.domain.protocols import Checkpoint
from ocw_mcp.domain.recordings import (
    Recorded,
    RecordedMark,
    RecordedStart,
    RecordedState,
    RecordedUnsent,
    RecordEntry,
)

log = logging.getLogger(__name__)

QUEUE: Final = """CREATE TABLE IF NOT EXISTS recording_queue (
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, payload BLOB NOT NULL)"""
PROGRESS: Final = """CREATE TABLE IF NOT EXISTS recording (
    id INTEGER PRIMARY KEY CHECK (id = 1), name TEXT NOT NULL, number INTEGER NOT NULL, seq INTEGER NOT NULL,
    chain TEXT NOT NULL)"""
TABLES: Final = (QUEUE, PROGRESS)
MOST_QUEUED: Final = 256
"""The number of queued entries after which they are written to the files; also at each checkpoint and at the end."""
_HAS_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'recording'"
_ADD: Final = "INSERT INTO recording_queue (number, at, kind, payload) VALUES (?, ?, ?, ?)"
_PUT: Final = "INSERT OR REPLACE INTO recording (id, name, number, seq, chain) VALUES (1, ?, ?, ?, ?)"
_GET: Final = "SELECT name, number, seq, chain FROM recording WHERE id = 1"
_QUEUED: Final = "SELECT number, at, kind, payload FROM recording_queue WHERE number > ? ORDER BY number"
_RECORDED: Final = "DELETE FROM recording_queue WHERE number <= ?"
_EVENTS_AFTER: Final = "SELECT at, kind FROM events WHERE seq > ? ORDER BY seq LIMIT 1"
_OUTCOMES: Final = f"""SELECT row, at, payload FROM events WHERE kind IN
    ('{OutcomeScored.__struct_config__.tag}', '{OutcomeImported.__struct_config__.tag}') AND seq <= ? ORDER BY seq"""
_DIGEST: Final = "SELECT digest FROM events WHERE seq = ?"


class Committed(NamedTuple):
    """What the journal has after a transaction."""

    seq: int
    fingerprint: str
    chain: str


class _Progress(NamedTuple):
    number: int
    seq: int
    begun: bool


def _state(db: Database, checkpoint: Checkpoint, fingerprint: str) -> RecordedState:
    """Return the state of a checkpoint, with the outcomes in the journal up to it."""
    outcomes = []
    for row, at, payload in db.execute(_OUTCOMES, (checkpoint.seq,)):
        event = domain_event(row, payload)
        if isinstance(event, OutcomeScored):
            event = OutcomeImported(at, event)
        if isinstance(event, OutcomeImported):
            outcomes.append(event)
    return RecordedState(
        checkpoint.market_at, checkpoint.seq, fingerprint, checkpoint.engine, checkpoint.venue, tuple(outcomes)
    )


class RecordingQueue:
    """Adds the entries of one process to the transactions of the journal, and moves them to the files."""

    def __init__(
        self,
        db: Database,
        writer: RecordingWriter,
        start: RecordedStart,
        inputs: InputLog,
        checkpoint: Checkpoint | None,
        chain: str,
    ) -> None:
        """`chain` is the head of the journal. Raises BookError if the files have entries that the book lacks."""
        self._db, self._writer, self._inputs = db, writer, inputs
        if db.execute(_HAS_TABLE).fetchone() is None:
            with db.atomic():
                for statement in TABLES:
                    db.conn.execute(statement)
        self._waiting: list[tuple[int, str, bytes]] = []
        self._failing = False
        self._taken_at = 0
        """The time (ms) of the last input."""
        known = db.execute(_GET).fetchone()
        own = known is not None and known[0] == writer.name
        number, seq = (known[1], known[2]) if own else (writer.last, 0)
        if own:
            self._require_whole(number)
        else:
            (left,) = db.execute("SELECT COUNT(*) FROM recording_queue").fetchone()
            if left:
                log.warning(
                    "the last %d entries of the recording %s are not in its files, and are dropped now, because "
                    "another recording begins",
                    left,
                    known[0],
                )
            with db.atomic():
                db.conn.execute("DELETE FROM recording_queue")
        continues = own and known[3] == chain
        self._leads: RecordedState | None = None
        """The state that the recording goes on from, if it does not go on from its last entry."""
        self._first_inputs: list[tuple[int, str, bytes]] = []
        if not continues and checkpoint is not None:
            seq = checkpoint.seq
            (digest,) = db.execute(_DIGEST, (seq,)).fetchone() or (GENESIS,)
            self._leads = _state(db, checkpoint, digest)
            self._first_inputs = inputs.rows()
        self._continues = continues
        self._start = start
        self._start_at: int | None = None
        first = db.execute(_EVENTS_AFTER, (seq,)).fetchone()
        if first is not None and first[1] == PoliciesLoaded.__struct_config__.tag:
            # A process that died at its start had journaled this.
            self._start_at = first[0]
        self._progress = self._next = _Progress(number, seq, False)

    def _require_whole(self, number: int) -> None:
        """Raise BookError unless the files and the queue have all entries up to `number`, and none after it."""
        if self._writer.last > number:
            raise BookError(
                f"the recording has {self._writer.last:,} entries, and its book knows of {number:,}; the book may be "
                "an older copy; expected both from one time; restore both, or record into another directory"
            )
        (first,) = self._db.execute("SELECT MIN(number) FROM recording_queue").fetchone()
        if self._writer.last + 1 < (number + 1 if first is None else first):
            raise BookError(
                f"the recording has {self._writer.last:,} entries, and its book wrote more into it; the recording may "
                "be an older copy; restore it, or record into another directory"
            )

    def add(self, at: int, kind: str, payload: bytes) -> None:
        """Add an input that was taken at `at` (ms) to the current transaction."""
        self._waiting.append((at, kind, payload))
        self._taken_at = at

    def note(self, at: int, event: DomainEvent) -> None:
        """Take what a replay cannot derive from the inputs: an unsent order, or the time of the process's start."""
        if isinstance(event, OrderRejected) and event.reason is NOT_JOURNALED:
            self._waiting.append((at, *encode_entry(RecordedUnsent(event.ref, event.text))))
        elif isinstance(event, PoliciesLoaded) and not self._progress.begun:
            self._start_at = at

    def write(self, now: Committed, checkpoint: Checkpoint | None) -> None:
        """Write the waiting entries in the transaction that the caller has opened. Raises sqlite3.Error."""
        number, seq, begun = self._progress
        rows: list[tuple[int, str, bytes]] = []
        waiting = self._waiting
        if not begun and (waiting or checkpoint is not None):
            state = self._leads
            if checkpoint is not None and (self._inputs.unread or (state is None and not self._continues)):
                # A new book, or one that leaves out the inputs of its last process: the checkpoint has all effects.
                state = _state(self._db, checkpoint, now.fingerprint)
                waiting, seq = [], now.seq
            elif state is not None:
                waiting, seq = [*self._first_inputs, *waiting], state.seq
            begun = state is not None or self._continues
            if begun:
                start = msgspec.structs.replace(self._start, continues=state is None, at=self._start_at)
                at = waiting[0][0] if waiting else checkpoint.market_at if checkpoint is not None else 0
                entries: list[RecordEntry] = [start, *([] if state is None else [state])]
                rows += [(at, *encode_entry(each)) for each in entries]
            else:
                # The first checkpoint will have the effects of these inputs.
                waiting = []
        rows += waiting
        whole = checkpoint is not None
        if begun and (now.seq != seq or whole):
            at = rows[-1][0] if rows else self._taken_at
            rows.append((at, *encode_entry(RecordedMark(now.seq, now.fingerprint, whole))))
            seq = now.seq
        # What the files have is deleted here, because a transaction of its own would wait for the disk once more.
        self._db.conn.execute(_RECORDED, (self._writer.last,))
        self._db.conn.executemany(_ADD, [(number + place, *row) for place, row in enumerate(rows, 1)])
        self._db.conn.execute(_PUT, (self._writer.name, number + len(rows), seq, now.chain))
        self._next = _Progress(number + len(rows), seq, begun)

    def on_committed(self, *, all_of_it: bool) -> None:
        """Forget the entries that are durable now, and move them to the files if there are many or with `all_of_it`."""
        self._waiting.clear()
        self._first_inputs, self._leads = ([], None) if self._next.begun else (self._first_inputs, self._leads)
        self._progress = self._next
        if all_of_it or self._progress.number - self._writer.last >= MOST_QUEUED:
            self._move()

    @property
    def waiting(self) -> bool:
        """Whether entries wait for a commit."""
        return bool(self._waiting)

    def close(self) -> None:
        """Move what is queued to the files, and close them."""
        self._move()
        with suppress(sqlite3.Error), self._db.atomic():
            # The next process deletes it if this one cannot.
            self._db.conn.execute(_RECORDED, (self._writer.last,))
        self._writer.close()

    def _move(self) -> None:
        """Write the queue to the files. If the disk refuses, it stays in the journal, and the book goes on."""
        try:
            if rows := self._db.execute(_QUEUED, (self._writer.last,)).fetchall():
                self._writer.append(rows)
        except (OSError, sqlite3.Error) as error:
            if not self._failing:
                log.error("the recording cannot be written (%s); its entries wait in the journal until it can", error)
            self._failing = True
        else:
            if self._failing:
                log.error("the recording is written again, and lacks nothing")
            self._failing = False


def recorded_entries(reader: RecordingReader, book: Path | None) -> Iterator[Recorded]:
    """Yield the entries of a recording, and those that wait in the journal of its book, if `book` has it.

    Raises BookError.
    """
    for row in reader.rows():
        yield decode_entry(row)
    last = reader.last
    if book is None or not (book / JOURNAL).is_file():
        return
    name = reader.owner.name

    def queued(db: Database) -> list[Row]:
        if db.execute(_HAS_TABLE).fetchone() is None:
            return []
        known = db.execute(_GET).fetchone()
        return db.execute(_QUEUED, (last,)).fetchall() if known is not None and known[0] == name else []

    try:
        rows = look_at(book / JOURNAL, queued)
    except (sqlite3.Error, OSError) as error:
        raise BookError(
            f"the last entries of the recording are in {book / JOURNAL}, which cannot be read: {error}; verify it with "
            f"ocw journal verify --state {book}"
        ) from None
    if rows and rows[0][0] != last + 1:
        # A running engine has moved entries to the files meanwhile.
        rows = [row for row in reader.rows() if row[0] > last]
    for row in rows:
        reader.last = row[0]
        yield decode_entry(row)

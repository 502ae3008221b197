"""Verifies a journal: its file when a book is opened, and every row of it on request.

The file must have its own tables and triggers, and the checkpoint whose digest was journaled last. A walk over all rows
finds changed, missing, moved and foreign rows, unreadable events, and projections that do not follow from the events.
Two changes are found only by comparison with a head (the last digest of the chain) that was noted elsewhere, such as in
the log: an edit with a recomputed chain, and a cut of rows that are all after the checkpoint.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cache
from itertools import zip_longest
from typing import Any

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store import database, projections, recording_queue
from ocw_mcp.adapters.store.inputs import INPUTS
from ocw_mcp.adapters.store.snapshots import SNAPSHOTS
from ocw_mcp.domain.canonical import GENESIS, canonical, chain
from ocw_mcp.domain.errors import JournalError
from ocw_mcp.domain.events import CheckpointSaved, DomainEvent, kind_of

PROBLEMS_SHOWN = 20
REPORTED_EVERY = 10_000
"""Rows between two reports of the progress of a walk."""
_OBJECTS = "SELECT type || ' ' || name, sql FROM sqlite_master WHERE name NOT GLOB 'sqlite_*' ORDER BY 1"
_LAST_DIGEST = "SELECT row, payload FROM events WHERE kind = 'checkpoint.saved' ORDER BY row DESC LIMIT 1"

_decode = msgspec.json.Decoder(CheckpointSaved).decode


class Verification(msgspec.Struct, frozen=True):
    """The result of a verification. `events` counts rows; `problems` are sentences, at most the first twenty."""

    ok: bool
    events: int
    head: str
    fingerprint: str
    problems: list[str]


def digest_of(values: tuple[Any, ...]) -> str:
    """Return the SHA-256 of a checkpoint's row as it is stored."""
    return hashlib.sha256(msgspec.msgpack.encode(values)).hexdigest()


@cache
def _made_by_ocw() -> Mapping[str, str | None]:
    """Return the SQL of each table and trigger of a new journal, by kind and name."""
    with closing(_empty_projections()) as empty:
        for statement in (*database.TABLES, SNAPSHOTS, INPUTS, *recording_queue.TABLES):
            empty.execute(statement)
        return dict(empty.execute(_OBJECTS).fetchall())


def structure_problems(db: Database) -> list[str]:
    """Return a clause on each table or trigger that is missing, changed or foreign. Raises sqlite3.Error."""
    expected = dict(_made_by_ocw())
    found: dict[str, str | None] = dict(db.execute(_OBJECTS).fetchall())
    if not projections.is_current(db):
        # Projections of another version are rebuilt when the book is opened.
        for name in projections.TABLES:
            expected.pop(f"table {name}", None)
            found.pop(f"table {name}", None)
    # A book of an earlier version gets the tables of snapshots and inputs when it is next opened, and a book gets those
    # of a recording when it is first recorded.
    later = ("table seen", "table inputs", "table recording", "table recording_queue")
    problems = [f"{name} is missing" for name in expected if name not in found and name not in later]
    problems += [f"{name} was changed" for name, sql in found.items() if name in expected and sql != expected[name]]
    return problems + [f"{name} is not one of ocw's" for name in found if name not in expected]


def checkpoint_problem(db: Database) -> str:
    """Return what is wrong with the checkpoint or the rows after its digest; empty if nothing is."""
    noted = db.execute(_LAST_DIGEST).fetchone()
    if noted is None:
        return _digest_problem(db, None)
    try:
        digest = _decode(noted[1]).digest
    except (msgspec.MsgspecError, UnicodeError, TypeError):
        return f"row {noted[0]}, which holds the checkpoint's digest, cannot be read"
    return _digest_problem(db, digest) or _chain_problem(db, noted[0])


def verify_journal(
    db: Database, book: str, expected_head: str | None = None, report: Callable[[int], None] = lambda rows: None
) -> Verification:
    """Check every row, every digest and every projection, in one read transaction.

    The journal must have a row with `expected_head`, if given. `report` gets the number of checked rows repeatedly.
    """
    with closing(_empty_projections()) as rebuilt:
        walk = _Walk(book, expected_head, rebuilt)
        try:
            with db.atomic():
                for row in db.execute(database.EVENTS_FROM, (-(1 << 62),)):
                    walk.check(row)
                    if walk.events % REPORTED_EVERY == 0:
                        report(walk.events)
                walk.check_ends(db)
                walk.check_projections(db)
        except sqlite3.Error as error:
            walk.problems.append(f"the journal cannot be read to its end: {error}")
    return Verification(not walk.problems, walk.events, walk.head, walk.digest, walk.problems[:PROBLEMS_SHOWN])


class _Walk:
    """Checks the rows in order; after a problem it continues from the stored digests, to report one change once."""

    def __init__(self, book: str, expected_head: str | None, rebuilt: Database) -> None:
        self.events = 0
        self.head = database.CHAIN_GENESIS
        self.digest = GENESIS
        self.problems: list[str] = []
        self._book = book
        self._row = 0
        self._seq = 0
        self._version = 0
        self._expected_head = expected_head
        self._checkpoint_digest: str | None = None
        self._head_found = expected_head in (None, database.CHAIN_GENESIS)
        self._rebuilt = rebuilt

    def check(self, stored: database.Row) -> None:
        """Check one row against the rows before it."""
        row, seq, at, kind, version, payload, digest, head = stored
        self.events += 1
        due = self._row + 1
        consecutive = row == due
        if not consecutive:
            which = f"row {due} is" if due == row - 1 else f"rows {due} to {row - 1} are"
            self.problems.append(f"{which} missing")
        elif database.link(self.head, row, seq, at, kind, version, payload, digest) != head:
            self._report(row, "does not continue the chain: it was changed, or is not the row that was written here")
        if version > database.SCHEMA_VERSION:
            self._report(row, f"has version {version}, and this version of ocw knows up to {database.SCHEMA_VERSION}")
        self._row, self.head, self._version = row, head, version
        self._head_found = self._head_found or head == self._expected_head
        expected, previous = self._seq + 1, self.digest
        if seq is not None and digest is not None:
            self._seq, self.digest = seq, digest
        try:
            event = database.journal_event(row, payload)
        except JournalError as error:
            self.problems.append(str(error))
            return
        if kind_of(event) != kind:
            self._report(row, f"is called {kind} and holds {kind_of(event)}")
        if isinstance(event, CheckpointSaved):
            self._checkpoint_digest = event.digest
        if not isinstance(event, DomainEvent):
            if seq is not None:
                self._report(row, f"carries sequence {seq}, but {kind} is about a process and has none")
            return
        if seq is None:
            self._report(row, f"carries no sequence, but {kind} is a domain event")
            return
        # An earlier version may have written other fields; its own JSON then gives the canonical form.
        fields = None if version >= database.SCHEMA_VERSION else msgspec.json.decode(payload)
        if consecutive and seq != expected:
            self._report(row, f"carries sequence {seq}; expected {expected}")
        elif consecutive and chain(previous, canonical(seq, at, event, fields)) != digest:
            self._report(row, "does not continue the fingerprint: its event is not the one that was appended")
        projections.apply(self._rebuilt, self._book, seq, at, event)

    def check_ends(self, db: Database) -> None:
        """Check the structure, the checkpoint, and whether the tail was cut."""
        if not self._head_found:
            self.problems.append(
                f"no row has the expected head {self._expected_head}: the journal's tail was cut, or it is another one"
            )
        self.problems += [f"the file is not as ocw made it: {each}" for each in structure_problems(db)]
        self.problems += filter(None, [_digest_problem(db, self._checkpoint_digest)])
        if (version := database.schema_of(db)) < self._version:
            self.problems.append(f"the book's version was changed to {version}, and a row has version {self._version}")
        checkpoint = db.execute(database.GET_CHECKPOINT).fetchone()
        if checkpoint is not None and checkpoint[1] > self._seq:
            self.problems.append(
                f"the checkpoint is of event {checkpoint[1]}, but row {self._row} ends the journal at event "
                f"{self._seq}: its tail was cut"
            )

    def check_projections(self, db: Database) -> None:
        """Compare each projection with one rebuilt from the events, unless the projections are of another version."""
        if not projections.is_current(db):
            return
        for table in projections.TABLES:
            order, width = ("n, leg, revision", 3) if table == "orders" else ("seq", 1)
            query = f"SELECT * FROM {table} ORDER BY {order}"
            try:
                pairs = zip_longest(db.execute(query), self._rebuilt.execute(query))
                wrong = next(((stored, due) for stored, due in pairs if stored != due), None)
            except sqlite3.OperationalError as error:
                self.problems.append(f"the projection {table} cannot be read: {error}")
                continue
            if wrong is not None:
                key = (wrong[1] or wrong[0])[:width]
                self.problems.append(
                    f"the projection {table} does not follow from the events at its row ({order}) = "
                    f"({', '.join(str(part) for part in key)})"
                )

    def _report(self, row: int, what: str) -> None:
        self.problems.append(f"row {row} {what}")


def _empty_projections() -> Database:
    db = Database(memory=True, execute_plugins=False)
    projections.register_functions(db)
    projections.remake_tables(db)
    return db


def _digest_problem(db: Database, digest: str | None) -> str:
    """Return why the stored checkpoint does not match the journaled `digest`; empty if it does."""
    saved = db.execute(database.GET_CHECKPOINT).fetchone()
    if saved is None:
        return "" if digest is None else "the checkpoint that was journaled is missing"
    if digest is None:
        return "" if database.schema_of(db) < database.DIGESTS_SINCE else "the journal has no digest of the checkpoint"
    if digest_of(tuple(saved)) != digest:
        return "the checkpoint is not the one whose digest was journaled: it was changed from outside"
    return ""


def _chain_problem(db: Database, first: int) -> str:
    previous, due = (database.CHAIN_GENESIS, 1) if first == 1 else ("", first - 1)
    for row, seq, at, kind, version, payload, digest, head in db.execute(database.EVENTS_FROM, (first - 1,)):
        if row != due:
            return f"row {due} is missing"
        if previous and database.link(previous, row, seq, at, kind, version, payload, digest) != head:
            return f"row {row} does not continue the chain"
        previous, due = head, row + 1
    return ""

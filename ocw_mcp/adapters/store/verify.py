"""Verifies a journal: its file when a book is opened, and every row of it on request.

The file must have its own tables and triggers, and the checkpoint whose digest was journaled last. The digest is in a
row of the chain, written in one transaction with the checkpoint. It shows a checkpoint that was edited; an editor who
also recomputes the chain is found only with a head that was noted outside, such as in the log.

A walk over all rows finds changed, missing, moved and foreign rows, unreadable events, and projections that do not
follow from the events. A journal with its tail cut off is still valid, only shorter. The cut is found only if the
checkpoint is beyond the new end, or by comparison with a head (the last digest) that was saved elsewhere.
"""

import hashlib
import sqlite3
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.database import connect_to_memory
from ocw_mcp.adapters.store.projections import (
    PROJECTIONS_VERSION,
    apply,
    changes_of,
    register_functions,
    remake_tables,
)
from ocw_mcp.adapters.store.projections import TABLES as PROJECTIONS
from ocw_mcp.adapters.store.schema import (
    CHAIN_GENESIS,
    DIGESTS_SINCE,
    EVENTS_FROM,
    GET_CHECKPOINT,
    SCHEMA_VERSION,
    TABLES,
    Row,
    journal_event,
    link,
    schema_of,
)
from ocw_mcp.adapters.store.snapshots import SNAPSHOTS
from ocw_mcp.domain.canonical import GENESIS, canonical, chain
from ocw_mcp.domain.errors import JournalError
from ocw_mcp.domain.events import CheckpointSaved, DomainEvent, kind_of

PROBLEMS_SHOWN = 20
REPORTED_EVERY = 10_000
"""Rows between two reports of the progress of a walk."""
_OBJECTS = "SELECT type || ' ' || name, sql FROM sqlite_master WHERE name NOT GLOB 'sqlite_*' ORDER BY 1"
_MAY_BE_ABSENT = frozenset({"table seen"})
"""A book of an earlier version gets this table when it is next opened."""
_CHECKPOINT_SAVED = str(CheckpointSaved.__struct_config__.tag)
_LAST_DIGEST = "SELECT row, payload FROM events WHERE kind = ? ORDER BY row DESC LIMIT 1"

_decode = msgspec.json.Decoder(CheckpointSaved).decode


class Verification(msgspec.Struct, frozen=True):
    """The result of a walk. `events` counts rows; `problems` are sentences, at most the first twenty."""

    ok: bool
    events: int
    head: str
    fingerprint: str
    problems: list[str]


def digest_of(values: tuple[Any, ...]) -> str:
    """Return the SHA-256 of a checkpoint's row as it is stored."""
    return hashlib.sha256(msgspec.msgpack.encode(values)).hexdigest()


def structure_problems(db: Database) -> list[str]:
    """Return a clause on each table or trigger that is missing, changed or foreign. Raises sqlite3.Error."""
    expected, found = _expected(), _objects(db)
    if db.execute("PRAGMA user_version").fetchone()[0] != PROJECTIONS_VERSION:
        # Projections of another version are rebuilt when the book is opened.
        for name in PROJECTIONS:
            expected.pop(f"table {name}", None)
            found.pop(f"table {name}", None)
    problems = [f"{name} is missing" for name in expected if name not in found and name not in _MAY_BE_ABSENT]
    problems += [f"{name} was changed" for name, sql in found.items() if name in expected and sql != expected[name]]
    return problems + [f"{name} is not one of ocw's" for name in found if name not in expected]


def checkpoint_problem(db: Database) -> str:
    """Return a clause on a checkpoint other than the one journaled last, or an empty text.

    The rows from its digest on are checked against the chain, too. Raises sqlite3.Error.
    """
    saved = db.execute(GET_CHECKPOINT).fetchone()
    noted = db.execute(_LAST_DIGEST, (_CHECKPOINT_SAVED,)).fetchone()
    if noted is None:
        return _digest_problem(saved, None, schema_of(db))
    try:
        digest = _decode(noted[1]).digest
    except (msgspec.MsgspecError, UnicodeError, TypeError):
        return f"row {noted[0]}, which holds the checkpoint's digest, cannot be read"
    return _digest_problem(saved, digest, schema_of(db)) or _chain_problem(db, noted[0])


def verify_journal(
    db: Database, book: str, expected_head: str | None = None, report: Callable[[int], None] = lambda rows: None
) -> Verification:
    """Check every row, every digest and every projection, in one read transaction.

    `expected_head` is a head that was noted earlier: the journal must have a row with it, the last or an earlier one.
    `report` gets the number of checked rows now and then.
    """
    walk = _Walk(book, expected_head)
    try:
        with db.atomic():
            for row in db.execute(EVENTS_FROM, (-(1 << 62),)):
                walk.check(row)
                if walk.events % REPORTED_EVERY == 0:
                    report(walk.events)
            walk.check_ends(db)
            walk.check_projections(db)
    except sqlite3.Error as error:
        walk.problems.append(f"the journal cannot be read to its end: {error}")
    finally:
        walk.close()
    return Verification(
        ok=not walk.problems,
        events=walk.events,
        head=walk.head,
        fingerprint=walk.digest,
        problems=walk.problems[:PROBLEMS_SHOWN],
    )


class _Walk:
    """Checks the rows in order. After a problem it continues from the stored values, so each is reported once."""

    def __init__(self, book: str, expected_head: str | None) -> None:
        self.events = 0
        self.head = CHAIN_GENESIS
        self.digest = GENESIS
        self.problems: list[str] = []
        self._book = book
        self._row = 0
        self._seq = 0
        self._version = 0
        self._expected_head = expected_head
        self._checkpoint_digest: str | None = None
        self._head_found = expected_head in (None, CHAIN_GENESIS)
        self._rebuilt = connect_to_memory()
        register_functions(self._rebuilt)
        remake_tables(self._rebuilt)

    def check(self, stored: Row) -> None:
        """Check one row against the rows before it."""
        row, seq, at, kind, version, payload, digest, head = stored
        self.events += 1
        consecutive = row == self._row + 1
        if not consecutive:
            first, last = self._row + 1, row - 1
            which = f"row {first} is" if first == last else f"rows {first} to {last} are"
            self.problems.append(f"{which} missing")
        elif link(self.head, row, seq, at, kind, version, payload, digest) != head:
            self._report(row, "does not continue the chain: it was changed, or is not the row that was written here")
        if version > SCHEMA_VERSION:
            self._report(row, f"has version {version}, and this version of ocw knows up to {SCHEMA_VERSION}")
        self._row, self.head, self._version = row, head, version
        self._head_found = self._head_found or head == self._expected_head
        try:
            event = journal_event(row, payload)
        except JournalError as error:
            self.problems.append(str(error))
            self._continue_from(seq, digest)
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
        fields = None if version >= SCHEMA_VERSION else msgspec.json.decode(payload)
        if consecutive and seq != self._seq + 1:
            self._report(row, f"carries sequence {seq}; expected {self._seq + 1}")
        elif consecutive and chain(self.digest, canonical(seq, at, event, fields)) != digest:
            self._report(row, "does not continue the fingerprint: its event is not the one that was appended")
        self._continue_from(seq, digest)
        apply(self._rebuilt, changes_of(self._book, seq, at, event))

    def check_ends(self, db: Database) -> None:
        """Check the structure, the checkpoint, and whether the tail was cut."""
        if not self._head_found:
            self.problems.append(
                f"no row has the expected head {self._expected_head}: the journal's tail was cut, or it is another one"
            )
        self.problems += [f"the file is not as ocw made it: {each}" for each in structure_problems(db)]
        checkpoint, schema = db.execute(GET_CHECKPOINT).fetchone(), schema_of(db)
        if problem := _digest_problem(checkpoint, self._checkpoint_digest, schema):
            self.problems.append(problem)
        if schema < self._version:
            self.problems.append(f"the book's version was changed to {schema}, and a row has version {self._version}")
        if checkpoint is not None and checkpoint[1] > self._seq:
            self.problems.append(
                f"the checkpoint stands at event {checkpoint[1]}, but row {self._row} ends the journal at event "
                f"{self._seq}: its tail was cut"
            )

    def check_projections(self, db: Database) -> None:
        """Compare each projection with one rebuilt from the events.

        Projections of another version are skipped: the next start rebuilds them.
        """
        if db.execute("PRAGMA user_version").fetchone()[0] != PROJECTIONS_VERSION:
            return
        for table, (_, order) in PROJECTIONS.items():
            query = f"SELECT * FROM {table} ORDER BY {order}"
            width = order.count(",") + 1
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

    def close(self) -> None:
        """Close the rebuilt projections."""
        self._rebuilt.close()

    def _continue_from(self, seq: int | None, digest: str | None) -> None:
        if seq is not None and digest is not None:
            self._seq, self.digest = seq, digest

    def _report(self, row: int, what: str) -> None:
        self.problems.append(f"row {row} {what}")


def _objects(db: Database) -> dict[str, str | None]:
    return dict(db.execute(_OBJECTS).fetchall())


def _expected() -> dict[str, str | None]:
    rebuilt = connect_to_memory()
    try:
        register_functions(rebuilt)
        for statement in (*TABLES, SNAPSHOTS):
            rebuilt.execute(statement)
        remake_tables(rebuilt)
        return _objects(rebuilt)
    finally:
        rebuilt.close()


def _digest_problem(saved: tuple[Any, ...] | None, digest: str | None, schema: int) -> str:
    """Return a clause if the stored checkpoint does not match the journaled digest, or an empty text."""
    if saved is None:
        return "" if digest is None else "the checkpoint that was journaled is missing"
    if digest is None:
        return "" if schema < DIGESTS_SINCE else "the journal has no digest of the checkpoint"
    if digest_of(tuple(saved)) != digest:
        return "the checkpoint is not the one whose digest was journaled: it was changed from outside"
    return ""


def _chain_problem(db: Database, first: int) -> str:
    previous, due = (CHAIN_GENESIS, 1) if first == 1 else ("", first - 1)
    for row, seq, at, kind, version, payload, digest, head in db.execute(EVENTS_FROM, (first - 1,)):
        if row != due:
            return f"row {due} is missing"
        if previous and link(previous, row, seq, at, kind, version, payload, digest) != head:
            return f"row {row} does not continue the chain"
        previous, due = head, row + 1
    return ""

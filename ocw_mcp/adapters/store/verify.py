"""Walks a whole journal and says whether it holds together.

Seen are changed, missing, moved and foreign rows, events that cannot be read, tables and triggers that are not as they
were made, a checkpoint other than the journaled one, and projections that do not follow from the events. A cut tail
leaves a whole, shorter journal: it shows only against a checkpoint beyond it, or against a head that was noted outside,
such as in the log.
"""

import sqlite3
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.database import connect_to_memory
from ocw_mcp.adapters.store.intact import compared, schema_of, structure_problems
from ocw_mcp.adapters.store.projections import (
    PROJECTIONS_VERSION,
    TABLES,
    apply,
    changes_of,
    register_functions,
    remake_tables,
)
from ocw_mcp.adapters.store.rows import CHAIN_GENESIS, Row, journal_event, link
from ocw_mcp.adapters.store.schema import ALL_EVENTS, GET_CHECKPOINT, SCHEMA_VERSION
from ocw_mcp.domain.canonical import GENESIS, canonical, chain
from ocw_mcp.domain.errors import JournalError
from ocw_mcp.domain.events import CheckpointSaved, LifecycleEvent, kind_of

PROBLEMS_TOLD = 20
TOLD_EVERY = 10_000
"""Rows between two words on how far a walk is."""


class Verification(msgspec.Struct, frozen=True):
    """What a walk found. `events` counts rows; `problems` are sentences, the first twenty at most."""

    ok: bool
    events: int
    head: str
    fingerprint: str
    problems: list[str]


def verify_journal(
    db: Database, book: str, expected_head: str | None = None, tell: Callable[[int], None] = lambda rows: None
) -> Verification:
    """Check every row, every digest and every projection, as of one moment.

    `expected_head` is a head that was noted earlier: the journal must have a row with it, be it the last or not. `tell`
    gets the number of rows that are checked, now and then.
    """
    walk = _Walk(book, expected_head)
    try:
        with db.atomic():
            for row in db.execute(ALL_EVENTS):
                walk.take(row)
                if walk.events % TOLD_EVERY == 0:
                    tell(walk.events)
            walk.compare_ends(db)
            walk.compare_projections(db)
    except sqlite3.Error as error:
        walk.problems.append(f"the journal cannot be read to its end: {error}")
    finally:
        walk.close()
    return Verification(
        ok=not walk.problems,
        events=walk.events,
        head=walk.head,
        fingerprint=walk.digest,
        problems=walk.problems[:PROBLEMS_TOLD],
    )


def _fields_of(version: int, payload: str) -> Any:
    """The JSON of a row that an earlier version wrote, for its fields; None for a row of this one."""
    return None if version >= SCHEMA_VERSION else msgspec.json.decode(payload)


class _Walk:
    """Takes the rows in order. After a problem it goes on from what is stored, so that each is told once."""

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
        self._head_seen = expected_head in (None, CHAIN_GENESIS)
        self._remade = connect_to_memory()
        register_functions(self._remade)
        remake_tables(self._remade)

    def take(self, stored: Row) -> None:
        """Check one row against those before it."""
        row, seq, at, kind, version, payload, digest, head = stored
        self.events += 1
        known_before = row == self._row + 1
        if not known_before:
            self._say_missing(self._row + 1, row - 1)
        elif link(self.head, row, seq, at, kind, version, payload, digest) != head:
            self._say(row, "does not continue the chain: it was changed, or is not the row that was written here")
        if version > SCHEMA_VERSION:
            self._say(row, f"has version {version}, and this version of ocw knows up to {SCHEMA_VERSION}")
        self._row, self.head, self._version = row, head, version
        self._head_seen = self._head_seen or head == self._expected_head
        try:
            event = journal_event(row, payload)
        except JournalError as error:
            self.problems.append(str(error))
            self._go_on_from(seq, digest)
            return
        if kind_of(event) != kind:
            self._say(row, f"is called {kind} and holds {kind_of(event)}")
        if isinstance(event, CheckpointSaved):
            self._checkpoint_digest = event.digest
        if isinstance(event, LifecycleEvent):
            if seq is not None:
                self._say(row, f"carries sequence {seq}, but {kind} is about a process and has none")
            return
        if seq is None:
            self._say(row, f"carries no sequence, but {kind} is a domain event")
            return
        if known_before and seq != self._seq + 1:
            self._say(row, f"carries sequence {seq} where {self._seq + 1} was due")
        elif known_before and chain(self.digest, canonical(seq, at, event, _fields_of(version, payload))) != digest:
            self._say(row, "does not continue the fingerprint: its event is not the one that was appended")
        self._go_on_from(seq, digest)
        apply(self._remade, changes_of(self._book, seq, at, event))

    def compare_ends(self, db: Database) -> None:
        """Look for a tail that was cut."""
        if not self._head_seen:
            self.problems.append(
                f"no row has the expected head {self._expected_head}: the journal's tail was cut, or it is another one"
            )
        self.problems += [f"the file is not as ocw made it: {each}" for each in structure_problems(db)]
        checkpoint = db.execute(GET_CHECKPOINT).fetchone()
        if problem := compared(checkpoint, self._checkpoint_digest, schema_of(db)):
            self.problems.append(problem)
        if (made := schema_of(db)) < self._version:
            self.problems.append(f"the book's version was changed to {made}, and a row has version {self._version}")
        if checkpoint is not None and checkpoint[1] > self._seq:
            self.problems.append(
                f"the checkpoint stands at event {checkpoint[1]}, but row {self._row} ends the journal at event "
                f"{self._seq}: its tail was cut"
            )

    def compare_projections(self, db: Database) -> None:
        """Hold each projection against one made anew from the events.

        Those of another version are left alone: the next start makes them anew.
        """
        if db.execute("PRAGMA user_version").fetchone()[0] != PROJECTIONS_VERSION:
            return
        for table, (_, order) in TABLES.items():
            query = f"SELECT * FROM {table} ORDER BY {order}"
            width = order.count(",") + 1
            try:
                pairs = zip_longest(db.execute(query), self._remade.execute(query))
                wrong = next(((is_, due) for is_, due in pairs if is_ != due), None)
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
        """Let go of the remade projections."""
        self._remade.close()

    def _go_on_from(self, seq: int | None, digest: str | None) -> None:
        if seq is not None and digest is not None:
            self._seq, self.digest = seq, digest

    def _say(self, row: int, what: str) -> None:
        self.problems.append(f"row {row} {what}")

    def _say_missing(self, first: int, last: int) -> None:
        which = f"row {first} is" if first == last else f"rows {first} to {last} are"
        self.problems.append(f"{which} missing")

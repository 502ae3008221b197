"""The SQLite file of a journal: its connections, its own tables and rows, and how each row is chained.

The chain is over the rows as stored, digest_n = SHA-256(digest_{n-1} || row_n): a changed, missing or moved row breaks
it. Rows cut off at the end are found only by a digest that was noted elsewhere.
"""

import hashlib
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlite_utils import Database

from ocw_mcp.domain import account_events as account_events
from ocw_mcp.domain import learning_events as learning_events
from ocw_mcp.domain import outlook_events as outlook_events
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.errors import JournalError
from ocw_mcp.domain.events import DomainEvent, JournalEvent, LifecycleEvent
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.snapshot import WakeKind

JOURNAL = "journal.db"
_TRIES = 5
_BUSY_S = 1.0
"""Seconds that a writer waits for a lock; few, because the engine waits meanwhile."""
_LOG_PAGES = 4_000
"""Pages (of 4 kB) after which the write-ahead log is checkpointed: rarely, because a commit waits for it."""

SCHEMA_VERSION = 4
"""Version of the tables in TABLES and of event payloads; a book with a higher one belongs to a newer OCW."""
DIGESTS_SINCE = 2
"""First schema version that journals the digest of each checkpoint."""

TABLES = (
    """CREATE TABLE book (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        schema INTEGER NOT NULL,
        book TEXT NOT NULL,
        stamp TEXT NOT NULL,
        created_at INTEGER NOT NULL
    )""",
    """CREATE TABLE events (
        row INTEGER PRIMARY KEY,
        seq INTEGER UNIQUE,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        version INTEGER NOT NULL,
        payload TEXT NOT NULL,
        digest TEXT,
        chain TEXT NOT NULL,
        CHECK ((seq IS NULL) = (digest IS NULL))
    )""",
    """CREATE TRIGGER events_are_not_updated BEFORE UPDATE ON events
       BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event is never changed'); END""",
    """CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
       BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event is never deleted'); END""",
    """CREATE TABLE checkpoint (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        market_at INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        engine BLOB NOT NULL,
        venue BLOB NOT NULL
    )""",
    """CREATE TABLE summary (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        json TEXT NOT NULL
    )""",
)

_COLUMNS = "row, seq, at, kind, version, payload, digest, chain"
Row = tuple[int, int | None, int, str, int, str, str | None, str]
"""The columns of an event; `at` in ms."""

ADD_EVENT = f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
PUT_CHECKPOINT = "INSERT OR REPLACE INTO checkpoint (id, market_at, seq, engine, venue) VALUES (1, ?, ?, ?, ?)"
PUT_SUMMARY = "INSERT OR REPLACE INTO summary (id, json) VALUES (1, ?)"

SET_SCHEMA = "UPDATE book SET schema = ? WHERE id = 1"
GET_BOOK = "SELECT schema, book, stamp, created_at FROM book WHERE id = 1"
GET_CHECKPOINT = "SELECT market_at, seq, engine, venue FROM checkpoint WHERE id = 1"
GET_SUMMARY = "SELECT json FROM summary WHERE id = 1"
LAST_ROW = "SELECT row, at, chain, version FROM events ORDER BY row DESC LIMIT 1"
LAST_DOMAIN_EVENT = "SELECT seq, digest FROM events WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT 1"
EVENTS_FROM = f"SELECT {_COLUMNS} FROM events WHERE row >= ? ORDER BY row"
ROWS_AFTER = "SELECT row, at, payload FROM events WHERE row > ? ORDER BY row LIMIT ?"
DOMAIN_ROWS_AFTER = "SELECT seq, row, at, payload FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
_PAGE = 1_000
"""Number of rows read at a time: an open cursor would not survive a rollback of the writer."""

CHAIN_GENESIS = hashlib.sha256(b"ocw journal 1").hexdigest()

_encode = msgspec.json.Encoder().encode
_DOMAIN: Any = reduce(or_, DomainEvent.__subclasses__())
_any: msgspec.json.Decoder[JournalEvent] = msgspec.json.Decoder(reduce(or_, LifecycleEvent.__subclasses__(), _DOMAIN))
_domain: msgspec.json.Decoder[DomainEvent] = msgspec.json.Decoder(_DOMAIN)
_T = TypeVar("_T")


def _connect(path: Path, mode: str) -> Database:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=_BUSY_S)
    # Plugins of sqlite-utils would run foreign code on the connection of the journal.
    return Database(connection, execute_plugins=False)


def connect_to_write(path: Path, *, create: bool = False) -> Database:
    """Open a database for writing, with every commit synced to disk. Raises sqlite3.Error."""
    db = _connect(path, "mode=rwc" if create else "mode=rw")
    try:
        db.execute("PRAGMA synchronous=FULL")
        db.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
    except BaseException:
        db.close()
        raise
    return db


def close_to_others(directory: Path) -> None:
    """Remove other users' access to a book that an earlier version left readable. Raises OSError."""
    for path in database_files(directory):
        with suppress(FileNotFoundError):
            if stat.S_IMODE(path.stat(follow_symlinks=False).st_mode) & 0o077:
                os.chmod(path, 0o600, follow_symlinks=False)


def database_files(directory: Path) -> list[Path]:
    """Return the paths of a journal, its write-ahead log and its shared memory."""
    return [directory / f"{JOURNAL}{ending}" for ending in ("", "-wal", "-shm")]


def look_at(path: Path, look: Callable[[Database], _T]) -> _T:
    """Return the result of `look` on a database, without leaving a file behind. Raises sqlite3.Error and OSError.

    A write-ahead log is read, too, if there is one: after a kill during a checkpoint, the main file is invalid without
    it. If a writer starts during the read, the read is repeated.
    """
    wal = path.with_name(f"{path.name}-wal")
    for _ in range(_TRIES):
        if wal.exists():
            break
        before = _identity(path)
        try:
            # Immutable: SQLite takes no lock and creates no file, and does not read the write-ahead log.
            with closing(_connect(path, "mode=ro&immutable=1")) as db:
                answer = look(db)
        except sqlite3.Error:
            if _identity(path) == before and not wal.exists():
                raise
            continue
        if _identity(path) == before and not wal.exists():
            return answer
    with closing(_connect(path, "mode=ro")) as db:
        return look(db)


def _identity(path: Path) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns


def payload_of(event: JournalEvent) -> str:
    """Return the stored form of an event: JSON at full precision, Decimals as text."""
    return _encode(event).decode()


def link(
    previous: str, row: int, seq: int | None, at: int, kind: str, version: int, payload: str, digest: str | None
) -> str:
    """Return the digest of the chain at a row."""
    return hashlib.sha256(previous.encode() + _encode((row, seq, at, kind, version, payload, digest))).hexdigest()


def read_pages(db: Database, query: str, after: int) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query whose first column is its key, page by page. Raises sqlite3.Error."""
    while page := db.execute(query, (after, _PAGE)).fetchall():
        yield from page
        after = page[-1][0]


def journal_events(db: Database) -> Iterator[tuple[int, JournalEvent]]:
    """Yield every committed event with its time (ms), in order. Raises JournalError and sqlite3.Error."""
    for row, at, payload in read_pages(db, ROWS_AFTER, 0):
        yield at, journal_event(row, payload)


def journal_event(row: int, payload: str) -> JournalEvent:
    """Return the event of a row. Raises JournalError for an invalid payload."""
    return _decoded(_any, row, payload)


def domain_event(row: int, payload: str) -> DomainEvent:
    """Return the domain event of a row. Raises JournalError for an invalid payload."""
    return _decoded(_domain, row, payload)


def schema_of(db: Database) -> int:
    """Return the schema version of a book. Raises sqlite3.Error."""
    found = db.execute("SELECT schema FROM book WHERE id = 1").fetchone()
    return 0 if found is None else int(found[0])


def _decoded(decoder: "msgspec.json.Decoder[_T]", row: int, payload: str) -> _T:
    try:
        return read_payload(decoder, payload)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise JournalError(
            f"row {row} of the journal holds no event that this version knows: {error}; verify the journal"
        ) from None


def read_payload(decoder: "msgspec.json.Decoder[_T]", payload: str) -> _T:
    """Return the value of a stored payload of this or an earlier version. Raises msgspec's errors."""
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError:
        return decoder.decode(_encode(_upgraded(msgspec.json.decode(payload))))


def _upgraded(value: Any, key: str = "") -> Any:
    """Return a payload in its present form.

    Up to version 2, causes and reasons to wake were text; up to version 3, a rejection had the code of the exchange.
    """
    if isinstance(value, dict):
        if value.get("kind") == "order.rejected" and "code" in value:
            reason = value["code"] if value["code"] in RejectReason.__members__ else RejectReason.OTHER
            return {**value, "reason": reason}
        return {name: _upgraded(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_upgraded(each, key) for each in value]
    if isinstance(value, str) and key == "cause":
        return {"kind": CauseKind.EARLIER, "detail": value} if value else None
    if isinstance(value, str) and key == "reasons":
        return {"kind": WakeKind.EARLIER, "detail": value}
    return value

"""SQLite connections: one that writes, one that reads beside it, and one that looks without leaving a trace."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

JOURNAL = "journal.db"
WAL = f"{JOURNAL}-wal"
BUSY_MS = 1_000
"""How long a writer waits for a lock: the engine stands still meanwhile, so not long."""


def _connect(path: Path, mode: str) -> Database:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=BUSY_MS / 1000)
    # Plugins of sqlite-utils would be somebody else's code on the connection that holds the money.
    return Database(connection, execute_plugins=False)


def connect_to_write(path: Path, *, create: bool = False) -> Database:
    """Open a database for writing, every commit synced to disk. Raises sqlite3.Error."""
    db = _connect(path, "mode=rwc" if create else "mode=rw")
    try:
        db.execute("PRAGMA synchronous=FULL")
    except BaseException:
        db.close()
        raise
    return db


def connect_to_memory() -> Database:
    """Open an empty database that is gone when it is closed."""
    return Database(memory=True, execute_plugins=False)


@contextmanager
def peeking(path: Path) -> Iterator[Database]:
    """Read the main file alone: no lock, no recovery, no file made beside it; the write-ahead log is not seen.

    Raises sqlite3.Error.
    """
    db = _connect(path, "mode=ro&immutable=1")
    try:
        yield db
    finally:
        db.close()


@contextmanager
def reading(path: Path) -> Iterator[Database]:
    """Read main file and write-ahead log, beside a writer or after one was killed. Raises sqlite3.Error."""
    db = _connect(path, "mode=ro")
    try:
        yield db
    finally:
        db.close()


def sync_directory(directory: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""SQLite connections: one that writes, one that reads beside it, and one that looks without leaving a trace."""

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from sqlite_utils import Database

JOURNAL = "journal.db"
_TRIES = 5
_T = TypeVar("_T")
BUSY_MS = 1_000
"""How long a writer waits for a lock: the engine stands still meanwhile, so not long."""

LOG_PAGES = 4_000
"""Pages (of 4 kB) after which the write-ahead log is carried over: rarely, since the commit that does it waits for it.
"""


def _connect(path: Path, mode: str) -> Database:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=BUSY_MS / 1000)
    # Plugins of sqlite-utils would be somebody else's code on the connection that holds the money.
    return Database(connection, execute_plugins=False)


def connect_to_write(path: Path, *, create: bool = False) -> Database:
    """Open a database for writing, every commit synced to disk. Raises sqlite3.Error."""
    db = _connect(path, "mode=rwc" if create else "mode=rw")
    try:
        db.execute("PRAGMA synchronous=FULL")
        db.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
    except BaseException:
        db.close()
        raise
    return db


def close_to_others(directory: Path) -> None:
    """Let the owner alone read a book that an earlier version left open to others. Raises OSError."""
    for path in (directory / JOURNAL, directory / f"{JOURNAL}-wal", directory / f"{JOURNAL}-shm"):
        with suppress(FileNotFoundError):
            if stat.S_IMODE(path.stat(follow_symlinks=False).st_mode) & 0o077:
                os.chmod(path, 0o600, follow_symlinks=False)


def connect_to_memory() -> Database:
    """Open an empty database that is gone when it is closed."""
    return Database(memory=True, execute_plugins=False)


def look_at(path: Path, look: Callable[[Database], _T]) -> _T:
    """Look at a database from outside and leave no file behind: through its write-ahead log where there is one.

    The main file alone is believed only where there is no log, since a writer that was killed while it carried the log
    over leaves a main file that makes no sense without it. Where somebody begins to write meanwhile, it looks again.
    Raises sqlite3.Error, OSError, and whatever `look` raises.
    """
    wal = path.with_name(f"{path.name}-wal")
    for _ in range(_TRIES):
        if wal.exists():
            break
        before = _identity(path)
        try:
            with _peeking(path) as db:
                seen = look(db)
        except sqlite3.Error:
            if _identity(path) == before and not wal.exists():
                raise
            continue
        if _identity(path) == before and not wal.exists():
            return seen
    with _reading(path) as db:
        return look(db)


def _identity(path: Path) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def _peeking(path: Path) -> Iterator[Database]:
    """Read the main file alone: no lock, no recovery, no file made beside it; the write-ahead log is not seen."""
    db = _connect(path, "mode=ro&immutable=1")
    try:
        yield db
    finally:
        db.close()


@contextmanager
def _reading(path: Path) -> Iterator[Database]:
    """Read main file and write-ahead log, beside a writer or after one was killed."""
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

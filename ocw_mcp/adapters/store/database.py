"""SQLite connections: one that writes, and one that reads without leaving a file behind."""

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from sqlite_utils import Database

JOURNAL = "journal.db"
_TRIES = 5
_T = TypeVar("_T")
_BUSY_S = 1.0
"""How long a writer waits for a lock. The engine waits meanwhile, so it is short."""
_LOG_PAGES = 4_000
"""Pages (of 4 kB) after which the write-ahead log is checkpointed: rarely, because that commit waits for it."""


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


def connect_to_memory() -> Database:
    """Open an empty database in memory, which ends with the connection."""
    return Database(memory=True, execute_plugins=False)


def look_at(path: Path, look: Callable[[Database], _T]) -> _T:
    """Return the answer of `look` on a database, without leaving a file behind. Raises sqlite3.Error and OSError.

    The main file alone is read only if there is no write-ahead log: after a kill during a checkpoint it is invalid
    without its log. If a writer starts meanwhile, the read is repeated.
    """
    wal = path.with_name(f"{path.name}-wal")
    for _ in range(_TRIES):
        if wal.exists():
            break
        before = _identity(path)
        try:
            # Immutable: no lock, no recovery and no file beside it, but the write-ahead log is not read either.
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

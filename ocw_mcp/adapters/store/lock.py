"""One engine to a book: a lock on the state directory that the operating system lets go of with the process."""

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from ocw_mcp.adapters.store.directory import LOCK, LOCK_OWNER, prepare
from ocw_mcp.domain.errors import BookBusy, BookError

PATIENCE_S = 0.1
"""How long a start waits: long enough for somebody who only looked whether the book is locked."""


class StateLock:
    """Holds a state directory as long as the `with` block runs.

    Entering raises BookBusy when another process holds it, and BookError when the directory cannot hold a book.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # Not bound to a thread: whoever stops the engine may let go of it.
        self._lock = FileLock(directory / LOCK, thread_local=False)

    def __enter__(self) -> "StateLock":
        prepare(self._directory)
        try:
            self._lock.acquire(timeout=PATIENCE_S, poll_interval=PATIENCE_S / 10)
        except Timeout:
            pid = lock_owner(self._directory)
            who = "another process" if pid is None else f"process {pid}"
            raise BookBusy(
                f"{who} is running the book in {self._directory}, and a book has one engine; stop that one first or "
                "use another --state directory"
            ) from None
        except OSError as error:
            raise BookError(
                f"the state directory {self._directory} cannot be locked: {error.strerror}; allow writing to it or use "
                "another --state directory"
            ) from None
        # Who holds the lock is only told, never relied on: without this file the lock is as good.
        with suppress(OSError):
            (self._directory / LOCK_OWNER).write_text(f"{os.getpid()}\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            (self._directory / LOCK_OWNER).unlink(missing_ok=True)
        self._lock.release()


def lock_owner(directory: Path) -> int | None:
    """The id of the process that says it holds the lock; true only while `is_locked`."""
    try:
        return int((directory / LOCK_OWNER).read_text())
    except (OSError, ValueError):
        return None


def is_locked(directory: Path) -> bool:
    """Whether an engine holds the directory. Makes no file; raises BookError when it cannot be found out."""
    path = directory / LOCK
    if not path.exists():
        return False
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError as error:
        raise BookError(
            f"the lock of {directory} cannot be looked at: {error.strerror}; ask as the user who runs the engine"
        ) from None
    lock.release()
    return False

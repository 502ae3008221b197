"""One engine per book: a lock on the state directory, which the operating system releases with the process."""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from ocw_mcp.adapters.files import read_file, require_own_directory, write_private
from ocw_mcp.adapters.store.directory import LOCK, LOCK_OWNER, prepare
from ocw_mcp.domain.errors import BookBusy, BookError

PATIENCE_S = 0.1
"""How long a start waits: long enough for a program that only checks whether the book is locked."""
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class StateLock:
    """The lock on a state directory, held while the `with` block runs.

    Entering raises BookBusy if another process holds the lock, BookError if the directory cannot hold a book.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = str(directory / LOCK)
        self._identity = (0, 0)

    def __enter__(self) -> "StateLock":
        prepare(self._directory)
        try:
            descriptor = os.open(self._path, _FLAGS | os.O_CREAT, 0o600)
            if not _acquire(descriptor, PATIENCE_S):
                os.close(descriptor)
                pid = lock_owner(self._directory)
                who = "another process" if pid is None else f"process {pid}"
                raise BookBusy(
                    f"{who} is running the book in {self._directory}, and a book has one engine; stop that one first "
                    "or use another --state directory"
                )
            os.fchmod(descriptor, 0o600)
            found = os.fstat(descriptor)
        except OSError as error:
            raise BookError(
                f"the state directory {self._directory} cannot be locked: {error.strerror}; allow writing to it or use "
                "another --state directory"
            ) from None
        self._descriptor, self._identity = descriptor, (found.st_dev, found.st_ino)
        # The lock is valid without this file, which only names the holder.
        with suppress(OSError, BookError):
            write_private(self._directory / LOCK_OWNER, f"{os.getpid()}\n".encode())
        return self

    def __exit__(self, *error: object) -> None:
        if self._holds():
            with suppress(OSError):
                (self._directory / LOCK_OWNER).unlink(missing_ok=True)
        os.close(self._descriptor)

    def require_held(self) -> None:
        """Raise BookError if the lock file was replaced: another engine may then have the book. Cheap: one `stat`."""
        if not self._holds():
            raise BookError(
                f"the lock file {self._path} was replaced or deleted while this engine ran, so another engine may have "
                "the book; this one stopped at once and wrote nothing more; see that no other runs, and start it again"
            )

    def _holds(self) -> bool:
        try:
            found = os.lstat(self._path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity


def lock_owner(directory: Path) -> int | None:
    """Return the id of the process that wrote itself as the holder of the lock; it is valid only while `is_locked`."""
    try:
        return int(read_file(directory / LOCK_OWNER, 64))
    except (OSError, ValueError):
        return None


def is_locked(directory: Path) -> bool:
    """Return whether an engine holds the directory, without creating a file. Raises BookError if it cannot be read."""
    require_own_directory(directory)
    try:
        descriptor = os.open(directory / LOCK, _FLAGS)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise BookError(
            f"the lock of {directory} cannot be checked: {error.strerror}; try as the user who runs the engine"
        ) from None
    try:
        return not _acquire(descriptor, 0)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, patience_s: float) -> bool:
    """Return whether the lock was acquired; wait at most `patience_s` for it."""
    until = time.monotonic() + patience_s  # noqa: TID251 - waits for another process, before any engine runs
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:  # noqa: TID251
                return False
            time.sleep(PATIENCE_S / 10)  # noqa: TID251
        else:
            return True

"""The state directory of a book: which directories may hold one, and the lock that keeps it for one engine."""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from ocw_mcp.adapters.files import make_directory, read_file, require_own_directory, write_private
from ocw_mcp.adapters.store.book import UNFINISHED, StoredBook, peek_book
from ocw_mcp.adapters.store.database import JOURNAL
from ocw_mcp.domain.errors import BookBusy, BookError

LOCK = "lock"
LOCK_OWNER = "lock.pid"
OUTCOMES = "outcomes.jsonl"
"""The outcomes of another book, with which a new book begins."""

_ALLOWED_WITHOUT_A_BOOK = frozenset(
    {
        *(".env", LOCK, LOCK_OWNER, "commands", "HALT", "passphrase", "tokens.json", "serve.json", "engine.log"),
        *("keys.json", "mandate.json", OUTCOMES),
    }
)

PATIENCE_S = 0.1
"""Seconds that a start waits for the lock, which another program may hold briefly to check it."""
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class StateLock:
    """The lock on a state directory, held in a `with` block. Entering raises BookBusy and BookError."""

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
        # The lock works without this file, which only names the holder.
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
                "the book; this one stopped and wrote nothing more; check that no other engine runs, and start again"
            )

    def _holds(self) -> bool:
        try:
            found = os.lstat(self._path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity


def lock_owner(directory: Path) -> int | None:
    """Return the id of the process that last held the lock, or None; it holds the lock only while `is_locked`."""
    try:
        return int(read_file(directory / LOCK_OWNER, 64))
    except (OSError, ValueError):
        return None


def is_locked(directory: Path) -> bool:
    """Return whether an engine holds the directory, without creating a file. Raises BookError if unreadable."""
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


def has_book(directory: Path) -> bool:
    """Return whether a directory has the journal of a book."""
    return (directory / JOURNAL).exists()


def prepare(directory: Path) -> StoredBook | None:
    """Create the directory (mode 0700) if it is missing, and return its book, or None if one may be created.

    Raises BookError, without reading a file in it, if it is read-only, a file, or another user's, or holds other files.
    """
    if os.path.isdir(directory) and _may(directory, os.R_OK | os.X_OK):
        # The write permission is checked first, because its refusal is clearer.
        _require_writable(directory)
        require_own_directory(directory)
    try:
        names = {entry.name for entry in os.scandir(directory)}
    except FileNotFoundError:
        names = set()
        try:
            make_directory(directory)
        except (FileExistsError, NotADirectoryError):
            raise _no_directory(directory) from None
        except OSError as error:
            raise BookError(
                f"the state directory {directory} cannot be made: {error.strerror}; make it yourself or use another "
                "--state directory"
            ) from None
    except NotADirectoryError:
        raise _no_directory(directory) from None
    except OSError as error:
        raise BookError(
            f"the state directory {directory} cannot be read: {error.strerror}; allow reading and writing it or use "
            "another --state directory"
        ) from None
    if JOURNAL in names:
        book = peek_book(directory)
        _require_writable(directory / JOURNAL)
        return book
    if foreign := sorted(name for name in names if not _is_allowed(name)):
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise BookError(
            f"the state directory {directory} holds no book but other files ({', '.join(foreign[:3])}{more}); "
            "expected an empty or a new directory; use another --state directory"
        )
    return None


def _is_allowed(name: str) -> bool:
    """Return whether a file may exist before the book does: a file of another command, or its temporary file."""
    if name in _ALLOWED_WITHOUT_A_BOOK or name.startswith(UNFINISHED):
        return True
    written, dot, _ = name.removeprefix(".").rpartition(".")
    return name.startswith(".") and dot != "" and written in _ALLOWED_WITHOUT_A_BOOK


def _may(path: Path, what: int) -> bool:
    return os.access(path, what, effective_ids=os.access in os.supports_effective_ids)


def _require_writable(path: Path) -> None:
    directory = path.parent if path.name == JOURNAL else path
    if not _may(path, os.W_OK):
        raise BookError(
            f"the state directory {directory} is read-only; expected to write to {path.name}; allow writing to it "
            "or use another --state directory"
        )


def _no_directory(directory: Path) -> BookError:
    return BookError(
        f"{directory} cannot be a state directory, since it or something above it is a file; "
        "use another --state directory"
    )


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

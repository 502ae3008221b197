"""Decides which directories may hold a book. A home directory may not, and a refusal changes nothing."""

import os
from pathlib import Path

from ocw_mcp.adapters.files import make_directory, require_own_directory
from ocw_mcp.adapters.store.book import UNFINISHED, StoredBook, peek_book
from ocw_mcp.adapters.store.database import JOURNAL
from ocw_mcp.domain.errors import BookError

LOCK = "lock"
LOCK_OWNER = "lock.pid"

_ALLOWED_WITHOUT_A_BOOK = frozenset(
    {".env", LOCK, LOCK_OWNER, "commands", "HALT", "passphrase", "tokens.json", "serve.json", "engine.log"}
)


def prepare(directory: Path) -> StoredBook | None:
    """Create the directory (mode 0700) if it is missing, and return its book, or None if one may be created.

    Raises BookError for a file, a directory with other files, and one that is read-only, belongs to another user or can
    be written by others; no file in it is then read or written.
    """
    if os.path.isdir(directory) and _may(directory, os.R_OK | os.X_OK):
        # The write permission is checked first, because it is the clearer refusal.
        _require_writable(directory)
        require_own_directory(directory)
    try:
        names = {entry.name for entry in os.scandir(directory)}
    except FileNotFoundError:
        names = set()
        _make(directory)
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
    """Return whether a file may exist before the book does: a file of another command, or the draft of such a file."""
    if name in _ALLOWED_WITHOUT_A_BOOK or name.startswith(UNFINISHED):
        return True
    written, dot, _ = name.removeprefix(".").rpartition(".")
    return name.startswith(".") and dot != "" and written in _ALLOWED_WITHOUT_A_BOOK


def _make(directory: Path) -> None:
    try:
        make_directory(directory)
    except (FileExistsError, NotADirectoryError):
        raise _no_directory(directory) from None
    except OSError as error:
        raise BookError(
            f"the state directory {directory} cannot be made: {error.strerror}; make it yourself or use another "
            "--state directory"
        ) from None


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

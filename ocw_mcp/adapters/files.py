"""Opens the user's files, and checks the directory of a book before anything in it is read.

A file is read if it is a regular file, belongs to the user or to root, cannot be written by other users, and is not
larger than its limit. The directory of a book must belong to the user who runs ocw and not be writable by others,
because its `.env` names the host that gets the keys, and its command files move positions. The parents of a book's
directory are not checked: a directory that another user puts in its place belongs to that user, and is refused.
"""

import errno
import os
import shlex
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ocw_mcp.domain.errors import BookError

OTHERS_MAY_WRITE = 0o022
OTHERS_MAY_DO_ANYTHING = 0o077
_ROOT = 0


class FileRefused(ValueError):  # noqa: N818 - callers catch it and raise their own kind of error
    """The refusal to read a file, in one sentence: the path, the fault, and its correction."""


@contextmanager
def open_regular(
    path: Path, *, link: bool = False, folder: int | None = None
) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """Open a regular file for reading, and yield it with its status. Raises FileRefused and OSError.

    A link is followed only if `link` is set. `folder` is the descriptor of the directory that `path` is relative to.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | (0 if link else os.O_NOFOLLOW)
    # Opening a device may have an effect, so the type is checked before.
    _require_regular(path, os.stat(path, dir_fd=folder, follow_symlinks=link).st_mode)
    descriptor = os.open(path, flags, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        _require_regular(path, status.st_mode)
        yield file, status


def read_file(
    path: Path,
    most: int,
    *,
    link: bool = False,
    private: bool = False,
    owners: tuple[int, ...] = (),
    folder: int | None = None,
) -> bytes:
    """Return the bytes of a user's file, at most `most` bytes. Raises FileRefused and OSError.

    With `private`, a file that others can read is refused, too. The file may also belong to one of `owners` (user ids).
    `link` and `folder` are as in `open_regular`.
    """
    with open_regular(path, link=link, folder=folder) as (file, status):
        if problem := _foreign(path, status, (*owners, os.geteuid(), _ROOT)):
            raise FileRefused(problem)
        mode, name = stat.S_IMODE(status.st_mode), shlex.quote(str(path))
        if private and mode & OTHERS_MAY_DO_ANYTHING:
            raise FileRefused(f"{path} is open to other users (mode {mode:04o}); expected 0600; run: chmod 600 {name}")
        if mode & OTHERS_MAY_WRITE:
            raise FileRefused(
                f"{path} can be written by other users (mode {mode:04o}); expected its owner alone; run: "
                f"chmod go-w {name}"
            )
        if status.st_size > most or len(data := file.read(most + 1)) > most:
            raise FileRefused(
                f"{path} is larger than {most:,} bytes, the largest size of such a file; check the path, or move the "
                "file away"
            )
        return data


def require_own_file(path: Path) -> None:
    """Refuse a file of another user, and a pipe, device or socket. A missing file passes. Raises FileRefused."""
    try:
        status = os.stat(path)
    except OSError:
        return
    if not stat.S_ISDIR(status.st_mode):
        _require_regular(path, status.st_mode)
    if problem := _foreign(path, status, (os.geteuid(), _ROOT)):
        raise FileRefused(problem)


def read_own(directory: Path, name: str, most: int) -> bytes | None:
    """Return a file of a state directory that only its owner may read; None if there is none.

    Raises BookError if it cannot be read or trusted.
    """
    require_own_directory(directory)
    path = directory / name
    try:
        return read_file(path, most, private=True)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except FileRefused as error:
        raise BookError(str(error)) from None
    except OSError as error:
        raise BookError(f"{path} cannot be read: {error.strerror}; run as the user who runs the engine") from None


def write_private(path: Path, data: bytes) -> None:
    """Write a file completely or not at all, for its owner only (as root: the directory's owner). Raises BookError."""
    try:
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(handle, 0o600)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if os.geteuid() == _ROOT:
                owner = path.parent.stat()
                os.chown(draft, owner.st_uid, owner.st_gid)
            os.replace(draft, path)
            sync_directory(path.parent)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)
            raise
    except OSError as error:
        raise BookError(
            f"{path} cannot be written: {error.strerror}; allow writing to the state directory, or use another"
        ) from None


def sync_directory(directory: Path) -> None:
    """Make a rename in a directory durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path) -> None:
    """Create a directory of mode 0700 and its parents, not writable by others, for any umask. Raises OSError."""
    if not os.path.isdir(directory):
        for above in reversed(directory.parents):
            above.mkdir(0o755, exist_ok=True)
        directory.mkdir(0o700, exist_ok=True)
        directory.chmod(0o700)


def require_own_directory(directory: Path) -> None:
    """Refuse the directory of another user, or one that others can write; a missing one passes. Raises BookError.

    A link to a directory is followed if the link belongs to the user or to root. Nothing in the directory is read.
    """
    try:
        link = os.lstat(directory)
        status = os.stat(directory) if stat.S_ISLNK(link.st_mode) else link
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise BookError(
            f"the state directory {directory} cannot be read: {error.strerror}; act as its owner, or use "
            "another --state directory"
        ) from None
    if not stat.S_ISDIR(status.st_mode):
        return  # A later reader of the directory reports that it is none.
    if stat.S_ISLNK(link.st_mode) and (problem := _foreign(directory, link, (os.geteuid(), _ROOT))):
        raise BookError(f"the link {problem}, or give the directory itself as --state")
    if status.st_uid != os.geteuid():
        raise BookError(f"the state directory {_foreign(directory, status, ())}, or use another --state directory")
    mode = stat.S_IMODE(status.st_mode)
    if mode & OTHERS_MAY_WRITE:
        raise BookError(
            f"the state directory {directory} can be written by other users (mode {mode:04o}), so nothing in it can be "
            f"trusted; check that all files in it are yours, then run: chmod 700 {shlex.quote(str(directory))}"
        )


def _require_regular(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if not stat.S_ISREG(mode):
        raise FileRefused(
            f"{path} cannot be read: it is a pipe, a device or a socket; expected a regular file; move it away, or "
            "name another"
        )


def _foreign(path: Path, status: os.stat_result, owners: tuple[int, ...]) -> str:
    """Return the refusal of a file or directory that belongs to another user; else an empty text."""
    if status.st_uid in owners:
        return ""
    me = os.geteuid()
    return (
        f"{path} belongs to user {status.st_uid}, and you are user {me}; expected your own; act as its owner, or check "
        f"that all in it is yours and run: chown -R {me} {shlex.quote(str(path))}"
    )

"""Opens every file that a user keeps, and checks the directory of a book before anything in it is read.

A file is read when it is a regular file, belongs to the user or to root, cannot be written by other users, and is not
larger than its kind can be. A pipe, a device or a socket is never waited for. A directory of a book belongs to the user
who runs ocw and cannot be written by others: its `.env` says where keys are sent, and its commands move positions.
A link to such a directory is followed when the link belongs to the user or to root. The directories above are not
checked: one that others put in the place of a book's belongs to them, and is refused.
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


class FileRefused(ValueError):  # noqa: N818 - it is caught and told as the caller's own kind of error
    """A file is not read; the text is one sentence: the path, what is wrong, and what mends it."""


@contextmanager
def opened(path: Path, *, link: bool = False, folder: int | None = None) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """Open a regular file for reading, with its status. A link is followed where `link` says so.

    `folder` is the descriptor of the directory that `path` is relative to. Raises FileRefused and OSError.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | (0 if link else os.O_NOFOLLOW)
    # A device may do something when it is opened, so it is looked at before.
    _require_regular(path, os.stat(path, dir_fd=folder, follow_symlinks=link).st_mode)
    descriptor = os.open(path, flags, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        _require_regular(path, found.st_mode)
        yield file, found


def read_file(
    path: Path,
    most: int,
    *,
    link: bool = False,
    private: bool = False,
    owners: tuple[int, ...] = (),
    folder: int | None = None,
) -> bytes:
    """Return the bytes of a file of the user's, of at most `most` bytes.

    `link`: whether a link in its place is followed. `private`: whether a file that others can read is refused, too.
    `owners` are users beside this one and root whose files are read. Raises FileRefused and OSError.
    """
    with opened(path, link=link, folder=folder) as (file, found):
        if problem := _foreign(path, found, (*owners, os.geteuid(), _ROOT)):
            raise FileRefused(problem)
        mode, name = stat.S_IMODE(found.st_mode), shlex.quote(str(path))
        if private and mode & OTHERS_MAY_DO_ANYTHING:
            raise FileRefused(
                f"{path} is open to other users (mode {mode:04o}); expected 0600; make it so: chmod 600 {name}"
            )
        if mode & OTHERS_MAY_WRITE:
            raise FileRefused(
                f"{path} can be written by other users (mode {mode:04o}); expected its owner alone; make it so: "
                f"chmod go-w {name}"
            )
        data = b"" if found.st_size > most else file.read(most + 1)
        if found.st_size > most or len(data) > most:
            raise FileRefused(
                f"{path} is larger than {most:,} bytes; expected a file of its kind; check the path, or move it away"
            )
        return data


def require_own_file(path: Path) -> None:
    """Refuse what is no regular file, or belongs to another user, where a library opens it. One that is missing passes.

    Raises FileRefused.
    """
    try:
        found = os.stat(path)
    except OSError:
        return
    if not stat.S_ISDIR(found.st_mode):
        _require_regular(path, found.st_mode)
    if problem := _foreign(path, found, (os.geteuid(), _ROOT)):
        raise FileRefused(problem)


def write_private(path: Path, data: bytes) -> None:
    """Write a file wholly or not at all, readable by its owner only, whatever the umask. Raises BookError.

    What root writes belongs to the owner of the directory.
    """
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
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)
            raise
    except OSError as error:
        raise BookError(
            f"{path} cannot be written: {error.strerror}; allow writing to the state directory, or use another"
        ) from None


def make_private(path: Path) -> None:
    """Create an empty file that its owner alone can read and write, whatever the umask. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def make_directory(directory: Path) -> None:
    """Make a directory of mode 0700 and those above it, which others cannot write, whatever the umask.

    One that is there is left as it is. Raises OSError.
    """
    if os.path.isdir(directory):
        return
    missing = [directory, *(above for above in directory.parents if not os.path.lexists(above))]
    for each in reversed(missing):
        mode = 0o700 if each == directory else 0o755
        try:
            os.mkdir(each, mode)
        except FileExistsError:
            if not each.is_dir():
                raise
        else:
            if each == directory:
                os.chmod(each, mode)


def require_own_directory(directory: Path) -> None:
    """Refuse the directory of another user, or one that others can write. One that is missing passes.

    Nothing in it is looked at. Raises BookError with what is wrong and the command that mends it.
    """
    try:
        link = os.lstat(directory)
        found = os.stat(directory) if stat.S_ISLNK(link.st_mode) else link
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise BookError(
            f"the state directory {directory} cannot be looked into: {error.strerror}; act as its owner, or use "
            "another --state directory"
        ) from None
    if not stat.S_ISDIR(found.st_mode):
        return  # Each reader says what it expected in its place.
    if stat.S_ISLNK(link.st_mode) and (problem := _foreign(directory, link, (os.geteuid(), _ROOT))):
        raise BookError(f"the link {problem}, or give the directory itself as --state")
    if found.st_uid != os.geteuid():
        raise BookError(f"the state directory {_foreign(directory, found, ())}, or use another --state directory")
    mode = stat.S_IMODE(found.st_mode)
    if mode & OTHERS_MAY_WRITE:
        raise BookError(
            f"the state directory {directory} can be written by other users (mode {mode:04o}), so nothing in it can be "
            f"trusted; see that all in it is yours, then make it yours alone: chmod 700 {shlex.quote(str(directory))}"
        )


def _require_regular(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if not stat.S_ISREG(mode):
        raise FileRefused(
            f"{path} cannot be read: it is no file but a pipe, a device or a socket; expected a regular file; move it "
            "away, or name another"
        )


def _foreign(path: Path, found: os.stat_result, owners: tuple[int, ...]) -> str:
    """A clause on a file or directory of another user, or nothing."""
    if found.st_uid in owners:
        return ""
    me = os.geteuid()
    return (
        f"{path} belongs to user {found.st_uid}, and you are user {me}; expected your own; act as its owner, or see "
        f"that all in it is yours and take it over: chown -R {me} {shlex.quote(str(path))}"
    )

"""The operator's commands as files in the state directory: they survive a crash, and need no listening engine.

A file named HALT in that directory also halts the book, without `ocw`; while it exists, the book cannot be resumed.
"""

import errno
import itertools
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import msgspec

from ocw_mcp.adapters.files import OTHERS_MAY_WRITE, read_file, sync_directory
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.settlement import read_settlement
from ocw_mcp.domain.steps import Command, Verb

HALT = "HALT"
_FOLDER = "commands"
_REFUSED = "refused"
_LARGEST = 4_096
FILES_PER_CHECK = 64
"""Number of command files that one check processes; the others wait for the next check."""
CHECKS_PER_LISTING = 2
"""Checks between two listings of the folder while files are unread; only a listing finds new commands."""
_LONG_AGO_NS = 1_000_000_000 * 1_000_000_000
"""A modification time in 2001 that marks the folder as listed; any later change of the folder replaces it."""
_instances = itertools.count()
_OURS = re.compile("[0-9]{20}-[A-Za-z0-9_-]{1,64}[.]json")


class _CommandFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    verb: str
    by: str
    command_id: str
    subject: str = ""


_decode = msgspec.json.Decoder(_CommandFile).decode


def write_command(directory: Path, verb: str, by: str, command_id: str, at_ns: int, subject: str = "") -> Path:
    """Write a command file for the engine of a state directory, and return its path.

    A stopped engine reads the file when it starts. `at_ns` orders commands. `subject` is an approval's id, a symbol
    or a settlement, for the verbs that need one. Raises ValueError for an invalid verb or id, BookError for a failed
    write.
    """
    command = _CommandFile(verb, by, command_id, subject)
    if fault := _fault(command):
        raise ValueError(fault)
    folder = directory / _FOLDER
    target = folder / f"{at_ns:020d}-{command_id}.json"
    # A name that begins with a dot is not read, so the engine never reads half a command.
    unfinished = folder / f".{target.name}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with _open_folder(folder) as descriptor:
            with suppress(FileNotFoundError):
                os.unlink(unfinished.name, dir_fd=descriptor)
            opener = partial(os.open, mode=0o600, dir_fd=descriptor)
            with open(unfinished.name, "xb", opener=opener) as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(msgspec.json.encode(command))
                file.flush()
                os.fsync(file.fileno())
        if os.geteuid() == 0:
            owner = directory.stat()
            for path in (folder, unfinished):
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        os.replace(unfinished, target)
        sync_directory(folder)
    except OSError as error:
        raise BookError(
            f"the command {verb} could not be written to {directory}: {error.strerror}; expected a state directory "
            f"that you may write to, with a folder {_FOLDER} of yours; check --state, and the owner of {folder}"
        ) from None
    return target


def halted_by_file(directory: Path) -> bool:
    """Return whether a state directory has anything named HALT: a file, a directory, or a link to any target."""
    return os.path.lexists(directory / HALT)


def halt_forbids_resume(directory: Path) -> str:
    """Return the message that a book with a HALT file cannot be resumed."""
    return f"the file {HALT} in {directory} halts this book; nothing resumes while it is there; delete it first"


class CommandFiles:
    """The commands that wait in a state directory; `listener` gets a message about each refused file."""

    def __init__(self, directory: Path, listener: Callable[[str], None] | None = None) -> None:
        self._listener = listener
        self._directory = directory
        self._halt_name = str(directory / HALT)
        self._halt: Command | None = None
        self._halt_done = False
        self._folder = directory / _FOLDER
        self._folder_name = str(self._folder)
        # Each reader marks the folder with a time of its own, so that no reader mistakes another's mark for its own.
        self._mark = _LONG_AGO_NS + 2 * os.getpid() * 1_000_000_000 + next(_instances) * 1_000
        self._listed = False
        self._waiting: dict[str, tuple[Command, str]] = {}
        self._ignored: set[str] = set()
        self._unread: deque[str] = deque()
        self._checks_to_listing = 0
        self._last_problem = ""

    def waiting(self) -> Sequence[Command]:
        """Return the waiting commands, oldest first, after a new HALT file; most calls make only two `stat` calls."""
        self._check_halt_file()
        try:
            status = os.stat(self._folder_name, follow_symlinks=False)
            if self._unread and self._checks_to_listing > 0:
                self._checks_to_listing -= 1
                with _open_folder(self._folder) as folder:
                    self._read_some(folder)
            elif status.st_mtime_ns != self._mark or not self._listed:
                self._list()
        except FileNotFoundError:
            self._waiting.clear()
            self._unread.clear()
        except OSError as error:
            self._report(
                f"the commands in {self._folder} cannot be read: {error.strerror}; until they can, this book can be "
                "neither halted nor resumed from outside; put there a folder of the user who runs the engine, which "
                f"others cannot write (a file {HALT} beside it still halts)"
            )
        if self._halt is None:
            return [command for command, _ in self._waiting.values()] if self._waiting else ()
        for command, name in list(self._waiting.values()):
            if command.verb == Verb.RESUME:
                del self._waiting[command.command_id]
                self._set_aside(name, halt_forbids_resume(self._directory))
        first = [] if self._halt_done else [self._halt]
        return [*first, *(command for command, _ in self._waiting.values())]

    def done(self, command: Command) -> None:
        """Delete the file of an executed command, except HALT; this process ignores a file that it cannot delete."""
        if command == self._halt:
            self._halt_done = True
            return
        self.waiting()
        _, name = self._waiting.pop(command.command_id, (command, ""))
        if not name:
            return
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            self._ignored.add(name)
            self._report(f"the command file {name!r} is done and cannot be deleted: {error.strerror}; delete it")

    def _check_halt_file(self) -> None:
        try:
            status = os.lstat(self._halt_name)
        except FileNotFoundError:
            self._halt, self._halt_done = None, False
        except OSError as error:
            self._report(f"the file {HALT} in {self._directory} cannot be checked: {error.strerror}")
        else:
            if self._halt is None:
                # The same file gets the same id after a restart, and the engine accepts a command id once.
                self._halt = Command(f"{HALT}-{status.st_ctime_ns}-{status.st_ino}", "halt", f"the file {HALT}")

    def _list(self) -> None:
        """Mark the folder as listed, then list it and read the first files.

        The mark is a modification time in 2001, which any later change of the folder replaces. Real times would hide a
        second change within one tick of the file system's clock.
        """
        with _open_folder(self._folder) as folder:
            # The folder of another user cannot be marked, and is listed every time.
            with suppress(PermissionError):
                os.utime(folder, ns=(self._mark, self._mark))
            names = set(os.listdir(folder))
            self._waiting = {id_: kept for id_, kept in self._waiting.items() if kept[1] in names}
            known = {_REFUSED, *self._ignored, *(name for _, name in self._waiting.values())}
            new = (name for name in names if not name.startswith(".") and name not in known)
            # The names of commands come before any others, however many of those there are.
            self._unread = deque(sorted(new, key=lambda name: (_OURS.fullmatch(name) is None, name)))
            self._listed, self._checks_to_listing = True, CHECKS_PER_LISTING
            self._read_some(folder)

    def _read_some(self, folder: int) -> None:
        """Read the next files of the listing, at most FILES_PER_CHECK."""
        for _ in range(min(FILES_PER_CHECK, len(self._unread))):
            name = self._unread.popleft()
            try:
                read = _decode(read_file(Path(name), _LARGEST, folder=folder))
                if fault := _fault(read):
                    raise ValueError(fault)
                if read.command_id in self._waiting:
                    raise ValueError(f"it has the same id as {self._waiting[read.command_id][1]}")
                command = Command(read.command_id, read.verb, read.by, subject=read.subject)
                self._waiting[read.command_id] = (command, name)
            except FileNotFoundError:
                continue
            except (ValueError, OSError) as error:
                self._set_aside(name, f"it is not a command: {error}")
        self._waiting = dict(sorted(self._waiting.items(), key=lambda item: item[1][1]))

    def _set_aside(self, name: str, why: str) -> None:
        refused = self._folder / _REFUSED
        try:
            refused.mkdir(mode=0o700, exist_ok=True)
            os.replace(self._folder / name, refused / name)
        except FileNotFoundError:
            return
        except OSError as error:
            self._ignored.add(name)
            self._report(f"{name!r} in {self._folder} cannot be moved aside ({error.strerror}): {why}")
            return
        self._report(f"{name!r} in {self._folder} was moved to {_REFUSED}: {why}")

    def _report(self, problem: str) -> None:
        if problem != self._last_problem and self._listener is not None:
            self._listener(problem)
        self._last_problem = problem


def _fault(command: _CommandFile) -> str:
    if command.verb not in tuple(Verb):
        return f"{command.verb!r} is not a command; expected {' or '.join(Verb)}"
    if command.verb == Verb.SETTLE:
        if read_settlement(command.subject) is None:
            return f"settle has subject {command.subject!r}; expected REF gone, or REF filled PRICE QUANTITY"
    elif fault := _subject_fault(command):
        return fault
    if not re.fullmatch("[A-Za-z0-9_-]{1,64}", command.command_id):
        return f"{command.command_id!r} is not a command id; expected up to 64 letters, digits, - and _"
    if not (1 <= len(command.by) <= 64 and command.by.isprintable()):
        return "it has no author; expected a name of up to 64 printable characters"
    return ""


def _subject_fault(command: _CommandFile) -> str:
    least = 1 if command.verb in (Verb.APPROVE, Verb.DENY, Verb.TAKE_OVER) else 0
    if not re.fullmatch(f"[A-Za-z0-9_-]{{{least},40}}", command.subject):
        return (
            f"{command.verb} has subject {command.subject!r}; expected an id or a symbol of up to 40 letters and digits"
        )
    return ""


@contextmanager
def _open_folder(folder: Path) -> Iterator[int]:
    """Yield a descriptor of the command folder; raise OSError if it is a link, or others own or can write it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_uid not in (os.geteuid(), os.stat(folder.parent).st_uid):
            raise PermissionError(errno.EPERM, f"the folder belongs to user {status.st_uid}")
        if status.st_mode & OTHERS_MAY_WRITE:
            raise PermissionError(errno.EPERM, f"other users can write to the folder; run: chmod 700 {folder}")
        yield descriptor
    finally:
        os.close(descriptor)


def count_waiting(directory: Path) -> int | None:
    """Return the number of commands that wait in a state directory; None if they cannot be listed."""
    try:
        names = os.listdir(directory / _FOLDER)
    except FileNotFoundError:
        return 0
    except OSError:
        return None
    return sum(1 for name in names if not name.startswith(".") and name != _REFUSED)


def is_refused(path: Path) -> bool:
    """Return whether an engine moved a command's file to `refused`; `path` is the result of `write_command`."""
    return (path.parent / _REFUSED / path.name).exists()


def count_refused(directory: Path) -> int:
    """Return the number of files in the folder `refused`; 0 if they cannot be listed."""
    with suppress(OSError):
        return len(os.listdir(directory / _FOLDER / _REFUSED))
    return 0

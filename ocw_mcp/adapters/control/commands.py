"""A person's commands as files in the state directory: they outlive a crash, and need no engine that listens.

A file named HALT beside them is a halt, too, for whoever has no ocw at hand: as long as it lies there, nothing resumes.
"""

import errno
import itertools
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from ocw_mcp.adapters.files import OTHERS_MAY_WRITE, read_file
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.steps import Command, Verb

NEEDS_SUBJECT = (Verb.APPROVE, Verb.DENY, Verb.TAKE_OVER)

HALT = "HALT"
_FOLDER = "commands"
_REFUSED = "refused"
_LARGEST = 4_096
_PROBLEMS_KEPT = 100
MOST_A_LOOK = 64
"""Files that one look reads or moves aside; the others wait for the next look."""
LISTED_EVERY = 2
"""Looks after which a folder with unread files is listed again: a new command waits no longer behind other files."""
_LONG_AGO_NS = 1_000_000_000 * 1_000_000_000
"""In 2001: no change can ever fall on a time that a looked-at directory is given."""
_boxes = itertools.count()
_OURS = re.compile("[0-9]{20}-[A-Za-z0-9_-]{1,64}[.]json")


class _Left(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command as it is written."""

    verb: str
    by: str
    command_id: str
    subject: str = ""


_decode = msgspec.json.Decoder(_Left).decode


def leave(directory: Path, verb: str, by: str, command_id: str, at_ns: int, subject: str = "") -> Path:
    """Leave a command for the engine of a state directory; it is taken whenever that runs. `at_ns` orders commands.

    `subject` is what it is about, where its verb needs that: an approval's id, or a symbol.

    What root leaves belongs to the owner of the directory, whose engine could not read it otherwise.

    Raises ValueError for a verb or an id that no engine would take, BookError when the file cannot be written.
    """
    left = _Left(verb, by, command_id, subject)
    if fault := _fault(left):
        raise ValueError(fault)
    folder = directory / _FOLDER
    target = folder / f"{at_ns:020d}-{command_id}.json"
    # A name with a dot is not looked at: nobody reads half a command.
    unfinished = folder / f".{target.name}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with _folder_opened(folder) as opened_folder:
            with suppress(FileNotFoundError):
                os.unlink(unfinished.name, dir_fd=opened_folder)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(unfinished.name, flags, 0o600, dir_fd=opened_folder), "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(msgspec.json.encode(left))
                file.flush()
                os.fsync(file.fileno())
        if os.geteuid() == 0:
            owner = directory.stat()
            for path in (folder, unfinished):
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        os.replace(unfinished, target)
        _sync(folder)
    except OSError as error:
        raise BookError(
            f"{verb} could not be left in {directory}: {error.strerror}; expected a state directory that you may write "
            f"to, with a folder {_FOLDER} of yours; check --state, and whose {folder} is"
        ) from None
    return target


def halted_by_file(directory: Path) -> bool:
    """Whether the file HALT lies in a state directory, whatever it is and wherever it leads."""
    return os.path.lexists(directory / HALT)


def halt_forbids_resume(directory: Path) -> str:
    """Why a book with the file HALT is not resumed, and what to do."""
    return f"the file {HALT} in {directory} halts this book; nothing resumes while it is there; delete it first"


class CommandFiles:
    """The commands that wait in a state directory. What is none, or cannot be taken, is moved to `commands/refused`.

    `tell` hears at once, in one sentence, of what was moved aside, or cannot be.
    """

    def __init__(self, directory: Path, tell: Callable[[str], None] | None = None) -> None:
        self._listener = tell
        self._directory = directory
        self._halt_name = str(directory / HALT)
        self._halt: Command | None = None
        self._halt_taken = False
        self._folder = directory / _FOLDER
        self._folder_name = str(self._folder)
        # Everyone who looks has a mark of their own, so that nobody takes another's look for theirs.
        self._mark = _LONG_AGO_NS + 2 * os.getpid() * 1_000_000_000 + next(_boxes) * 1_000
        self._looked = False
        self._waiting: dict[str, tuple[Command, str]] = {}
        self._left_alone: set[str] = set()
        self._unread: deque[str] = deque()
        self._lists_after = 0
        self.problems: list[str] = []
        """What was moved aside, or could not be, and why: one sentence each, the latest hundred."""

    def waiting(self) -> Sequence[Command]:
        """Commands that have come, oldest first. Cheap: two `stat` when nothing changed since the last look.

        The file HALT comes before all others, once for each time that it appears.
        """
        self._look_for_halt()
        try:
            found = os.stat(self._folder_name, follow_symlinks=False)
            if self._unread and self._lists_after > 0:
                self._lists_after -= 1
                with _folder_opened(self._folder) as folder:
                    self._read_some(folder)
            elif found.st_mtime_ns != self._mark or not self._looked:
                self._look()
        except FileNotFoundError:
            self._waiting.clear()
            self._unread.clear()
        except OSError as error:
            self._tell(
                f"the commands in {self._folder} cannot be read: {error.strerror}; until they can, this book can be "
                "neither halted nor resumed from outside; put there a folder of the user who runs the engine, which "
                f"others cannot write (a file {HALT} beside it still halts)"
            )
        if self._halt is not None:
            self._refuse_resumes()
            if not self._halt_taken:
                return [self._halt, *(command for command, _ in self._waiting.values())]
        return [command for command, _ in self._waiting.values()] if self._waiting else ()

    def done(self, command: Command) -> None:
        """Delete a command's file. One that cannot be deleted is not given again by this process.

        The file HALT stays where it is: it is a person's to take away.
        """
        if command == self._halt:
            self._halt_taken = True
            return
        self.waiting()
        _, name = self._waiting.pop(command.command_id, (command, ""))
        if not name:
            return
        try:
            os.unlink(self._folder / name)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._left_alone.add(name)
            self._tell(f"the command file {name!r} is done with and cannot be deleted: {error.strerror}; delete it")

    def _look_for_halt(self) -> None:
        try:
            found = os.lstat(self._halt_name)
        except FileNotFoundError:
            self._halt, self._halt_taken = None, False
        except OSError as error:
            self._tell(f"whether the file {HALT} lies in {self._directory} cannot be seen: {error.strerror}")
        else:
            if self._halt is None:
                # The same file has the same name after a restart, and the engine takes a command once.
                self._halt = Command(f"{HALT}-{found.st_ctime_ns}-{found.st_ino}", "halt", f"the file {HALT}")

    def _refuse_resumes(self) -> None:
        for command, name in list(self._waiting.values()):
            if command.verb == Verb.RESUME:
                del self._waiting[command.command_id]
                self._move_aside(name, halt_forbids_resume(self._directory))

    def _look(self) -> None:
        """Read the directory, having marked it as looked at.

        Two changes within one tick of the file system's clock leave one and the same time, so a time seen before the
        look proves nothing. The mark comes first: what changes after it, even during the look, moves the time away
        from it for good.
        """
        with _folder_opened(self._folder) as folder:
            # Another user's directory cannot be marked; it is then read every time.
            with suppress(PermissionError):
                os.utime(folder, ns=(self._mark, self._mark))
            names = os.listdir(folder)
            there = set(names)
            self._waiting = {id_: kept for id_, kept in self._waiting.items() if kept[1] in there}
            known = self._left_alone.union((name for _, name in self._waiting.values()), (_REFUSED,))
            new = (name for name in names if not name.startswith(".") and name not in known)
            # A name of ours comes before any other, however many of those there are.
            self._unread = deque(sorted(new, key=lambda name: (_OURS.fullmatch(name) is None, name)))
            self._looked, self._lists_after = True, LISTED_EVERY
            self._read_some(folder)

    def _read_some(self, folder: int) -> None:
        """Read the next files of the last look, in order of their names; at most `MOST_A_LOOK`."""
        for _ in range(min(MOST_A_LOOK, len(self._unread))):
            name = self._unread.popleft()
            try:
                command = self._read(name, folder)
                if command.command_id in self._waiting:
                    raise ValueError(f"it repeats the id of {self._waiting[command.command_id][1]}")
                self._waiting[command.command_id] = (command, name)
            except FileNotFoundError:
                continue
            except (ValueError, OSError) as error:
                self._move_aside(name, f"it is no command: {error}")
        self._waiting = dict(sorted(self._waiting.items(), key=lambda item: item[1][1]))

    def _read(self, name: str, folder: int) -> Command:
        left = _decode(read_file(Path(name), _LARGEST, folder=folder))
        if fault := _fault(left):
            raise ValueError(fault)
        return Command(left.command_id, left.verb, left.by, subject=left.subject)

    def _move_aside(self, name: str, why: str) -> None:
        refused = self._folder / _REFUSED
        try:
            refused.mkdir(mode=0o700, exist_ok=True)
            os.replace(self._folder / name, refused / name)
        except FileNotFoundError:
            return
        except OSError as error:
            self._left_alone.add(name)
            self._tell(f"{name!r} in {self._folder} cannot be moved aside ({error.strerror}): {why}")
            return
        self._tell(f"{name!r} in {self._folder} was moved to {_REFUSED}: {why}")

    def _tell(self, problem: str) -> None:
        if problem not in self.problems[-1:]:
            self.problems.append(problem)
            if self._listener is not None:
                self._listener(problem)
            del self.problems[:-_PROBLEMS_KEPT]


def _fault(left: _Left) -> str:
    if left.verb not in tuple(Verb):
        return f"{left.verb!r} is no command; expected {' or '.join(Verb)}"
    if not re.fullmatch("[A-Za-z0-9_-]{1,40}" if left.verb in NEEDS_SUBJECT else "[A-Za-z0-9_-]{0,40}", left.subject):
        return f"{left.verb} is about {left.subject!r}; expected an id or a symbol of up to 40 letters and digits"
    if not re.fullmatch("[A-Za-z0-9_-]{1,64}", left.command_id):
        return f"{left.command_id!r} is no command id; expected up to 64 letters, digits, - and _"
    if not (1 <= len(left.by) <= 64 and left.by.isprintable()):
        return "nobody signed it; expected a name of up to 64 printable characters"
    return ""


@contextmanager
def _folder_opened(folder: Path) -> Iterator[int]:
    """The folder of commands, opened as it is: no link is followed. Raises OSError, also for one that is not ours."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if found.st_uid not in (os.geteuid(), os.stat(folder.parent).st_uid):
            raise PermissionError(errno.EPERM, f"it belongs to user {found.st_uid}")
        if found.st_mode & OTHERS_MAY_WRITE:
            raise PermissionError(errno.EPERM, f"other users can write to it; make it yours alone: chmod 700 {folder}")
        yield descriptor
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def count_waiting(directory: Path) -> int | None:
    """How many commands wait in a state directory, without touching anything; None where that cannot be seen."""
    try:
        names = os.listdir(directory / _FOLDER)
    except FileNotFoundError:
        return 0
    except OSError:
        return None
    return sum(1 for name in names if not name.startswith(".") and name != _REFUSED)


def refused(left: Path) -> bool:
    """Return whether an engine moved a command's file aside; `left` is where the command was left."""
    return (left.parent / _REFUSED / left.name).exists()


def count_refused(directory: Path) -> int:
    """How many files were moved aside as no commands; 0 where that cannot be seen."""
    try:
        return len(os.listdir(directory / _FOLDER / _REFUSED))
    except OSError:
        return 0

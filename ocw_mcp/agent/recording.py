"""Requests and answers of the model on disk, and a run over again from them, without a network.

The first line names the book, whose own run may go on with the file; nobody else's may, since one wake would have two
answers. Then one line of JSON a call: the request, its answer and how long that took; and one for what a process had
spent that died, since the next one tells of it. Keys and tokens are taken out
before anything is written, and the file is its owner's alone. A request is found again by its wake, its number and its
content; where the content differs, it counts as not recorded, and is listed with what differs. How a prompt was cached
is no part of it: that changes the bill, which is recorded, and no answer.
"""

import asyncio
import hashlib
import logging
import math
import os
import stat
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec

from ocw_mcp.adapters.files import FileRefused, read_file
from ocw_mcp.agent.causes import RETRIED, Trouble
from ocw_mcp.agent.credentials import scrub
from ocw_mcp.agent.memory.writing import asked_for
from ocw_mcp.agent.messages import Messages, Reply, Request, unmarked
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.protocols import Clock
from ocw_mcp.domain.time import iso

log = logging.getLogger(__name__)

LONGEST_FIRST_LINE: Final = 1_000
LARGEST: Final = 1 << 30
"""Bytes of a recording."""
PARTS: Final = ("model", "tools", "system", "messages")
"""What is compared one by one, so that a changed prompt is told from a changed market; the rest counts as terms."""
TOLD: Final = 3
"""Wakes without an answer that a sentence names."""


class RecordingOwner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The book that a recording belongs to, and when (ms, wall time) it was made: books of one market share a name."""

    book: str
    made_at: int


NOBODYS: Final = RecordingOwner("", 0)


class RecordedCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call as it is kept; `parts` are digests of what was asked. Either `reply` or `trouble` is there."""

    wake: int
    turn: int
    took_ms: int
    parts: dict[str, str]
    request: msgspec.Raw
    reply: Reply | None = None
    trouble: Trouble | None = None


class Lost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What earlier processes had spent (USD) and died with, as it was told with the decision on a wake."""

    lost_usd: Decimal
    wake: int


class Missing(msgspec.Struct, frozen=True):
    """A request that the recording holds no answer to, and why."""

    wake: int
    turn: int
    why: str


class CallRecorder:
    """Asks somebody else, and writes down what came of it."""

    def __init__(
        self,
        path: Path,
        messages: Messages,
        clock: Clock,
        redact: Callable[[str], str] = scrub,
        whose: RecordingOwner = NOBODYS,
    ) -> None:
        """Opens the file, or goes on with that of the same book. Raises SettingsError."""
        self._messages = messages
        self._clock = clock
        self._redact = redact
        self._file = _private(path, whose)
        self._writes = True

    def __enter__(self) -> "CallRecorder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def create(self, request: Request) -> Reply | Trouble:
        """One call."""
        began = self._clock.wall_ms()
        try:
            answer = await self._messages.create(request)
        except asyncio.CancelledError:
            # Whoever waited has given up: in a replay, too, no answer is to come in time.
            self._write(request, began, Trouble(CauseKind.TIMEOUT, "given up while it was under way"))
            raise
        self._write(request, began, answer)
        return answer

    def lose(self, wake: int, usd: Decimal) -> None:
        """What earlier processes died with is told with the decision on a wake: a replay tells it, too."""
        self._append(Lost(usd, wake))

    def close(self) -> None:
        """End the file."""
        os.close(self._file)

    def _write(self, request: Request, began: float, answer: Reply | Trouble) -> None:
        body = self._redact(_canonical(request.body))
        line = RecordedCall(
            request.wake,
            request.turn,
            round(self._clock.wall_ms() - began),
            _parts(msgspec.json.decode(body)),
            msgspec.Raw(body.encode()),
            reply=answer if isinstance(answer, Reply) else None,
            trouble=answer if isinstance(answer, Trouble) else None,
        )
        self._append(line)

    def _append(self, line: RecordedCall | Lost) -> None:
        data = self._redact(msgspec.json.encode(line).decode()).encode() + b"\n"
        if self._writes:
            # A decision is worth more than its record: where the disk takes no more, the run goes on without one.
            try:
                self._writes = os.write(self._file, data) == len(data)
            except OSError:
                self._writes = False
            if not self._writes:
                log.error("the recording of decisions ends with %s: the disk takes no more", asked_for(line.wake))


class Recording:
    """What was recorded, to be asked in the place of a model."""

    def __init__(self, lines: list[RecordedCall | Lost], redact: Callable[[str], str] = scrub) -> None:
        self._calls: dict[int, dict[int, RecordedCall]] = {}
        self._lost: dict[int, Decimal] = {}
        self._redact = redact
        self.missing: list[Missing] = []
        """The requests so far that no answer was there for."""
        for line in lines:
            # A wake that was asked about anew, after a crash, counts as it was answered last.
            if isinstance(line, Lost):
                self._lost[line.wake] = line.lost_usd
                continue
            if line.turn == 0:
                self._calls[line.wake] = {}
            self._calls.setdefault(line.wake, {})[line.turn] = line

    @classmethod
    def read(cls, path: Path, redact: Callable[[str], str] = scrub) -> "Recording":
        """The recording of a file. A last line that was cut off is left out. Raises SettingsError."""
        try:
            *lines, _cut_off = read_file(path, LARGEST, link=True).split(b"\n")
            # What an earlier version wrote has no first line of its own.
            calls = lines[1:] if lines and _whose(lines[0]) is not None else lines
            return cls([_decode(line) for line in calls], redact)
        except OSError as error:
            raise SettingsError(
                f"{path} cannot be read ({error.strerror}); expected a recording of decisions"
            ) from None
        except FileRefused as error:
            raise SettingsError(str(error)) from None
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise SettingsError(f"{path} is no recording of decisions: {error}; expected what --record wrote") from None

    def lost(self, wake: int) -> Decimal:
        """What earlier processes had died with (USD), as it was told with the decision on a wake."""
        return self._lost.get(wake, ZERO)

    async def create(self, request: Request) -> Reply | Trouble:
        """The answer to the same request at the same place, as it came then."""
        calls = self._calls.get(request.wake, {})
        call = calls.get(request.turn)
        why = self._differs(call, request) if call is not None else "nothing was asked there"
        answer = (call.reply or call.trouble) if call is not None else None
        if isinstance(answer, Trouble) and answer.kind in RETRIED:
            # Nobody waits again; whether it was worth waiting for then is told by what followed.
            answer = msgspec.structs.replace(answer, retry_after_s=0 if request.turn + 1 in calls else math.inf)
        if why or answer is None:
            self.missing.append(Missing(request.wake, request.turn, why))
            return Trouble(CauseKind.NOT_RECORDED, f"{asked_for(request.wake)}, call {request.turn}: {why}")
        return answer

    def unanswered(self) -> dict[int, str]:
        """The wakes so far without an answer to some request, each with why it had none at first."""
        return {each.wake: each.why for each in reversed(self.missing) if each.wake > 0}

    def in_words(self) -> str:
        """One sentence on what had no answer, the first few wakes with the reason; empty where all had one."""
        wakes = sorted(self.unanswered().items())
        entries = len({each.wake for each in self.missing if each.wake < 0})
        told = [f"wake {wake}: {why}" for wake, why in wakes[:TOLD]]
        told += [f"and {len(wakes) - TOLD} more"] if len(wakes) > TOLD else []
        told += [f"{entries} of its diary's entries"] if entries else []
        return f"the recording had no answer for {_counted(len(wakes), 'wake')}; {'; '.join(told)}" if told else ""

    def _differs(self, call: RecordedCall, request: Request) -> str:
        parts = _parts(msgspec.json.decode(self._redact(_canonical(request.body))))
        other = [name for name in parts if parts[name] != call.parts.get(name)]
        return f"{' and '.join(other)} differ from what was asked then" if other else ""


_decode_call = msgspec.json.Decoder(RecordedCall).decode
_decode_lost = msgspec.json.Decoder(Lost).decode


def _decode(line: bytes) -> RecordedCall | Lost:
    return _decode_lost(line) if line.startswith(b'{"lost_usd"') else _decode_call(line)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _canonical(body: dict[str, Any]) -> str:
    return msgspec.json.encode(body, order="sorted").decode()


def _parts(body: dict[str, Any]) -> dict[str, str]:
    terms = {name: value for name, value in body.items() if name not in PARTS}
    whole = {name: body.get(name) for name in PARTS} | {"terms": terms}
    return {
        name: hashlib.sha256(msgspec.json.encode(unmarked(value), order="sorted")).hexdigest()[:16]
        for name, value in whole.items()
    }


def _private(path: Path, whose: RecordingOwner) -> int:
    """Open a file that nobody else may read and that is this book's. Raises SettingsError."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        if problem := _problem(path, file, whose):
            raise SettingsError(f"{path} {problem}")
        if not os.fstat(file).st_size:
            os.write(file, msgspec.json.encode(whose) + b"\n")
    except OSError as error:
        os.close(file)
        raise _unwritable(path, error) from None
    except SettingsError:
        os.close(file)
        raise
    return file


def _problem(path: Path, file: int, whose: RecordingOwner) -> str:
    """Why an open file is not to be gone on with, or nothing."""
    found = os.fstat(file)
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        return "is no plain file; expected a file of yours; name another file"
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}; expected a file of yours; name another file"
    if mode & 0o077:
        return f"is open to other users (mode {mode:04o}); expected 0600; make it so: chmod 600 {path}"
    if not found.st_size:
        return ""
    if os.pread(file, 1, found.st_size - 1) != b"\n":
        return "ends in the middle of a line; expected a whole recording to go on with; name another file"
    before = _whose(os.pread(file, LONGEST_FIRST_LINE, 0).partition(b"\n")[0])
    if before is None:
        return (
            "names no book in its first line, so it may be another's; expected a new file, or the recording of this "
            "very book; name another file (--decisions replays this one all the same)"
        )
    if before != whose:
        return (
            f"is the recording of another book ({before.book}, made {iso(before.made_at)}), and two in one file replay "
            "as neither; expected a new file, or the recording of this very book; name another file"
        )
    return ""


def _whose(line: bytes) -> RecordingOwner | None:
    """The book that a first line names, if it names one."""
    try:
        return msgspec.json.decode(line, type=RecordingOwner)
    except (msgspec.MsgspecError, UnicodeError):
        return None


def _unwritable(path: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"{path} cannot be written ({error.strerror}); expected a file of yours for a recording of decisions"
    )

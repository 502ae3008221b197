"""A file of the model's requests and answers, and the replay of a run from it without a network.

The first line names the book, and only a run of that book may append to the file: otherwise one wake would have two
answers. Each further line is JSON: a call, or the spending of a process that died. Keys and tokens are removed before
anything is written, and only the owner can read the file. A replay finds an answer by wake, call number and content of
the request; if the content differs, the request counts as not recorded. Cache breakpoints are not compared: they change
the cost, which is recorded, but not the answer.
"""

import asyncio
import hashlib
import logging
import math
import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from ocw_mcp.adapters.files import FileRefused, read_file
from ocw_mcp.agent.client import scrub
from ocw_mcp.agent.messages import RETRIED, Messages, Reply, Request, Trouble, request_name, without_cache_control
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.protocols import Clock
from ocw_mcp.domain.time import iso

log = logging.getLogger(__name__)

LONGEST_FIRST_LINE: Final = 1_000
LARGEST: Final = 1 << 30
"""Largest size of a recording, in bytes."""
PARTS: Final = ("model", "tools", "system", "messages")
"""The parts of a request that are compared one by one, so that a mismatch names the changed part. The other fields are
compared together as `terms`."""
LISTED_WAKES: Final = 3
"""Largest number of unanswered wakes that the summary lists."""


class RecordingOwner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The book of a recording, by its name and its creation time (ms, real time): books of one market have one name."""

    book: str
    made_at: int


NO_OWNER: Final = RecordingOwner("", 0)


class RecordedCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recorded call: digests of the request's parts, and either `reply` or `trouble`."""

    wake: int
    turn: int
    took_ms: int
    parts: dict[str, str]
    request: msgspec.Raw
    reply: Reply | None = None
    trouble: Trouble | None = None


class LostSpending(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Spending (USD) of processes that died before they reported it; the decision on `wake` reported it instead."""

    lost_usd: Decimal
    wake: int


class Missing(msgspec.Struct, frozen=True):
    """A request that the recording cannot answer, and the reason."""

    wake: int
    turn: int
    why: str


class CallRecorder(AbstractContextManager["CallRecorder"]):
    """A wrapper around `Messages` that appends each call to a file."""

    def __init__(
        self,
        path: Path,
        messages: Messages,
        clock: Clock,
        redact: Callable[[str], str] = scrub,
        owner: RecordingOwner = NO_OWNER,
    ) -> None:
        """Create the file, or open it if it is a recording of the book `owner`. Raises SettingsError."""
        self._messages = messages
        self._clock = clock
        self._redact = redact
        self._file = _open_private(path, owner)
        self._writes = True

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        os.close(self._file)

    async def create(self, request: Request) -> Reply | Trouble:
        """Return the answer of the wrapped `Messages`, and record it."""
        began = self._clock.wall_ms()
        try:
            answer = await self._messages.create(request)
        except asyncio.CancelledError:
            # The caller stopped waiting, so a replay must not answer in time either.
            self._write(request, began, Trouble(CauseKind.TIMEOUT, "cancelled while it was under way"))
            raise
        self._write(request, began, answer)
        return answer

    def record_lost(self, wake: int, usd: Decimal) -> None:
        """Record that a wake's decision reports lost spending, so that a replay reports it, too."""
        self._append(LostSpending(usd, wake))

    def _write(self, request: Request, began: float, answer: Reply | Trouble) -> None:
        body = _canonical(request.body, self._redact)
        took_ms, parts = round(self._clock.wall_ms() - began), _parts(body)
        line = RecordedCall(request.wake, request.turn, took_ms, parts, msgspec.Raw(body.encode()))
        of_kind = {"reply": answer} if isinstance(answer, Reply) else {"trouble": answer}
        self._append(msgspec.structs.replace(line, **of_kind))

    def _append(self, line: RecordedCall | LostSpending) -> None:
        data = self._redact(msgspec.json.encode(line).decode()).encode() + b"\n"
        if self._writes:
            # A decision is worth more than its record: if the disk is full, the run continues without one.
            try:
                self._writes = os.write(self._file, data) == len(data)
            except OSError:
                self._writes = False
            if not self._writes:
                log.error("the recording of decisions ends with %s: the disk is full", request_name(line.wake))


class Recording:
    """Recorded answers, which a replay gets in place of answers of the model."""

    def __init__(self, lines: list[RecordedCall | LostSpending], redact: Callable[[str], str] = scrub) -> None:
        self._calls: dict[int, dict[int, RecordedCall]] = {}
        self._lost: dict[int, Decimal] = {}
        self._redact = redact
        self.missing: list[Missing] = []
        """The requests so far without a recorded answer."""
        for line in lines:
            # If a wake was decided again after a crash, the last answers count.
            if isinstance(line, LostSpending):
                self._lost[line.wake] = line.lost_usd
                continue
            if line.turn == 0:
                self._calls[line.wake] = {}
            self._calls.setdefault(line.wake, {})[line.turn] = line

    @classmethod
    def read(cls, path: Path, redact: Callable[[str], str] = scrub) -> "Recording":
        """Read a recording from a file; an incomplete last line is ignored. Raises SettingsError."""
        try:
            *lines, _incomplete = read_file(path, LARGEST, link=True).split(b"\n")
            # Files of an earlier version have no owner in the first line.
            begins = 1 if lines and _owner(lines[0]) is not None else 0
            return cls([_decode(line) for line in lines[begins:]], redact)
        except OSError as error:
            problem = f"{path} cannot be read ({error.strerror}); expected a recording of decisions"
        except FileRefused as error:
            problem = str(error)
        except (msgspec.MsgspecError, UnicodeError) as error:
            problem = f"{path} is no recording of decisions: {error}; expected a file of --record"
        raise SettingsError(problem)

    def lost_usd(self, wake: int) -> Decimal:
        """Return the lost spending (USD) that the decision on a wake reported."""
        return self._lost.get(wake, ZERO)

    async def create(self, request: Request) -> Reply | Trouble:
        """Return the recorded answer to the same request at the same wake and call number, or else NOT_RECORDED."""
        calls = self._calls.get(request.wake, {})
        answer, why = None, "no such call was recorded"
        if (call := calls.get(request.turn)) is not None:
            parts = _parts(_canonical(request.body, self._redact))
            other = " and ".join(name for name in parts if parts[name] != call.parts.get(name))
            answer, why = call.reply or call.trouble, f"{other} differ from the recorded request" if other else ""
        if why or answer is None:
            self.missing.append(Missing(request.wake, request.turn, why))
            return Trouble(CauseKind.NOT_RECORDED, f"{request_name(request.wake)}, call {request.turn}: {why}")
        if isinstance(answer, Trouble) and answer.kind in RETRIED:
            # A replay does not wait: it retries at once if a further call was recorded, and else never.
            return msgspec.structs.replace(answer, retry_after_s=0 if request.turn + 1 in calls else math.inf)
        return answer

    def unanswered_wakes(self) -> dict[int, str]:
        """Return, for each wake with an unanswered request, the reason of the first one."""
        return {each.wake: each.why for each in reversed(self.missing) if each.wake > 0}

    def unanswered_text(self) -> str:
        """Return a sentence with the number of unanswered wakes and the first reasons; empty if there are none."""
        wakes = sorted(self.unanswered_wakes().items())
        entries = len({each.wake for each in self.missing if each.wake < 0})
        parts = [f"wake {wake}: {why}" for wake, why in wakes[:LISTED_WAKES]]
        parts += [f"and {len(wakes) - LISTED_WAKES} more"] if len(wakes) > LISTED_WAKES else []
        parts += ["1 diary entry" if entries == 1 else f"{entries} diary entries"] if entries else []
        count = "1 wake" if len(wakes) == 1 else f"{len(wakes)} wakes"
        return f"the recording had no answer for {count}; {'; '.join(parts)}" if parts else ""


def _decode(line: bytes) -> RecordedCall | LostSpending:
    names = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    if "lost_usd" in names:
        return msgspec.json.decode(line, type=LostSpending)
    return msgspec.json.decode(line, type=RecordedCall)


def _canonical(body: dict[str, Any], redact: Callable[[str], str]) -> str:
    return redact(msgspec.json.encode(body, order="sorted").decode())


def _parts(canonical: str) -> dict[str, str]:
    """Return the digests of the parts of a request."""
    body = msgspec.json.decode(canonical)
    terms = {name: value for name, value in body.items() if name not in PARTS}
    whole = {name: body.get(name) for name in PARTS} | {"terms": terms}
    return {
        name: hashlib.sha256(msgspec.json.encode(without_cache_control(value), order="sorted")).hexdigest()[:16]
        for name, value in whole.items()
    }


def _open_private(path: Path, owner: RecordingOwner) -> int:
    """Open a file of this book that only its owner can read, and return its descriptor. Raises SettingsError."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        try:
            if problem := _problem(path, file, owner):
                raise SettingsError(f"{path} {problem}")
            if not os.fstat(file).st_size:
                os.write(file, msgspec.json.encode(owner) + b"\n")
        except BaseException:
            os.close(file)
            raise
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written ({error.strerror}); expected a file that you may write; name another file"
        ) from None
    return file


def _problem(path: Path, file: int, owner: RecordingOwner) -> str:
    """Return why nothing may be appended to an open file, and what to do; empty if appending is allowed."""
    found = os.fstat(file)
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        return "is not a regular file; expected a file of yours; name another file"
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}; expected a file of yours; name another file"
    if mode & 0o077:
        return f"is open to other users (mode {mode:04o}); expected 0600; run: chmod 600 {path}"
    if not found.st_size:
        return ""
    if os.pread(file, 1, found.st_size - 1) != b"\n":
        return "ends in the middle of a line; expected a complete recording; name another file"
    before = _owner(os.pread(file, LONGEST_FIRST_LINE, 0).partition(b"\n")[0])
    if before is None:
        return (
            "names no book in its first line, so it may be another's; expected a new file, or the recording of this "
            "book; name another file (--decisions can still replay this one)"
        )
    if before != owner:
        return (
            f"is the recording of another book ({before.book}, made {iso(before.made_at)}), and a file of two books "
            "cannot be replayed; expected a new file, or the recording of this book; name another file"
        )
    return ""


def _owner(line: bytes) -> RecordingOwner | None:
    try:
        return msgspec.json.decode(line, type=RecordingOwner)
    except (msgspec.MsgspecError, UnicodeError):
        return None

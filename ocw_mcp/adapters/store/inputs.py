"""The inputs of a live book since its last checkpoint, from which a restart repeats the steps after it.

An input is what the engine took from outside: a frame, a timer that fired, a decision, a command, a request, or a
report of an exchange. The rows are written in the transaction of the events that the inputs caused, and deleted in the
transaction of the next checkpoint.
"""

from collections.abc import Iterator
from typing import Any, Final, get_args

import msgspec
from sqlite_utils import Database

from ocw_mcp.domain import steps
from ocw_mcp.domain.errors import JournalError
from ocw_mcp.domain.protocols import StoredInput

INPUTS: Final = """CREATE TABLE IF NOT EXISTS inputs (
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, payload BLOB NOT NULL)"""
_HAS_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'inputs'"
_ADD: Final = "INSERT INTO inputs (number, at, kind, payload) VALUES (?, ?, ?, ?)"
_CLEAR: Final = "DELETE FROM inputs"
_ALL: Final = "SELECT at, kind, payload FROM inputs ORDER BY number"

_encode = msgspec.msgpack.Encoder().encode
_decoders: Final[dict[str, msgspec.msgpack.Decoder[Any]]] = {
    kind.__name__: msgspec.msgpack.Decoder(kind) for kind in get_args(steps.StepEvent)
}
"""The decoder of each kind of input by its name, which is stored with the input."""


def encode_input(event: steps.StepEvent) -> tuple[str, bytes]:
    """Return the kind of an input, which is the name of its class, and its stored form."""
    return type(event).__name__, _encode(event)


def decode_input(kind: str, payload: bytes) -> steps.StepEvent:
    """Return a stored input. Raises msgspec's errors, also for a kind that this version does not know."""
    if (decoder := _decoders.get(kind)) is None:
        raise msgspec.ValidationError(f"there is no kind of input {kind!r}")
    event: steps.StepEvent = decoder.decode(payload)
    return event


class InputLog:
    """The inputs of one book; it creates their table in a book of an earlier version."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._rows: list[tuple[int, int, str, bytes]] = []
        self._cut = False
        if db.execute(_HAS_TABLE).fetchone() is None:
            with db.atomic():
                db.conn.execute(INPUTS)
        (last,) = db.execute("SELECT MAX(number) FROM inputs").fetchone()
        self._next = (last or 0) + 1
        self.unread = bool(last)
        """Whether the book has inputs that this process has not repeated."""

    @property
    def waiting(self) -> bool:
        """Whether inputs wait for a commit."""
        return bool(self._rows)

    def add(self, at: int, kind: str, payload: bytes) -> None:
        """Add an input that was taken at `at` (ms) to the current transaction."""
        self._rows.append((self._next, at, kind, payload))
        self._next += 1

    def cut(self) -> None:
        """Drop the inputs so far: the checkpoint of the current transaction includes their effects."""
        self._rows.clear()
        self._cut = True

    def write(self) -> None:
        """Write the waiting inputs in the transaction that the caller has opened. Raises sqlite3.Error."""
        if self._cut:
            self._db.conn.execute(_CLEAR)
        if self._rows:
            self._db.conn.executemany(_ADD, self._rows)

    def on_committed(self) -> None:
        """Forget the inputs that are durable now."""
        self._rows.clear()
        if self._cut:
            self._cut = self.unread = False

    def rows(self) -> list[tuple[int, str, bytes]]:
        """Return time (ms), kind and stored form of the committed inputs, in order. Raises sqlite3.Error."""
        return self._db.execute(_ALL).fetchall()

    def stored(self) -> Iterator[StoredInput]:
        """Yield the committed inputs in order. Raises JournalError for one that this version does not know."""
        self.unread = False
        for at, kind, payload in self.rows():
            try:
                yield StoredInput(at, decode_input(kind, payload))
            except msgspec.MsgspecError as error:
                raise JournalError(
                    f"the input log has an entry that this version cannot read ({error}); continue with the version "
                    "that wrote it, stop it with Ctrl-C, and then start this version"
                ) from None

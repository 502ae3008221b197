"""The inputs of a live book since its last checkpoint, from which a restart repeats the steps after it.

An input is what the engine took from outside: a frame, a timer that fired, a decision, a command, a request, or a
report of an exchange. The rows are written in the transaction of the events that the inputs caused, and deleted in the
transaction of the next checkpoint.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from sqlite_utils import Database

from ocw_mcp.domain import orders, steps
from ocw_mcp.domain.errors import JournalError
from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.protocols import StoredInput

INPUTS: Final = """CREATE TABLE IF NOT EXISTS inputs (
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, payload BLOB NOT NULL)"""
_HAS_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'inputs'"
_ADD: Final = "INSERT INTO inputs (number, at, kind, payload) VALUES (?, ?, ?, ?)"
_CLEAR: Final = "DELETE FROM inputs"
_ALL: Final = "SELECT at, kind, payload FROM inputs ORDER BY number"

_KINDS: Final[dict[str, Any]] = {
    kind.__name__: kind
    for kind in (
        Frame,
        steps.TimerFired,
        steps.DecisionReady,
        steps.DecisionFailed,
        steps.DecisionSubmitted,
        steps.Command,
        steps.Asked,
        steps.RunEnds,
        steps.RegimeFitted,
        steps.MacroSeen,
        steps.ContextSeen,
        orders.Accepted,
        orders.Rejected,
        orders.OutcomeUnknown,
        orders.Filled,
        orders.Canceled,
        orders.CancelRefused,
        orders.Triggered,
        orders.AccountSeen,
        orders.Throttled,
        orders.VenueNotice,
        orders.FundingPaid,
        orders.OutsideFill,
        orders.Transferred,
    )
}
"""The class of each kind of input by its name, which is stored with the input."""
_encode = msgspec.msgpack.Encoder().encode
_decoders: Final[dict[str, msgspec.msgpack.Decoder[Any]]] = {
    name: msgspec.msgpack.Decoder(kind) for name, kind in _KINDS.items()
}


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

    @property
    def waiting(self) -> bool:
        """Whether inputs wait for a commit."""
        return bool(self._rows)

    def add(self, at: int, event: steps.StepEvent) -> None:
        """Add an input that was taken at `at` (ms) to the current transaction."""
        self._rows.append((self._next, at, type(event).__name__, _encode(event)))
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
        self._cut = False

    def stored(self) -> Iterator[StoredInput]:
        """Yield the committed inputs in order. Raises JournalError for one that this version does not know."""
        for at, kind, payload in self._db.execute(_ALL).fetchall():
            decoder = _decoders.get(kind)
            try:
                if decoder is None:
                    raise msgspec.ValidationError(f"there is no kind of input {kind!r}")
                yield StoredInput(at, decoder.decode(payload))
            except msgspec.MsgspecError as error:
                raise JournalError(
                    f"the input log has an entry that this version cannot read ({error}); continue with the version "
                    "that wrote it, stop it with Ctrl-C, and then start this version"
                ) from None

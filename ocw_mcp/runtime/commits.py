"""Makes what was recorded durable. Where the disk takes nothing, it is kept in memory and goes with a later commit."""

from collections.abc import Callable
from typing import Any

from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.errors import JournalError
from ocw_mcp.domain.orders import NOT_JOURNALED, OrderRef, Rejected
from ocw_mcp.domain.protocols import Checkpoint, Store

COMMIT_EVERY = 256
"""Events that may wait for a commit while nothing is sent."""
MOST_KEPT = 50_000
"""Events that are kept in memory for a disk that takes nothing; beyond them the run stops."""


class Commits:
    """The commits of one run. A failing disk is told of once, and once more when it takes everything again."""

    def __init__(self, store: Store, summary: Callable[[], dict[str, Any]], tell: Callable[[str], None]) -> None:
        """`tell` hears in a sentence that the disk takes nothing, and that it does again."""
        self._store = store
        self._summary = summary
        self._tell = tell
        self._waiting = 0
        self._try_at = COMMIT_EVERY
        self._owed: set[OrderRef] = set()
        self.durable = True
        """Whether the disk took everything up to the last commit."""

    def recorded(self) -> None:
        """Another event waits."""
        self._waiting += 1

    def commit(self, checkpoint: Checkpoint | None = None) -> bool:
        """Make everything durable that waits, with what `ocw status` shows; whether the disk took it.

        Raises JournalError where more waits than may be kept.
        """
        if self._owed:
            # An order that was not sent becomes durable together with its rejection, or not at all: whoever reads
            # the journal after a crash must not find the one without the other.
            return False
        try:
            self._store.commit(checkpoint, self._summary())
        except JournalError as error:
            self._failed(error)
            return False
        if not self.durable:
            self._tell(f"the journal takes events again; {self._waiting} that were kept in memory are durable now")
        self._waiting, self._try_at, self.durable = 0, COMMIT_EVERY, True
        return True

    def commit_some(self) -> None:
        """Commit if much waits."""
        if self._waiting >= self._try_at:
            self.commit()

    def refuse(self, cleared: ClearedOrder) -> Rejected:
        """The answer to an order that may not be sent, since its intent is not durable; see `answered`."""
        ref = cleared.order.ref
        self._owed.add(ref)
        return Rejected(ref, NOT_JOURNALED, "the journal did not take its intent")

    def answered(self, ref: OrderRef) -> None:
        """The engine has taken the rejection of `refuse` in, and what it made of it is recorded."""
        self._owed.discard(ref)

    def last(self) -> None:
        """The commit of a run's end. Raises JournalError with what is lost."""
        try:
            self._store.commit()
        except JournalError as error:
            raise self._lost(error, "the run has ended") from error

    def _failed(self, error: JournalError) -> None:
        if self.durable:
            self._tell(f"{error}; until then no entry is sent, and what lowers risk is")
        self.durable = False
        self._try_at = self._waiting + COMMIT_EVERY
        if self._waiting > MOST_KEPT:
            raise self._lost(error, f"more than {MOST_KEPT:,} events wait for the disk, and the run stops") from error

    def _lost(self, error: JournalError, what: str) -> JournalError:
        return JournalError(
            f"{what}: its last {self._waiting:,} events are lost, since the journal did not take them "
            f"({error.__cause__ or error}); make room on the disk and start the same again: it goes on from the last "
            "event that was taken"
        )

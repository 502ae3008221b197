"""Makes recorded events durable. While the disk accepts nothing, they stay in memory for a later commit."""

from collections.abc import Callable
from typing import Any

from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.errors import JournalError
from ocw_mcp.domain.orders import NOT_JOURNALED, OrderRef, Rejected
from ocw_mcp.domain.protocols import Checkpoint, Store

COMMIT_EVERY = 256
"""Events after which a commit is made if no order was sent before."""
MOST_KEPT = 50_000
"""Events that are kept in memory while the disk accepts nothing; with more, the run stops."""


class Commits:
    """The commits of one run. A failing disk is reported once, and once more when it accepts everything again."""

    def __init__(self, store: Store, summary: Callable[[], dict[str, Any]], warn: Callable[[str], None]) -> None:
        """`warn` gets a sentence if the disk accepts nothing, and another when it does again."""
        self._store = store
        self._summary = summary
        self._warn = warn
        self.waiting = 0
        """The number of recorded events that wait for a commit."""
        self._try_at = COMMIT_EVERY
        self._unanswered: set[OrderRef] = set()
        self.durable = True
        """Whether the disk accepted everything up to the last commit."""

    def commit(self, checkpoint: Checkpoint | None = None) -> bool:
        """Make all waiting events durable. Return whether the disk took them. Raises JournalError if too many wait."""
        if self._unanswered:
            # An unsent order becomes durable together with its rejection or not at all: a run that resumes after a
            # crash must not find the order without the rejection.
            return False
        try:
            self._store.commit(checkpoint, self._summary())
        except JournalError as error:
            self._failed(error)
            return False
        if not self.durable:
            self._warn(
                f"the journal takes events again; the {self.waiting} events that were kept in memory are durable now"
            )
        self.waiting, self._try_at, self.durable = 0, COMMIT_EVERY, True
        return True

    def commit_some(self) -> None:
        """Commit if enough events wait."""
        if self.waiting >= self._try_at:
            self.commit()

    def refuse(self, cleared: ClearedOrder) -> Rejected:
        """Return the rejection of an order that may not be sent because its intent is not durable; see `answered`."""
        ref = cleared.order.ref
        self._unanswered.add(ref)
        return Rejected(ref, NOT_JOURNALED, "the journal did not take its intent")

    def answered(self, ref: OrderRef) -> None:
        """Note that the engine has taken the rejection of `refuse`, and that its events are recorded."""
        self._unanswered.discard(ref)

    def last(self) -> None:
        """Make the last commit of a run. Raises JournalError with the number of lost events."""
        try:
            self._store.commit()
        except JournalError as error:
            raise self._lost(error, "the run has ended") from error

    def _failed(self, error: JournalError) -> None:
        if self.durable:
            self._warn(f"{error}; until then no entry is sent, but reduce-only orders are")
        self.durable = False
        self._try_at = self.waiting + COMMIT_EVERY
        if self.waiting > MOST_KEPT:
            raise self._lost(error, f"more than {MOST_KEPT:,} events wait for the disk, and the run stops") from error

    def _lost(self, error: JournalError, event: str) -> JournalError:
        return JournalError(
            f"{event}: its last {self.waiting:,} events are lost, because the journal did not accept them "
            f"({error.__cause__ or error}); make room on the disk and start the same again: it continues after the "
            "last event in the journal"
        )

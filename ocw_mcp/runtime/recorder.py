"""Writes the journal. After a restart it first compares the engine's events with the journaled ones.

A resumed run starts from the latest checkpoint and repeats the steps after it. As long as the journal has events of
these steps, each event of the engine must equal the journaled one; it is compared and not written again. External input
is taken from the journal: commands and callers' requests after the same frame as before, and the rejections of orders
that were not sent because the disk had not accepted their intent.
"""

from collections import deque
from collections.abc import Callable
from decimal import Decimal

from ocw_mcp.domain.canonical import canonical
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.errors import JournalDiverged
from ocw_mcp.domain.events import CallerAsked, CommandTaken, DecisionMade, DomainEvent, OrderRejected, kind_of
from ocw_mcp.domain.orders import NOT_JOURNALED, OrderRef, Rejected
from ocw_mcp.domain.protocols import Store, StoredEvent
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.steps import Asked, Command
from ocw_mcp.domain.time import iso
from ocw_mcp.render.event_text import event_text
from ocw_mcp.runtime.thinking import DecisionOutput, discarded_usd, recall

Listener = Callable[[int, DomainEvent], None]
"""A function that gets each new event with its time (ms)."""


class EventRecorder:
    """Appends the engine's events to the journal, or compares them with it while a resumed run repeats its steps."""

    def __init__(self, store: Store, after_seq: int, listener: Listener | None = None) -> None:
        self._store = store
        self.listener = listener
        self._known: deque[StoredEvent] = deque(store.events_after(after_seq))
        self._unsent = {
            each.event.ref: Rejected(each.event.ref, each.event.code, each.event.text)
            for each in self._known
            if isinstance(each.event, OrderRejected) and each.event.code == NOT_JOURNALED
        }
        self.seq = after_seq
        """The sequence number of the last event from the engine."""

    @property
    def reading(self) -> bool:
        """Return whether the journal has further events to compare: the engine is still behind it."""
        return bool(self._known)

    def record(self, at: int, event: DomainEvent) -> bool:
        """Append an event, or compare it with the journaled one. Return whether it was appended.

        Raises JournalDiverged if the journal has another event in its place.
        """
        self.seq += 1
        if not self._known:
            self._store.append(at, event)
            if self.listener is not None:
                self.listener(at, event)
            return True
        known = self._known.popleft()
        if canonical(known.seq, known.at, known.event) != canonical(self.seq, at, event):
            raise JournalDiverged(
                f"event {known.seq} of the journal is {self._described(known.at, known.event)}, but the resumed run "
                f"made {self._described(at, event)}; start it with the agent, the policies and version of the last run"
            )
        return False

    def _described(self, at: int, event: DomainEvent) -> str:
        return f"{kind_of(event)} at {iso(at)} ({event_text(self._store.book, event)})"

    def known_unsent(self, ref: OrderRef) -> Rejected | None:
        """Return the rejection of an order that was not sent, from the journal; None if it has none."""
        return self._unsent.get(ref)

    def recall(self, request: DecisionRequest, decider: str) -> list[tuple[int, DecisionOutput]] | None:
        """Return the journaled output of a repeated decision, each with its time (ms); None if the journal has none."""
        return recall(self._known, request, decider)

    def known_decision(self, wake_id: int) -> Decision | None:
        """Return the journaled decision on a wake; None if the journal has none."""
        for each in self._known:
            if isinstance(each.event, DecisionMade) and each.event.wake_id == wake_id:
                return each.event.decision
        return None

    def discarded_usd(self, wake_id: int) -> Decimal:
        """Return the journaled cost (USD) of the discarded decisions on a wake."""
        return discarded_usd(self._known, wake_id)

    def known_input(self, after_frame: int) -> Command | Asked | None:
        """Return the next journaled command or request if it was taken after this frame (ms), else None."""
        match self._known[0].event if self._known else None:
            case CommandTaken(command_id, verb, by, at, subject) if at == after_frame:
                return Command(command_id, verb, by, at, subject)
            case CallerAsked(request, at) if at == after_frame:
                return Asked(request, at)
        return None

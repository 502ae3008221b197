"""Writes the journal, and after a restart first reads along.

A resumed run starts from the latest checkpoint and does again what was done after it. As long as the journal has events
from then, each one the engine gives must be the one that stands there; it is compared and not written again. What came
from outside is taken from the journal: commands and callers' requests at the very frame after which they came, and the
word that an order was not sent, since the disk had not taken its intent.
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
from ocw_mcp.runtime.thinking import Said, given_up_usd, recall

Listener = Callable[[int, DomainEvent], None]


class EventRecorder:
    """The journal as the shell sees it."""

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
        """Sequence of the last event that the engine gave."""

    @property
    def reading(self) -> bool:
        """Whether the journal still knows what comes next."""
        return bool(self._known)

    def record(self, at: int, event: DomainEvent) -> bool:
        """Append an event, or find it in the journal; whether it was appended.

        Raises JournalDiverged where the journal has another one.
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
                f"event {known.seq} of the journal is {self._told(known.at, known.event)}, but the resumed run came to "
                f"{self._told(at, event)}; start it with the agent, the policies and the version it was stopped with"
            )
        return False

    def _told(self, at: int, event: DomainEvent) -> str:
        return f"{kind_of(event)} at {iso(at)} ({event_text(self._store.book, event)})"

    def known_unsent(self, ref: OrderRef) -> Rejected | None:
        """What was said of an order that, as the journal knows, was not sent."""
        return self._unsent.get(ref)

    def recall(self, request: DecisionRequest, decider: str) -> list[tuple[int, Said]] | None:
        """What the journal has of a decision that is being done again; None where it has nothing."""
        return recall(self._known, request, decider)

    def known_decision(self, wake_id: int) -> Decision | None:
        """Return the journal's decision on a wake that is being repeated; None when the journal has none."""
        for each in self._known:
            if isinstance(each.event, DecisionMade) and each.event.wake_id == wake_id:
                return each.event.decision
        return None

    def given_up_usd(self, wake_id: int) -> Decimal:
        """What the journal knows that thinking had cost which was given up."""
        return given_up_usd(self._known, wake_id)

    def known_word(self, after_frame: int) -> Command | Asked | None:
        """The command or request that the journal has next, if it was taken after this frame."""
        match self._known[0].event if self._known else None:
            case CommandTaken(command_id, verb, by, at, subject) if at == after_frame:
                return Command(command_id, verb, by, at, subject)
            case CallerAsked(request, at) if at == after_frame:
                return Asked(request, at)
        return None

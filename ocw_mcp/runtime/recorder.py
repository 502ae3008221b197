"""Writes the journal, and after a restart first reads along.

A resumed run starts from the latest checkpoint and does again what was done after it. As long as the journal has events
from then, each one the engine gives must be the one that stands there; it is compared and not written again. A person's
commands and callers' requests came from outside: they are taken from the journal, at the frame after which they came.
"""

from collections import deque
from collections.abc import Callable

from ocw_mcp.domain.canonical import canonical
from ocw_mcp.domain.errors import JournalDiverged
from ocw_mcp.domain.events import CallerAsked, CommandTaken, DomainEvent
from ocw_mcp.domain.protocols import Store, StoredEvent
from ocw_mcp.domain.steps import Asked, Command
from ocw_mcp.domain.time import iso

Listener = Callable[[int, DomainEvent], None]


class Recorder:
    """The journal as the shell sees it."""

    def __init__(self, store: Store, after_seq: int, listener: Listener | None = None) -> None:
        self._store = store
        self._listener = listener
        self._known: deque[StoredEvent] = deque(store.events_after(after_seq))
        self.seq = after_seq
        """Sequence of the last event that the engine gave."""

    @property
    def reading(self) -> bool:
        """Whether the journal still knows what comes next."""
        return bool(self._known)

    def record(self, at: int, event: DomainEvent) -> None:
        """Append an event, or find it in the journal.

        Raises JournalDiverged where the journal has another one.
        """
        self.seq += 1
        if not self._known:
            self._store.append(at, event)
            if self._listener is not None:
                self._listener(at, event)
            return
        known = self._known.popleft()
        if canonical(known.seq, known.at, known.event) != canonical(self.seq, at, event):
            raise JournalDiverged(
                f"event {known.seq} of the journal is {known.event!r} at {iso(known.at)}, but the resumed run came to "
                f"{event!r} at {iso(at)}; start it with the agent, the policies and the version it was stopped with"
            )

    def known_word(self, after_frame: int) -> Command | Asked | None:
        """The command or request that the journal has next, if it was taken after this frame."""
        match self._known[0].event if self._known else None:
            case CommandTaken(command_id, verb, by, at) if at == after_frame:
                return Command(command_id, verb, by, at)
            case CallerAsked(request, at) if at == after_frame:
                return Asked(request, at)
        return None

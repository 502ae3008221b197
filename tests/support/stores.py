"""A store in memory that simulates a crash: uncommitted events are lost."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ocw_mcp.domain.canonical import GENESIS, canonical, chain
from ocw_mcp.domain.errors import JournalError
from ocw_mcp.domain.events import DomainEvent, JournalEvent, LifecycleEvent
from ocw_mcp.domain.protocols import Checkpoint, StoredEvent, StoredInput
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.steps import StepEvent


class Crash(BaseException):
    """The simulated crash of a process; no code catches it."""


class MemoryStore:
    """A journal in lists. The process crashes at touch number `die_at`; appends and commits are touches."""

    book = "mem000"

    def __init__(
        self,
        committed: Iterable[tuple[int, JournalEvent]] = (),
        checkpoint: Checkpoint | None = None,
        inputs: Iterable[StoredInput] = (),
    ) -> None:
        self._committed = list(committed)
        self._pending: list[tuple[int, JournalEvent]] = []
        self._checkpoint = checkpoint
        self._inputs = list(inputs)
        self._new_inputs: list[StoredInput] = []
        self._touches = 0
        self._written = 0
        self._states: list[int] = []
        self.die_at: int | None = None
        self._summarise: Callable[[], Any] = dict
        self.commits = 0
        self.seen: dict[int, Snapshot] = {}

    @property
    def domain(self) -> list[StoredEvent]:
        rows = [row for row in self._committed + self._pending if not row[1].__class__.__name__.startswith("Run")]
        return [StoredEvent(seq, at, event) for seq, (at, event) in enumerate(rows, 1)]  # type: ignore[arg-type]

    @property
    def touches(self) -> int:
        return self._touches

    @property
    def last_seq(self) -> int:
        return len(self.domain)

    @property
    def fingerprint(self) -> str:
        digest = GENESIS
        for stored in self.domain:
            digest = chain(digest, canonical(stored.seq, stored.at, stored.event))
        return digest

    @property
    def chain_head(self) -> str:
        return self.fingerprint

    def put_checkpoint(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    def append(self, at: int, event: DomainEvent) -> int:
        self._touch()
        self._pending.append((at, event))
        return 0

    def note(self, at: int, event: LifecycleEvent) -> None:
        self._pending.append((at, event))

    def log_input(self, at: int, event: StepEvent) -> None:
        self._new_inputs.append(StoredInput(at, event))

    def inputs(self) -> Iterator[StoredInput]:
        yield from self._inputs

    def keep(self, wake_id: int, snapshot: Snapshot) -> None:
        self.seen[wake_id] = snapshot

    def commit(self, checkpoint: Checkpoint | None = None, summarise: Callable[[], Any] | None = None) -> None:
        self._touch()
        self._written += bool(self._pending or checkpoint)
        self._committed += self._pending
        self._pending = []
        self._checkpoint = checkpoint or self._checkpoint
        self._inputs = [] if checkpoint is not None else [*self._inputs, *self._new_inputs]
        self._new_inputs = []
        self._summarise = summarise or self._summarise
        self.commits += 1
        self._touch()

    @property
    def summary(self) -> Any:
        """The summary, computed when it is read: most tests never read it."""
        return self._summarise()

    def checkpoint(self) -> Checkpoint | None:
        return self._checkpoint

    def events_after(self, seq: int) -> Iterator[StoredEvent]:
        yield from self.domain[seq:]

    def all_events(self) -> Iterator[tuple[int, JournalEvent]]:
        yield from self._committed

    def events(self, kind: type) -> list[Any]:
        return [stored.event for stored in self.domain if isinstance(stored.event, kind)]

    def reopened(self) -> "MemoryStore":
        """Return the store as the next process reads it."""
        return MemoryStore(self._committed, self._checkpoint, self._inputs)

    def without_checkpoint(self) -> "MemoryStore":
        """Return the store as the next process reads it after a crash before the first checkpoint."""
        return MemoryStore(self._committed)

    def close(self) -> None:
        pass

    def crash_moments(self, after: int = 0) -> list[int]:
        """Return one touch (after touch `after`) per state of the disk that a crash of this run can leave behind.

        A resumed run reads only what was committed, so crashes between the same two commits look the same to it.
        The touches returned are in turn the first, a middle one and the last of their state.
        """
        groups: dict[int, list[int]] = {}
        for moment, state in enumerate(self._states, 1):
            if moment > after:
                groups.setdefault(state, []).append(moment)
        return [moments[(len(moments) - 1) * (number % 3) // 2] for number, moments in enumerate(groups.values())]

    @property
    def written(self) -> int:
        """The number of commits that changed the disk."""
        return self._written

    def _touch(self) -> None:
        self._touches += 1
        self._states.append(self._written)
        if self.die_at == self._touches:
            raise Crash


class FullFor(MemoryStore):
    """A store on a full disk: commits fail from one domain event of the run to another."""

    def __init__(self, first: int, last: int = 1 << 30) -> None:
        super().__init__()
        self._full = range(first, last + 1)
        self.mended_at: int | None = None
        """Number of touches at the first commit that succeeded again."""

    def commit(self, checkpoint: Checkpoint | None = None, summarise: Callable[[], Any] | None = None) -> None:
        if self.last_seq in self._full:
            raise JournalError("the journal did not take it: the disk is full; make room")
        super().commit(checkpoint, summarise)
        if self.mended_at is None and self.last_seq > self._full[-1]:
            self.mended_at = self.touches

"""Replays a recording: the inputs of a live book at their times, with nothing sent and nothing asked.

Decisions are inputs, so no agent decides, and the reports of an exchange are inputs, so none is asked. A replay has the
options of each recorded process. It must reach the recorded fingerprint; where it does not, it says after which input.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from ocw_mcp.domain.canonical import GENESIS, canonical, chain
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.events import DomainEvent, JournalEvent, LifecycleEvent, kind_of
from ocw_mcp.domain.orders import NOT_JOURNALED, OrderRef, Rejected
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.protocols import Checkpoint, ExchangeVenue, SimulatedVenue, StoredEvent, StoredInput
from ocw_mcp.domain.recordings import Recorded, RecordedMark, RecordedStart, RecordedState, RecordedUnsent
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.steps import StepEvent
from ocw_mcp.domain.text import printable
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.step import Engine
from ocw_mcp.runtime.clock import LiveClock
from ocw_mcp.runtime.deciders import NoDecider
from ocw_mcp.runtime.live_steps import LiveSteps
from ocw_mcp.runtime.recorder import EventRecorder, Listener
from ocw_mcp.runtime.shell import Shell

MakeVenue = Callable[[RecordedStart], SimulatedVenue | ExchangeVenue]
"""Returns the venue of a replay: the paper venue, or one that takes no orders for a book on an exchange."""


class Gap(msgspec.Struct, frozen=True):
    """The recording goes on with a state that its inputs do not lead to: the book ran without the recorder."""

    number: int
    at: int
    seq_before: int
    seq_after: int


class Difference(msgspec.Struct, frozen=True):
    """The first mark with another fingerprint than the replay, and the inputs and events since the last equal one."""

    number: int
    """The number of the entry with the mark."""
    at: int
    after_seq: int
    """The last event that is known to be equal."""
    recorded_seq: int
    replayed_seq: int
    replayed: list[str]
    """Kinds of the events that the replay made since then, at most the first ten."""


class ReplayedBook(msgspec.Struct):
    """What a replay found."""

    book: str = ""
    inputs: dict[str, int] = {}
    """The number of inputs of each kind."""
    events: dict[str, int] = {}
    """The number of events of each kind that the replay made."""
    starts: list[RecordedStart] = []
    first_at: int | None = None
    last_at: int | None = None
    seq: int = 0
    fingerprint: str = GENESIS
    recorded_fingerprint: str = GENESIS
    gaps: list[Gap] = []
    difference: Difference | None = None

    recorded_seq: int = 0
    """The last event that the recording has the fingerprint of; a process that died had journaled no later one."""

    @property
    def same(self) -> bool:
        """Whether every recorded fingerprint was reached."""
        return self.difference is None


class _Events:
    """A store that keeps only the fingerprint, and those since the last mark."""

    def __init__(self, listener: Listener | None) -> None:
        self.book = ""
        self.last_seq = 0
        self.fingerprint = GENESIS
        self.kinds: Counter[str] = Counter()
        self._listener = listener
        self.equal_seq = 0
        """The last event that is known to be as recorded."""
        self.since: dict[int, tuple[str, str]] = {}
        """Fingerprint and kind of each event since then, by sequence number."""

    @property
    def chain_head(self) -> str:
        return self.fingerprint

    def begin_at(self, seq: int, fingerprint: str) -> None:
        """Go on after the event `seq`, whose fingerprint is known."""
        self.last_seq = self.equal_seq = seq
        self.fingerprint = fingerprint
        self.since.clear()

    def is_equal(self, mark: RecordedMark) -> bool:
        """Return whether the fingerprint at a mark is the recorded one; forget the events up to it if so."""
        if mark.whole and mark.seq != self.last_seq:
            return False
        if mark.seq == self.equal_seq:
            return True
        if mark.seq not in self.since or self.since[mark.seq][0] != mark.fingerprint:
            return False
        self.equal_seq = mark.seq
        for seq in [seq for seq in self.since if seq <= mark.seq]:
            del self.since[seq]
        return True

    def append(self, at: int, event: DomainEvent) -> int:
        self.last_seq += 1
        self.fingerprint = chain(self.fingerprint, canonical(self.last_seq, at, event))
        kind = kind_of(event)
        self.kinds[kind] += 1
        self.since[self.last_seq] = self.fingerprint, kind
        if self._listener is not None:
            self._listener(at, event)
        return self.last_seq

    def note(self, at: int, event: LifecycleEvent) -> None:
        """Ignore an event about a process."""

    def log_input(self, at: int, event: StepEvent) -> None:
        """Ignore an input: it is from the recording."""

    def inputs(self) -> Iterator[StoredInput]:
        yield from ()

    def keep(self, wake_id: int, snapshot: Snapshot) -> None:
        """Ignore a snapshot."""

    def commit(self, checkpoint: Checkpoint | None = None, summarise: Callable[[], Any] | None = None) -> None:
        """Do nothing: a replay keeps no journal."""

    def checkpoint(self) -> Checkpoint | None:
        return None

    def events_after(self, seq: int) -> Iterator[StoredEvent]:
        yield from ()

    def all_events(self) -> Iterator[tuple[int, JournalEvent]]:
        yield from ()

    def close(self) -> None:
        """Do nothing."""


class BookReplay:
    """One replay. `engine` is the engine of the process at hand; None before the first."""

    def __init__(self, make_venue: MakeVenue, version: str, listener: Listener | None = None) -> None:
        """`version` is the version of ocw that replays."""
        self._make_venue, self._version = make_venue, version
        self._events = _Events(listener)
        self._unsent: dict[OrderRef, Rejected] = {}
        self._start: RecordedStart | None = None
        self._shell: Shell | None = None
        self._steps: LiveSteps | None = None
        self._found = ReplayedBook()
        self._inputs: Counter[str] = Counter()

    @property
    def engine(self) -> Engine | None:
        """The engine of the process at hand."""
        return None if self._shell is None else self._shell.engine

    async def run(self, read: Callable[[], Iterable[Recorded]]) -> ReplayedBook:
        """Replay the entries that `read` returns, which is called twice. Stop at the first difference.

        Raises BookError if the recording cannot be replayed by this version.
        """
        # An order that a full disk kept from being sent is known only after the input that led to it.
        for _, _, entry in read():
            if isinstance(entry, RecordedUnsent):
                self._unsent[entry.ref] = Rejected(entry.ref, NOT_JOURNALED, entry.text)
        found = self._found
        for recorded in read():
            await self._take(recorded)
            if found.difference is not None:
                break
        found.inputs, found.events = dict(self._inputs), dict(self._events.kinds)
        found.seq, found.fingerprint = self._events.last_seq, self._events.fingerprint
        return found

    async def _take(self, recorded: Recorded) -> None:
        found, (number, at, entry) = self._found, recorded
        match entry:
            case RecordedStart():
                self._start, found.book = entry, entry.book
                found.starts.append(entry)
                self._events.book = entry.book
                if entry.continues:
                    await self._continue(number)
            case RecordedState():
                if self._shell is not None:
                    found.gaps.append(Gap(number, at, self._events.last_seq, entry.seq))
                self._events.begin_at(entry.seq, entry.fingerprint)
                found.recorded_seq, found.recorded_fingerprint = entry.seq, entry.fingerprint
                await self._begin(entry)
            case RecordedMark():
                found.recorded_seq, found.recorded_fingerprint = entry.seq, entry.fingerprint
                if not self._events.is_equal(entry):
                    events = self._events
                    kinds = [kind for _, kind in list(events.since.values())[:10]]
                    found.difference = Difference(number, at, events.equal_seq, entry.seq, events.last_seq, kinds)
            case RecordedUnsent():
                pass
            case _:
                if self._steps is None:
                    raise BookError(f"entry {number} of the recording has no state before it; the recording is damaged")
                self._inputs[type(entry).__name__] += 1
                found.first_at = at if found.first_at is None else found.first_at
                found.last_at = at
                await self._steps.repeat(StoredInput(at, entry))

    async def _continue(self, number: int) -> None:
        """Let the next recorded process go on from the state of the one before."""
        shell = self._shell
        if shell is None:
            raise BookError(f"entry {number} of the recording goes on from nothing; the recording is damaged")
        events = self._events
        state = RecordedState(
            shell.cursor, events.last_seq, events.fingerprint, shell.engine.state(), shell.venue_state.state()
        )
        await self._begin(state)

    async def _begin(self, state: RecordedState) -> None:
        start = self._start
        if start is None:
            raise BookError("the recording begins without the options of its book; the recording is damaged")
        venue, clock, store = self._make_venue(start), LiveClock(), self._events
        recorder = EventRecorder(store, store.last_seq)
        recorder.unsent = self._unsent
        try:
            engine = Engine(_config(start, venue))
            shell = Shell(engine, venue, store, recorder, clock, NoDecider(), lambda problem: None, _nothing_waits)
            engine.restore(state.engine)
            if engine.learning.broken:
                if state.outcomes is None:
                    raise ValueError(engine.learning.broken)
                engine.learning.rebuild((each.known_at, each) for each in state.outcomes)
            shell.venue_state.restore(state.venue)
        except (msgspec.MsgspecError, ValueError, KeyError) as error:  # invalid policies are a ValueError, too
            why = printable(str(error))[:300]
            raise BookError(
                f"the state in the recording was made by ocw {start.version}, and ocw {self._version} cannot read it "
                f"({why}); replay it with {start.version}"
            ) from error
        shell.cursor, shell.begun, shell.repeating = state.market_at, True, True
        self._shell, self._steps = shell, LiveSteps(shell, None)
        at = engine.now if start.at is None else start.at
        clock.hold(at)
        await shell.follow(engine.start(), at)


async def _nothing_waits() -> None:
    """Take no commands: those of the recording are inputs."""


def _config(start: RecordedStart, venue: SimulatedVenue | ExchangeVenue) -> EngineConfig:
    return EngineConfig(
        policies=Policies.model_validate_json(start.policies),
        policy_hash=start.policy_hash,
        prompts_hash=start.prompts_hash,
        product=start.market.product,
        interval=start.market.interval,
        symbols=start.market.symbols,
        start_equity=start.start_equity,
        agent=start.agent,
        instruments=venue.instrument,
        strict=None if start.strict is None else Policies.model_validate_json(start.strict),
        live=True,
        mode=start.mode,
        fallback=start.fallback,
    )

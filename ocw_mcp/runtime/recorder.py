"""Writes the journal; after a restart, first compares the engine's events with the journaled ones.

A resumed run starts from the latest checkpoint and repeats the steps after it. Each event of a repeated step must equal
the journaled one, and is not written again. A resumed run takes commands and callers' requests from the journal, after
the same frame as before, and also the rejections of orders that a full disk kept from being sent.
"""

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import SubmitRequest, submit_key
from ocw_mcp.domain.canonical import canonical
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.errors import JournalDiverged, JournalError
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import NOT_JOURNALED, OrderRef, Rejected
from ocw_mcp.domain.outlook_events import ModelFitted
from ocw_mcp.domain.protocols import Checkpoint, Store, StoredEvent
from ocw_mcp.domain.regime import FitRequest
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.steps import Asked, Command, DecisionFailed, DecisionReady, DecisionSubmitted, RegimeFitted
from ocw_mcp.domain.time import iso
from ocw_mcp.render.event_text import event_text
from ocw_mcp.runtime.thinking import NEVER, DecisionOutput

ENGINE_CAUSES = (CauseKind.DEADLINE, CauseKind.PAUSED)
"""Causes of decisions that the engine makes itself; a resumed run repeats these decisions without the decider."""

Listener = Callable[[int, events.DomainEvent], None]
"""A function that gets each new event with its time (ms)."""


class EventRecorder:
    """Appends the engine's events to the journal, or compares them with it while a resumed run repeats its steps."""

    def __init__(self, store: Store, after_seq: int, listener: Listener | None = None) -> None:
        self._store = store
        self.listener = listener
        self._known: deque[StoredEvent] = deque(store.events_after(after_seq))
        self.unsent = {
            each.event.ref: Rejected(each.event.ref, each.event.reason, each.event.text)
            for each in self._known
            if isinstance(each.event, events.OrderRejected) and each.event.reason is NOT_JOURNALED
        }
        """The journaled rejections of orders that were not sent."""
        self.seq = after_seq
        """The sequence number of the last event from the engine."""

    @property
    def reading(self) -> bool:
        """Return whether the engine is behind its journal: further journaled events must be compared."""
        return bool(self._known)

    @property
    def next_at(self) -> int | None:
        """The time (ms) of the next journaled event that is to be repeated; None if there is none."""
        return self._known[0].at if self._known else None

    def record(self, at: int, event: events.DomainEvent) -> bool:
        """Append an event; return False if the journal has it already. Raises JournalDiverged if it has another."""
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

    def require_read(self) -> None:
        """Raise JournalDiverged if the journal has an event that the repeated inputs did not cause."""
        if self._known:
            known = self._known[0]
            raise JournalDiverged(
                f"event {known.seq} of the journal is {self._described(known.at, known.event)}, and the logged inputs "
                "do not lead to it; start it with the agent, the policies and version of the last run"
            )

    def _described(self, at: int, event: events.DomainEvent) -> str:
        return f"{events.kind_of(event)} at {iso(at)} ({event_text(self._store.book, event)})"

    def recall(self, request: DecisionRequest, decider: str) -> list[tuple[int, DecisionOutput]] | None:
        """Return the journaled outputs of a repeated decision with their times (ms); None if there are none."""
        wake_id = request.wake_id
        script: list[tuple[int, DecisionOutput]] = []
        found = False
        for at, event in ((each.at, each.event) for each in self._known):
            match event:
                case events.DecisionMade(wake_id=of) if of == wake_id:
                    output = _made(event, decider)
                    # A further DecisionMade is the engine's own: the decision of the rules after a failed one.
                    if output is not None and not script:
                        script.append((at, output))
                case events.DecisionCorrected(wake_id=of) if of == wake_id:
                    script.append((at, _submitted(event, decider)))
                case events.DecisionEnded(wake_id=of, cause=cause, cost_usd=cost) if of == wake_id:
                    if cause is not None and cause.kind in ENGINE_CAUSES:
                        # Until the engine sets this cause again, the decision stays open and has no output.
                        return [*script, (NEVER, assumed_end(wake_id, decider, 0, settled=True))]
                    # If no leg was executed, the decision of the rules follows and needs the thinking time.
                    thinking_ms = at - request.snapshot.at
                    ended = (
                        DecisionFailed(wake_id, decider, thinking_ms, cause, cost)
                        if cause is not None
                        else DecisionReady(wake_id, decider, thinking_ms, Decision(), cost)
                    )
                    return [*script, (at, ended)]
                case _:
                    continue
            found = True
        return script if found else None

    def known_decision(self, wake_id: int) -> Decision | None:
        """Return the journaled decision on a wake; None if the journal has none."""
        for each in self._known:
            if isinstance(each.event, events.DecisionMade) and each.event.wake_id == wake_id:
                return each.event.decision
        return None

    def known_fit(self, request: FitRequest) -> RegimeFitted | None:
        """Return the journaled answer to a request for a fit; None if the journal has none."""
        for each in self._known:
            event = each.event
            if isinstance(event, ModelFitted) and (event.symbol, event.fitted_at) == (request.symbol, request.at):
                return RegimeFitted(event.symbol, event.fitted_at, event.found, event.failed)
        return None

    def discarded_usd(self, wake_id: int) -> Decimal:
        """Return the journaled cost (USD) of the discarded decisions on a wake."""
        known = (each.event for each in self._known)
        lost = (event for event in known if isinstance(event, events.DecisionDiscarded) and event.wake_id == wake_id)
        return sum((event.cost_usd for event in lost), ZERO)

    def known_input(self, after_frame: int) -> Command | Asked | None:
        """Return the next journaled command or request if it was taken after this frame (ms), else None."""
        match self._known[0].event if self._known else None:
            case events.CommandTaken(command_id, verb, by, at, subject) if at == after_frame:
                return Command(command_id, verb, by, at, subject)
            case events.CallerAsked(request, at) if at == after_frame:
                return Asked(request, at)
        return None


def assumed_end(wake_id: int, decider: str, thinking_ms: int, *, settled: bool) -> DecisionOutput:
    """Return the end of a decision whose end is missing in the journal; its submitted legs stay executed.

    The end is DecisionReady if `settled` (no leg can still be corrected), else DecisionFailed.
    """
    if settled:
        return DecisionReady(wake_id, decider, thinking_ms, Decision())
    return DecisionFailed(
        wake_id, decider, thinking_ms, Cause(CauseKind.ERROR, "the process ended before it was through")
    )


def _made(event: events.DecisionMade, decider: str) -> DecisionOutput | None:
    """Return the decider's output that led to a decision; None if the engine made the decision."""
    cause, thinking_ms, cost = event.decision.cause, event.thinking_ms, event.cost_usd
    if cause is not None and cause.kind in ENGINE_CAUSES:
        return None
    if (failure := event.in_its_place) is not None:
        return DecisionFailed(event.wake_id, decider, thinking_ms, failure, cost)
    if cause is not None:
        return DecisionReady(event.wake_id, decider, thinking_ms, event.decision, cost)
    return _submitted(event, decider)


def _submitted(event: events.DecisionMade | events.DecisionCorrected, decider: str) -> DecisionSubmitted:
    key = submit_key(event.wake_id, event.decision)
    request = SubmitRequest(key, decider, event.wake_id, event.decision, event.tainted)
    return DecisionSubmitted(request, event.thinking_ms, event.cost_usd)


COMMIT_EVERY = 256
"""The number of events after which a commit is made if no order was sent before."""
MOST_KEPT = 50_000
"""The most events kept in memory while the disk accepts nothing; with more, the run stops."""


class Commits:
    """The commits of one run. A failure of the disk is reported once, and its end once."""

    def __init__(self, store: Store, summary: Callable[[], dict[str, Any]], warn: Callable[[str], None]) -> None:
        """`warn` gets a sentence if the disk accepts nothing, and another when it accepts events again."""
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
        """Commit all waiting events. Return whether they are durable. Raises JournalError if too many events wait."""
        if self._unanswered:
            # An unsent order becomes durable together with its rejection or not at all: a run that resumes after a
            # crash must not find the order without the rejection.
            return False
        try:
            self._store.commit(checkpoint, self._summary)
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
        """Note that the engine has processed the rejection from `refuse` and recorded the events that it caused."""
        self._unanswered.discard(ref)

    def last(self) -> None:
        """Make the final commit of a run. Raises JournalError with the number of lost events."""
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

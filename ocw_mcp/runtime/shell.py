"""Carries out what the engine asks for, and feeds the results back as events."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal

from ocw_mcp.domain.approved import ApprovedOrder
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import NOT_JOURNALED, Rejected, VenueReport
from ocw_mcp.domain.protocols import Checkpoint, Clock, Decider, Priced, SimulatedVenue, Store
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.steps import (
    Ask,
    Cancel,
    ClearTimer,
    DecisionFailed,
    DecisionReady,
    Effect,
    GiveUp,
    Keep,
    Record,
    Send,
    SetTimer,
    StepEvent,
    TimerFired,
)
from ocw_mcp.engine.step import Engine
from ocw_mcp.runtime.answers import sound
from ocw_mcp.runtime.commits import Commits
from ocw_mcp.runtime.recorder import Recorder

NEVER = 1 << 62
LONGEST_CAUSE = 500


class Thinking:
    """A decision under way: the request, when its answer takes effect (ms), and the task that makes it.

    An answer that takes no time is made when it takes effect, without a task.
    """

    def __init__(self, request: DecisionRequest, due: int, task: "asyncio.Task[Decision] | None") -> None:
        self.request = request
        self.due = due
        self.task = task

    async def give_up(self) -> None:
        """Nobody waits for the answer any more."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)


class Shell:
    """One engine with its venue, store, clock and decider. Events are taken one after the other, each to its end."""

    def __init__(
        self,
        engine: Engine,
        venue: SimulatedVenue,
        store: Store,
        recorder: Recorder,
        clock: Clock,
        decider: Decider,
        tell: Callable[[str], None],
    ) -> None:
        self.engine = engine
        self.venue = venue
        self.store = store
        self.recorder = recorder
        self.clock = clock
        self._decider = decider
        self._priced = decider if isinstance(decider, Priced) else None
        self.commits = Commits(store, engine.summary, tell)
        self._inbox: deque[StepEvent] = deque()
        self.timers: dict[str, int] = {}
        self.thinking: Thinking | None = None
        self.next_due = NEVER
        """When (ms) the next timer or answer is due."""

    def due(self) -> tuple[int, str | None]:
        """What is due next, and when (ms): a timer by its name, or None for the answer; timers first, by name."""
        at, name = min(((at, name) for name, at in self.timers.items()), default=(NEVER, ""))
        if self.thinking is not None and self.thinking.due < at:
            return self.thinking.due, None
        return at, name

    async def start(self) -> None:
        """Carry out what the engine asks for before its first event."""
        await self.follow(self.engine.start(), self.clock.now())

    async def take(self, event: StepEvent) -> None:
        """Give the engine an event, and carry out all that follows from it."""
        effects = self.engine.step(event, self.clock.now())
        await self.follow(effects, self.engine.now)

    async def follow(self, effects: list[Effect], now: int) -> None:
        """Carry out the effects of a step at `now` (ms), and all that follows from them."""
        if effects:
            await self._carry_out(effects, now)
            await self._empty_inbox()

    async def take_all(self, events: Sequence[StepEvent]) -> None:
        """Take several events in order; each has its consequences before the next."""
        for event in events:
            await self.take(event)

    async def fire(self, name: str) -> None:
        """A timer is due."""
        del self.timers[name]
        self.next_due = self.due()[0]
        await self.take(TimerFired(name))

    async def answer(self) -> None:
        """Wait for the answer of the decision under way, and let it take effect now."""
        thinking, self.thinking = self.thinking, None
        self.next_due = self.due()[0]
        assert thinking is not None
        wake_id, thought = thinking.request.wake_id, self.clock.now() - thinking.request.snapshot.at
        event: StepEvent
        try:
            decision = sound(await (thinking.task or self._decider.decide(thinking.request)))
        except Exception as error:
            # Whatever goes wrong in a decider must not stop the engine: the wake is held, and the journal says why.
            event = DecisionFailed(wake_id, self._decider.name, thought, _cause(error), self._cost(wake_id))
        else:
            event = DecisionReady(wake_id, self._decider.name, thought, decision, self._cost(wake_id))
        await self.take(event)

    def checkpoint(self, market_at: int) -> None:
        """Make everything durable, with the state of engine and venue after the frame of `market_at`.

        Where the disk does not take it, an older checkpoint serves.
        """
        if self.recorder.reading:
            # The journal is ahead of the engine: an older checkpoint still serves, and nothing new can be in it.
            return
        self.commits.commit(Checkpoint(market_at, self.recorder.seq, self.engine.state(), self.venue.state()))

    async def close(self) -> None:
        """Give up the decision under way, if any. A resumed run asks again for one that is still waited for."""
        if self.thinking is not None:
            await self.thinking.give_up()
            self.thinking = None

    async def _empty_inbox(self) -> None:
        while self._inbox:
            event = self._inbox.popleft()
            effects = self.engine.step(event, self.clock.now())
            if effects:
                await self._carry_out(effects, self.engine.now)
            if isinstance(event, Rejected) and event.code == NOT_JOURNALED:
                self.commits.answered(event.ref)

    async def _carry_out(self, effects: list[Effect], now: int) -> None:
        for effect in effects:
            match effect:
                case Record(event):
                    if self.recorder.record(now, event):
                        self.commits.recorded()
                case Send(approved):
                    self._inbox.extend(await self._send(approved, now))
                case Cancel(ref):
                    self.commit()
                    self._inbox.extend(await self.venue.cancel(ref, now))
                case Ask(request):
                    await self._ask(request)
                case Keep(wake_id, snapshot):
                    if not self.recorder.reading:
                        self.store.keep(wake_id, snapshot)
                case GiveUp():
                    await self._give_up(now)
                case SetTimer(name, at):
                    self.timers[name] = at
                case ClearTimer(name):
                    self.timers.pop(name, None)
        self.next_due = self.due()[0]
        if not self.recorder.reading:
            self.commits.commit_some()

    def commit(self) -> bool:
        """Make what was recorded durable, with what `ocw status` shows of this moment; whether it is."""
        # Whatever is done again is durable already.
        return self.recorder.reading or self.commits.commit()

    async def _send(self, approved: ApprovedOrder, now: int) -> Sequence[VenueReport]:
        """Send an order whose intent is durable. One that lowers risk goes out in any case: never naked comes first."""
        if (known := self.recorder.known_unsent(approved.order.ref)) is not None:
            return [known]
        if self.commit() or approved.order.reduce_only:
            return await self.venue.submit(approved, now)
        return [self.commits.refuse(approved)]

    async def _give_up(self, now: int) -> None:
        """Wait no longer. What the thinking has cost is told all the same: it counts, answer or not."""
        given_up = self.thinking
        await self.close()
        if given_up is not None and (cost := self._cost(given_up.request.wake_id)):
            wake_id, thought = given_up.request.wake_id, now - given_up.request.snapshot.at
            self._inbox.append(DecisionFailed(wake_id, self._decider.name, thought, "given up", cost))

    def _cost(self, wake_id: int) -> Decimal:
        return ZERO if self._priced is None else self._priced.cost_usd(wake_id)

    async def _ask(self, request: DecisionRequest) -> None:
        if self.thinking is not None:
            # The engine gave the last one up; its answer would be discarded anyway.
            await self.thinking.give_up()
        # Live, an answer takes effect when it is there; nobody knows before.
        takes = self._decider.thinking_ms(request) if self.clock.simulated else None
        due = NEVER if takes is None else request.snapshot.at + takes
        task = None if takes == 0 else asyncio.ensure_future(self._decider.decide(request))
        self.thinking = Thinking(request, due, task)


def _cause(error: Exception) -> str:
    """An error as a cause in the journal: capped, and in characters that can be stored."""
    text = f"error: {type(error).__name__}: {error}"
    return text.encode(errors="replace").decode()[:LONGEST_CAUSE]

"""Carries out what the engine asks for, and feeds the results back as events."""

import asyncio
from asyncio import FIRST_COMPLETED
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from decimal import Decimal

from ocw_mcp.domain.asks import CallerRequest, SubmitRequest
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.errors import BookError, CannotDecideError
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import NOT_JOURNALED, Rejected, VenueReport
from ocw_mcp.domain.protocols import Checkpoint, Clock, Converses, Decider, Priced, SimulatedVenue, Store
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.steps import (
    Ask,
    Asked,
    Cancel,
    ClearTimer,
    Command,
    DecisionFailed,
    DecisionReady,
    DecisionSubmitted,
    Effect,
    GiveUp,
    Keep,
    Record,
    Send,
    SetTimer,
    StepEvent,
    Timer,
    TimerFired,
)
from ocw_mcp.engine.idempotency import Answer
from ocw_mcp.engine.step import Engine
from ocw_mcp.runtime.clock import A_MOMENT_MS
from ocw_mcp.runtime.commits import Commits
from ocw_mcp.runtime.deciders import StrategyDecider
from ocw_mcp.runtime.recorder import EventRecorder
from ocw_mcp.runtime.thinking import NEVER, Recalled, Said, Submission, Thinking, unheard_end
from ocw_mcp.runtime.validation import validated, validated_request

LONGEST_CAUSE = 500


class Shell:
    """One engine with its venue, store, clock and decider. Events are taken one after the other, each to its end."""

    def __init__(
        self,
        engine: Engine,
        venue: SimulatedVenue,
        store: Store,
        recorder: EventRecorder,
        clock: Clock,
        decider: Decider,
        tell: Callable[[str], None],
        poll: Callable[[], Awaitable[None]],
    ) -> None:
        """`poll` takes the commands and requests that have come, again and again while the clock stands still."""
        self.engine = engine
        self.venue = venue
        self.store = store
        self.recorder = recorder
        self.clock = clock
        self._decider = decider
        self._priced = decider if isinstance(decider, Priced) else None
        self._converses = decider if isinstance(decider, Converses) else None
        self._recalls = isinstance(decider, StrategyDecider)
        """Whether decisions before a crash are taken from the journal: the decider may not repeat them."""
        self._poll = poll
        self.commits = Commits(store, engine.summary, tell)
        self._inbox: deque[StepEvent] = deque()
        self._requests: deque[tuple[CallerRequest, asyncio.Future[Answer | None]]] = deque()
        self._ended = False
        self.timers: dict[Timer, int] = {}
        self.thinking: Thinking | None = None
        self._still: tuple[Thinking, int] | None = None
        """For whom the clock is to stand still when the step is over, and how long (ms) what is said then takes."""
        self.hurried = asyncio.Event()
        self.next_due = NEVER
        """When (ms) the next timer or answer is due."""

    def due(self) -> tuple[int, Timer | None]:
        """When (ms) the next timer or answer is due, and the timer, or None for the answer; timers go first."""
        at, timer = min(((at, timer) for timer, at in self.timers.items()), default=(NEVER, None))
        if self.thinking is not None and self.thinking.due < at:
            return self.thinking.due, None
        return at, timer

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
            if self._still is not None:
                (thinking, takes), self._still = self._still, None
                await self._listen(thinking, takes)

    async def take_all(self, events: Iterable[StepEvent]) -> None:
        """Take several events in order; each has its consequences before the next is asked for."""
        for event in events:
            await self.take(event)

    async def fire(self, timer: Timer) -> None:
        """Let a timer that is due fire."""
        del self.timers[timer]
        self.next_due = self.due()[0]
        await self.take(TimerFired(timer))

    async def answer(self) -> None:
        """Wait for what the decision under way has to say, and let it take effect now."""
        thinking = self.thinking
        assert thinking is not None
        if isinstance(thinking, Recalled):
            said, through = thinking.next()
            self.next_due = self.due()[0]
            await self.take(said)
            if isinstance(said, DecisionSubmitted):
                await self._listen(thinking, 0)
            if through and self.thinking is thinking:
                self.thinking = None
                if self.engine.decisions.open_submission is not None:
                    await self.take(self._unheard_end(thinking.request))
        elif (submission := await thinking.submission()) is not None:
            await self._submitted(thinking, submission)
        else:
            self.thinking = None
            self.next_due = self.due()[0]
            await self._answered(thinking)

    async def submit(self, request: SubmitRequest) -> Answer | None:
        """What the decider itself submits, answered when it takes effect; None where nobody waits for it any more."""
        thinking = self.thinking
        if thinking is None or thinking.request.wake_id != request.wake_id:
            waits = "no wake waits" if thinking is None else f"wake {thinking.request.wake_id}"
            return Refusal(RefusalCode.NO_WAKE, limit=waits, actual=f"wake {request.wake_id}")
        return await thinking.submit(request)

    async def ask(self, request: CallerRequest) -> Answer:
        """Return the answer to a client's request, once the engine has taken it between two frames.

        Raises MalformedError with one clause on a defect of the request, and BookError if the run ends before.
        """
        request = validated_request(request, self.engine.config.symbols)
        if isinstance(request, SubmitRequest) and request.principal == self._decider.name:
            # The decider of this run answers within its decision, when its time has come.
            answer = await self.submit(request)
            if answer is None:
                raise BookError("this wake is not waited for any more; nothing was done")
            return answer
        waiting: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        if not self._ended:
            self._requests.append((request, waiting))
        answer = None if self._ended else await waiting
        if answer is None:
            raise BookError("the run ended before this was taken; nothing was done; start it again and ask again")
        return answer

    async def take_requests(self, after_frame: int) -> None:
        """Take the requests that have come since the last frame, and answer them once they are durable."""
        while self._requests:
            request, waiting = self._requests.popleft()
            if waiting.cancelled():
                # The client has gone before anything was done, so nothing is done.
                continue
            await self.take_from_outside(Asked(request, after_frame))
            durable = self.commit()
            if waiting.done():
                continue
            if durable:
                waiting.set_result(self.engine.answer(request))
            else:
                waiting.set_exception(_not_durable())

    async def take_from_outside(self, event: Command | Asked) -> None:
        """Take a command or a request. The orders that close a position trade at the price of now, at any pace."""
        await self.take(event)
        await self.take_all(self.venue.fill_reductions(self.clock.now()))

    async def end(self) -> None:
        """Take no more requests, and give up the decision under way, if any."""
        self._ended = True
        while self._requests:
            _, waiting = self._requests.popleft()
            if not waiting.done():
                waiting.set_result(None)
        await self.close()

    def hurry(self) -> None:
        """Do not let the clock stand still for a decision any longer: the run is to end."""
        self.hurried.set()

    async def _submitted(self, thinking: Thinking, submission: Submission) -> None:
        """Legs take effect; whoever submitted them is told, and keeps the floor."""
        thought = self.clock.now() - thinking.request.snapshot.at
        request, cost = submission.request, self._cost_since(thinking)
        thinking.due = NEVER
        self.next_due = self.due()[0]
        await self.take(DecisionSubmitted(request, thought, cost))
        self.commit()
        answer = self.engine.answer(request)
        if not submission.waiting.done():
            submission.waiting.set_result(answer)
        if self.thinking is thinking and self._converses is not None:
            takes = self._converses.correction_ms(thinking.request) if self.engine.decisions.correctable else 0
            await self._listen(thinking, takes)

    async def _listen(self, thinking: Thinking, takes: int) -> None:
        """Let the clock stand still until it says something, which takes effect after so many ms.

        People are heard meanwhile, at this very moment of the clock. Done again after a crash, nobody is waited for,
        and what people said is taken from the journal.
        """
        if not self.clock.simulated:
            return
        now = self.clock.now()
        await self._poll()
        if isinstance(thinking, Recalled):
            return
        heard, hurried = asyncio.ensure_future(thinking.heard()), asyncio.ensure_future(self.hurried.wait())
        try:
            while True:
                done, _ = await asyncio.wait({heard, hurried}, timeout=A_MOMENT_MS / 1_000, return_when=FIRST_COMPLETED)
                if done:
                    break
                await self._poll()
        finally:
            heard.cancel()
            hurried.cancel()
        if self.thinking is thinking:
            thinking.due = now + takes if thinking.speaks else NEVER
        self.next_due = self.due()[0]

    def _unheard_end(self, request: DecisionRequest) -> Said:
        thought = self.clock.now() - request.snapshot.at
        settled = self.engine.decisions.settled
        return unheard_end(request.wake_id, self._decider.name, thought, settled=settled)

    async def _answered(self, thinking: Thinking) -> None:
        """The answer is over, one way or another."""
        wake_id, thought = thinking.request.wake_id, self.clock.now() - thinking.request.snapshot.at
        event: StepEvent
        known = self.recorder.known_decision(wake_id) if self._recalls else None
        try:
            if known is not None and known.cause is not None and known.cause.kind.failed:
                raise CannotDecideError(known.cause)
            decision = known or validated(
                await (thinking.task or self._decider.decide(thinking.request)), self.engine.config.symbols
            )
        except Exception as error:
            # Whatever goes wrong in a decider must not stop the engine: the wake is a HOLD, with its cause.
            event = DecisionFailed(wake_id, self._decider.name, thought, _cause(error), self._cost_since(thinking))
        else:
            event = DecisionReady(wake_id, self._decider.name, thought, decision, self._cost_since(thinking))
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
        asked: DecisionRequest | None = None
        for effect in effects:
            match effect:
                case Record(event):
                    if self.recorder.record(now, event):
                        self.commits.recorded()
                case Send(cleared):
                    self._inbox.extend(await self._send(cleared, now))
                case Cancel(ref):
                    self.commit()
                    self._inbox.extend(await self.venue.cancel(ref, now))
                case Ask(request):
                    asked = request
                case Keep(wake_id, snapshot):
                    if not self.recorder.reading:
                        self.store.keep(wake_id, snapshot)
                case GiveUp():
                    await self._give_up(now)
                case SetTimer(timer, at):
                    self.timers[timer] = at
                case ClearTimer(timer):
                    self.timers.pop(timer, None)
        if asked is not None:
            # After all else of the step, so that what is committed before somebody thinks is a whole step.
            await self._ask(asked)
        self.next_due = self.due()[0]
        if not self.recorder.reading:
            self.commits.commit_some()

    def commit(self) -> bool:
        """Make what was recorded durable, with what `ocw status` shows of this moment; whether it is."""
        # Whatever is done again is durable already.
        return self.recorder.reading or self.commits.commit()

    async def _send(self, cleared: ClearedOrder, now: int) -> Sequence[VenueReport]:
        """Send an order whose intent is durable. One that lowers risk goes out in any case: never naked comes first."""
        if (known := self.recorder.known_unsent(cleared.order.ref)) is not None:
            return [known]
        if self.commit() or cleared.order.reduce_only:
            return await self.venue.submit(cleared, now)
        return [self.commits.refuse(cleared)]

    async def _give_up(self, now: int) -> None:
        """Wait no longer. What the thinking has cost is told all the same: it counts, answer or not."""
        given_up = self.thinking
        await self.close()
        if given_up is not None and (cost := self._cost_since(given_up)):
            wake_id, thought = given_up.request.wake_id, now - given_up.request.snapshot.at
            self._inbox.append(DecisionFailed(wake_id, self._decider.name, thought, Cause(CauseKind.GIVEN_UP), cost))

    def _cost_since(self, thinking: Thinking) -> Decimal:
        """What its thinking has cost beyond what the engine was told."""
        if self._priced is None:
            return ZERO
        if isinstance(thinking, Recalled):
            return thinking.given_up_usd
        told, thinking.told_usd = thinking.told_usd, self._priced.cost_usd(thinking.request.wake_id)
        return thinking.told_usd - told

    async def _ask(self, request: DecisionRequest) -> None:
        if self.thinking is not None:
            # The engine gave the last one up; its answer would be discarded anyway.
            await self.thinking.give_up()
        floor = self.engine.decisions.open_submission is not None
        if self._converses is not None and (self.recorder.reading or floor):
            script = self.recorder.recall(request, self._decider.name)
            if script is None and floor:
                script = [(self.clock.now(), self._unheard_end(request))]
            if script is not None:
                self.thinking = Recalled(request, script, self.recorder.given_up_usd(request.wake_id))
                self._still = self.thinking, 0
                return
        # Live, an answer takes effect when it is there; nobody knows before.
        takes = self._decider.thinking_ms(request) if self.clock.simulated else None
        due = NEVER if takes is None else request.snapshot.at + takes
        if takes != 0:
            # Whoever thinks may look into the store, which is to know all that came before.
            self.commit()
        task = None if takes == 0 else asyncio.ensure_future(self._decider.decide(request))
        self.thinking = Thinking(request, due, task)
        if self._converses is not None and takes:
            self._still = self.thinking, takes


def _not_durable() -> RequestError:
    return RequestError(
        RequestCode.NOT_DURABLE,
        limit="a disk that takes the journal",
        actual="it takes nothing now",
        next_="make room on the disk, and ask again with the same key for the answer",
    )


def _cause(error: Exception) -> Cause:
    """Return an error as a cause for the journal: capped, and in characters that can be stored."""
    kind, detail = CauseKind.ERROR, f"{type(error).__name__}: {error}"
    if isinstance(error, CannotDecideError):
        kind, detail = error.cause.kind, error.cause.detail
    return Cause(kind, detail.encode(errors="replace").decode()[:LONGEST_CAUSE])

"""Carries out the effects of the engine, and passes their results back to it as events."""

import asyncio
from asyncio import FIRST_COMPLETED
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import partial

from ocw_mcp.domain import steps
from ocw_mcp.domain.asks import CallerRequest, SubmitRequest
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.errors import BookError, CannotDecideError
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import NOT_JOURNALED, Rejected, VenueReport
from ocw_mcp.domain.protocols import Checkpoint, Clock, Converses, Decider, Priced, SimulatedVenue, Store
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.engine.idempotency import Answer
from ocw_mcp.engine.step import Engine
from ocw_mcp.engine.summary import summary
from ocw_mcp.runtime.clock import POLL_MS
from ocw_mcp.runtime.deciders import StrategyDecider
from ocw_mcp.runtime.inbox import DecisionCame, Inbox, Request
from ocw_mcp.runtime.recorder import Commits, EventRecorder, assumed_end
from ocw_mcp.runtime.thinking import NEVER, DecisionOutput, PendingDecision, RecalledDecision, Submission
from ocw_mcp.runtime.validation import validated, validated_request

LONGEST_CAUSE = 500
"""The number of characters to which a journaled cause is cut."""
GIVEN_UP = Cause(CauseKind.GIVEN_UP)


class Shell:
    """One engine with its venue, store, clock and decider. All effects of an event precede the next event."""

    def __init__(
        self,
        engine: Engine,
        venue: SimulatedVenue,
        store: Store,
        recorder: EventRecorder,
        clock: Clock,
        decider: Decider,
        warn: Callable[[str], None],
        poll: Callable[[], Awaitable[None]],
    ) -> None:
        """`poll` takes waiting commands and requests while the clock stands still. `warn` gets disk errors as text."""
        self.engine = engine
        self.venue = venue
        self.store = store
        self.recorder = recorder
        self.clock = clock
        self.decider = decider
        self._priced = decider if isinstance(decider, Priced) else None
        self._converses = decider if isinstance(decider, Converses) else None
        self._poll = poll
        self.commits = Commits(store, partial(summary, engine), warn)
        self._follow_ups: deque[steps.StepEvent] = deque()
        self.inbox = Inbox()
        self.cursor = -1
        """The time (ms) of the last frame with candles; -1 before the first."""
        self.repeating = False
        """Whether a restarted live book repeats its logged inputs. Nothing is asked of the decider meanwhile."""
        self._live = engine.config.live
        self._ended = False
        self.timers: dict[steps.Timer, int] = {}
        self.pending: PendingDecision | None = None
        self._stop_clock_for: tuple[PendingDecision, int] | None = None
        """The decision for which the clock stands still after this step, and the modelled time (ms) of its output."""
        self.stopping = asyncio.Event()
        """It is set when the run is to end, and then no decision is waited for."""
        self.next_due = NEVER
        """The time (ms) at which the next timer or decision is due."""

    def due(self) -> tuple[int, steps.Timer | None]:
        """Return the time (ms) when the next timer or decision is due, and the timer, or None if a decision is next."""
        at, timer = min(((at, timer) for timer, at in self.timers.items()), default=(NEVER, None))
        if self.pending is not None and self.pending.due < at:
            return self.pending.due, None
        return at, timer

    async def take(self, event: steps.StepEvent) -> None:
        """Pass an event to the engine, and carry out the effects of it and of all events that follow from it."""
        await self.follow(self.engine.step(event, self.clock.now()), self.engine.now)

    async def follow(self, effects: list[steps.Effect], now: int) -> None:
        """Carry out the effects of a step at `now` (ms), and those of all events that follow from them."""
        if effects:
            await self._carry_out(effects, now)
            await self._take_follow_ups()
            if self._stop_clock_for is not None:
                (pending, takes), self._stop_clock_for = self._stop_clock_for, None
                await self._wait_for_output(pending, takes)

    @contextmanager
    def input(self, event: steps.StepEvent) -> Iterator[None]:
        """Take an input from outside: a live book logs it, and its clock stands still while it is processed."""
        if not self._live or self.repeating:
            yield
            return
        self.clock.hold()
        try:
            self.store.log_input(self.clock.now(), event)
            yield
        finally:
            self.clock.release()

    async def take_report(self, report: VenueReport | steps.DecisionFailed) -> None:
        """Take a report of the venue that no call caused, or the cost of a decision that was given up."""
        with self.input(report):
            await self.take(report)

    async def take_all(self, events: Iterable[steps.StepEvent]) -> None:
        """Take several events in order. The effects of each are carried out before the next one is read."""
        for event in events:
            await self.take(event)

    async def fire(self, timer: steps.Timer) -> None:
        """Fire a timer that is due."""
        event = steps.TimerFired(timer)
        with self.input(event):
            del self.timers[timer]
            self.next_due = self.due()[0]
            await self.take(event)

    async def answer(self) -> None:
        """Wait for the next output of the decision in progress, and pass it to the engine."""
        pending = self.pending
        assert pending is not None
        if isinstance(pending, RecalledDecision):
            output, last = pending.next()
            self.next_due = self.due()[0]
            await self.take(output)
            if isinstance(output, steps.DecisionSubmitted):
                await self._wait_for_output(pending, 0)
            if last and self.pending is pending:
                self.pending = None
                if self.engine.decisions.open_submission is not None:
                    await self.take(self._assumed_end(pending.request))
        elif (submission := await pending.next_submission()) is not None:
            await self._take_submission(pending, submission)
        else:
            self.pending = None
            self.next_due = self.due()[0]
            await self._take_answer(pending)

    async def submit(self, request: SubmitRequest) -> Answer | None:
        """Submit legs of the decider. Return the engine's answer once they took effect; None if the wake has ended."""
        pending = self.pending
        if pending is not None and pending.request.wake_id == request.wake_id:
            return await pending.submit(request)
        waits = "no wake waits" if pending is None else f"wake {pending.request.wake_id}"
        return Refusal(RefusalCode.NO_WAKE, limit=waits, actual=f"wake {request.wake_id}")

    async def ask(self, request: CallerRequest) -> Answer:
        """Return the answer to a client's request, once the engine has taken it between two frames.

        Raises MalformedError for a defect of the request, and BookError if the run ends before.
        """
        request = validated_request(request, self.engine.config.symbols)
        if isinstance(request, SubmitRequest) and request.principal == self.decider.name:
            # A request of the run's own decider is part of its decision, and takes effect when that is due.
            answer = await self.submit(request)
            if answer is None:
                raise BookError("this wake no longer awaits an answer; nothing was done; answer the next wake")
            return answer
        waiting: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        if not self._ended:
            self.inbox.put(Request(request, waiting))
        answer = None if self._ended else await waiting
        if answer is None:
            raise BookError("the run ended before it took this request; nothing was done; send it to the next run")
        return answer

    async def take_requests(self) -> None:
        """Take the requests that arrived on a simulated clock since the last frame."""
        while isinstance(arrival := self.inbox.get(), Request):
            await self.take_request(arrival)

    async def take_request(self, asked: Request) -> None:
        """Take a client's request, and answer it once the answer is durable."""
        request, waiting = asked
        if waiting.cancelled():
            # The client disconnected before the request was taken, so it is dropped.
            return
        await self.take_from_outside(steps.Asked(request, self.cursor))
        durable = self.commit()
        if waiting.done():
            return
        if durable:
            waiting.set_result(self.engine.answer(request))
            return
        waiting.set_exception(
            RequestError(
                RequestCode.NOT_DURABLE,
                limit="a disk that accepts the journal",
                actual="the disk accepts nothing now",
                next_="make room on the disk, then repeat the request with the same key to get its answer",
            )
        )

    async def take_from_outside(self, event: steps.Command | steps.Asked) -> None:
        """Take a command or a request. A closing order that it sends fills immediately at the present price."""
        with self.input(event):
            await self.take(event)
            await self.take_all(self.venue.fill_reductions(self.clock.now()))

    async def end(self) -> None:
        """Take no more requests, and cancel the decision in progress, if any."""
        self._ended = True
        while (arrival := self.inbox.get()) is not None:
            if isinstance(arrival, Request) and not arrival.answer.done():
                arrival.answer.set_result(None)
        await self.close()

    async def _take_submission(self, pending: PendingDecision, submission: Submission) -> None:
        """Pass submitted legs to the engine and answer the decider, whose decision stays open for corrections."""
        thinking_ms = self.clock.now() - pending.request.snapshot.at
        (request, waiting), cost = submission, self._unreported_cost(pending)
        pending.due = NEVER
        self.next_due = self.due()[0]
        await self.take_output(steps.DecisionSubmitted(request, thinking_ms, cost))
        self.commit()
        if not waiting.done():
            waiting.set_result(self.engine.answer(request))
        if self.pending is pending and self._converses is not None:
            left = self.engine.decisions.open_submission
            takes = self._converses.correction_ms(pending.request) if left is not None and left.refused else 0
            await self._wait_for_output(pending, takes)

    async def _wait_for_output(self, pending: PendingDecision, takes: int) -> None:
        """Stop a simulated clock until the decider has output, and let the output take effect `takes` ms later.

        Commands and requests are taken meanwhile. A resumed run does not wait for a decision that the journal has.
        """
        if not self.clock.simulated:
            return
        now = self.clock.now()
        await self._poll()
        if isinstance(pending, RecalledDecision):
            return
        output, stopping = map(asyncio.ensure_future, (pending.output.wait(), self.stopping.wait()))
        try:
            while True:
                done, _ = await asyncio.wait({output, stopping}, timeout=POLL_MS / 1_000, return_when=FIRST_COMPLETED)
                if done:
                    break
                await self._poll()
        finally:
            output.cancel()
            stopping.cancel()
        if self.pending is pending:
            pending.due = now + takes if pending.output.is_set() else NEVER
        self.next_due = self.due()[0]

    def _assumed_end(self, request: DecisionRequest) -> DecisionOutput:
        thinking_ms = self.clock.now() - request.snapshot.at
        left = self.engine.decisions.open_submission
        settled = left is not None and left.accepted and not left.refused
        return assumed_end(request.wake_id, self.decider.name, thinking_ms, settled=settled)

    async def _take_answer(self, pending: PendingDecision) -> None:
        """Pass the end of a decision to the engine: its answer, or the cause of its failure."""
        wake_id, thinking_ms = pending.request.wake_id, self.clock.now() - pending.request.snapshot.at
        result: Decision | Cause
        # A strategy may not decide the same again, so a resumed run takes its decisions from the journal.
        known = self.recorder.known_decision(wake_id) if isinstance(self.decider, StrategyDecider) else None
        try:
            if known is not None and known.cause is not None and known.cause.kind.failed:
                raise CannotDecideError(known.cause)
            answer = known or await (pending.task or self.decider.decide(pending.request))
            result = known or validated(answer, self.engine.config.symbols)
        except Exception as error:
            # No error of a decider may stop the engine: the wake becomes a HOLD with the error as its cause.
            known_cause = error.cause if isinstance(error, CannotDecideError) else None
            cause = known_cause or Cause(CauseKind.ERROR, f"{type(error).__name__}: {error}")
            result = Cause(cause.kind, cause.detail.encode(errors="replace").decode()[:LONGEST_CAUSE])
        name, cost = self.decider.name, self._unreported_cost(pending)
        if isinstance(result, Cause):
            await self.take_output(steps.DecisionFailed(wake_id, name, thinking_ms, result, cost))
        else:
            await self.take_output(steps.DecisionReady(wake_id, name, thinking_ms, result, cost))

    async def take_output(self, output: DecisionOutput) -> None:
        """Pass an output of the decider to the engine."""
        with self.input(output):
            if self.repeating and not isinstance(output, steps.DecisionSubmitted):
                self.pending = None
            await self.take(output)

    async def ask_again(self) -> None:
        """After the logged inputs are repeated: ask for the decision that is still open, or end its submission."""
        self.repeating, pending = False, self.pending
        if pending is None:
            return
        if self.engine.decisions.open_submission is not None:
            self.pending = None
            await self.take_output(self._assumed_end(pending.request))
        elif self.engine.decisions.open_request is not None:
            await self._ask(pending.request)

    def checkpoint(self, market_at: int) -> None:
        """Make all events durable, with the state of engine and venue after the frame at `market_at` (ms)."""
        if not self.recorder.reading:
            # If the journal is ahead of the engine, the checkpoint before is still valid, and a new one adds nothing.
            self.commits.commit(Checkpoint(market_at, self.recorder.seq, self.engine.state(), self.venue.state()))

    async def close(self) -> None:
        """Cancel the decision in progress, if any. A resumed run requests it again if its wake is still open."""
        if self.pending is not None:
            await self.pending.cancel()
            self.pending = None

    async def _take_follow_ups(self) -> None:
        while self._follow_ups:
            event = self._follow_ups.popleft()
            effects = self.engine.step(event, self.clock.now())
            if effects:
                await self._carry_out(effects, self.engine.now)
            if isinstance(event, Rejected) and event.code == NOT_JOURNALED:
                self.commits.answered(event.ref)

    async def _carry_out(self, effects: list[steps.Effect], now: int) -> None:
        asked: DecisionRequest | None = None
        for effect in effects:
            match effect:
                case steps.Record(event):
                    if self.recorder.record(now, event):
                        self.commits.waiting += 1
                case steps.Send(cleared):
                    self._follow_ups.extend(await self._send(cleared, now))
                case steps.Cancel(ref):
                    self.commit()
                    self._follow_ups.extend(await self.venue.cancel(ref, now))
                case steps.Ask(request):
                    asked = request
                case steps.Keep(wake_id, snapshot):
                    if not self.recorder.reading:
                        self.store.keep(wake_id, snapshot)
                case steps.GiveUp():
                    await self._give_up(now)
                case steps.SetTimer(timer, at):
                    self.timers[timer] = at
                case steps.ClearTimer(timer):
                    self.timers.pop(timer, None)
        if asked is not None:
            # The decision is requested last, so that the commit before it covers a whole step.
            await self._ask(asked)
        self.next_due = self.due()[0]
        if not self.recorder.reading:
            self.commits.commit_some()

    def commit(self) -> bool:
        """Make the recorded events and the summary for `ocw status` durable. Return whether they are durable."""
        # Events that a resumed run records again are durable already.
        return self.recorder.reading or self.commits.commit()

    async def _send(self, cleared: ClearedOrder, now: int) -> Sequence[VenueReport]:
        """Send an order if its intent is durable. A reduce-only order is always sent: a position must have its stop."""
        if (known := self.recorder.unsent.get(cleared.order.ref)) is not None:
            return [known]
        if self.commit() or cleared.order.reduce_only:
            return await self.venue.submit(cleared, now)
        return [self.commits.refuse(cleared)]

    async def _give_up(self, now: int) -> None:
        """Cancel the decision in progress, and report its cost to the engine: it counts against the budget."""
        canceled = self.pending
        await self.close()
        if self.repeating:
            return
        if canceled is not None and (cost := self._unreported_cost(canceled)):
            wake_id, thinking_ms = canceled.request.wake_id, now - canceled.request.snapshot.at
            lost = steps.DecisionFailed(wake_id, self.decider.name, thinking_ms, GIVEN_UP, cost)
            if self._live:
                # The cost is not known before, so a live book takes and logs it as an input of its own.
                self.inbox.put(lost)
            else:
                self._follow_ups.append(lost)

    def _unreported_cost(self, pending: PendingDecision) -> Decimal:
        """Return the cost (USD) of a decision that the engine has not received yet, and mark it as reported."""
        if self._priced is None:
            return ZERO
        if isinstance(pending, RecalledDecision):
            return pending.discarded_usd
        before, pending.reported_usd = pending.reported_usd, self._priced.cost_usd(pending.request.wake_id)
        return pending.reported_usd - before

    async def _ask(self, request: DecisionRequest) -> None:
        if self.pending is not None:
            # The engine no longer waits for the last decision, and would discard its answer.
            await self.pending.cancel()
        if self.repeating:
            self.pending = PendingDecision(request, NEVER, None)
            return
        still_open = self.engine.decisions.open_submission is not None
        if self._converses is not None and not self._live and (self.recorder.reading or still_open):
            script = self.recorder.recall(request, self.decider.name)
            if script is None and still_open:
                script = [(self.clock.now(), self._assumed_end(request))]
            if script is not None:
                self.pending = RecalledDecision(request, script, self.recorder.discarded_usd(request.wake_id))
                self._stop_clock_for = self.pending, 0
                return
        # On a live clock an answer takes effect when it arrives, at a time that is not known before.
        takes = self.decider.thinking_ms(request) if self.clock.simulated else None
        due = NEVER if takes is None else request.snapshot.at + takes
        if takes != 0:
            # The decider may read the store, which must have all events up to this request.
            self.commit()
        task = None if takes == 0 else asyncio.ensure_future(self.decider.decide(request))
        self.pending = PendingDecision(request, due, task)
        if not self.clock.simulated:
            self.pending.on_output = lambda pending: self.inbox.put(DecisionCame(pending))
        if self._converses is not None and takes:
            self._stop_clock_for = self.pending, takes

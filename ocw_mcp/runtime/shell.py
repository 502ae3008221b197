"""Carries out the effects of the engine, and passes their results back to it as events."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from ocw_mcp.domain import steps
from ocw_mcp.domain.asks import CallerRequest, SubmitRequest
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.market import Frame, Instrument
from ocw_mcp.domain.orders import (
    NOT_JOURNALED,
    AccountSeen,
    Filled,
    FundingPaid,
    OrderRef,
    OutsideFill,
    Purpose,
    Rejected,
    Transferred,
    VenueReport,
)
from ocw_mcp.domain.protocols import Checkpoint, Clock, Decider, ExchangeVenue, SimulatedVenue, Store
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.engine.idempotency import Answer
from ocw_mcp.engine.step import Engine
from ocw_mcp.engine.summary import summary
from ocw_mcp.runtime.asking import Asking
from ocw_mcp.runtime.clock import POLL_MS, loop_speed
from ocw_mcp.runtime.downtime import Downtime
from ocw_mcp.runtime.exchange import ExchangeLink
from ocw_mcp.runtime.fitting import Fitting
from ocw_mcp.runtime.inbox import Arrival, Inbox, Request
from ocw_mcp.runtime.outbox import Outbox
from ocw_mcp.runtime.recorder import Commits, EventRecorder
from ocw_mcp.runtime.thinking import NEVER
from ocw_mcp.runtime.validation import validated_request

DRAIN_S: Final = 5.0
"""The longest time (s) at the end of a run in which reductions and cancels that wait are still sent, in real time."""

_MONEY: Final = (Filled, OutsideFill, FundingPaid, Transferred)
_OF_STOPS: Final = (steps.TimerKind.PROTECTION, steps.TimerKind.RETRY)
"""The reports of an exchange that are durable before the next report is taken."""


class Shell:
    """One engine with its venue, store, clock and decider. All effects of an event precede the next event."""

    def __init__(
        self,
        engine: Engine,
        venue: SimulatedVenue | ExchangeVenue,
        store: Store,
        recorder: EventRecorder,
        clock: Clock,
        decider: Decider,
        warn: Callable[[str], None],
        poll: Callable[[], Awaitable[None]],
    ) -> None:
        """`poll` takes waiting commands and requests while the clock stands still. `warn` gets disk errors as text."""
        self.engine = engine
        self.store = store
        self.recorder = recorder
        self.clock = clock
        self.decider = decider
        self.poll = poll
        self.commits = Commits(store, partial(summary, engine), warn)
        self.follow_ups: deque[steps.StepEvent] = deque()
        self.inbox = Inbox()
        self.simulated: SimulatedVenue | None = None
        """The venue, if it trades in this process."""
        self.exchange: ExchangeLink | None = None
        """The way to the venue, if it is outside of this process."""
        if isinstance(venue, ExchangeVenue):
            self.exchange = ExchangeLink(venue, engine, clock, self.inbox)
        else:
            self.simulated = venue
        self.early: list[VenueReport | steps.OutlookSeen] = []
        """The reports of an exchange and the readings that came before a new book began."""
        self.begun = False
        """Whether the run has begun: before, no command or request is taken."""
        self.logged = 0
        """The number of inputs that were logged since the last checkpoint of this process."""
        self.cursor = -1
        """The time (ms) of the last frame with candles; -1 before the first."""
        self.repeating = False
        """Whether a restarted live book repeats its logged inputs. Nothing is asked of the decider meanwhile."""
        self.live = engine.config.live
        """Whether inputs are logged, from which a restart repeats them."""
        self._ended = False
        self.timers: dict[steps.Timer, int] = {}
        self.stopping = asyncio.Event()
        """Set when the run is to end: then no decision is waited for."""
        self.next_due = NEVER
        """The time (ms) at which the next timer or decision is due."""
        self.asking = Asking(self)
        self.fitting = Fitting(self)
        self.downtime = Downtime()

    @property
    def venue_state(self) -> SimulatedVenue | ExchangeLink:
        """What the checkpoint has of the venue: all of a simulated one; of an exchange, what was taken from it."""
        found = self.simulated or self.exchange
        assert found is not None
        return found

    def due(self) -> tuple[int, steps.Timer | None]:
        """Return the time (ms) when the next timer or decision is due, and the timer, or None if a decision is next."""
        timers = self.downtime.due(self.timers.items()) if self.downtime.lasts else self.timers.items()
        if self.exchange is not None and self.exchange.looking:
            # The stop of a position may stand at the exchange, and nothing can be sent there yet.
            timers = [each for each in timers if each[0].kind not in _OF_STOPS]
        at, timer = min(((at, timer) for timer, at in timers), default=(NEVER, None))
        pending = self.asking.pending
        if pending is not None and pending.due < at:
            return pending.due, None
        return at, timer

    async def take(self, event: steps.StepEvent) -> None:
        """Pass an event to the engine, and carry out the effects of it and of all events that follow from it."""
        await self.follow(self.engine.step(event, self.clock.now()), self.engine.now)

    async def follow(self, effects: list[steps.Effect], now: int) -> None:
        """Carry out the effects of a step at `now` (ms), and those of all events that follow from them."""
        if effects:
            await self._carry_out(effects, now)
            await self._take_follow_ups()
            await self.asking.stop_clock()

    @contextmanager
    def input(self, event: steps.StepEvent) -> Iterator[None]:
        """Take an input from outside: a live book logs it, and its clock stands still while it is processed."""
        if not self.live or self.repeating:
            yield
            return
        self.clock.hold()
        try:
            self.store.log_input(self.clock.now(), event)
            self.logged += 1
            yield
        finally:
            self.clock.release()

    async def take_report(self, report: VenueReport | steps.DecisionFailed | steps.OutlookSeen) -> None:
        """Take a report of the venue that no call caused, the cost of a decision that was given up, or a reading."""
        with self.input(report):
            await self.take(report)
        if self.exchange is None:
            return
        if isinstance(report, _MONEY):
            # Otherwise a crash before the next commit would leave it out until the exchange is asked again.
            self.commit()
        elif isinstance(report, AccountSeen):
            self.exchange.note(report)
            self.next_due = self.due()[0]

    async def take_early(self) -> None:
        """Take the reports that came before the book began."""
        early, self.early = self.early, []
        for report in early:
            await self.take_report(report)

    def set_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Let the venue use the filters that the exchange reports from now on."""
        if instruments and self.simulated is not None:
            self.simulated.set_instruments(instruments)
        elif instruments and self.exchange is not None:
            self.exchange.set_instruments(instruments)

    async def take_all(self, events: Iterable[steps.StepEvent]) -> None:
        """Take several events in order. The effects of each are carried out before the next one is read."""
        for event in events:
            await self.take(event)

    def end_downtime(self, frame: Frame | None = None) -> None:
        """Let timers fire again if a frame, or the time without one, ends the downtime of a restarted live book."""
        now = self.clock.now()
        if frame is None:
            self.downtime.give_up(now)
        else:
            degraded, symbols = self.engine.prices.degraded, self.engine.market.symbols
            known = [each.closed_at for name, each in symbols.items() if name not in degraded]
            self.downtime.take(frame, known, self.engine.config.interval, self.engine.data_at, now)
        self.next_due = self.due()[0]

    async def fire(self, timer: steps.Timer) -> None:
        """Fire a timer that is due."""
        event = steps.TimerFired(timer)
        with self.input(event):
            del self.timers[timer]
            self.next_due = self.due()[0]
            await self.take(event)

    async def ask(self, request: CallerRequest) -> Answer:
        """Return the answer to a client's request, once the engine has taken it between two frames.

        Raises MalformedError for a defect of the request, and BookError if the run ends before.
        """
        request = validated_request(request, self.engine.config.symbols)
        if isinstance(request, SubmitRequest) and request.principal == self.decider.name:
            # A request of the run's own decider is part of its decision, and takes effect when that is due.
            answer = await self.asking.submit(request)
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
        try:
            await self.take_from_outside(steps.Asked(request, self.cursor))
            durable = self.commit()
        except BaseException:
            if not waiting.done():
                waiting.set_exception(
                    BookError(
                        "the run failed while it took this request, so its outcome is not known; repeat the request "
                        "with the same key to get its answer from the next run"
                    )
                )
            raise
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
            if self.simulated is not None:
                await self.take_all(self.simulated.fill_reductions(self.clock.now()))

    async def take_last(self) -> None:
        """End the run, but first take the costs of decisions that were given up and the venue's reports.

        An entry that rests at an exchange is cancelled: if it filled later, its position would have no stop.
        """
        if self.exchange is not None and self.begun:
            self.exchange.outbox.end_entries()
            if not self.repeating:
                event = steps.RunEnds()
                with self.input(event):
                    await self.take(event)
            await self._drain(self.exchange.outbox)
        arrived = await self.end()
        if self.begun:
            for each in arrived:
                if isinstance(each, VenueReport | steps.DecisionFailed | steps.OutlookSeen):
                    await self.take_report(each)

    async def _drain(self, outbox: Outbox) -> None:
        """Send the reductions and cancels that wait, for at most DRAIN_S, until no entry is live.

        What the exchange reports meanwhile is taken: an entry that fills now still gets its stop.
        """
        loop, kept = asyncio.get_running_loop(), list[Arrival]()
        until = loop.time() + DRAIN_S * loop_speed()
        while (left_s := until - loop.time()) > 0:
            while (arrival := self.inbox.get()) is not None:
                if isinstance(arrival, VenueReport):
                    await self.take_report(arrival)
                else:
                    kept.append(arrival)
            if not (outbox.busy or (outbox.opened and any(self.engine.orders.live(purpose=Purpose.ENTRY)))):
                break
            await self.inbox.wait(min(left_s, POLL_MS / 1_000))
        for arrival in kept:
            self.inbox.put(arrival)

    async def end(self) -> list[Arrival]:
        """Take no more requests, and cancel the decision in progress, if any. Return what was not taken."""
        self._ended = True
        await self.asking.close()
        await self.fitting.close()
        arrived: list[Arrival] = []
        while (arrival := self.inbox.get()) is not None:
            arrived.append(arrival)
            if isinstance(arrival, Request) and not arrival.answer.done():
                arrival.answer.set_result(None)
        return arrived

    def checkpoint(self, market_at: int) -> None:
        """Make all events durable, with the state of engine and venue after the frame at `market_at` (ms)."""
        if not self.recorder.reading:
            # If the journal is ahead of the engine, the checkpoint before is still valid, and a new one adds nothing.
            self.commits.commit(Checkpoint(market_at, self.recorder.seq, self.engine.state(), self.venue_state.state()))
            self.logged = 0

    async def _take_follow_ups(self) -> None:
        while self.follow_ups:
            event = self.follow_ups.popleft()
            effects = self.engine.step(event, self.clock.now())
            if effects:
                await self._carry_out(effects, self.engine.now)
            if isinstance(event, Rejected) and event.reason is NOT_JOURNALED:
                self.commits.answered(event.ref)

    async def _carry_out(self, effects: list[steps.Effect], now: int) -> None:
        asked: DecisionRequest | None = None
        for effect in effects:
            match effect:
                case steps.Record(event):
                    if self.recorder.record(now, event):
                        self.commits.waiting += 1
                case steps.Send(cleared):
                    self.follow_ups.extend(await self._send(cleared, now))
                case steps.Cancel(ref):
                    self.follow_ups.extend(await self._cancel(ref, now))
                case steps.CancelForeign(order):
                    if self.exchange is not None and not self.repeating:
                        self.exchange.cancel_foreign(order)
                case steps.Ask(request):
                    asked = request
                case steps.AskFit(fit):
                    await self.fitting.ask(fit)
                case steps.Keep(wake_id, snapshot):
                    if not self.recorder.reading:
                        self.store.keep(wake_id, snapshot)
                case steps.GiveUp():
                    await self.asking.give_up(now)
                case steps.SetTimer(timer, at):
                    self.timers[timer] = at
                case steps.ClearTimer(timer):
                    self.timers.pop(timer, None)
        if asked is not None:
            # The decision is requested last, so that the commit before it covers a whole step.
            await self.asking.ask(asked)
        self.next_due = self.due()[0]
        if not self.recorder.reading:
            self.commits.commit_some()

    def commit(self) -> bool:
        """Make the recorded events and the summary for `ocw status` durable. Return whether they are durable."""
        # Events that a resumed run records again are durable already.
        return self.recorder.reading or self.commits.commit()

    async def _send(self, cleared: ClearedOrder, now: int) -> Sequence[VenueReport]:
        """Send an order if its intent is durable, and return the reports that are there at once.

        A reduce-only order is always sent: a position must have its stop. While a restart repeats its inputs, nothing
        is sent to an exchange: what was sent before is looked up there afterwards.
        """
        if (known := self.recorder.unsent.get(cleared.order.ref)) is not None:
            return [known]
        cleared_ms = self.clock.wall_ms()
        if not (self.commit() or cleared.order.reduce_only):
            return [self.commits.refuse(cleared)]
        if self.simulated is not None:
            await self.simulated.submit(cleared, now)
            # What a venue in this process says at once belongs to the same input; a restart repeats it with that.
            return self.simulated.collect()
        if self.exchange is not None and not self.repeating:
            self.exchange.outbox.send(cleared, cleared_ms)
        return ()

    async def _cancel(self, ref: OrderRef, now: int) -> Sequence[VenueReport]:
        """Ask the venue to cancel an order once the request is journaled; return the reports that are there at once."""
        self.commit()
        if self.simulated is not None:
            await self.simulated.cancel(ref, now)
            return self.simulated.collect()
        if self.exchange is not None and not self.repeating:
            self.exchange.cancel(ref)
        return ()

"""Runs a book through a market, from its last state to the end of the market, the end of its time, or a stop.

Within one frame the order is fixed: the venue fills resting orders from the closing candles, then funding is settled,
then the engine takes the frame, then timers and decisions that are due, and last the openings, which fill orders that
wait for a price.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any

import msgspec

from ocw_mcp.core.matching.funding import STAMPED_LATE_MS
from ocw_mcp.domain.errors import BookError, FeedError, InvariantError, TapeError, VenueRefused
from ocw_mcp.domain.events import RunResumed, RunStarted, RunStopped
from ocw_mcp.domain.market import Frame, Funding
from ocw_mcp.domain.protocols import (
    Clock,
    CommandBox,
    DailyFeed,
    Decider,
    ExchangeVenue,
    Feed,
    MacroCalendar,
    SimulatedVenue,
    Store,
)
from ocw_mcp.domain.steps import Command, MacroSeen
from ocw_mcp.domain.time import DAY, HOUR
from ocw_mcp.engine.step import Engine
from ocw_mcp.runtime import pacing
from ocw_mcp.runtime.live_steps import LiveSteps
from ocw_mcp.runtime.outbox import OutboxStats
from ocw_mcp.runtime.pacing import FrameLookahead, everything_due
from ocw_mcp.runtime.recorder import EventRecorder, Listener
from ocw_mcp.runtime.shell import Shell

CHECKPOINT_EVERY = 4_096
"""Frames between two checkpoints: at most this many are repeated after a crash."""
SHOW_EVERY_MS = 1_000
"""Real time after which a slow run makes its events durable, with the summary for `ocw status`."""
POLL_EVERY = 64
POLL_EVERY_MS = 200
"""A run polls for commands and requests after POLL_EVERY frames or POLL_EVERY_MS of real time, whichever is first."""


def _learn_again(engine: Engine, store: Store, until: int, warn: Callable[[str], None]) -> None:
    """Rebuild the learner, which could not be restored, from the journal's domain events up to a number."""
    why = engine.learning.broken
    count = engine.learning.rebuild((each.at, each.event) for each in store.events_after(0) if each.seq <= until)
    warn(f"what was learned was rebuilt from {count} outcomes of the journal: {why}")


class BookRun:
    """One run of a book, from its last state to the end of its market or of its time."""

    def __init__(
        self,
        engine: Engine,
        feed: Feed,
        venue: SimulatedVenue | ExchangeVenue,
        store: Store,
        clock: Clock,
        decider: Decider,
        commands: CommandBox,
        listener: Listener | None = None,
        warn: Callable[[str], None] = lambda problem: None,
        macro: MacroCalendar | None = None,
    ) -> None:
        """Restore the saved state. `warn` gets disk errors as text. Raises BookError if another version saved it.

        `macro` gives the macro regime of each day of a simulated or recorded market. An exchange keeps the state of its
        account itself; only a live book can trade there.
        """
        if isinstance(venue, ExchangeVenue) and not engine.config.live:
            raise InvariantError("an exchange takes orders only of a live book")
        saved = store.checkpoint()
        self._resumes = saved is not None or store.last_seq > 0
        if saved is not None:
            with _restoring():
                engine.restore(saved.engine)
                if engine.learning.broken:
                    _learn_again(engine, store, saved.seq, warn)
            clock.advance(saved.market_at)
        self._has_checkpoint = saved is not None
        recorder = EventRecorder(store, saved.seq if saved else 0, listener)
        self.shell = Shell(engine, venue, store, recorder, clock, decider, warn, self.poll)
        if saved is not None:
            with _restoring():
                self.shell.venue_state.restore(saved.venue)
        self.cursor = saved.market_at if saved else -1
        self._feed = feed
        self._live = LiveSteps(self.shell, feed)
        self.commands = commands
        self._frames = 0
        self._began_at: int | None = None
        """The time (ms) at which a run on a live clock began."""
        self._why = ""
        self._shown_at = self._polled_at = clock.wall_ms()
        self._seen_commands: set[str] = set()
        self._lookahead: FrameLookahead | None = None
        self._macro = macro

    @property
    def cursor(self) -> int:
        """The time (ms) of the last frame with candles; -1 before the first."""
        return self.shell.cursor

    @cursor.setter
    def cursor(self, at: int) -> None:
        self.shell.cursor = at

    @property
    def catching_up(self) -> bool:
        """Return whether the engine still repeats journaled steps after a restart, so that its state is a past one."""
        return self.shell.repeating or self.shell.recorder.reading

    @property
    def outbox(self) -> OutboxStats | None:
        """How full the outbox to the exchange is; None for a venue in this process."""
        return None if self.shell.exchange is None else self.shell.exchange.outbox.stats

    @property
    def time_began(self) -> int | None:
        """The time (ms) from which the length of a run counts; None if it is not known yet.

        On a simulated clock it is the first frame of a new book, or its last clean stop, so a kill does not extend a
        run. On a live clock it is the beginning of this run, because time has passed since the last one.
        """
        if not self.shell.clock.simulated:
            return self._began_at
        counters = self.shell.engine.counters
        return counters.began_at if counters.ran_to is None else counters.ran_to

    def stop(self) -> None:
        """Stop after the present frame. A signal handler may call this."""
        self.shell.stopping.set()

    async def unless_stopped(self, work: Coroutine[Any, Any, object]) -> None:
        """Await a coroutine before the run, such as a check of the model; cancel it if the run is stopped."""
        working, stopped = asyncio.ensure_future(work), asyncio.ensure_future(self.shell.stopping.wait())
        await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not working.cancel():
            await working

    async def run(self, version: str, for_ms: int | None = None) -> str:
        """Run to the end of the market, for `for_ms` of market time, or until stopped. Return the reason of the end.

        `for_ms` counts from `time_began`.
        Raises TapeError if the market data are invalid, FeedError or VenueRefused if the market or the exchange's
        account cannot be used, and JournalError if the journal cannot be written.
        """
        self._why = "the market ended"
        try:
            if self.shell.clock.simulated:
                await self._run_simulated(version, for_ms)
            else:
                await self._run_live(version, for_ms)
        except (TapeError, FeedError, VenueRefused) as error:
            await self.shell.take_last()
            at_fault = {TapeError: "tape", VenueRefused: "venue"}.get(type(error), "market")
            self._finish(f"the {at_fault} is at fault: {error}")
            raise
        else:
            await self.shell.take_last()
        finally:
            await self.shell.end()
            if self.shell.exchange is not None:
                await self.shell.exchange.close()
        if self.shell.stopping.is_set():
            self._why = "it was stopped"
        self._finish(self._why)
        return self._why

    async def _run_simulated(self, version: str, for_ms: int | None) -> None:
        shell, clock = self.shell, self.shell.clock
        if isinstance(self._feed, DailyFeed):
            self._feed.read_days_of(shell.engine.config.policies.scale.regime_symbol)
        async with aclosing(self._feed.frames(self.cursor if self.cursor >= 0 else None)) as source:
            frames = self._lookahead = FrameLookahead(source)
            while (frame := frames.next_buffered() or await anext(source, None)) is not None:
                if for_ms is not None and self._time_is_up(frame.at, for_ms):
                    break
                if not self.shell.begun:
                    await self.begin(frame.at, version)
                # A resumed run repeats its steps without waiting, because the run before it has waited.
                if clock.paced and not frame.history and not shell.recorder.reading and not await self._wait(frame.at):
                    break
                if shell.next_due < frame.at:
                    await everything_due(frame.at - 1, shell)
                await self.take_frame(frame)
                if shell.stopping.is_set():
                    break
        await self._take_last_commands(version)

    async def _wait(self, at: int) -> bool:
        """Take commands and requests until paced time reaches `at` (ms). Return False if the run is stopped."""
        while not await self.shell.clock.approach(at):
            await self.poll()
            if self.shell.stopping.is_set():
                return False
        return True

    async def _run_live(self, version: str, for_ms: int | None) -> None:
        shell = self.shell
        if self._has_checkpoint:
            await self._live.resume(partial(self.begin, self.cursor, version))
        elif shell.exchange is not None:
            # Nothing is created if the account cannot be used.
            await shell.exchange.open_new()

        async def poll() -> bool:
            # A command before the beginning would not be repeated at its time.
            if shell.begun and shell.clock.wall_ms() - self._polled_at >= POLL_EVERY_MS:
                await self.poll()
            if shell.logged >= CHECKPOINT_EVERY:
                shell.checkpoint(self.cursor)
            return not shell.stopping.is_set() and not self._time_is_up(shell.clock.now(), for_ms)

        async with (
            aclosing(self._feed.frames(self._live.known_until())) as source,
            aclosing(pacing.live(source, self.shell, poll)) as frames,
        ):
            async for frame in frames:
                if frame.history:
                    await self.take_frame(frame)
                    continue
                if not shell.begun:
                    await self.begin(frame.at, version)
                if self._time_is_up(frame.at, for_ms):
                    break
                if shell.live:
                    await self._live.take(frame)
                else:
                    await self.take_frame(frame)
                self._live.watch()
                if shell.stopping.is_set():
                    break
        if shell.begun:
            await self.poll()

    def _time_is_up(self, at: int, for_ms: int | None) -> bool:
        began = self.time_began
        if for_ms is None or began is None or at <= began + for_ms:
            return False
        self._why = "its time is up"
        return True

    async def begin(self, at: int, version: str) -> None:
        """Begin the run: a new book at its first frame `at` (ms), a resumed book at its last state."""
        shell, store = self.shell, self.shell.store
        shell.begun = True
        self._began_at = shell.clock.now()
        if not self._resumes or self.cursor < 0:
            shell.clock.advance(at)
        kind = RunResumed if self._resumes else RunStarted
        store.note(shell.clock.now(), kind(version, shell.decider.name, shell.engine.config.policy_hash))
        # Events of the start that a killed process has journaled are repeated at their time, also on a live clock.
        known_at = shell.recorder.next_at
        await shell.follow(shell.engine.start(), shell.clock.now() if known_at is None else known_at)
        if shell.live and not self._has_checkpoint:
            # History is not logged: a restart has it from this checkpoint, in one transaction with the first events.
            shell.checkpoint(self.cursor)
        else:
            store.commit()
        await shell.take_early()
        await self.poll()

    async def take_frame(self, frame: Frame) -> None:
        """Process one frame: closing candles, funding, due timers and answers, then openings."""
        shell, venue, clock = self.shell, self.shell.simulated, self.shell.clock
        clock.advance(frame.at)
        now = clock.now()
        if frame.history:
            shell.set_instruments(frame.instruments)
            shell.engine.step(frame, now)
            self.cursor = frame.at
            if frame.closed:
                # The frame may hold the candles of a day: other tasks run before the next one.
                await clock.wait_until(now)
            return
        if self._macro is not None and frame.at // DAY != self.cursor // DAY:
            await shell.take(MacroSeen(self._macro.at(frame.at)))
        assert venue is not None
        if frame.books:
            venue.on_books(frame.books)
        if venue.next_funding < frame.at:
            # The stamp is in a hole or within a long candle: the position at that time is not known.
            closing = {*(each.symbol for each in frame.closed), *(each.symbol for each in frame.opened)}
            await shell.take_all(venue.settle_funding(frame.at - 1, (), closing))
        for candle in frame.closed:
            reports = venue.on_candle(candle, now)
            if reports:
                await shell.take_all(reports)
        rates = frame.funding if frame.at % HOUR else await self._rates_at(frame)
        if rates or venue.next_funding <= frame.at:
            # A symbol without an opening has ended and has no price to settle funding at.
            going_on = {each.symbol for each in frame.opened}
            await shell.take_all(venue.settle_funding(frame.at, rates, going_on))
        effects = shell.engine.step(frame, now)
        if effects:
            await shell.follow(effects, shell.engine.now)
        if frame.ended and shell.engine.config.policies.data.on_end == "close":
            for symbol in frame.ended:
                if held := shell.engine.account.ledger.quantity(symbol):
                    await shell.take_all(venue.close_out(symbol, held, now))
        if shell.next_due <= now:
            await everything_due(now, shell)
        for opening in frame.opened:
            reports = venue.on_opening(opening, now)
            if reports:
                await shell.take_all(reports)
        self.cursor = frame.at
        self._frames += 1
        if (
            self._frames % POLL_EVERY == 0
            or shell.recorder.reading
            or clock.wall_ms() - self._polled_at >= POLL_EVERY_MS
        ):
            await self.poll()
            await clock.wait_until(now)
        if self._frames % CHECKPOINT_EVERY == 0:
            shell.checkpoint(self.cursor)

    async def _rates_at(self, frame: Frame) -> Sequence[Funding]:
        """Return the funding rates of a frame, also those that the exchange dates a little later."""
        venue = self.shell.simulated
        if self._lookahead is None or venue is None or not (venue.pays_funding and self.shell.clock.simulated):
            return frame.funding
        return (*frame.funding, *await self._lookahead.funding(frame.at + STAMPED_LATE_MS))

    async def _take_last_commands(self, version: str) -> None:
        """Take the commands that came after the last frame, also if the market of the book has already ended."""
        if self.shell.begun:
            await self.poll()
        elif self.cursor >= 0 and (
            self.commands.waiting()
            or self.shell.recorder.reading
            # The last run was killed before its end was recorded, so this one records it.
            or self.shell.engine.counters.ran_to != self.cursor
        ):
            await self.begin(self.cursor, version)

    async def poll(self) -> None:
        """Take waiting commands and requests; while the engine is behind its journal, take those of the journal."""
        self._polled_at = self.shell.clock.wall_ms()
        if self.shell.repeating:
            return
        while (known := self.shell.recorder.known_input(self.cursor)) is not None:
            await self.shell.take_from_outside(known)
            if isinstance(known, Command):
                self._seen_commands.add(known.command_id)
        if self.shell.recorder.reading:
            return
        if self.shell.clock.simulated:
            await self.shell.take_requests()
        for command in self.commands.waiting():
            if command.command_id not in self._seen_commands:
                self._seen_commands.add(command.command_id)
                await self.shell.take_from_outside(msgspec.structs.replace(command, after_frame=self.cursor))
                self.shell.commit()
            if self.shell.commits.durable:
                self.commands.done(command)
        if self.shell.clock.wall_ms() - self._shown_at >= SHOW_EVERY_MS:
            self._shown_at = self.shell.clock.wall_ms()
            self.shell.commit()

    def _finish(self, why: str) -> None:
        if not self.shell.begun:
            return
        self.shell.store.note(self.shell.clock.now(), RunStopped(why))
        self.shell.engine.counters.ran_to = self.cursor
        self.shell.checkpoint(self.cursor)
        self.shell.commits.last()


@contextmanager
def _restoring() -> Iterator[None]:
    """Raise BookError in place of the errors of a saved state that another version made."""
    try:
        yield
    except (msgspec.MsgspecError, ValueError, KeyError) as error:
        raise other_version(error) from error


def other_version(error: Exception) -> BookError:
    """Return the BookError for a saved state that another version of ocw made."""
    return BookError(
        f"the book's saved state was not made by this version of ocw ({error}); nothing was changed; continue with "
        "the version that made it, or begin another book with another --state directory"
    )

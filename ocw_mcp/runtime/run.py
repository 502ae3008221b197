"""Runs a book through a market, from where it stands to the market's end, its time's end, or a word to stop.

At one moment everything has its order: closing candles first, what they do to resting orders before what they mean to
the engine, and funding between the two; then timers and answers that are due; then the openings, which fill what waits
for a price.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from ocw_mcp.core.matching.funding import STAMPED_LATE_MS
from ocw_mcp.domain.errors import BookError, TapeError
from ocw_mcp.domain.events import RunResumed, RunStarted, RunStopped
from ocw_mcp.domain.market import Frame, Funding
from ocw_mcp.domain.protocols import Checkpoint, Clock, CommandBox, Decider, Feed, SimulatedVenue, Store
from ocw_mcp.domain.steps import Command
from ocw_mcp.domain.time import HOUR
from ocw_mcp.engine.step import Engine
from ocw_mcp.runtime.ahead import Ahead
from ocw_mcp.runtime.pacing import everything_due, paced
from ocw_mcp.runtime.recorder import EventRecorder, Listener
from ocw_mcp.runtime.shell import Shell

CHECKPOINT_EVERY = 4_096
"""Frames between two checkpoints: at most so many are done again after a crash."""
SHOW_EVERY_MS = 1_000
"""Wall time after which a slow run makes durable what `ocw status` shows."""
LOOK_UP_EVERY = 64
LOOK_UP_EVERY_MS = 200
"""Frames, or wall time, between two looks at what people want, whichever comes first."""


class BookRun:
    """One run of a book, from where it stands to the end of its market or of its time."""

    def __init__(
        self,
        engine: Engine,
        feed: Feed,
        venue: SimulatedVenue,
        store: Store,
        clock: Clock,
        decider: Decider,
        commands: CommandBox,
        listener: Listener | None = None,
        tell: Callable[[str], None] = lambda problem: None,
    ) -> None:
        """Take up where the book stands; `tell` hears of a disk that takes nothing.

        Raises BookError for a state that this version did not make.
        """
        saved = store.checkpoint()
        self._resumes = saved is not None or store.last_seq > 0
        self.cursor = saved.market_at if saved else -1
        if saved is not None:
            _restore(engine, venue, saved)
            clock.advance(saved.market_at)
        recorder = EventRecorder(store, saved.seq if saved else 0, listener)
        self.shell = Shell(engine, venue, store, recorder, clock, decider, tell, self.poll)
        self._engine = engine
        self._feed = feed
        self._venue = venue
        self._store = store
        self._clock = clock
        self._decider = decider
        self.commands = commands
        self._stopping = False
        self._frames = 0
        self._warmed = 0
        self._begun = False
        self._why = ""
        self._shown_at = self._polled_at = clock.wall_ms()
        self._seen_commands: set[str] = set()
        self._ahead: Ahead | None = None

    @property
    def catching_up(self) -> bool:
        """Whether the engine still does again what the journal has already: what it stands at is the past."""
        return self.shell.recorder.reading

    def stop(self) -> None:
        """Stop after the frame under way; safe to call from a signal handler."""
        self._stopping = True
        self.shell.hurry()

    async def unless_stopped(self, work: Coroutine[Any, Any, object]) -> None:
        """Wait for something that comes before the run, and no longer than until the word to stop."""
        working, stopped = asyncio.ensure_future(work), asyncio.ensure_future(self.shell.hurried.wait())
        await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not working.cancel():
            await working

    async def run(self, version: str, for_ms: int | None = None) -> str:
        """Run to the end of the market, of `for_ms`, or until stopped; return which it was.

        `for_ms` of the market's time count from the first frame of a new book, else from where the book last stopped
        cleanly: a run that was killed is completed, not begun again.

        Raises TapeError where the market cannot be believed, JournalError where the journal cannot be written at the
        beginning, at the end, or for too long in between.
        """
        self._why = "the market ended"
        try:
            async with (
                aclosing(self._feed.frames(self.cursor if self.cursor >= 0 else None)) as source,
                aclosing(self._within(for_ms, version, source)) as frames,
                aclosing(paced(frames, self.shell, self._clock, self._meanwhile)) as moments,
            ):
                async for frame in moments:
                    await self.take_frame(frame)
                    if self._stopping:
                        break
            await self._hear_out(version)
        except TapeError as error:
            self._finish(f"the tape is at fault: {error}")
            raise
        finally:
            await self.shell.end()
        if self._stopping:
            self._why = "it was stopped"
        self._finish(self._why)
        return self._why

    async def _within(
        self, for_ms: int | None, version: str, source: AsyncGenerator[Frame, None]
    ) -> AsyncGenerator[Frame, None]:
        """The frames of the next `for_ms`; the run begins with the first of them."""
        ahead = self._ahead = Ahead(source)
        while (frame := ahead.taken_early() or await anext(source, None)) is not None:
            if for_ms is not None:
                counters = self._engine.counters
                began = counters.began_at if counters.ran_to is None else counters.ran_to
                if began is not None and frame.at > began + for_ms:
                    self._why = "its time is up"
                    return
            if not self._begun:
                await self.begin(frame.at, version)
            yield frame

    async def begin(self, at: int, version: str) -> None:
        """A new book begins at its first frame; a resumed one where it stands, even before it had any."""
        self._begun = True
        if not self._resumes or self.cursor < 0:
            self._clock.advance(at)
        kind = RunResumed if self._resumes else RunStarted
        config = self._engine.config
        self._store.note(self._clock.now(), kind(version, self._decider.name, config.policy_hash))
        await self.shell.start()
        self._store.commit()
        await self.poll()

    async def take_frame(self, frame: Frame) -> None:
        """Process one frame: closing candles, funding, due timers and answers, then openings."""
        shell = self.shell
        self._clock.advance(frame.at)
        now = self._clock.now()
        if frame.history:
            self._engine.step(frame, now)
            self.cursor = frame.at
            self._warmed += 1
            if self._warmed % LOOK_UP_EVERY == 0:
                await self._clock.wait_until(now)
            return
        if frame.books:
            self._venue.on_books(frame.books)
        if self._venue.next_funding < frame.at:
            # Stamps in a hole or within a long candle: whether the position lasted until then, nobody knows.
            closing = {*(each.symbol for each in frame.closed), *(each.symbol for each in frame.opened)}
            await shell.take_all(self._venue.settle_funding(frame.at - 1, (), closing))
        for candle in frame.closed:
            reports = self._venue.on_candle(candle, now)
            if reports:
                await shell.take_all(reports)
        rates = frame.funding if frame.at % HOUR else await self._rates_at(frame)
        if rates or self._venue.next_funding <= frame.at:
            # A symbol that does not go on has no market any more, and nothing to be settled at.
            going_on = {each.symbol for each in frame.opened}
            await shell.take_all(self._venue.settle_funding(frame.at, rates, going_on))
        effects = self._engine.step(frame, now)
        if effects:
            await shell.follow(effects, self._engine.now)
        if frame.ended:
            await self._close_out(frame.ended, now)
        if shell.next_due <= now:
            await everything_due(now, shell, self._clock)
        for opening in frame.opened:
            reports = self._venue.on_opening(opening, now)
            if reports:
                await shell.take_all(reports)
        self.cursor = frame.at
        self._frames += 1
        if (
            self._frames % LOOK_UP_EVERY == 0
            or shell.recorder.reading
            or self._clock.wall_ms() - self._polled_at >= LOOK_UP_EVERY_MS
        ):
            await self.poll()
            await self._clock.wait_until(now)
        if self._frames % CHECKPOINT_EVERY == 0:
            shell.checkpoint(self.cursor)

    async def _close_out(self, ended: Sequence[str], now: int) -> None:
        """Close the positions in symbols that have ended, where the policy says so."""
        if self._engine.config.policies.data.on_end == "close":
            for symbol in ended:
                if held := self._engine.account.ledger.quantity(symbol):
                    await self.shell.take_all(self._venue.close_out(symbol, held, now))

    async def _rates_at(self, frame: Frame) -> Sequence[Funding]:
        """The rates that the exchange settles at a whole hour, with those that it stamps a little later."""
        if self._ahead is None or not (self._venue.pays_funding and self._clock.simulated):
            return frame.funding
        return (*frame.funding, *await self._ahead.funding(frame.at + STAMPED_LATE_MS))

    async def _hear_out(self, version: str) -> None:
        """No frame comes any more: take what people wanted since the last look, or of a book that is through."""
        if self._begun:
            await self.poll()
        elif self.cursor >= 0 and (
            self.commands.waiting()
            or self.shell.recorder.reading
            # The run before was killed: this one ends it properly.
            or self._engine.counters.ran_to != self.cursor
        ):
            await self.begin(self.cursor, version)

    async def _meanwhile(self) -> bool:
        """While time has to pass: people may want something. Whether to go on."""
        await self.poll()
        return not self._stopping

    async def poll(self) -> None:
        """Take the commands that have come; while reading along, those that the journal has at this place."""
        self._polled_at = self._clock.wall_ms()
        while (known := self.shell.recorder.known_word(self.cursor)) is not None:
            await self.shell.take_from_outside(known)
            if isinstance(known, Command):
                self._seen_commands.add(known.command_id)
        if self.shell.recorder.reading:
            return
        await self.shell.take_requests(self.cursor)
        for command in self.commands.waiting():
            if command.command_id not in self._seen_commands:
                self._seen_commands.add(command.command_id)
                await self.shell.take_from_outside(msgspec.structs.replace(command, after_frame=self.cursor))
                self.shell.commit()
            if self.shell.commits.durable:
                self.commands.done(command)
        if self._clock.wall_ms() - self._shown_at >= SHOW_EVERY_MS:
            self._shown_at = self._clock.wall_ms()
            self.shell.commit()

    def _finish(self, why: str) -> None:
        if not self._begun:
            return
        self._store.note(self._clock.now(), RunStopped(why))
        self._engine.counters.ran_to = self.cursor
        self.shell.checkpoint(self.cursor)
        self.shell.commits.last()


def _restore(engine: Engine, venue: SimulatedVenue, saved: Checkpoint) -> None:
    try:
        engine.restore(saved.engine)
        venue.restore(saved.venue)
    except (msgspec.MsgspecError, ValueError, KeyError) as error:
        raise other_version(error) from error


def other_version(error: Exception) -> BookError:
    """Return the error of a saved state that cannot be read."""
    return BookError(
        f"the book's saved state was not made by this version of ocw ({error}); nothing was changed; go on with "
        "the version that made it, or begin another book with another --state directory"
    )

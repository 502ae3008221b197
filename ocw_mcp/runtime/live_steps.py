"""The steps of a live book: it takes the frames of a live market, and repeats its logged inputs after a restart."""

from collections.abc import Awaitable, Callable, Iterable

from ocw_mcp.domain.market import Candle, FeedNotice, FeedNoticeKind, Frame
from ocw_mcp.domain.orders import VenueNotice, VenueNoticeKind
from ocw_mcp.domain.protocols import DailyFeed, Feed, LiveFeed, SimulatedVenue, StoredInput
from ocw_mcp.domain.steps import Asked, Command, DecisionFailed, DecisionReady, DecisionSubmitted, RunEnds, TimerFired
from ocw_mcp.runtime.shell import Shell


class LiveSteps:
    """Passes the frames of a live market to the venue and the engine of one shell."""

    def __init__(self, shell: Shell, feed: Feed | None) -> None:
        """Without a `feed` the steps only repeat inputs."""
        self._shell = shell
        # The check of the protocol takes longer than a frame of prices.
        self._feed = feed if isinstance(feed, LiveFeed) else None
        self._days: DailyFeed | None = feed if isinstance(feed, DailyFeed) else None
        self._watched_at = 0

    async def take(self, frame: Frame) -> None:
        """Take a frame as an input, which is logged."""
        with self._shell.input(frame):
            await self._process(frame)

    async def _process(self, frame: Frame) -> None:
        """Process one frame of a live market: first fills and funding at a venue in this process, then the engine."""
        shell, venue = self._shell, self._shell.simulated
        now = shell.clock.now()
        shell.set_instruments(frame.instruments)
        if venue is not None:
            await self._trade(frame, venue, now)
        await shell.follow(shell.engine.step(frame, now), shell.engine.now)
        if venue is not None:
            await shell.take_all(venue.due(now))
        if frame.closed:
            shell.cursor = max(shell.cursor, frame.at)

    async def _trade(self, frame: Frame, venue: SimulatedVenue, now: int) -> None:
        """Let a venue in this process trade at the prices of a frame, and settle its funding."""
        shell = self._shell
        # The venue matches the part of a candle in which it saw no prices, such as during an outage.
        for candle in frame.closed:
            if not self._has(candle):
                await shell.take_all(venue.on_candle(candle, now))
        await shell.take_all(venue.on_books(frame.books, now))
        await shell.take_all(venue.on_marks(frame.marks, now))
        if frame.funding or venue.next_funding <= now:
            await shell.take_all(venue.settle_funding(now, frame.funding))

    def _has(self, candle: Candle) -> bool:
        """Return whether the engine has a candle or a later one already, because a restart asked for it again."""
        known = self._shell.engine.market.symbols[candle.symbol].closed_at
        return known is not None and candle.close_time <= known

    def watch(self) -> None:
        """Let a live feed report every price beyond the levels at which something happens."""
        steps = self._shell.engine.steps
        if self._feed is not None and steps != self._watched_at:
            self._watched_at = steps
            self._feed.watch(self._shell.engine.levels())

    def known_until(self) -> int | None:
        """Return the time (ms) up to which the candles of every symbol that has any are known; None for a new book."""
        known = {name: each.closed_at for name, each in self._shell.engine.market.symbols.items()}
        closed = {name: at for name, at in known.items() if at is not None}
        if not closed:
            if self._days is not None:
                self._days.read_days_of(self._shell.engine.config.policies.scale.regime_symbol)
            return None
        if self._feed is not None:
            self._feed.resume_at(closed)
        return min(closed.values())

    async def resume(self, begin: Callable[[], Awaitable[None]]) -> None:
        """Begin a restarted book with `begin`, and repeat the inputs since its checkpoint; then open its exchange.

        Raises JournalDiverged if the journal has an event that the inputs do not cause.
        """
        shell = self._shell
        await self._repeat(begin)
        if shell.exchange is not None:
            shell.repeating = False
            await shell.take_report(VenueNotice(VenueNoticeKind.CONNECTING, "the run goes on"))
            shell.exchange.reopen()
        shell.downtime.begin(shell.clock.now())
        await shell.asking.ask_again()
        await shell.fitting.ask_again()
        # A halt that waits takes effect before the end of an outage lets a decision through.
        await shell.poll()
        await self._forget_degraded()
        shell.checkpoint(shell.cursor)

    async def _repeat(self, begin: Callable[[], Awaitable[None]]) -> None:
        """Repeat the inputs at their times: nothing is sent to an exchange or asked of a decider.

        Inputs without events are left out if the policies have changed: these would act on past prices.
        """
        shell, config = self._shell, self._shell.engine.config
        changed = shell.engine.counters.hashes != (config.policy_hash, config.prompts_hash)
        shell.repeating = True
        await begin()
        if changed and not shell.recorder.reading:
            # From here on, a restart does not know that the policies have changed.
            shell.checkpoint(shell.cursor)
            inputs: Iterable[StoredInput] = ()
        else:
            inputs = shell.store.inputs()
        for known in inputs:
            await self.repeat(known)
        shell.clock.release()
        shell.recorder.require_read()

    async def repeat(self, known: StoredInput) -> None:
        """Repeat one input at its time, while `repeating` of the shell is set. The clock stays at that time."""
        shell = self._shell
        shell.clock.hold(known.at)
        match known.event:
            case Frame():
                await self._process(known.event)
            case TimerFired(timer):
                await shell.fire(timer)
            case Command() | Asked():
                await shell.take_from_outside(known.event)
            case RunEnds():
                await shell.take(known.event)
            case DecisionReady() | DecisionFailed() | DecisionSubmitted():
                await shell.asking.take_output(known.event)
            case _:
                await shell.take_report(known.event)

    async def _forget_degraded(self) -> None:
        """End what the feed of the run before has reported: a feed reports anew what it cannot rely on."""
        now, why = self._shell.clock.now(), "the feed has started again"
        degraded = sorted(self._shell.engine.prices.degraded)
        if degraded:
            notices = tuple(FeedNotice(now, FeedNoticeKind.RESTORED, subject, why) for subject in degraded)
            await self.take(Frame(now, notices=notices))

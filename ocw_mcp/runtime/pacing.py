"""Passes time between two frames: fires timers that are due, and lets decisions take effect.

A simulated clock does not wait. Timers and decisions that are due before the next frame are processed first, in order
of time; a decision is due when its modelled thinking time is over. On a live clock the run waits for the inbox and the
next timer together, and processes the first that comes.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable

from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import FeedNotice, FeedNoticeKind, Frame, Funding
from ocw_mcp.domain.protocols import Clock, Venue
from ocw_mcp.domain.steps import DecisionFailed
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.runtime.clock import POLL_MS, loop_speed
from ocw_mcp.runtime.inbox import DecisionCame, FrameRead, Inbox, MarketEnded, Request
from ocw_mcp.runtime.shell import Shell

Frames = AsyncGenerator[Frame, None]
Poll = Callable[[], Awaitable[bool]]
"""A function that is called repeatedly while the run waits, and returns whether the run continues."""


STOOD_STILL_MS = 2 * MINUTE
"""The time (ms) between two looks at the inbox from which on the process has not run, because its machine slept.

On a faster event loop it is longer.
"""


async def everything_due(until: int, shell: Shell) -> None:
    """Process every timer and decision that is due up to `until` (ms), in order of time."""
    while shell.next_due <= until:
        at, timer = shell.due()
        shell.clock.advance(at)
        if timer is None:
            await shell.asking.answer()
        else:
            await shell.fire(timer)


async def live(frames: Frames, shell: Shell, poll: Poll) -> Frames:
    """Yield the frames as they come, and process everything else that arrives or is due between two of them."""
    inbox, clock = shell.inbox, shell.clock
    venue = shell.simulated
    reading = [asyncio.ensure_future(_read(frames, inbox, clock))]
    if venue is not None:
        reading.append(asyncio.ensure_future(_listen(venue, inbox)))
    ended: MarketEnded | None = None
    early: list[Request] = []
    looked_at, longest_ms = clock.now(), STOOD_STILL_MS * loop_speed()
    try:
        while True:
            while shell.begun and early:
                await shell.take_request(early.pop(0))
            due = shell.next_due if venue is None else min(shell.next_due, venue.next_due)
            wait_ms = min(max(0, due - clock.now()), POLL_MS)
            await inbox.wait(wait_ms / 1_000)
            stood_still, looked_at = clock.now() - looked_at, clock.now()
            if shell.live and shell.begun and stood_still > longest_ms:
                shell.downtime.begin(looked_at)
                why = f"the clock went on by {stood_still // SECOND} s while this process did nothing"
                yield Frame(looked_at, notices=(FeedNotice(looked_at, FeedNoticeKind.INCIDENT, "market", why),))
            if shell.downtime.lasts:
                shell.end_downtime()
            await everything_due(clock.now(), shell)
            if venue is not None and venue.next_due <= clock.now():
                # The latency of an order at the paper venue is over: a frame without data lets the venue trade.
                yield Frame(clock.now())
            while (arrival := inbox.get()) is not None:
                match arrival:
                    case FrameRead(frame, taken):
                        yield frame
                        taken.set()
                        if shell.downtime.lasts:
                            shell.end_downtime(frame)
                    case Request() if not shell.begun:
                        early.append(arrival)
                    case Request():
                        await shell.take_request(arrival)
                    case DecisionCame(pending):
                        if shell.asking.pending is pending:
                            await shell.asking.answer()
                    case MarketEnded():
                        ended = arrival
                    case _ if not shell.begun:
                        # An exchange has shown the account before the first frame of a new book.
                        assert not isinstance(arrival, DecisionFailed)
                        shell.early.append(arrival)
                    case _:
                        await shell.take_report(arrival)
            if ended is not None and ended.error is not None:
                raise ended.error
            if ended is not None or not await poll():
                return
    finally:
        for request in early:
            inbox.put(request)
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


async def _read(frames: Frames, inbox: Inbox, clock: Clock) -> None:
    """Put the frames into the inbox. The next one is read when the one before is taken: a feed joins what came then."""
    error: Exception | None = None
    try:
        async for frame in frames:
            taken = asyncio.Event()
            inbox.put(FrameRead(frame, taken))
            await taken.wait()
            # A decision that takes no time, such as that of the rules, comes before the next frame.
            await clock.pause(0)
    except Exception as caught:
        error = caught
    inbox.put(MarketEnded(error))


async def _listen(venue: Venue, inbox: Inbox) -> None:
    """Put everything that a venue in this process says into the inbox. If that fails, the run ends."""
    try:
        async for report in venue.reports():
            inbox.put(report)
    except Exception as error:
        inbox.put(MarketEnded(error))


class FrameLookahead:
    """Reads later frames in advance, because an exchange dates a funding rate a little after its settlement."""

    def __init__(self, source: Frames) -> None:
        self._source = source
        self._buffer: deque[Frame] = deque()
        self._fault: TapeError | None = None

    def next_buffered(self) -> Frame | None:
        """Return the next frame that was read ahead; None if there is none. Raises the source's TapeError."""
        if self._buffer:
            return self._buffer.popleft()
        if self._fault is not None:
            raise self._fault
        return None

    async def funding(self, until: int) -> list[Funding]:
        """Return the funding rates of the frames that are not yet processed, up to `until` (ms)."""
        while not (self._buffer and self._buffer[-1].at > until) and self._fault is None:
            try:
                frame = await anext(self._source, None)
            except TapeError as fault:
                self._fault = fault
                break
            if frame is None:
                break
            self._buffer.append(frame)
        return [each for frame in self._buffer if frame.at <= until for each in frame.funding]

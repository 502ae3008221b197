"""Passes time between two frames: fires timers that are due, and lets decisions take effect.

A simulated clock does not wait. Timers and decisions that are due before the next frame are processed first, in order
of time; a decision is due when its modelled thinking time is over. On a live clock the run waits for the frame, the
next timer and the decision together, and processes the first that comes.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable

from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Frame, Funding
from ocw_mcp.runtime.clock import POLL_MS
from ocw_mcp.runtime.shell import Shell
from ocw_mcp.runtime.thinking import NEVER

Frames = AsyncGenerator[Frame, None]
Poll = Callable[[], Awaitable[bool]]
"""A function that is called repeatedly while the run waits, and returns whether the run continues."""


def paced(frames: Frames, shell: Shell, poll: Poll) -> Frames:
    """Yield the frames; timers and decisions that are due before a frame are processed before it."""
    return _simulated(frames, shell, poll) if shell.clock.simulated else _live(frames, shell, poll)


async def everything_due(until: int, shell: Shell) -> None:
    """Process every timer and decision that is due up to `until` (ms), in order of time."""
    while shell.next_due <= until:
        at, timer = shell.due()
        shell.clock.advance(at)
        if timer is None:
            await shell.answer()
        else:
            await shell.fire(timer)


async def _simulated(frames: Frames, shell: Shell, poll: Poll) -> Frames:
    async for frame in frames:
        # A resumed run repeats its steps without waiting, because the run before it has waited.
        if shell.clock.paced and not frame.history and not shell.recorder.reading:
            while not await shell.clock.approach(frame.at):
                if not await poll():
                    return
        if shell.next_due < frame.at:
            await everything_due(frame.at - 1, shell)
        yield frame


async def _live(frames: Frames, shell: Shell, poll: Poll) -> Frames:
    clock = shell.clock
    coming: asyncio.Future[Frame | None] = asyncio.ensure_future(anext(frames, None))
    try:
        while True:
            alarm = asyncio.ensure_future(clock.wait_until(shell.next_due)) if shell.next_due < NEVER else None
            pending = shell.pending
            output = asyncio.ensure_future(pending.output.wait()) if pending else None
            waiting = {each for each in (coming, alarm, output) if each is not None}
            try:
                await asyncio.wait(waiting, timeout=POLL_MS / 1_000, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in (alarm, output):
                    if each is not None:
                        each.cancel()
            await everything_due(clock.now(), shell)
            if pending is not None and pending.output.is_set() and shell.pending is pending:
                await shell.answer()
            if coming.done():
                frame = coming.result()
                if frame is None:
                    return
                yield frame
                coming = asyncio.ensure_future(anext(frames, None))
            elif not await poll():
                return
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


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

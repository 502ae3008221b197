"""Passes time between two frames: fires timers that are due, and lets decisions take effect.

A simulated clock does not wait. Timers and decisions that are due before the next frame are processed first, in order
of time; a decision is due when its modelled thinking time is over. On a live clock the run waits for the frame, the
next timer and the decision together, and processes the first that comes.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.protocols import Clock
from ocw_mcp.runtime.clock import POLL_MS
from ocw_mcp.runtime.shell import Shell
from ocw_mcp.runtime.thinking import NEVER


def paced(
    frames: AsyncGenerator[Frame, None], shell: Shell, clock: Clock, poll: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[Frame, None]:
    """Yield the frames; timers and decisions that are due before a frame are processed before it.

    `poll` is called repeatedly while the run waits, and returns whether it should go on.
    """
    return _simulated(frames, shell, clock, poll) if clock.simulated else _live(frames, shell, clock, poll)


async def everything_due(until: int, shell: Shell, clock: Clock) -> None:
    """Process every timer and decision that is due up to `until` (ms), in order of time."""
    while shell.next_due <= until:
        at, timer = shell.due()
        clock.advance(at)
        if timer is None:
            await shell.answer()
        else:
            await shell.fire(timer)


async def _simulated(
    frames: AsyncGenerator[Frame, None], shell: Shell, clock: Clock, poll: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[Frame, None]:
    async for frame in frames:
        # A resumed run repeats its steps without waiting, because the run before it has waited.
        if clock.paced and not frame.history and not shell.recorder.reading:
            while not await clock.approach(frame.at):
                if not await poll():
                    return
        if shell.next_due < frame.at:
            await everything_due(frame.at - 1, shell, clock)
        yield frame


async def _live(
    frames: AsyncGenerator[Frame, None], shell: Shell, clock: Clock, poll: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[Frame, None]:
    coming: asyncio.Future[Frame | None] = asyncio.ensure_future(anext(frames, None))
    try:
        while True:
            alarm = asyncio.ensure_future(clock.wait_until(shell.next_due)) if shell.next_due < NEVER else None
            pending = shell.pending
            output = asyncio.ensure_future(pending.wait_for_output()) if pending else None
            waiting = {each for each in (coming, alarm, output) if each is not None}
            try:
                await asyncio.wait(waiting, timeout=POLL_MS / 1_000, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in (alarm, output):
                    if each is not None:
                        each.cancel()
            await everything_due(clock.now(), shell, clock)
            if pending is not None and pending.has_output and shell.pending is pending:
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

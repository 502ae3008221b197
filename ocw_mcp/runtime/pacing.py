"""How time passes between two frames: what becomes due, and when an answer takes effect.

On a simulated clock nothing is waited for. Whatever is due before the next frame happens first, in order of time, and
an answer is due when its modelled thinking is over. On a live clock the frame, the next timer and the answer are waited
for together, and whichever comes first is taken first.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.protocols import Clock
from ocw_mcp.runtime.clock import A_MOMENT_MS
from ocw_mcp.runtime.shell import Shell
from ocw_mcp.runtime.thinking import NEVER


def paced(
    frames: AsyncGenerator[Frame, None], shell: Shell, clock: Clock, meanwhile: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[Frame, None]:
    """The frames, with everything that is due before each of them done when it comes.

    While time has to pass, `meanwhile` is called again and again; it tells whether to go on.
    """
    return _simulated(frames, shell, clock, meanwhile) if clock.simulated else _live(frames, shell, clock, meanwhile)


async def everything_due(until: int, shell: Shell, clock: Clock) -> None:
    """Let everything happen that is due up to `until` (ms), in order of time."""
    while shell.next_due <= until:
        at, timer = shell.due()
        clock.advance(at)
        if timer is None:
            await shell.answer()
        else:
            await shell.fire(timer)


async def _simulated(
    frames: AsyncGenerator[Frame, None], shell: Shell, clock: Clock, meanwhile: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[Frame, None]:
    async for frame in frames:
        # What is done again after a crash is done at once: it was waited for before.
        if clock.paced and not frame.history and not shell.recorder.reading:
            while not await clock.approach(frame.at):
                if not await meanwhile():
                    return
        if shell.next_due < frame.at:
            await everything_due(frame.at - 1, shell, clock)
        yield frame


async def _live(
    frames: AsyncGenerator[Frame, None], shell: Shell, clock: Clock, meanwhile: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[Frame, None]:
    coming: asyncio.Future[Frame | None] = asyncio.ensure_future(anext(frames, None))
    try:
        while True:
            alarm = asyncio.ensure_future(clock.wait_until(shell.next_due)) if shell.next_due < NEVER else None
            thinking = shell.thinking
            heard = asyncio.ensure_future(thinking.heard()) if thinking else None
            waiting = {each for each in (coming, alarm, heard) if each is not None}
            try:
                await asyncio.wait(waiting, timeout=A_MOMENT_MS / 1_000, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in (alarm, heard):
                    if each is not None:
                        each.cancel()
            await everything_due(clock.now(), shell, clock)
            if thinking is not None and thinking.speaks and shell.thinking is thinking:
                await shell.answer()
            if coming.done():
                frame = coming.result()
                if frame is None:
                    return
                yield frame
                coming = asyncio.ensure_future(anext(frames, None))
            elif not await meanwhile():
                return
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)

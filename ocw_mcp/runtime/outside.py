"""Reads the sources outside of the exchange, each in a task of its own, and puts what is new into the inbox.

A source that hangs, fails or floods delays nothing: its reader limits its time and size, no task waits for another, and
a report is put into the inbox only if it says something new, or is `REPEAT_MS` old.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ocw_mcp.domain.macro import MacroReading
from ocw_mcp.domain.protocols import Clock, OutsideFound, OutsideReader
from ocw_mcp.domain.steps import ContextSeen, MacroSeen
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.domain.unknown import Unknown

SHORTEST_MS: Final = MINUTE
"""The shortest time between two reads of a source, whatever it says."""
LONGEST_MS: Final = HOUR
"""The longest time between two reads; the report of the reader may be older, and then costs nothing."""
REPEAT_MS: Final = 6 * HOUR
"""The time after which an unchanged report is put again, so that the engine knows that it is still so."""

Put = Callable[[MacroSeen | ContextSeen], None]


async def follow_sources(
    readers: Sequence[OutsideReader],
    clock: Clock,
    put: Put,
    warn: Callable[[str], None],
    shortest_ms: float = SHORTEST_MS,
) -> None:
    """Read the sources until the task is cancelled. `warn` gets a sentence when a source fails, and when it is back."""
    async with asyncio.TaskGroup() as tasks:
        for reader in readers:
            tasks.create_task(_follow(reader, clock, put, warn, shortest_ms))


async def _follow(
    reader: OutsideReader, clock: Clock, put: Put, warn: Callable[[str], None], shortest_ms: float
) -> None:
    last: OutsideFound | None = None
    put_at = problem = None
    while True:
        found, next_ms = await reader.read(clock.now())
        if (reader.problem or None) != problem:
            problem = reader.problem or None
            warn(f"{reader.name}: {problem}" if problem else f"{reader.name}: the source answers again")
        now = clock.now()
        if _content(found) != last or put_at is None or now - put_at >= REPEAT_MS:
            last, put_at = _content(found), now
            seen = event_of(found)
            if seen is not None:
                put(seen)
        await clock.pause(max(shortest_ms, min(next_ms, LONGEST_MS)))


def event_of(found: OutsideFound) -> MacroSeen | ContextSeen | None:
    """Return the event of a report; None for no items, which say nothing."""
    if isinstance(found, MacroReading | Unknown):
        return MacroSeen(found)
    return ContextSeen(found) if found else None


def _content(found: OutsideFound) -> OutsideFound:
    """Return a report without the times at which its items were read."""
    if isinstance(found, MacroReading | Unknown):
        return found
    return tuple(msgspec.structs.replace(each, at=0) for each in found)

"""The tasks that read the sources outside of the exchange, and the macro regime of a recorded market."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from ocw_mcp.domain.context import ContextItem
from ocw_mcp.domain.macro import MacroReading, Quadrant
from ocw_mcp.domain.protocols import OutsideFound
from ocw_mcp.domain.steps import ContextSeen, MacroSeen
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.runtime.outside import LONGEST_MS, REPEAT_MS, follow_sources

READING = MacroReading(Quadrant.REFLATION, 0.5, 0.3, 5)
FAILED: OutsideFound = ()
ITEM = ContextItem("fear_greed", 1, 1, value=23.0, unit="of 100")


class Reader:
    """A source that gives one report after the other, and then hangs; `FAILED` is that of a failure."""

    def __init__(self, name: str, *found: OutsideFound, next_ms: int = HOUR) -> None:
        self.name, self.problem = name, ""
        self._found, self._next_ms = list(found), next_ms
        self.done = asyncio.Event()

    async def read(self, now: int) -> tuple[OutsideFound, int]:
        if not self._found:
            self.done.set()
            await asyncio.Event().wait()
        found = self._found.pop(0)
        self.problem = "it is away" if found is FAILED else ""
        return found, self._next_ms


class Pauses:
    """A clock whose pauses end at once, and move its time."""

    simulated = paced = False

    def __init__(self) -> None:
        self.time, self.paused = 0, list[float]()

    def now(self) -> int:
        return self.time

    async def pause(self, ms: float) -> None:
        self.paused.append(ms)
        self.time += int(ms)
        await asyncio.sleep(0)  # noqa: TID251 - lets other tasks run


async def follow(clock: Pauses, *readers: Reader) -> tuple[Sequence[MacroSeen | ContextSeen], list[str]]:
    seen: list[MacroSeen | ContextSeen] = []
    warned: list[str] = []
    task = asyncio.create_task(follow_sources(readers, clock, seen.append, warned.append))  # type: ignore[arg-type]
    for reader in readers:
        await reader.done.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return seen, warned


async def test_report_is_put_when_it_says_something_new() -> None:
    later = replace(ITEM, at=2)
    other = replace(ITEM, at=3, value=24.0)
    seen, _ = await follow(Pauses(), Reader("fear_greed", (ITEM,), (later,), (other,), (replace(other, stale=True),)))
    assert [each.items[0].value for each in seen if isinstance(each, ContextSeen)] == [23.0, 24.0, 24.0]
    assert [each.items[0].stale for each in seen if isinstance(each, ContextSeen)] == [False, False, True]


async def test_unchanged_report_is_repeated_after_six_hours() -> None:
    seen, _ = await follow(Pauses(), Reader("macro", *[READING] * 8))
    assert len(seen) == 1 + 7 * HOUR // REPEAT_MS


async def test_source_that_hangs_or_fails_delays_no_other_one() -> None:
    seen, warned = await follow(
        Pauses(), Reader("headlines"), Reader("stablecoins", FAILED, FAILED, (ITEM,)), Reader("macro", READING)
    )
    assert seen == [MacroSeen(READING), ContextSeen((ITEM,))]
    assert warned == ["stablecoins: it is away", "stablecoins: the source answers again"]


@pytest.mark.parametrize(("asked", "paused"), [(0, MINUTE), (5 * MINUTE, 5 * MINUTE), (48 * HOUR, LONGEST_MS)])
async def test_sources_are_read_neither_too_often_nor_too_rarely(asked: int, paused: int) -> None:
    clock = Pauses()
    await follow(clock, Reader("macro", READING, next_ms=asked))
    assert clock.paused == [paused]

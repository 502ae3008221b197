"""An answer that takes its time is told of, and no other."""

import asyncio

from rich.text import Text

from ocw_mcp.agent.causes import Trouble
from ocw_mcp.agent.messages import Reply, Request
from ocw_mcp.agent.slow_answers import SlowAnswerNotice
from ocw_mcp.app.narrator import Narrator
from ocw_mcp.runtime.clock import SimulatedClock
from tests.support.agent import Scripted, says


async def test_an_answer_that_does_not_come_is_told_of_once_with_the_time_it_has() -> None:
    told: list[str] = []
    came = asyncio.Event()

    class UntilTold:
        async def create(self, request: Request) -> Reply | Trouble:
            await came.wait()
            return says("Nothing.")

    def say(line: Text) -> None:
        told.append(line.plain)
        came.set()

    awaited = SlowAnswerNotice(UntilTold(), SimulatedClock(), 108.0, 45.0, Narrator(say).waits, noticeable_s=0)
    await awaited.create(Request(7, 0, {}))
    came.clear()
    await awaited.create(Request(-2, 0, {}))
    assert told == [
        "1970-01-01 00:00  waiting   for Claude on wake 7, up to 108 s",
        "1970-01-01 00:00  waiting   for Claude on the reflection on order 1, up to 45 s",
    ]


async def test_an_answer_that_comes_soon_needs_no_word() -> None:
    told: list[str] = []
    awaited = SlowAnswerNotice(
        Scripted(says("Nothing.")), SimulatedClock(), 108.0, 45.0, Narrator(lambda line: told.append(line.plain)).waits
    )
    await awaited.create(Request(7, 0, {}))
    assert told == []

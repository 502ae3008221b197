"""The notice of slow answers."""

import asyncio

from rich.text import Text

from ocw_mcp.agent.messages import Reply, Request, SlowAnswerNotice, Trouble
from ocw_mcp.app.narrator import Narrator
from ocw_mcp.runtime.clock import SimulatedClock
from tests.support.agent import ScriptedModel, says


async def test_each_slow_model_answer_is_reported_once_with_its_timeout() -> None:
    lines: list[str] = []
    reported = asyncio.Event()

    class UntilReported:
        async def create(self, request: Request) -> Reply | Trouble:
            await reported.wait()
            return says("Nothing.")

    def narrate(line: Text) -> None:
        lines.append(line.plain)
        reported.set()

    report = Narrator(narrate).waits
    notice = SlowAnswerNotice(UntilReported(), SimulatedClock(), 108.0, 45.0, report, notice_after_s=0)
    await notice.create(Request(7, 0, {}))
    reported.clear()
    await notice.create(Request(-2, 0, {}))
    assert lines == [
        "1970-01-01 00:00  waiting   for Claude on wake 7, up to 108 s",
        "1970-01-01 00:00  waiting   for Claude on the reflection on order 1, up to 45 s",
    ]


async def test_quick_model_answer_is_not_reported() -> None:
    lines: list[Text] = []
    notice = SlowAnswerNotice(
        ScriptedModel(says("Nothing.")), SimulatedClock(), 108.0, 45.0, Narrator(lines.append).waits
    )
    await notice.create(Request(7, 0, {}))
    assert lines == []

"""The memory beside a whole engine: its facts of a book, and the same recall in a replay."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from ocw_mcp.agent.memory.diary import MEMORY_FILE
from ocw_mcp.agent.memory.memory import Memory
from ocw_mcp.agent.memory.writer import Writer, WriterTerms, day_facts, trade_facts
from ocw_mcp.agent.messages import Messages, Reply, Request
from ocw_mcp.agent.pricing import TokenUsage
from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.agent.recording import CallRecorder, Recording
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot
from ocw_mcp.domain.time import SECOND, day_begins
from ocw_mcp.runtime.clock import SimulatedClock
from ocw_mcp.runtime.history import History
from tests.support.deciders import Reckless
from tests.support.facades import BOOK, FacadeRun
from tests.support.memory import WRITER

POLICIES = load_policies(None).policies
PROMPTS = Prompts(load_prompts(None).texts, POLICIES)
HOURS = 25
RECORDING = "decisions.jsonl"


class Diarist:
    """A model that writes a reflection with a lesson on each request."""

    async def create(self, request: Request) -> Reply:
        text = f"On {request.wake}: it was as it was.\nLesson: so it goes, {request.wake}."
        return Reply("end_turn", ({"type": "text", "text": text},), TokenUsage(plain=400, output=60))


class Reminded(Reckless):
    """Decides at random, and records the recalled entries."""

    memory: Memory

    def __init__(self) -> None:
        super().__init__(3)
        self.recalled: list[tuple[Snapshot, str]] = []

    def thinking_ms(self, request: DecisionRequest) -> int:
        return 20 * SECOND

    async def decide(self, request: DecisionRequest) -> Decision:
        self.recalled.append((request.snapshot, await self.memory.at_wake(request.snapshot, Decimal(1))))
        return await super().decide(request)


def memory(directory: Path, past: Path, messages: Messages | None) -> Memory:
    terms = WriterTerms(model=WRITER)
    writer = None if messages is None else Writer(messages, PROMPTS, "prompts", terms)
    return Memory(directory, BOOK, History(past), POLICIES.rules, writer, warn=pytest.fail)


@pytest.mark.slow
async def test_replay_recalls_the_same_memory_entries_as_the_run(tmp_path: Path) -> None:
    book, again = tmp_path / "book", tmp_path / "again"
    again.mkdir()
    decider = Reminded()
    looked = FacadeRun(book, decider, warmup_days=2)
    with CallRecorder(tmp_path / RECORDING, Diarist(), SimulatedClock()) as recorder:
        decider.memory = memory(book, book, recorder)
        await looked.go(HOURS)
        await decider.memory.close()
    looked.store.close()
    texts = [text for _, text in decider.recalled]
    assert texts[0] == ""
    kinds = ("] trade of order", "] lesson", "] digest of 2026-01-01")
    assert all(any(kind in text for text in texts) for kind in kinds)

    # From the recording, although the store now has later events, too.
    recording = Recording.read(tmp_path / RECORDING)
    anew = memory(again, book, recording)
    assert [await anew.at_wake(snapshot, Decimal(1)) for snapshot, _ in decider.recalled] == texts
    await anew.close()
    assert recording.missing == []
    assert (again / MEMORY_FILE).read_bytes() == (book / MEMORY_FILE).read_bytes()

    # From the file, as a book that resumes from an earlier time finds it: later entries are not recalled.
    kept = memory(again, book, None)
    assert [await kept.at_wake(snapshot, Decimal(1)) for snapshot, _ in decider.recalled] == texts

    past = History(book)
    (trade,) = (await past.trades(1)).trades
    facts = await trade_facts(past, trade, POLICIES.rules)
    assert (facts.trade, facts.decider, facts.situation.symbol) == (trade, "random", trade.symbol)
    assert facts.wake is not None
    assert facts.mfe is not None
    assert facts.mae is not None
    assert facts.mae < 0 < facts.mfe
    day = await day_facts(past, "2026-01-01")
    assert day is not None
    assert re.match(r"day 2026-01-01: equity 10,000\.00 to [\d,]+\.\d\d$", day[0])
    closed = (await past.trades(1, until=day_begins("2026-01-02"))).found
    assert day[1].startswith(f"trades closed {closed}, ")
    assert int(re.findall(r"decided by random (\d+)", day[2])[0]) > 50
    assert int(re.findall(r"STOP_REQUIRED (\d+)", day[3])[0]) > 5
    assert await day_facts(past, "2025-12-30") is None

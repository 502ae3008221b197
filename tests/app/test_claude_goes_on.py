"""A run with Claude that stops and resumes has the same fingerprint, memory, breaker state and costs."""

import asyncio
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.adapters.control.commands import CommandFiles
from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.agent.client import SdkMessages
from ocw_mcp.agent.memory.diary import MEMORY_FILE
from ocw_mcp.agent.messages import Reply, Request, Trouble
from ocw_mcp.app.claude import ClaudeSetup
from ocw_mcp.app.compose import WiredRun, stamp
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.app.serve import facade_of
from ocw_mcp.app.settings import Settings
from ocw_mcp.domain import events
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.time import HOUR, MINUTE
from tests.support.claude import KEY, served_claude
from tests.support.examples import again_among_slow, some

HOURS = 9


async def run(
    directory: Path, claude_setup: ClaudeSetup, for_ms: int, stop: asyncio.Event | None = None
) -> tuple[str, list[Any]]:
    """Start or resume a book for `for_ms`; return its fingerprint and its events."""
    feed = SimulatedFeed(1, warmup_days=1)
    store = SqliteStore.open(directory, stamp(feed), book_id="claude", created_at=0)
    with ExitStack() as kept, closing(store):
        policies, texts = load_policies(None), load_prompts(None)
        make_decider = partial(claude_setup.make_decider, policies, texts, kept)
        book = WiredRun(feed, "claude", policies, texts, store, CommandFiles(directory), make_decider=make_decider)
        async with claude_setup.connected(book.decider, facade_of(book, directory), directory):
            counters = book.engine.counters
            ran = 0 if counters.ran_to is None or counters.began_at is None else counters.ran_to - counters.began_at
            going = asyncio.create_task(book.run.run("1", for_ms - ran))
            if stop is not None:
                await stop.wait()
                book.run.stop()
            await going
        return store.fingerprint, [event for _, event in store.all_events()]


@again_among_slow
@pytest.mark.parametrize("character", ["refuser", pytest.param("trader", marks=pytest.mark.slow)])
async def test_recorded_run_stopped_at_any_time_has_the_same_fingerprint(tmp_path: Path, character: str) -> None:
    record, nobody = tmp_path / "decisions.jsonl", Settings()
    async with served_claude(character) as url:
        asks = ClaudeSetup(Settings(anthropic_api_key=KEY, anthropic_base_url=url), record)
        expected, told = await run(tmp_path / "live", asks, HOURS * HOUR)
    kinds = {each.decision.cause_kind for each in told if isinstance(each, events.DecisionMade)}
    assert (CauseKind.BREAKER in kinds) == (character == "refuser")
    assert (b'reflections":[{' in (tmp_path / "live" / MEMORY_FILE).read_bytes()) == (character == "trader")
    stopped = tmp_path / "stopped"
    for minutes in some((35, 121, 240, 345, 487, HOURS * 60), 3):
        replays = ClaudeSetup(nobody, decisions=record)
        fingerprint, _ = await run(stopped, replays, minutes * MINUTE)
        assert replays.recording is not None
        assert replays.recording.missing == [], f"stopped at {minutes}"
    assert fingerprint == expected


async def test_cost_of_a_model_call_that_a_stop_interrupted_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, asked = tmp_path / "decisions.jsonl", asyncio.Event()
    create = SdkMessages.create

    async def sticks_once(self: SdkMessages, request: Request) -> Reply | Trouble:
        answer = await create(self, request)
        if request.wake == 5 and not asked.is_set():
            asked.set()
            await asyncio.Event().wait()
        return answer

    monkeypatch.setattr(SdkMessages, "create", sticks_once)
    async with served_claude("trader") as url:
        settings = Settings(anthropic_api_key=KEY, anthropic_base_url=url)
        await run(tmp_path / "live", ClaudeSetup(settings, record), 4 * HOUR, stop=asked)
        expected, told = await run(tmp_path / "live", ClaudeSetup(settings, record), 4 * HOUR)
    costs = {each.wake_id: each.cost_usd for each in told if isinstance(each, events.DecisionMade)}
    assert costs[5] > 5 * costs[4], "the call that nobody waited for counts at its worst"
    replays = ClaudeSetup(Settings(), decisions=record)
    assert (await run(tmp_path / "again", replays, 4 * HOUR))[0] == expected
    assert replays.recording is not None
    assert replays.recording.missing == []

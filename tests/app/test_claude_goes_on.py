"""A run of Claude's that is stopped and goes on comes to the same: with its memory, its breaker and its money."""

from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.adapters.control.commands import CommandFiles
from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.agent.memory.keeping import MEMORY
from ocw_mcp.app.claude import Brain
from ocw_mcp.app.compose import Book, stamp
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.app.serve import facade_of
from ocw_mcp.app.settings import Settings
from ocw_mcp.domain import events
from ocw_mcp.domain.time import HOUR, MINUTE
from tests.support.claude import KEY, served_claude

HOURS = 9


async def run(directory: Path, brain: Brain, for_ms: int) -> tuple[str, list[Any]]:
    """Begin or go on with a book; its fingerprint and its events."""
    feed = SimulatedFeed(1)
    store = SqliteStore.open(directory, stamp(feed), book_id="claude", created_at=0)
    with ExitStack() as kept, closing(store):
        policies, texts = load_policies(None), load_prompts(None)
        thinks = partial(brain.seated, policies, texts, kept)
        book = Book(feed, "claude", policies, texts, store, CommandFiles(directory), thinks=thinks)
        async with brain.at_work(book.decider, facade_of(book, directory), directory):
            await book.run.run("1", for_ms)
        return store.fingerprint, [event for _, event in store.all_events()]


@pytest.mark.parametrize("character", ["trader", "refuser"])
async def test_stopped_at_any_time_a_recorded_run_comes_to_the_same(tmp_path: Path, character: str) -> None:
    record, nobody = tmp_path / "decisions.jsonl", Settings()
    async with served_claude(character) as url:
        asks = Brain(Settings(anthropic_api_key=KEY, anthropic_base_url=url), record)
        expected, told = await run(tmp_path / "live", asks, HOURS * HOUR)
    causes = {each.decision.cause.partition(" (")[0] for each in told if isinstance(each, events.DecisionMade)}
    assert ("fallback: BREAKER" in "".join(causes)) == (character == "refuser")
    assert (b'reflections":[{' in (tmp_path / "live" / MEMORY).read_bytes()) == (character == "trader")
    stopped = tmp_path / "stopped"
    for minutes in (35, 121, 240, 345, 487, HOURS * 60):
        replays = Brain(nobody, decisions=record)
        fingerprint, _ = await run(stopped, replays, minutes * MINUTE)
        assert replays.recording is not None
        assert replays.recording.missing == [], f"stopped at {minutes}"
    assert fingerprint == expected

"""Runs with Claude as the agent: the SDK over a socket, recordings, and replays of recordings."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import respx

from ocw_mcp.adapters.control.commands import CommandFiles
from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.app import claude
from ocw_mcp.app.claude import ClaudeSetup
from ocw_mcp.app.compose import WiredRun, stamp
from ocw_mcp.app.policy_loader import LoadedPrompts, load_policies, load_prompts
from ocw_mcp.app.serve import facade_of
from ocw_mcp.app.settings import Settings
from ocw_mcp.domain import events
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.time import HOUR
from ocw_mcp.runtime.clock import SimulatedClock
from tests.support.claude import KEY, served_claude
from tests.support.shell import Ocw

HOURS = 1


@asynccontextmanager
async def ran(
    directory: Path, claude_setup: ClaudeSetup, prompts: LoadedPrompts | None = None
) -> AsyncIterator[tuple[WiredRun, list[Any]]]:
    """A book after some hours of the simulated market, and its events."""
    feed = SimulatedFeed(1, warmup_days=1)
    store = SqliteStore.open(directory, stamp(feed), book_id="claude", created_at=0)
    with ExitStack() as kept, closing(store):
        policies, texts = load_policies(None), prompts or load_prompts(None)
        make_decider = partial(claude_setup.make_decider, policies, texts, kept)
        book = WiredRun(feed, "claude", policies, texts, store, CommandFiles(directory), make_decider=make_decider)
        await book.run.unless_stopped(claude_setup.check_model())
        async with claude_setup.connected(book.decider, facade_of(book, directory), directory):
            await book.run.run("1", HOURS * HOUR)
        yield book, [event for _, event in store.all_events()]


def settings(url: str | None, key: str | None = KEY) -> Settings:
    return Settings(anthropic_api_key=key, anthropic_base_url=url)


async def test_recorded_claude_run_replays_the_same_without_network(
    tmp_path: Path,
) -> None:
    record = tmp_path / "decisions.jsonl"
    async with (
        served_claude("trader") as url,
        ran(tmp_path / "live", ClaudeSetup(settings(url), record)) as (book, told),
    ):
        fingerprint = book.store.fingerprint
        made = [each for each in told if isinstance(each, events.DecisionMade)]
    assert {each.decider for each in made} == {"claude"}
    assert any(each.decision.legs for each in made)
    assert sum(each.cost_usd for each in made) > 0
    assert record.stat().st_mode & 0o777 == 0o600
    assert KEY not in record.read_text()
    assert KEY not in str(told)
    replaying = ClaudeSetup(settings(None, None), decisions=record)
    async with ran(tmp_path / "again", replaying) as (book, _):
        assert book.store.fingerprint == fingerprint
    assert replaying.recording is not None
    assert replaying.recording.missing == []


@pytest.mark.parametrize("odd", ["gateway-Xy7", 'odd"X\\y7'])
async def test_access_token_echoed_by_a_gateway_is_not_recorded(
    tmp_path: Path, httpx2_mock: respx.MockRouter, odd: str
) -> None:
    """The token does not look like a secret, so it can be removed only by its value."""
    gateway = "https://gateway.example.org"
    echoed = {"type": "text", "text": f"You came with {odd}."}
    answer = {"content": [echoed], "stop_reason": "end_turn", "usage": {"input_tokens": 5, "output_tokens": 3}}
    httpx2_mock.get(url__startswith=f"{gateway}/v1/models").respond(json={})
    httpx2_mock.post(f"{gateway}/v1/messages").respond(json=answer)
    record = tmp_path / "decisions.jsonl"
    given = Settings(anthropic_auth_token=odd, anthropic_base_url=gateway)
    async with ran(tmp_path / "live", ClaudeSetup(given, record)):
        pass
    lines = record.read_text().splitlines()
    assert any("You came with [redacted]." in line for line in lines)
    assert not any("y7" in line for line in lines)
    again = ClaudeSetup(given, decisions=record)
    async with ran(tmp_path / "again", again):
        pass
    assert again.recording is not None
    assert again.recording.missing == []


async def test_replay_with_a_changed_prompt_lists_unrecorded_decisions(tmp_path: Path) -> None:
    record = tmp_path / "decisions.jsonl"
    async with served_claude("trader") as url, ran(tmp_path / "live", ClaudeSetup(settings(url), record)):
        pass
    changed = load_prompts(None)
    texts = changed.texts | {"system": changed.texts["system"] + "\nBe bold."}
    replaying = ClaudeSetup(settings(None, None), decisions=record)
    async with ran(tmp_path / "again", replaying, replace(changed, texts=texts)) as (_, told):
        made = [each for each in told if isinstance(each, events.DecisionMade)]
    assert {each.decider for each in made} == {"rules"}
    assert all(each.decision.cause_kind is CauseKind.NOT_RECORDED for each in made)
    assert replaying.recording is not None
    missing = replaying.recording.missing
    assert missing[0].why == "system differ from the recorded request"
    assert all("system" in each.why or each.why == "no such call was recorded" for each in missing)


async def at_once(clock: SimulatedClock, ms: float) -> None:
    """Return at once, so that the test does not wait between repeated requests."""


@pytest.mark.requirement("A01")
@pytest.mark.parametrize(
    ("character", "cause"),
    [("overloaded", "OVERLOADED"), ("limited", "RATE_LIMITED"), ("broken", "SERVER"), ("dropped", "CONNECTION"),
     ("refuser", "REFUSAL")],
)  # fmt: skip
async def test_rules_decide_after_each_kind_of_api_failure(
    tmp_path: Path, character: str, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SimulatedClock, "pause", at_once)
    async with served_claude(character) as url, ran(tmp_path / "desk", ClaudeSetup(settings(url))) as (_, told):
        first = next(each for each in told if isinstance(each, events.DecisionMade))
    assert first.decider == "rules"
    assert first.decision.cause_kind == cause


async def test_missing_or_wrong_api_key_is_reported_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served_claude() as url:
        for name, claude_setup in (
            ("none", ClaudeSetup(settings(None, None))),
            ("wrong", ClaudeSetup(settings(url, "sk-ant-wrong-key"))),
        ):
            async with ran(tmp_path / name, claude_setup) as (_, told):
                made = [each for each in told if isinstance(each, events.DecisionMade)]
            assert {each.decider for each in made} == {"rules"}
    said = "".join(capsys.readouterr())
    assert "Claude cannot be asked, so the rules decide: NO_KEY: " in said
    assert "Claude cannot be asked, so the rules decide: BAD_KEY: " in said
    assert "sk-ant-wrong-key" not in said


async def test_start_of_a_run_does_not_wait_for_a_slow_model_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(claude, "MODEL_CHECK_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent, ExitStack() as kept:
        claude_setup = ClaudeSetup(settings(f"http://127.0.0.1:{silent.getsockname()[1]}"))
        claude_setup.make_decider(load_policies(None), load_prompts(None), kept, SimulatedClock())
        await claude_setup.check_model()
    said = "".join(capsys.readouterr())
    assert "the API did not confirm within 0.05 s that it has claude-sonnet-5-5; the run continues" in said


async def test_model_without_a_price_is_reported_at_the_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    claude_setup = ClaudeSetup(settings("http://127.0.0.1:9").model_copy(update={"claude_model": "claude-nobody"}))
    with ExitStack() as kept:
        claude_setup.make_decider(load_policies(None), load_prompts(None), kept, SimulatedClock())
        await claude_setup.check_model()
    said = "".join(capsys.readouterr())
    assert "the price of claude-nobody is not known, so no budget can be kept, and the rules decide every wake" in said
    assert "set CLAUDE_MODEL to a model that genai-prices has, such as claude-sonnet-5-5" in said


def test_wakes_without_a_recorded_answer_are_listed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ocw = Ocw(monkeypatch, capsys)
    (tmp_path / "empty.jsonl").touch()
    said = ocw("run", "--market", "sim", "--agent", "claude", "--for", "2h", "--decisions", tmp_path / "empty.jsonl",
               "--json")  # fmt: skip
    assert said.code == 0, said.err
    report = json.loads(said.out)
    assert report["not_recorded"] == report["decisions"] > 0
    assert f"the recording had no answer for {report['not_recorded']} wake" in said.err
    assert "wake 1: no such call was recorded" in said.err


def test_invalid_use_of_recording_options_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ocw = Ocw(monkeypatch, capsys)
    file = tmp_path / "decisions.jsonl"
    refused = ocw("run", "--market", "sim", "--record", file)
    assert (refused.code, "--agent is rules; expected claude" in refused.err) == (2, True)
    both = ocw("run", "--market", "sim", "--agent", "claude", "--record", file, "--decisions", file)
    assert (both.code, "exclude each other" in both.err) == (2, True)
    absent = ocw("run", "--market", "sim", "--agent", "claude", "--decisions", file)
    assert (absent.code, "cannot be read" in absent.err) == (2, True)
    assert not file.exists()
    with pytest.raises(SettingsError, match="exclude each other"):
        ClaudeSetup(settings(None), file, file)


def test_invalid_recording_or_prompts_give_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        door = f"127.0.0.1:{taken.getsockname()[1]}"
        ocw = Ocw(monkeypatch, capsys)
        said = ocw("run", "--market", "sim", "--agent", "claude", "--for", "1m", "--state", tmp_path, "--serve", door)
    assert said.code == 2
    assert "Traceback" not in said.err
    assert said.err.splitlines()[-1].startswith("ocw: ")
    assert door in said.err

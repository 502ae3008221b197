"""Recordings of decisions: the file, its owner, and the replay without a network."""

import asyncio
import math
import os
import stat
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from pydantic import SecretStr

from ocw_mcp.agent.client import Credentials
from ocw_mcp.agent.conversation import Conversation, ConversationSummary, Submitted
from ocw_mcp.agent.messages import Messages, Reply, Request, Trouble
from ocw_mcp.agent.recording import CallRecorder, Missing, Recording, RecordingOwner
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.runtime.clock import SimulatedClock
from tests.support.agent import (
    SYSTEM,
    TERMS,
    FakeTools,
    ScriptedModel,
    converse,
    reads,
    says,
    submits,
)
from tests.support.claude import CONTEXT
from tests.support.clocks import Waits

BUY = ("BTCUSDT", "BUY")
SECRET = "plain-looking-secret-1234"
GIVEN = Credentials("https://gateway.example.org", SecretStr(SECRET))


async def record(path: Path, *answers: Reply | Trouble, context: str = CONTEXT) -> ConversationSummary:
    with CallRecorder(path, ScriptedModel(*answers), SimulatedClock(), GIVEN.scrub) as recorder:
        return await decide(recorder, context=context)


async def decide(messages: Messages, system: str = SYSTEM, context: str = CONTEXT) -> ConversationSummary:
    return await Conversation(messages, FakeTools(), Waits(), TERMS).run(7, system, context)


async def test_replay_of_a_recorded_decision_gives_the_same_result_and_cost(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    was = await record(path, reads(), submits(BUY))
    recording = Recording.read(path)
    assert await decide(recording) == was
    assert recording.missing == []
    assert isinstance(was.result, Submitted)


@pytest.mark.parametrize("line", ['{"lost_usd":"0.5","wake":7}', '{ "wake": 7, "lost_usd": "0.5" }'])
def test_lost_spending_line_is_read_in_any_json_formatting(tmp_path: Path, line: str) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text(f"{line}\n")
    assert Recording.read(path).lost_usd(7) == Decimal("0.5")


async def test_failed_model_calls_are_recorded_and_replayed(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    was = await record(path, Trouble(CauseKind.OVERLOADED, "529"), Trouble(CauseKind.BAD_KEY, "401"))
    assert isinstance(was.result, Trouble)
    assert await decide(Recording.read(path)) == was


async def test_cancelled_call_is_recorded_as_timeout(tmp_path: Path) -> None:
    class Silent:
        async def create(self, request: Request) -> Reply | Trouble:
            await asyncio.Event().wait()
            raise AssertionError

    path = tmp_path / "decisions.jsonl"
    terms = msgspec.structs.replace(TERMS, timeout_s=0.01)
    with CallRecorder(path, Silent(), SimulatedClock()) as recorder:
        was = await converse(recorder, terms=terms)
    again = await converse(Recording.read(path))
    assert isinstance(again.result, Trouble)
    assert again.result.kind is CauseKind.TIMEOUT
    assert again.cost_usd == was.cost_usd


async def test_recording_file_is_owner_only_and_contains_no_key(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    leaky = Trouble(CauseKind.BAD_KEY, f"the key {SECRET} and sk-ant-api03-0123456789")
    await record(path, leaky, context=f"{CONTEXT} {SECRET}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert SECRET not in text
    assert "sk-ant" not in text
    assert text.count("[redacted]") == 3
    recording = Recording.read(path, GIVEN.scrub)
    await decide(recording, context=f"{CONTEXT} {SECRET}")
    assert recording.missing == []


async def test_replay_names_the_changed_part_of_a_request(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    await record(path, submits(BUY))
    recording = Recording.read(path)
    outcome = await decide(recording, system="You decide otherwise.")
    assert isinstance(outcome.result, Trouble)
    assert outcome.result.kind is CauseKind.NOT_RECORDED
    assert outcome.cost_usd == 0
    await decide(recording, context=f"{CONTEXT}!")
    await recording.create(Request(8, 0, {}))
    assert recording.missing == [
        Missing(7, 0, "system differ from the recorded request"),
        Missing(7, 0, "messages differ from the recorded request"),
        Missing(8, 0, "no such call was recorded"),
    ]
    assert recording.unanswered_wakes() == {
        7: "system differ from the recorded request",
        8: "no such call was recorded",
    }


async def test_summary_names_the_first_unanswered_wakes_and_their_number(tmp_path: Path) -> None:
    recording = Recording([])
    assert recording.unanswered_text() == ""
    for wake in (1, 1, 2, 3, 4, 5, -9):
        await recording.create(Request(wake, 0, {}))
    why = "no such call was recorded"
    assert recording.unanswered_text() == (
        f"the recording had no answer for 5 wakes; wake 1: {why}; wake 2: {why}; wake 3: {why}; and 2 more; "
        "1 diary entry"
    )


async def test_replay_uses_the_last_recorded_answer_to_a_wake(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    await record(path, reads(), submits(BUY))
    last = await record(path, says("Nothing."))
    assert await decide(Recording.read(path)) == last


@pytest.mark.parametrize("asked_for_s", [None, 0.5, 5.0])
async def test_replay_repeats_a_retry_without_waiting(tmp_path: Path, asked_for_s: float | None) -> None:
    path = tmp_path / "decisions.jsonl"
    busy = Trouble(CauseKind.RATE_LIMITED, "429", retry_after_s=asked_for_s)
    clock = Waits()
    with CallRecorder(path, ScriptedModel(busy, submits(BUY)), clock) as recorder:
        was = await converse(recorder, clock=clock)
    assert clock.waited == [1_000 * (asked_for_s or 2)]
    again = await converse(Recording.read(path), clock=(replayed := Waits()))
    assert again == was
    assert sum(replayed.waited) == 0


async def test_replay_does_not_retry_a_call_that_the_run_did_not_retry(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    model = ScriptedModel(Trouble(CauseKind.OVERLOADED, "529", retry_after_s=900))
    with CallRecorder(path, model, SimulatedClock()) as recorder:
        await decide(recorder)
    # The file of a process that died while it waited for a retry.
    with CallRecorder(path, ScriptedModel(Trouble(CauseKind.SERVER, "500")), SimulatedClock()) as recorder:
        await recorder.create(Request(8, 0, {}))
    recording = Recording.read(path)
    for request, cause in ((model.requests[0], CauseKind.OVERLOADED), (Request(8, 0, {}), CauseKind.SERVER)):
        answer = await recording.create(request)
        assert isinstance(answer, Trouble)
        assert (answer.kind, answer.retry_after_s) == (cause, math.inf)


def test_appending_to_a_recording_that_is_readable_or_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text("{}")
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        CallRecorder(path, ScriptedModel(says()), SimulatedClock())
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="middle of a line"):
        CallRecorder(path, ScriptedModel(says()), SimulatedClock())
    with pytest.raises(SettingsError, match="cannot be written"):
        CallRecorder(tmp_path, ScriptedModel(says()), SimulatedClock())


async def test_recording_of_another_book_is_refused(tmp_path: Path) -> None:
    path, mine = tmp_path / "decisions.jsonl", RecordingOwner("0ffaff", 1_000)
    with CallRecorder(path, ScriptedModel(reads(), submits(BUY)), SimulatedClock(), owner=mine) as recorder:
        was = await decide(recorder)
    with CallRecorder(path, ScriptedModel(says()), SimulatedClock(), owner=mine) as recorder:
        await recorder.create(Request(8, 0, {}))
    with pytest.raises(SettingsError, match=r"is the recording of another book \(0ffaff, made 1970-01-01T00:00:01Z\)"):
        CallRecorder(path, ScriptedModel(says()), SimulatedClock(), owner=RecordingOwner("0ffaff", 2_000))
    assert await decide(Recording.read(path)) == was


async def test_recording_without_a_book_is_replayed_but_not_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    was = await record(path, submits(BUY))
    path.write_bytes(path.read_bytes().partition(b"\n")[2])
    assert await decide(Recording.read(path)) == was
    with pytest.raises(SettingsError, match="names no book in its first line"):
        CallRecorder(path, ScriptedModel(says()), SimulatedClock())


@pytest.mark.parametrize("text", ["[]\n", "{}\n", "no json\n", '{"wake": 1}\n', "\n"])
def test_invalid_recording_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text(text)
    with pytest.raises(SettingsError, match="is no recording of decisions"):
        Recording.read(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        Recording.read(tmp_path / "nowhere")


async def test_full_disk_stops_the_recording_and_the_decision_goes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(file: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with CallRecorder(tmp_path / "decisions.jsonl", ScriptedModel(reads(), submits(BUY)), SimulatedClock()) as recorder:
        monkeypatch.setattr("ocw_mcp.agent.recording.os.write", full)
        was = await decide(recorder)
    assert isinstance(was.result, Submitted)
    assert caplog.text.count("the disk is full") == 1


def test_pipe_is_refused_as_recording(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(SettingsError, match="it is a pipe, a device or a socket"):
        Recording.read(tmp_path / "pipe")
    with pytest.raises(SettingsError, match="not a regular file"):
        CallRecorder(tmp_path / "pipe", ScriptedModel(), SimulatedClock())

"""Decisions on disk: what is written, what is not, and a run from it without a network."""

import asyncio
import math
import os
import stat
from pathlib import Path

import msgspec
import pytest
from pydantic import SecretStr

from ocw_mcp.agent.causes import Cause, Trouble
from ocw_mcp.agent.conversation import Conversation, ConversationOutcome, Failed, Submitted
from ocw_mcp.agent.credentials import Credentials
from ocw_mcp.agent.messages import Messages, Reply, Request
from ocw_mcp.agent.recording import CallRecorder, Missing, Recording, RecordingOwner
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.runtime.clock import SimulatedClock
from tests.support.agent import SYSTEM, TERMS, FakeDesk, Scripted, held, looks, says, submits
from tests.support.claude import CONTEXT
from tests.support.clocks import Waits

BUY = ("BTCUSDT", "BUY")
SECRET = "plain-looking-secret-1234"
GIVEN = Credentials("https://gateway.example.org", SecretStr(SECRET))


async def recorded(
    path: Path, *answers: Reply | Trouble, system: str = SYSTEM, context: str = CONTEXT
) -> ConversationOutcome:
    with CallRecorder(path, Scripted(*answers), SimulatedClock(), GIVEN.scrub) as recorder:
        return await conversed(recorder, system, context)


async def conversed(messages: Messages, system: str = SYSTEM, context: str = CONTEXT) -> ConversationOutcome:
    outcome = await Conversation(messages, FakeDesk(), Waits(), TERMS).hold(7, system, context)
    return msgspec.structs.replace(outcome, took_ms=0)


async def test_a_recorded_decision_comes_out_the_same_without_anybody_to_ask(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    was = await recorded(path, looks(), submits(BUY))
    recording = Recording.read(path)
    assert await conversed(recording) == was
    assert recording.missing == []
    assert isinstance(was.ending, Submitted)


async def test_a_failure_is_recorded_too(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    was = await recorded(path, Trouble(Cause.OVERLOADED, "529"), Trouble(Cause.BAD_KEY, "401"))
    assert isinstance(was.ending, Failed)
    assert await conversed(Recording.read(path)) == was


async def test_what_is_given_up_is_recorded_as_too_late(tmp_path: Path) -> None:
    class Silent:
        async def create(self, request: Request) -> Reply | Trouble:
            await asyncio.Event().wait()
            raise AssertionError

    path = tmp_path / "decisions.jsonl"
    terms = msgspec.structs.replace(TERMS, timeout_s=0.01)
    with CallRecorder(path, Silent(), SimulatedClock()) as recorder:
        was = await held(recorder, terms=terms)
    again = await held(Recording.read(path))
    assert isinstance(again.ending, Failed)
    assert again.ending.trouble.cause is Cause.TIMEOUT
    assert again.cost_usd == was.cost_usd


async def test_the_file_is_its_owners_and_holds_no_key(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    leaky = Trouble(Cause.BAD_KEY, f"the key {SECRET} and sk-ant-api03-0123456789")
    await recorded(path, leaky, context=f"{CONTEXT} {SECRET}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert SECRET not in text
    assert "sk-ant" not in text
    assert text.count("[redacted]") == 3
    recording = Recording.read(path, GIVEN.scrub)
    await conversed(recording, context=f"{CONTEXT} {SECRET}")
    assert recording.missing == []


async def test_a_changed_prompt_is_told_from_a_changed_market(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    await recorded(path, submits(BUY))
    recording = Recording.read(path)
    outcome = await conversed(recording, system="You decide otherwise.")
    assert isinstance(outcome.ending, Failed)
    assert outcome.ending.trouble.cause is Cause.NOT_RECORDED
    assert outcome.cost_usd == 0
    await conversed(recording, context=f"{CONTEXT}!")
    await recording.create(Request(8, 0, {}))
    assert recording.missing == [
        Missing(7, 0, "system differ from what was asked then"),
        Missing(7, 0, "messages differ from what was asked then"),
        Missing(8, 0, "nothing was asked there"),
    ]
    assert recording.unanswered() == {7: "system differ from what was asked then", 8: "nothing was asked there"}


async def test_what_had_no_recording_is_told_in_a_sentence_that_does_not_grow(tmp_path: Path) -> None:
    recording = Recording([])
    assert recording.in_words() == ""
    for wake in (1, 1, 2, 3, 4, 5, -9):
        await recording.create(Request(wake, 0, {}))
    why = "nothing was asked there"
    assert recording.in_words() == (
        f"the recording had no answer for 5 wakes; wake 1: {why}; wake 2: {why}; wake 3: {why}; and 2 more; "
        "1 of its diary's entries"
    )


async def test_a_wake_that_was_asked_about_anew_counts_as_it_was_answered_last(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    await recorded(path, looks(), submits(BUY))
    last = await recorded(path, says("Nothing."))
    assert await conversed(Recording.read(path)) == last


@pytest.mark.parametrize("asked_for_s", [None, 0.5, 5.0])
async def test_a_replay_waits_for_nobody_and_tries_again_where_it_was_tried_again(
    tmp_path: Path, asked_for_s: float | None
) -> None:
    path = tmp_path / "decisions.jsonl"
    busy = Trouble(Cause.RATE_LIMITED, "429", retry_after_s=asked_for_s)
    clock = Waits()
    with CallRecorder(path, Scripted(busy, submits(BUY)), clock) as recorder:
        was = await held(recorder, clock=clock)
    assert clock.waited == [1_000 * (asked_for_s or 2)]
    again = await held(Recording.read(path), clock=(replayed := Waits()))
    assert msgspec.structs.replace(again, took_ms=0) == msgspec.structs.replace(was, took_ms=0)
    assert sum(replayed.waited) == 0


async def test_a_replay_does_not_try_again_where_it_was_left_at_that(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    await recorded(path, Trouble(Cause.OVERLOADED, "529", retry_after_s=900))
    # As a process leaves it that died while it waited.
    with CallRecorder(path, Scripted(Trouble(Cause.SERVER, "500")), SimulatedClock()) as recorder:
        await recorder.create(Request(8, 0, {}))
    recording = Recording.read(path)
    for wake, cause in ((7, Cause.OVERLOADED), (8, Cause.SERVER)):
        body = msgspec.json.decode(recording._calls[wake][0].request)
        answer = await recording.create(Request(wake, 0, body))
        assert isinstance(answer, Trouble)
        assert (answer.cause, answer.retry_after_s) == (cause, math.inf)


def test_a_file_that_is_open_to_others_or_cut_off_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text("{}")
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        CallRecorder(path, Scripted(says()), SimulatedClock())
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="middle of a line"):
        CallRecorder(path, Scripted(says()), SimulatedClock())
    with pytest.raises(SettingsError, match="cannot be written"):
        CallRecorder(tmp_path, Scripted(says()), SimulatedClock())


async def test_only_a_books_own_run_goes_on_with_its_recording(tmp_path: Path) -> None:
    path, mine = tmp_path / "decisions.jsonl", RecordingOwner("0ffaff", 1_000)
    with CallRecorder(path, Scripted(looks(), submits(BUY)), SimulatedClock(), whose=mine) as recorder:
        was = await conversed(recorder)
    with CallRecorder(path, Scripted(says()), SimulatedClock(), whose=mine) as recorder:
        await recorder.create(Request(8, 0, {}))
    with pytest.raises(SettingsError, match=r"is the recording of another book \(0ffaff, made 1970-01-01T00:00:01Z\)"):
        CallRecorder(path, Scripted(says()), SimulatedClock(), whose=RecordingOwner("0ffaff", 2_000))
    assert await conversed(Recording.read(path)) == was


async def test_a_recording_from_before_books_were_named_is_read_and_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    was = await recorded(path, submits(BUY))
    path.write_bytes(path.read_bytes().partition(b"\n")[2])
    assert await conversed(Recording.read(path)) == was
    with pytest.raises(SettingsError, match="names no book in its first line"):
        CallRecorder(path, Scripted(says()), SimulatedClock())


@pytest.mark.parametrize("text", ["[]\n", "{}\n", "no json\n", '{"wake": 1}\n', "\n"])
def test_what_is_no_recording_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text(text)
    with pytest.raises(SettingsError, match="is no recording of decisions"):
        Recording.read(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        Recording.read(tmp_path / "nowhere")


async def test_a_full_disk_ends_the_record_and_not_the_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(file: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with CallRecorder(tmp_path / "decisions.jsonl", Scripted(looks(), submits(BUY)), SimulatedClock()) as recorder:
        monkeypatch.setattr("ocw_mcp.agent.recording.os.write", full)
        was = await conversed(recorder)
    assert isinstance(was.ending, Submitted)
    assert caplog.text.count("the disk takes no more") == 1


def test_a_pipe_is_neither_read_nor_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(SettingsError, match="it is a pipe"):
        Recording.read(tmp_path / "pipe")
    with pytest.raises(SettingsError, match="no plain file"):
        CallRecorder(tmp_path / "pipe", Scripted(), SimulatedClock())

"""`ocw replay` of a recording, and `ocw record --archive`."""

import asyncio
import json
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from ocw_mcp import __version__
from ocw_mcp.adapters.store.recording_files import RecordingIdentity, RecordingWriter, encode_entry
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.policies import Policies
from tests.adapters.store.test_live_inputs import live_run, opened
from tests.support.recordings import entries, record
from tests.support.shell import Ocw


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Return the recording of a whole book, which lies in it."""
    directory = tmp_path / "recording"
    directory.mkdir(0o700)
    with closing(opened(directory / "book")) as store:
        run = live_run(store)
        record(store, run.config, directory, __version__)
        asyncio.run(run.go())
        (directory / "fingerprint").write_text(store.fingerprint)
    return directory


def altered(recording: Path, to: Path, version: str) -> Path:
    """Copy a recording as another version has made it, with one price changed."""
    writer = RecordingWriter(to, RecordingIdentity(1, "b00k07", 0, 0))
    rows, done = [], False
    for number, at, entry in entries(recording):
        if hasattr(entry, "version"):
            entry = msgspec.structs.replace(entry, version=version)
        elif isinstance(entry, Frame) and entry.closed and number > 30 and not done:
            candles = tuple(msgspec.structs.replace(each, close=each.close * 1.05) for each in entry.closed)
            entry, done = msgspec.structs.replace(entry, closed=candles), True
        rows.append((number, at, *encode_entry(entry)))
    writer.append(rows)
    writer.close()
    return to


def test_replay_of_a_recording_reaches_its_fingerprint(ocw: Ocw, recording: Path) -> None:
    said = ocw("replay", recording)
    fingerprint = (recording / "fingerprint").read_text()
    assert said.code == 0
    assert f"fingerprint {fingerprint}: the same as recorded" in said.out
    assert f"recorded by ocw {__version__} with agent test, policies policy, prompts prompts" in said.out
    assert "  fill  " in said.out
    assert "  fill  " not in ocw("replay", recording, "--quiet").out
    found = json.loads(ocw("replay", recording, "--json").out)
    assert (found["same"], found["fingerprint"], found["gaps"], found["torn"]) == (True, fingerprint, [], "")
    assert found["inputs"]["Frame"] > 30
    assert "policies" not in found["starts"][0]


def test_replay_says_what_differs(ocw: Ocw, recording: Path, tmp_path: Path) -> None:
    said = ocw("replay", altered(recording, tmp_path / "older", "0.0.9"), "--quiet")
    assert said.code == 1
    assert "differs first at 2026-" in said.out
    assert f"this is ocw {__version__}, and it was recorded by ocw 0.0.9; replay it with that version" in said.out
    said = ocw("replay", altered(recording, tmp_path / "same", __version__), "--quiet")
    assert said.code == 1
    assert "the version is the same, so the recording or the program was changed" in said.out


def test_incomplete_end_is_said(ocw: Ocw, recording: Path) -> None:
    segment = recording / "000001.ocwr"
    with segment.open("ab") as file:
        file.write(b"OCWB half")
    said = ocw("replay", recording, "--quiet")
    assert said.code == 0
    assert "incomplete end: the last 9 bytes of 000001.ocwr are an incomplete block" in said.out


@pytest.mark.parametrize("option", [("--policy", "lab"), ("--agent", "none"), ("--for", "1h")])
def test_options_of_a_run_are_refused_for_a_recording(ocw: Ocw, recording: Path, option: tuple[str, str]) -> None:
    said = ocw("replay", recording, *option)
    assert said.code == 2
    assert f"{option[0]} has no meaning here, because a recording has its own options" in said.err


def test_archive_of_a_recording_is_a_tape(ocw: Ocw, recording: Path, tmp_path: Path) -> None:
    said = ocw("record", recording, "--archive", tmp_path / "tape")
    assert said.code == 0
    assert "klines 14" in said.out
    assert "not in it: aggTrades: a recording has candles and best prices, and no trades" in said.out
    assert "a replay takes BTCUSDT of um in candles of 1m" in ocw("tape", "info", tmp_path / "tape").out
    again = ocw("record", recording, "--archive", tmp_path / "tape")
    assert (again.code, "is not empty" in again.err) == (2, True)
    unused = ocw("record", recording, "--archive", tmp_path / "other", "--agent", "none")
    assert (unused.code, "--archive runs nothing" in unused.err) == (2, True)


def test_directory_without_a_recording_is_refused(ocw: Ocw, tmp_path: Path) -> None:
    said = ocw("record", tmp_path, "--archive", tmp_path / "tape")
    assert (said.code, "has no recording; expected a directory that ocw record made" in said.err) == (2, True)


@pytest.mark.parametrize("name", ["default", "lab"])
def test_recorded_policies_are_the_same_policies(name: str) -> None:
    loaded = load_policies(None, name)
    for each in (loaded.policies, loaded.strict):
        assert Policies.model_validate_json(each.model_dump_json()) == each

"""Failed output, such as a closed pipe: a run continues without it, and other commands end without a traceback."""

import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.app.narrator import Narrator
from ocw_mcp.app.output import silence, steady
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.app.runner import Job, run
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.events import DecisionMade, DomainEvent
from ocw_mcp.domain.time import DAY
from tests.support.shell import Ocw

NO_ROOM = (
    "ocw: standard output cannot be written (No space left on device); free some space, or write the output elsewhere\n"
)
RUN = ("run", "--market", "sim", "--interval", "15m", "--for", "2d")


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


@pytest.fixture
def unread() -> Iterator[TextIO]:
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        yield stream
        silence(stream)


@pytest.fixture
def full() -> Iterator[TextIO]:
    """A file on a disk without room."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as stream:
        yield stream
        silence(stream)


def events_of(ocw: Ocw, book: Path) -> str:
    """Return the book's fingerprint from `ocw status`."""
    return ocw("status", "--state", book).out.splitlines()[-1]


def test_run_with_a_closed_pipe_continues_silently(
    ocw: Ocw, tmp_path: Path, unread: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ocw(*RUN, "--state", tmp_path / "read").code == 0
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", unread)
        said = ocw(*RUN, "--state", tmp_path / "unread")
    assert (said.code, said.err) == (0, "")
    assert events_of(ocw, tmp_path / "unread") == events_of(ocw, tmp_path / "read")


def test_run_with_a_full_disk_reports_it_once_and_continues(
    ocw: Ocw, tmp_path: Path, full: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", full)
        said = ocw(*RUN, "--state", tmp_path / "full")
    assert said.code == 1
    assert (
        said.err == "ocw: standard output cannot be written (No space left on device); the run continues without it\n"
    )
    assert ocw(*RUN, "--state", tmp_path / "read").code == 0
    assert events_of(ocw, tmp_path / "full") == events_of(ocw, tmp_path / "read")


@pytest.mark.parametrize("command", [("status",), ("status", "--json"), ("orders", "--all")])
def test_read_command_with_failed_output_ends_without_traceback(
    ocw: Ocw, tmp_path: Path, unread: TextIO, full: TextIO, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    ocw(*RUN, "--state", tmp_path)
    for stream, err in ((full, NO_ROOM), (unread, "")):
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", stream)
            said = ocw(*command, "--state", tmp_path)
        assert (said.code, said.err) == (1, err)


def test_run_continues_without_standard_error(
    ocw: Ocw, tmp_path: Path, full: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", full)
        assert ocw(*RUN, "--serve", "0", "--json", "--state", tmp_path).code == 0
        assert ocw("status", "--state", tmp_path / "nowhere").code == 2


def test_character_outside_the_encoding_is_escaped() -> None:
    written = io.BytesIO()
    stream = steady(io.TextIOWrapper(written, encoding="latin-1", write_through=True))
    stream.write("up → \ud800")
    assert written.getvalue() == b"up \\u2192 \\ud800"


def test_reason_of_a_decision_is_printed_in_one_line_as_text() -> None:
    lines: list[str] = []
    leg = Leg(symbol="BTCUSDT", action=Action.BUY, reasoning="a [/b] \x1b[2J\nfake line")
    Narrator(lambda line: lines.append(line.plain))(0, DecisionMade(1, "claude", 0, Decision((leg,))))
    assert lines == ["1970-01-01 00:00  decision  claude: BUY BTCUSDT (a [/b]  [2J fake line)"]


@pytest.fixture
def hangups_arrive() -> Iterator[None]:
    """Handle SIGHUP also if the tests were started with `nohup`, which makes Python ignore it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangups_arrive")
def test_a_terminal_that_closes_stops_the_run(tmp_path: Path) -> None:
    def hang_up(at: int, event: DomainEvent) -> None:
        os.kill(os.getpid(), signal.SIGHUP)

    feed = SimulatedFeed(1, step=15 * 60_000, warmup_days=0)
    job = Job(feed, "rules", load_policies(None), load_prompts(None), 30 * DAY, tmp_path)
    assert run(job, hang_up).why == "it was stopped"

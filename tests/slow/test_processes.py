"""Whole processes: killed, interrupted, doubled, and under other hash seeds."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from ocw_mcp.adapters.store.reader import read_book
from ocw_mcp.domain.errors import BookError
from tests.support.markets import path
from tests.support.tapes import write_csv

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SIM = ("run", "--market", "sim", "--for", "20d", "--json")


class Ocw:
    """A process of its own. Its output goes to files, so that it never waits for a reader."""

    def __init__(self, *arguments: object, **environment: str) -> None:
        own = {key: value for key, value in os.environ.items() if not key.startswith(("BINANCE", "LIVE", "ANTHROPIC"))}
        self._out, self._err = (tempfile.TemporaryFile("w+") for _ in range(2))  # noqa: SIM115 - `end` closes them
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ocw_mcp", *(str(each) for each in arguments)],
            stdout=self._out,
            stderr=self._err,
            env=own | environment,
        )

    def end(self, number: signal.Signals | None = None) -> tuple[int, str, str]:
        """Wait for its end, after a signal if one is given; exit code, output and errors."""
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=240)
        with self._out as out, self._err as err:
            out.seek(0)
            err.seek(0)
            return code, out.read(), err.read()

    def report(self, number: signal.Signals | None = None) -> dict[str, Any]:
        """Its report, once it has ended well."""
        code, out, err = self.end(number)
        assert code == 0, err
        report = json.loads(out)
        assert isinstance(report, dict)
        return report


@cache
def undisturbed() -> dict[str, Any]:
    """Return the report of the simulated run that other tests kill or interrupt."""
    return Ocw(*SIM).report()


@pytest.mark.parametrize("begins", [b"", b"POST"], ids=["at the start", "in the middle"])
def test_sigint_ends_a_run_that_waits_for_a_silent_api(begins: bytes, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ExitStack() as held:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = Ocw("run", "--market", "sim", "--agent", "claude", "--json", ANTHROPIC_BASE_URL=url,
                      ANTHROPIC_API_KEY="sk-ant-test-0123456789abcdef")  # fmt: skip
        # The question for the model comes first, or not at all on a busy machine; a call for a decision is a POST.
        while not held.enter_context(silent.accept()[0]).recv(4).startswith(begins):
            pass
        report = process.report(signal.SIGINT)
    assert report["decisions"] == 0


def wait_for_events(book: Path, count: int, process: Ocw) -> int:
    """Look until the book has so many rows, or the process is through; how many it has."""
    while process.process.poll() is None:
        with suppress(BookError):
            rows = read_book(book).events
            if rows >= count:
                return rows
        Event().wait(0.02)  # another process works
    return -1


def test_run_killed_many_times_has_the_same_fingerprint(tmp_path: Path) -> None:
    book = tmp_path / "book"
    deaths = 0
    for target in range(200, 100_000, 900):
        process = Ocw(*SIM, "--state", book)
        reached = wait_for_events(book, target, process)
        if reached < 0:
            break
        process.end(signal.SIGKILL)
        deaths += 1
    assert deaths >= 3
    resumed = process.report()
    timeless = {"wall_s", "candles_per_s", "max_rss_mb"}
    assert {k: v for k, v in resumed.items() if k not in timeless} == {
        k: v for k, v in undisturbed().items() if k not in timeless
    }
    assert Ocw("journal", "verify", "--state", book).end()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_run_prints_a_report_and_can_be_resumed(tmp_path: Path, number: signal.Signals) -> None:
    book = tmp_path / "book"
    process = Ocw("run", "--market", "sim", "--json", "--for", "20d", "--state", book)
    assert wait_for_events(book, 300, process) > 0
    minutes = process.report(number)["candles"] // 3
    assert 0 < minutes < 20 * 1440
    rest = ("run", "--market", "sim", "--json", "--for", f"{20 * 1440 - minutes}m", "--state", book)
    assert Ocw(*rest).report()["fingerprint"] == undisturbed()["fingerprint"]


def test_second_engine_is_refused_and_first_executes_halt(tmp_path: Path) -> None:
    book = tmp_path / "book"
    first = Ocw("run", "--market", "sim", "--json", "--state", book)
    assert wait_for_events(book, 50, first) > 0
    code, out, err = Ocw("run", "--market", "sim", "--json", "--state", book).end()
    assert (code, out) == (2, "")
    assert str(first.process.pid) in err
    assert "Traceback" not in err
    assert "the engine has taken the command: HALTED" in Ocw("halt", "--state", book).end()[1]
    assert (read_book(book).summary or {})["state"] == "HALTED"
    first.report(signal.SIGINT)


def test_fingerprint_does_not_depend_on_python_hash_seed(tmp_path: Path) -> None:
    tape = write_csv(tmp_path, path([100 + (i * 37 % 400) / 50 for i in range(3000)]))
    prints = {Ocw("replay", tape, "--json", PYTHONHASHSEED=seed).report()["fingerprint"] for seed in ("0", "1", "4711")}
    assert len(prints) == 1


def test_killed_tape_replay_has_the_same_fingerprint(tapes: Path, tmp_path: Path) -> None:
    tape = tapes / "vision/futures/um/daily/klines/ETHUSDT"
    first, second = (Ocw("replay", tape, "--json").report() for _ in range(2))
    assert first["candles"] == 37_440
    assert first["holes"] == 1
    assert first["fingerprint"] == second["fingerprint"]
    book = tmp_path / "book"
    process = Ocw("replay", tape, "--json", "--state", book)
    assert wait_for_events(book, 400, process) > 0
    process.end(signal.SIGKILL)
    resumed = Ocw("replay", tape, "--json", "--state", book).report()
    assert resumed["fingerprint"] == first["fingerprint"]


def test_process_memory_does_not_grow_with_run_length() -> None:
    short, long = (Ocw("run", "--market", "sim", "--for", days, "--json").report() for days in ("10d", "60d"))
    # The report itself lists every wake; the engine's own memory is what must not grow.
    assert long["max_rss_mb"] < short["max_rss_mb"] + 40


def test_each_short_benchmark_prints_json() -> None:
    figures = {
        "replay": "candles_per_s", "gate": "us_per_evaluation", "policies": "us_per_check", "journal": "ratio",
        "snapshot": "characters_3",
    }  # fmt: skip
    for name, figure in figures.items():
        assert Ocw("bench", name, "--json").report()[figure]

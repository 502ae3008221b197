"""A live book and the sandbox exchange as processes: faults, kill -9 in a position, a restart without the exchange."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Event
from time import monotonic  # noqa: TID251 - bounds the wait for another process

import pytest

from tests.slow.test_sandbox_exchange import sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

STRATEGY = """
from ocw_mcp import Decision, Leg

def decide(snapshot):
    view = snapshot.symbols["BTCUSDT"]
    if view.position or not view.last:
        return Decision([])
    return Decision([Leg("BTCUSDT", "BUY", size=0.05, stop=view.last * 0.97, reasoning="buys at once")])
"""
FAULTS = """
[[fault]]
at = "4m"
for = "1m"
kind = "mute"
[[fault]]
at = "6m"
kind = "drop"
[[fault]]
at = "7m"
kind = "close"
[[fault]]
at = "8m"
for = "1m"
kind = "ban"
[[fault]]
at = "8m"
for = "1m"
kind = "garbage"
form = "huge"
"""


@contextmanager
def trading(folder: Path, address: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run `ocw` with words of a live run of `STRATEGY`; it writes to `book.out`, and is killed at the end."""
    command = [sys.executable, "-m", "ocw_mcp", *words, "--symbols", "BTCUSDT", "--policy", "lab"]
    command += ["--every", "1m", "--strategy", "buyer:decide"]
    environment = {**os.environ, "BINANCE_LOOPBACK": address}
    with (folder / "book.out").open("a") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def live_book(folder: Path, address: str) -> AbstractContextManager[subprocess.Popen[str]]:
    return trading(folder, address, "run", "--market", "binance", "--state", "book")


def ocw(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "ocw_mcp", *arguments, "--state", "book"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def wait_for(what: Callable[[], bool], folder: Path, seconds: float = 45) -> None:
    until = monotonic() + seconds
    while not what():
        assert monotonic() < until, (folder / "book.out").read_text()
        Event().wait(0.2)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_killed_live_book_keeps_position_and_stop_through_faults(tmp_path: Path) -> None:
    (tmp_path / "buyer.py").write_text(STRATEGY)
    script, port = tmp_path / "faults.toml", free_port()
    script.write_text(FAULTS)
    output = tmp_path / "book.out"
    arguments = ("--symbols", "BTCUSDT", "--speed", "20", "--port", port, "--faults", script)
    with sandbox(*arguments) as (_, address):
        with live_book(tmp_path, address) as process:
            wait_for(lambda: "stop at" in output.read_text(), tmp_path)
            wait_for(lambda: "is absurd" in output.read_text(), tmp_path)
            process.send_signal(signal.SIGKILL)
            process.wait()
        before = ocw(tmp_path, "status")
        with live_book(tmp_path, address) as process:
            # The summary is written again only when the logged inputs are repeated.
            wait_for(lambda: as_of(ocw(tmp_path, "status")) > as_of(before), tmp_path)
            process.send_signal(signal.SIGINT)
            process.wait(30)
    after = ocw(tmp_path, "status")
    for status in (before, after):
        assert "BTCUSDT 0.00" in status
        assert "2 orders, 1 fills" in status
    assert stop_of(before) == stop_of(after)
    assert "the journal is consistent" in ocw(tmp_path, "journal", "verify")
    assert output.read_text().count("  fill ") == 1


def as_of(status: str) -> str:
    return status.partition("as of ")[2].split()[0]


def stop_of(status: str) -> str:
    return status.partition(", stop ")[2].split()[0]


def test_new_book_without_an_exchange_is_not_created(tmp_path: Path) -> None:
    (tmp_path / "buyer.py").write_text(STRATEGY)
    with live_book(tmp_path, f"http://127.0.0.1:{free_port()}") as process:
        assert process.wait(30) == 2
    assert len((tmp_path / "book.out").read_text().splitlines()) == 1
    assert not (tmp_path / "book").exists()


def test_existing_book_waits_for_its_exchange(tmp_path: Path) -> None:
    (tmp_path / "buyer.py").write_text(STRATEGY)
    output, port = tmp_path / "book.out", free_port()
    arguments = ("--symbols", "BTCUSDT", "--speed", "20", "--port", port)
    with sandbox(*arguments) as (_, address), live_book(tmp_path, address):
        wait_for(lambda: "stop at" in output.read_text(), tmp_path)
    with live_book(tmp_path, address) as process:
        wait_for(lambda: "waits for it" in output.read_text(), tmp_path)
        with sandbox(*arguments):
            wait_for(lambda: "answers again" in output.read_text(), tmp_path)
            assert process.poll() is None

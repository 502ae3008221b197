"""`ocw record` against the sandbox exchange, killed in the middle and started again; `ocw replay` repeats it whole."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ocw_mcp.adapters.store.reader import read_book
from tests.slow.test_live_market import STRATEGY, trading, wait_for
from tests.slow.test_sandbox_exchange import sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def ocw(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "ocw_mcp", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=True).stdout


def test_killed_recorder_goes_on_and_its_session_replays_whole(tmp_path: Path) -> None:
    (tmp_path / "buyer.py").write_text(STRATEGY)
    output, book = tmp_path / "book.out", tmp_path / "session/book"
    with sandbox("--symbols", "BTCUSDT", "--speed", "60") as (_, address):
        with trading(tmp_path, address, "record", "session") as process:
            wait_for(lambda: "stop at" in output.read_text(), tmp_path)
            process.send_signal(signal.SIGKILL)
            process.wait()
        killed = read_book(book)
        # What the files do not have yet is in the journal of the book.
        found = json.loads(ocw(tmp_path, "replay", "session", "--json"))
        assert (found["same"], found["recorded_fingerprint"]) == (True, killed.fingerprint)
        with trading(tmp_path, address, "record", "session") as process:
            wait_for(lambda: read_book(book).events != killed.events, tmp_path)
            process.send_signal(signal.SIGINT)
            process.wait(30)
    found = json.loads(ocw(tmp_path, "replay", "session", "--json"))
    assert (found["same"], found["fingerprint"], found["gaps"]) == (True, read_book(book).fingerprint, [])
    assert (len(found["starts"]), found["events"]["order.filled"]) == (2, 1)
    assert found["fingerprint"] in output.read_text()

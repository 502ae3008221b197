"""`ocw sandbox binance` as a process: it serves, reports its faults, and ends at Ctrl-C."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@contextmanager
def sandbox(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command, and yield its process and its address."""
    command = [sys.executable, "-m", "ocw_mcp", "sandbox", "binance", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def get(address: str, path: str) -> object:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{address}{path}", timeout=30) as answer:
        return json.loads(answer.read())


def test_sandbox_serves_reports_its_faults_and_ends_at_ctrl_c(tmp_path: Path) -> None:
    script = tmp_path / "faults.toml"
    script.write_text('[[fault]]\nat = "1s"\nfor = "1m"\nkind = "mute"\n')
    with sandbox("--faults", script, "--speed", "600", "--symbols", "BTCUSDT") as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
        assert process.stderr is not None
        assert "BTCUSDT (um) from" in process.stderr.readline()
        key, secret, way = (process.stderr.readline() for _ in range(3))
        assert (key.startswith("API key "), secret.startswith("secret "), "ocw connect" in way) == (True, True, True)
        reported = [process.stderr.readline() for _ in range(2)]
        rows = get(address, "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=3")
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=30)
    assert isinstance(rows, list)
    assert len(rows) == 3
    assert [line.split(" ", 1)[1].strip() for line in reported] == ["mute for 1m begins", "mute for 1m ends"]
    assert re.fullmatch(r"ended after \S+ of market time: 1 requests, 0 messages; faults: none\n", rest)
    assert process.returncode == 0

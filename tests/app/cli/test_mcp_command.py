"""`ocw mcp` as a process, whose client ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "a client", "version": "1"}},
}


def test_mcp_ends_in_silence_after_its_client_has_gone(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "ocw_mcp", "mcp", "--state", str(tmp_path / "book")]
    request = json.dumps(INITIALIZE).encode() + b"\n"
    try:
        done = subprocess.run(command, input=request, stdout=writer, stderr=subprocess.PIPE, timeout=30)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")

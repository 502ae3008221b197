"""The commands that `ocw install` prints, run in a terminal client of another vendor, and that client's own listing."""

import json
import shlex
from pathlib import Path

import pytest

from tests.support.node import Ended, validate
from tests.support.shell import Ocw

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


async def run(home: Path, *command: str) -> Ended:
    ended = await validate(*command, home=home, cwd=home, GEMINI_CLI_TRUST_WORKSPACE="true")
    assert ended.code == 0, ended
    return ended


async def test_gemini_cli_connects_to_the_server_that_install_adds(ocw: Ocw, tmp_path: Path) -> None:
    book = tmp_path / "my book"
    await run(tmp_path, *shlex.split(ocw("install", "gemini-cli", "--market", "sim", "--state", book).out))
    listed = await run(tmp_path, "gemini", "mcp", "list")
    (line,) = [line for line in (listed.out + listed.err).splitlines() if "ocw: " in line]
    assert line.endswith(f"mcp --state {book} --market sim (stdio) - Connected")
    assert not book.exists(), "a listing of tools starts no engine"


async def test_codex_lists_the_server_that_install_adds(ocw: Ocw, tmp_path: Path) -> None:
    book = tmp_path / "my book"
    words = shlex.split(ocw("install", "codex", "--market", "sim", "--state", book).out)
    await run(tmp_path, *words)
    (listed,) = json.loads((await run(tmp_path, "codex", "mcp", "list", "--json")).out)
    assert (listed["name"], listed["enabled"], listed["transport"]["type"]) == ("ocw", True, "stdio")
    assert [listed["transport"]["command"], *listed["transport"]["args"]] == words[words.index("--") + 1 :]

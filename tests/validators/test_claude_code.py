"""Claude Code, the program that people use, in a whole session with `ocw mcp` and a scripted model, on loopback."""

import asyncio
import json
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from ocw_mcp.adapters.control import passphrase
from ocw_mcp.adapters.control.address import read_address
from ocw_mcp.interfaces.mcp.server import TOOLSETS
from ocw_mcp.runtime.clock import LiveClock
from tests.support.claude import KEY, MODEL, served_claude
from tests.support.node import Ended, validate
from tests.support.scripted_model import PREFIX, ScriptedModel
from tests.support.shell import Ocw
from tests.support.terminal import person

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SCRIPT: Final = Path(__file__).with_name("claude_code_session.toml")
WORD: Final = "correct horse battery"
POLICY: Final = """\
name = "watched"
extends = "default"
[price]
max_move = 0.05
[approval]
above_notional = 1000
modes = []
answer_s = 86400
"""
TOOLS: Final = [tool.name for make in TOOLSETS.values() for tool in make(lambda: pytest.fail("nobody looks"))]
OFFLINE: Final = {
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    # The first request has the tools of the server: these are neither deferred nor late.
    "ENABLE_TOOL_SEARCH": "false",
    "MCP_CONNECTION_NONBLOCKING": "false",
    "MCP_TIMEOUT": "60000",
    # No program listens on this port, so a request to another host fails.
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1,localhost",
}


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


@asynccontextmanager
async def engine(book: Path, policy: Path) -> AsyncIterator[None]:
    """An engine that trades nothing by itself, a minute a second."""
    start = ("run", "--market", "sim", "--agent", "none", "--speed", "60", "--serve", "127.0.0.1:0")
    process = subprocess.Popen(
        [sys.executable, "-m", "ocw_mcp", *start, "--policies", str(policy), "--policy", policy.stem, "--state", book],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while read_address(book) is None:
            assert process.poll() is None, "the engine ended before it was served"
            await asyncio.sleep(0.05)  # noqa: TID251 - waits for another process
        yield
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0


def rows(ocw: Ocw, *command: object) -> Any:
    """Return what a command of `ocw` says as JSON."""
    said = ocw(*command, "--json")
    assert said.code == 0, said.err
    return json.loads(said.out)


async def approve(ocw: Ocw, book: Path, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Approve the order that waits, as a person at a terminal."""
    while "approval" not in model.kept:
        await asyncio.sleep(0.1)  # noqa: TID251 - waits for another process
    with person(monkeypatch, WORD):
        said = ocw("approve", model.kept["approval"], "--state", book)
    assert said.code == 0, said.err


async def test_claude_code_trades_through_a_whole_session(
    ocw: Ocw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, policy, model = tmp_path / "book", tmp_path / "watched.toml", ScriptedModel(SCRIPT)
    policy.write_text(POLICY, encoding="utf-8")
    home = tmp_path / "home"
    home.mkdir()

    async def claude(*arguments: object, **more: str) -> Ended:
        return await validate("claude", *arguments, home=home, cwd=home, **OFFLINE, **more)

    async with engine(book, policy), served_claude(model, clock=LiveClock()) as url:
        passphrase.keep(book, WORD, passphrase.USUAL)
        # The command that `ocw install` prints is the one that a person runs.
        added = await claude(*shlex.split(ocw("install", "claude-code", "--market", "sim", "--state", book).out)[1:])
        assert added.code == 0, added.err
        listed = await claude("mcp", "list")
        assert "Connected" in listed.out, listed
        api = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": KEY}
        approval = asyncio.create_task(approve(ocw, book, model, monkeypatch))
        session = await claude("-p", "Trade.", "--model", MODEL, "--allowedTools", f"{PREFIX}*", **api)
        assert not model.wrong, model.wrong
        assert not model.unmade, (session, model.shown[-1:])
        await approval
    assert (session.code, session.out.strip()) == (0, "Done.")
    assert model.tools >= {PREFIX + name for name in TOOLS}
    orders, (trade,) = rows(ocw, "orders", "--all", "--state", book), rows(ocw, "trades", "--state", book)["trades"]
    asked = {row["name"]: row["status"] for row in orders["orders"] if row["principal"] == "mcp:attached/claude-code"}
    assert asked == dict.fromkeys(("1-e-0", "1-x-0", "1-x-1", "2-e-0"), "filled")
    assert [row["code"] for row in orders["refusals"]] == ["LOOSER_STOP", "APPROVAL_REQUIRED"]
    (approved,) = orders["approvals"]
    assert (approved["outcome"], approved["by"], approved["order"]) == ("approved", "operator", "2-e-0")
    assert (trade["symbol"], trade["closed_by"], trade["quantity"]) == ("ETHUSDT", "exit", model.kept["entered"])
    assert "is consistent" in ocw("journal", "verify", "--state", book).out

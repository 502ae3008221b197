"""The values that a shell completes, and the modules that a command imports."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ocw_mcp.adapters.control.tokens import SCOPES, add_token
from ocw_mcp.adapters.store.directory import prepare
from ocw_mcp.app import attach, compose
from ocw_mcp.app.markets import BINANCE, SIMULATED
from ocw_mcp.interfaces.mcp.server import TOOLSETS
from ocw_mcp.sandbox.claude.characters import CHARACTERS
from tests.support.shell import Ocw


class Tab:
    """Presses the tabulator after a command line."""

    def __init__(self, ocw: Ocw, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ocw = ocw
        self._monkeypatch = monkeypatch

    def __call__(self, line: str, shell: str = "bash") -> list[str]:
        self._monkeypatch.setenv("_OCW_COMPLETE", f"complete_{shell}")
        self._monkeypatch.setenv("COMP_WORDS", line)
        self._monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        self._monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        self._monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        said = self._ocw()
        assert (said.code, said.err) == (0, "")
        return said.out.split()


@pytest.fixture
def tab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tab:
    return Tab(Ocw(monkeypatch, capsys), monkeypatch)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_commands_are_completed_in_every_shell(tab: Tab, shell: str) -> None:
    found = " ".join(tab("ocw re", shell))
    assert "replay" in found
    assert "resume" in found
    assert "status" not in found


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("ocw run --agent ", compose.AGENTS),
        ("ocw mcp --agent ", attach.AGENTS),
        ("ocw run --market ", (BINANCE, SIMULATED)),
        ("ocw replay TAPE --policy ", ("conservative", "default", "lab")),
        ("ocw mcp --toolsets ", tuple(TOOLSETS)),
        ("ocw token new --scope ", tuple(SCOPES)),
        ("ocw sandbox claude --character ", tuple(CHARACTERS)),
        ("ocw agent ", ("pause", "takeover", "resume")),
    ],
)
def test_option_values_are_completed(tab: Tab, line: str, values: tuple[str, ...]) -> None:
    assert sorted(tab(line)) == sorted(values)


def test_policy_names_in_a_directory_are_completed(tab: Tab, tmp_path: Path) -> None:
    for name in ("mine.toml", "my other.toml", "$(id).toml", "notes.md"):
        (tmp_path / name).touch()
    assert tab(f"ocw run --policies {tmp_path} --policy m") == ["mine"]
    assert tab(f"ocw run --policies {tmp_path}/none --policy m") == []


def test_token_names_of_a_book_are_completed(tab: Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    add_token(tmp_path, "read", "phone", 1)
    add_token(tmp_path, "read", "desktop", 2)
    assert tab(f"ocw token revoke --state {tmp_path} ") == ["phone", "desktop"]
    monkeypatch.setenv("OCW_STATE", str(tmp_path))
    assert tab("ocw token revoke p") == ["phone"]
    assert tab(f"ocw token revoke --state {tmp_path}/none ") == []


def test_completion_is_installed_for_the_shell_in_use(tmp_path: Path) -> None:
    ocw = Path(sys.executable).with_name("ocw")
    env = os.environ | {"HOME": str(tmp_path)}
    # The shell is found among the parents of the process; a second command keeps it from being replaced.
    said = subprocess.run(["bash", "-c", f"{ocw} --install-completion; true"], env=env, capture_output=True, text=True)
    assert "bash completion installed" in said.stdout, said.stderr
    assert "complete_bash" in (tmp_path / ".bash_completions" / "ocw.sh").read_text()


HEAVY = (
    "anthropic", "asyncio", "fastapi", "httpx2", "matplotlib", "mcp", "msgspec", "numpy", "ocw_mcp.adapters",
    "ocw_mcp.core", "ocw_mcp.engine", "ocw_mcp.runtime", "polars", "pydantic", "rich", "sqlite_utils", "structlog",
    "talib", "uvicorn",
)  # fmt: skip


def heavy(*commands: tuple[str, ...]) -> list[str]:
    """Return the modules of `HEAVY` that a process imports for these commands."""
    program = (
        "import json, sys\nfrom ocw_mcp.app.cli import main\n"
        f"for sys.argv[1:] in {[*map(list, commands)]}:\n"
        "    try:\n        main()\n    except SystemExit:\n        pass\n"
        f"print(json.dumps([name for name in {HEAVY} if name in sys.modules]), file=sys.stderr)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found: list[str] = json.loads(said.stderr.splitlines()[-1])
    return found


def test_help_of_ocw_imports_no_heavy_library() -> None:
    assert heavy(("--help",), ("--version",)) == []


def test_help_of_a_command_imports_no_heavy_library() -> None:
    commands = (("run", "--help"), ("tape", "fetch", "--help"), ("bench", "--help"))
    assert heavy(*commands) == ["pydantic"]  # typer's own


def test_commands_that_read_a_book_import_no_heavy_library(tmp_path: Path) -> None:
    commands = ("status", "positions", "orders", "trades", "decisions", "watch")
    asked = heavy(*((command, "--state", str(tmp_path)) for command in commands))
    assert {"anthropic", "asyncio", "fastapi", "httpx2", "mcp", "numpy", "structlog", "talib"}.isdisjoint(asked)


def test_commands_of_tapes_import_no_indicators_and_no_engine() -> None:
    fetch = ("tape", "fetch", "ETHUSDT", "2026-03", "2026-03", "--product", "none")
    asked = heavy(("tape", "info", "none"), fetch)
    assert {"anthropic", "asyncio", "fastapi", "mcp", "numpy", "ocw_mcp.engine", "talib"}.isdisjoint(asked)

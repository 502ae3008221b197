"""`ocw install`: it adds an entry to a configuration, and keeps other entries and a copy of the file."""

import json
import shlex
import stat
from pathlib import Path

import pytest

from ocw_mcp.app.install import CONFIG, config_path
from tests.support.shell import Ocw

OTHER = {"files": {"command": "npx", "args": ["-y", "files"]}}
SERVERS = {"claude-desktop": "mcpServers", "cursor": "mcpServers", "vscode": "servers"}
"""By client with a configuration file, the key of the object with the servers."""
COMMANDS = {
    "claude-code": ["claude", "mcp", "add", "ocw", "--"],
    "codex": ["codex", "mcp", "add", "ocw", "--"],
    "gemini-cli": ["gemini", "mcp", "add", "--scope", "user", "ocw"],
}


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "canary-key")
    return Ocw(monkeypatch, capsys)


@pytest.mark.parametrize("client", SERVERS)
def test_install_keeps_other_entries_and_a_copy_of_the_file(ocw: Ocw, tmp_path: Path, client: str) -> None:
    config, others = tmp_path / "config.json", {"theme": "dark", SERVERS[client]: OTHER}
    config.write_text(json.dumps(others))
    config.chmod(0o600)
    said = ocw("install", client, "--config", config, "--state", tmp_path / "desk", "--read-only")
    assert said.code == 0
    written = json.loads(config.read_text())
    entry = written[SERVERS[client]].pop("ocw")
    assert written == others
    assert entry["args"][-4:] == ["mcp", "--state", str(tmp_path / "desk"), "--read-only"]
    assert Path(entry["command"]).is_absolute()
    assert entry.pop("type", None) == ("stdio" if client == "vscode" else None)
    assert set(entry) == {"command", "args"}
    assert "canary-key" not in config.read_text()
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert json.loads((tmp_path / "config.json.before-ocw-1").read_text()) == others


def test_second_install_with_the_same_options_changes_nothing(ocw: Ocw, tmp_path: Path) -> None:
    config = tmp_path / "Claude" / CONFIG
    ocw("install", "claude-desktop", "--config", config, "--state", tmp_path / "desk")
    assert not list(config.parent.glob("*before*"))
    said = ocw("install", "claude-desktop", "--config", config, "--state", tmp_path / "desk")
    assert "already has this entry; nothing was changed" in said.out
    for other in ("a", "b"):
        ocw("install", "claude-desktop", "--config", config, "--state", tmp_path / other)
    assert len(list(config.parent.glob("*before*"))) == 2


def test_install_with_dry_run_prints_the_change_and_writes_no_file(ocw: Ocw, tmp_path: Path) -> None:
    config = tmp_path / CONFIG
    said = ocw("install", "claude-desktop", "--config", config, "--dry-run")
    assert "ocw" in json.loads(said.out)["mcpServers"]
    assert not config.exists()


@pytest.mark.parametrize("client", SERVERS)
@pytest.mark.parametrize("text", ["{", "[]", '{"mcpServers": 5, "servers": 5}', "\xff", '{"servers": {}} // mine'])
def test_invalid_configuration_file_is_not_changed(ocw: Ocw, tmp_path: Path, client: str, text: str) -> None:
    config = tmp_path / "config.json"
    config.write_bytes(text.encode("latin-1"))
    said = ocw("install", client, "--config", config)
    assert said.code == 2
    assert str(config) in said.err.replace("\n", "")
    assert "nothing was changed" in said.err
    assert config.read_bytes() == text.encode("latin-1")
    assert [each.name for each in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize("client", [*SERVERS, *COMMANDS])
def test_installed_command_has_the_chosen_market(ocw: Ocw, tmp_path: Path, client: str) -> None:
    more = ("--dry-run", "--config", tmp_path / "config.json") if client in SERVERS else ()
    said = ocw("install", client, "--state", tmp_path / "desk", "--market", "sim", *more)
    assert said.code == 0
    arguments = json.loads(said.out)[SERVERS[client]]["ocw"]["args"] if client in SERVERS else shlex.split(said.out)
    assert arguments[-2:] == ["--market", "sim"]
    assert ocw("install", client, "--market", "kraken", *more).code == 2


@pytest.mark.parametrize("client", COMMANDS)
def test_printed_command_is_quoted_for_a_shell(ocw: Ocw, tmp_path: Path, client: str) -> None:
    words = shlex.split(ocw("install", client, "--state", tmp_path / "my desk").out)
    begin = COMMANDS[client]
    assert words[: len(begin)] == begin
    assert words.count("--") == 1
    assert Path(next(word for word in words[len(begin) :] if word != "--")).is_absolute()
    assert words[-3:] == ["mcp", "--state", str(tmp_path / "my desk")]


def test_configuration_path_depends_on_client_and_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    places = {
        (client, system): str(config_path(client, system, tmp_path).relative_to(tmp_path))
        for client in SERVERS
        for system in ("darwin", "linux")
    }
    assert places == {
        ("claude-desktop", "darwin"): f"Library/Application Support/Claude/{CONFIG}",
        ("claude-desktop", "linux"): f".config/Claude/{CONFIG}",
        ("cursor", "darwin"): ".cursor/mcp.json",
        ("cursor", "linux"): ".cursor/mcp.json",
        ("vscode", "darwin"): "Library/Application Support/Code/User/mcp.json",
        ("vscode", "linux"): ".config/Code/User/mcp.json",
    }

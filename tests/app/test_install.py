"""`ocw install`: it adds an entry to a configuration, and keeps other entries and a copy of the file."""

import json
import shlex
import stat
from pathlib import Path

import pytest

from ocw_mcp.app.install import CONFIG, desktop_config
from tests.support.shell import Ocw

OTHERS = {"theme": "dark", "mcpServers": {"files": {"command": "npx", "args": ["-y", "files"]}}}


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "canary-key")
    return Ocw(monkeypatch, capsys)


def test_install_keeps_other_entries_and_a_copy_of_the_file(ocw: Ocw, tmp_path: Path) -> None:
    config = tmp_path / CONFIG
    config.write_text(json.dumps(OTHERS))
    config.chmod(0o600)
    said = ocw("install", "claude-desktop", "--config", config, "--state", tmp_path / "desk", "--read-only")
    assert said.code == 0
    written = json.loads(config.read_text())
    entry = written["mcpServers"].pop("ocw")
    assert written == OTHERS
    assert entry["args"][-4:] == ["mcp", "--state", str(tmp_path / "desk"), "--read-only"]
    assert Path(entry["command"]).is_absolute()
    assert set(entry) == {"command", "args"}
    assert "canary-key" not in config.read_text()
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert json.loads((tmp_path / f"{CONFIG}.before-ocw-1").read_text()) == OTHERS


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


@pytest.mark.parametrize("text", ["{", "[]", '{"mcpServers": 5}', "\xff"])
def test_invalid_configuration_file_is_not_changed(ocw: Ocw, tmp_path: Path, text: str) -> None:
    config = tmp_path / CONFIG
    config.write_bytes(text.encode("latin-1"))
    said = ocw("install", "claude-desktop", "--config", config)
    assert said.code == 2
    assert "nothing was changed" in said.err
    assert config.read_bytes() == text.encode("latin-1")
    assert [each.name for each in tmp_path.iterdir()] == [CONFIG]


def test_printed_command_for_claude_code_is_quoted_for_a_shell(ocw: Ocw, tmp_path: Path) -> None:
    said = ocw("install", "claude-code", "--state", tmp_path / "my desk")
    words = shlex.split(said.out)
    assert words[:5] == ["claude", "mcp", "add", "ocw", "--"]
    assert words[-3:] == ["mcp", "--state", str(tmp_path / "my desk")]


def test_claude_desktop_config_path_depends_on_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    places = {system: desktop_config(system, tmp_path).relative_to(tmp_path).parts for system in ("darwin", "linux")}
    assert places == {
        "darwin": ("Library", "Application Support", "Claude", CONFIG),
        "linux": (".config", "Claude", CONFIG),
    }

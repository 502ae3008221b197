"""The book of a command without `--state`."""

from pathlib import Path

import pytest

from tests.support.shell import Ocw

RUN = ("run", "--market", "sim", "--interval", "1h", "--for", "2h", "--json")


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Ocw:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Ocw(monkeypatch, capsys)


def test_environment_variable_selects_the_book_of_commands(
    ocw: Ocw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCW_STATE", str(tmp_path / "mine"))
    assert ocw(*RUN).code == 0
    assert (tmp_path / "mine" / "journal.db").exists()
    for look in ("status", "positions", "orders", "trades", "decisions", "halt", "doctor"):
        assert ocw(look).code == 0, look
    assert ocw("journal", "verify").code == 0


def test_state_option_overrides_the_environment_variable(
    ocw: Ocw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCW_STATE", str(tmp_path / "other"))
    assert ocw(*RUN, "--state", tmp_path / "mine").code == 0
    assert not (tmp_path / "other").exists()
    assert ocw("status", "--state", tmp_path / "mine").code == 0


def test_operator_commands_and_ocw_mcp_have_the_same_default_book(ocw: Ocw, tmp_path: Path) -> None:
    refused = ocw("halt")
    assert refused.code == 2
    assert str(Path("ocw", "desk")) in refused.err
    assert "OCW_STATE" in refused.err
    installed = ocw("install", "claude-code").out
    home = Path(installed.split("--state ")[1].split()[0])
    assert home.parts[-2:] == ("ocw", "desk")
    assert ocw(*RUN, "--state", home).code == 0
    assert ocw("halt").code == 0


def test_run_without_state_says_that_its_book_is_temporary(ocw: Ocw, tmp_path: Path) -> None:
    said = ocw(*RUN[:-1])
    assert "--state" in said.out
    assert not list(tmp_path.iterdir())


def test_replay_ignores_the_state_environment_variable(
    ocw: Ocw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCW_STATE", str(tmp_path / "mine"))
    assert ocw("replay", tmp_path / "no tape").code == 2
    assert not (tmp_path / "mine").exists()

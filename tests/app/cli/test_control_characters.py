"""Names with control characters are printed without them, so that they cannot control a terminal."""

import shutil
from pathlib import Path

import pytest
from rich.table import Table

from ocw_mcp.app.cli.tables import Clean
from ocw_mcp.app.resources import shipped
from tests.support.shell import Ocw

EVIL = "a\x1b[2J\x9b31m\r\u202eb"


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


def obeyed(text: str) -> list[str]:
    """Characters of a text that a terminal would obey."""
    return [each for each in text if each != "\n" and not each.isprintable()]


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A directory of policies whose names hold control characters."""
    folder = tmp_path / EVIL
    folder.mkdir()
    shutil.copy(shipped("policies") / "default.toml", folder / f"{EVIL}.toml")
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ("policies", "check", "{file}"),
        ("policies", "show", "--policies", "{file}"),
        ("policies", "show", "--policies", "{folder}", "--policy", "nothing"),
        ("policies", "show", "--policies", "{folder}/gone"),
        ("status", "--state", "{folder}"),
        ("tape", "info", "{folder}"),
        ("tape", "info", "{folder}/gone"),
        ("replay", "{folder}"),
        ("orders", "--state", "{folder}/gone"),
        ("explain", EVIL, "--state", "{folder}"),
        ("run", f"--{EVIL}"),
        (EVIL,),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_file_names_are_printed_without_control_characters(ocw: Ocw, evil: Path, arguments: tuple[str, ...]) -> None:
    file = next(evil.iterdir())
    said = ocw(*(each.format(file=file, folder=evil) for each in arguments))
    assert obeyed(f"{said.out}{said.err}") == []


def test_policy_name_with_control_characters_is_refused(ocw: Ocw, tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    text = (shipped("policies") / "default.toml").read_text().replace('name = "default"', 'name = "a\\u001b[2J"')
    path.write_text(text)
    said = ocw("policies", "check", str(path))
    assert said.code == 2
    assert "name" in said.err
    assert obeyed(said.err) == []


def test_table_prints_colours_but_no_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = Table("head")
    table.add_row(EVIL, style="red")
    Clean(force_terminal=True, color_system="standard", width=60).print(table)
    shown = capsys.readouterr().out
    assert "\x1b[31m" in shown
    assert "\x1b[2J" not in shown
    assert not {"\x9b", "\r", "\u202e"} & set(shown)

"""Errors and help texts name the problem and the next step."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ocw_mcp.adapters.control.commands import write_command
from ocw_mcp.adapters.store.verify import Verification
from ocw_mcp.app.cli.commands import app
from ocw_mcp.app.cli.lists import verification_text
from ocw_mcp.domain.steps import Verb
from tests.support.shell import Ocw

RUN = ("run", "--market", "sim", "--interval", "15m", "--for", "1h")


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


def test_error_on_a_book_of_another_market_names_seed_or_interval(ocw: Ocw, tmp_path: Path) -> None:
    assert ocw(*RUN, "--interval", "15m", "--state", tmp_path).code == 0
    other = ocw(*RUN, "--interval", "15m", "--seed", "2", "--state", tmp_path)
    assert "made for simulated market (its seed and model) 0ffaffa8fd45, and" in other.err
    assert "give the --seed it was made with, or use another --state directory" in other.err
    longer = ocw(*RUN, "--interval", "30m", "--state", tmp_path)
    assert "made for market interval 15m, and this run has market interval 30m; use" in longer.err


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (("--seed", "-1"), "the seed of the simulated market is -1; expected 0 or more"),
        (("--for", "99999999999d"), "is too long a span of time; write at most six digits"),
    ],
)
def test_invalid_number_in_a_run_option_is_named_in_the_error(ocw: Ocw, wish: tuple[str, str], says: str) -> None:
    assert says in ocw("run", "--market", "sim", *wish).err


def test_verify_of_an_inconsistent_journal_prints_what_to_do() -> None:
    said = verification_text(Verification(False, 3, "0" * 64, "", ["row 3 does not continue the chain"]))
    assert said.splitlines()[-1].startswith("run no engine on this book; restore its whole state directory")


def test_doctor_names_the_folder_of_waiting_commands(ocw: Ocw, tmp_path: Path) -> None:
    ocw(*RUN, "--interval", "15m", "--state", tmp_path)
    write_command(tmp_path, Verb.HALT, by="me", command_id="c1", at_ns=1, subject="")
    said = ocw("doctor", "--state", tmp_path)
    # However the terminal folds it.
    assert "".join(f"delete the files in {tmp_path / 'commands'}".split()) in "".join(said.out.split())


@pytest.mark.parametrize(
    ("command", "absent"),
    [
        (("init",), "fresh temporary book"),
        (("approve",), "{id_}"),
        (("deny",), "{id_}"),
        (("orders",), "INTEGER"),
        (("bench", "gate"), "as JSON on standard output"),
    ],
)
def test_help_has_no_internal_or_wrong_words(command: tuple[str, ...], absent: str) -> None:
    assert absent not in CliRunner().invoke(app, [*command, "--help"]).stdout


def groups(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """Yield the path of a group of commands, and of each group in it."""
    if hasattr(command, "commands"):
        yield path
        for name, each in command.commands.items():
            yield from groups(each, *path, name)


@pytest.mark.parametrize("path", list(groups(typer.main.get_command(app))), ids=" ".join)
def test_help_shows_the_whole_summary_of_each_command(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*path, "--help"]).stdout.partition("Commands:")[2]
    assert shown
    assert "..." not in shown


def test_help_of_flatten_explains_stops_on_futures_and_on_spot() -> None:
    shown = " ".join(CliRunner().invoke(app, ["flatten", "--help"]).stdout.split())
    assert "On futures each stop stays until its position is flat." in shown
    assert "On spot a stop is cancelled before its position is sold" in shown


def test_bench_names_a_measurement_before_it_prints_the_result(ocw: Ocw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocw_mcp.app.bench.MEASURES", {"agent": dict})
    said = ocw("bench", "agent")
    assert said.err.startswith("measuring agent: One decision of Claude's")
    assert said.out == "{}\n"

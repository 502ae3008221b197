"""What is wrong is said in words that lead on."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ocw_mcp.adapters.control.commands import write_command
from ocw_mcp.app.cli.commands import app
from ocw_mcp.domain.steps import Verb
from tests.support.shell import Ocw

RUN = ("run", "--market", "sim", "--interval", "15m", "--for", "1h")


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


def test_another_market_is_refused_by_what_was_typed(ocw: Ocw, tmp_path: Path) -> None:
    assert ocw(*RUN, "--interval", "15m", "--state", tmp_path).code == 0
    other = ocw(*RUN, "--interval", "15m", "--seed", "2", "--state", tmp_path)
    assert "made for simulated market (its seed and model) 0ffaffa8fd45, and" in other.err
    assert "give the --seed it was made with, or use another --state directory" in other.err
    longer = ocw(*RUN, "--interval", "30m", "--state", tmp_path)
    assert "made for market interval 15m, and this start asks for market interval 30m; use" in longer.err


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (("--seed", "-1"), "the seed of the simulated market is -1; expected 0 or more"),
        (("--for", "99999999999d"), "is too long a span; write at most six digits"),
    ],
)
def test_a_number_nobody_can_mean_is_named(ocw: Ocw, wish: tuple[str, str], says: str) -> None:
    assert says in ocw("run", "--market", "sim", *wish).err


def test_inconsistent_journal_gives_a_possible_action() -> None:
    from ocw_mcp.app.cli.operate import verify_text

    said = verify_text({"ok": False, "problems": ["row 3 does not continue the chain"]})
    assert said.splitlines()[-1].startswith("run no engine on this book; restore its whole state directory")


def test_the_doctor_says_where_commands_wait(ocw: Ocw, tmp_path: Path) -> None:
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
def test_help_says_what_a_command_does_and_takes(command: tuple[str, ...], absent: str) -> None:
    assert absent not in CliRunner().invoke(app, [*command, "--help"]).stdout


def test_a_measurement_says_what_it_does_before_it_is_through(ocw: Ocw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocw_mcp.app.bench.MEASURES", {"agent": dict})
    said = ocw("bench", "agent")
    assert said.err.startswith("measuring agent: One decision of Claude's")
    assert said.out == "{}\n"

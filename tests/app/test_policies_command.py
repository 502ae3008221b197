"""`ocw policies`: it checks and explains a policy file, and shows how much of each limit a book uses."""

import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ocw_mcp.app.cli.commands import app
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.core.risk.limits import limits_in_force
from ocw_mcp.domain.errors import BookError, SettingsError
from ocw_mcp.domain.policies import Policies, table_of

D = Decimal
DEFAULT_FILE = Path(__file__).resolve().parents[2] / "policies" / "default.toml"


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["policies", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("name", ["default", "conservative", "lab"])
def test_shipped_policy_has_the_name_of_its_file_and_all_limits(name: str) -> None:
    shown = json.loads(said("show", "--policy", name, "--json"))
    assert shown["name"] == name
    for limit, _ in limits_in_force(load_policies(None, name).policies):
        table, key = limit.split(".")
        assert key in shown[table]


@pytest.mark.parametrize("name", [name for name, field in Policies.model_fields.items() if table_of(field)])
def test_each_policy_key_has_a_complete_description(name: str) -> None:
    kind = table_of(Policies.model_fields[name])
    assert kind is not None
    for key, field in kind.model_fields.items():
        meaning = field.description or ""
        # A description must be understood without the name of its key and without the line before.
        assert meaning.split()[0] not in {"Of", "It", "it", "From", "Up", "Once", "While"}, key
        assert len(meaning.split()) >= 5, key
        assert meaning.endswith("."), key


def test_conservative_policy_is_never_looser_than_default() -> None:
    careful, usual = (load_policies(None, name).policies for name in ("conservative", "default"))
    for table, key in (
        ("order", "max_notional"),
        ("position", "max_share"),
        ("positions", "max_open"),
        ("exposure", "max_gross"),
        ("correlated", "max_share"),
        ("stop", "max_distance"),
        ("risk", "max_share"),
        ("daily_loss", "max_share"),
        ("drawdown", "max_share"),
        ("losses", "in_a_row"),
        ("pace", "entries_per_day"),
        ("pace", "max_turnover"),
        ("pace", "max_fees"),
        ("scale", "regime_unknown"),
    ):
        assert getattr(getattr(careful, table), key) < getattr(getattr(usual, table), key), f"{table}.{key}"


def test_policies_show_marks_optional_tables_that_are_not_set(tmp_path: Path) -> None:
    not_set = [line.split()[0] for line in said("show").splitlines() if "not set " in line]
    assert not_set[:2] == ["mandate", "approval"]
    file = tmp_path / "mine.toml"
    mandate = '[mandate]\namount = 2500\nsymbols = ["BTC*", "ETH*"]\nexpires = 2026-12-31T00:00:00Z\n'
    file.write_text(
        DEFAULT_FILE.read_text() + mandate + "[approval]\nabove_notional = 1000\nmodes = []\nanswer_s = 900\n"
    )
    shown = {line.split()[0]: line for line in said("show", "--policies", str(file)).splitlines() if line.split()}
    assert "2026-12-31T00:00:00Z" in shown["mandate.expires"]
    assert "BTC*, ETH*" in shown["mandate.symbols"]
    assert "none" in shown["approval.modes"]
    assert json.loads(said("show", "--policies", str(file), "--json"))["mandate"]["expires"] == "2026-12-31T00:00:00Z"
    assert json.loads(said("show", "--json"))["approval"] is None


def test_policies_check_of_a_valid_file_prints_one_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(DEFAULT_FILE.read_text())
    assert said("check", str(file)).startswith("mine.toml is a valid policy file: hash ")
    assert json.loads(said("check", str(file), "--json"))["ok"] is True


def test_policies_check_of_an_invalid_file_lists_every_problem(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(DEFAULT_FILE.read_text().replace("max_open = 5", "max_opne = 5\nmore = 1"))
    with pytest.raises(SettingsError) as refused:
        CliRunner().invoke(app, ["policies", "check", str(file)], catch_exceptions=False)
    assert "max_opne" in str(refused.value)
    assert "more" in str(refused.value)


def test_policies_show_lists_the_used_part_of_each_limit_of_a_book(tmp_path: Path) -> None:
    book = tmp_path / "book"
    arguments = [
        "run",
        "--market",
        "sim",
        "--interval",
        "15m",
        "--for",
        "6h",
        "--agent",
        "none",
        "--json",
        "--state",
        str(book),
    ]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    view = json.loads(said("show", "--state", str(book), "--json"))
    assert view["policies"]["name"] == "default"
    limits = {row["name"]: row for row in view["limits"]}
    usual = load_policies(None).policies
    assert D(limits["pace.max_turnover"]["limit"]) == usual.pace.max_turnover
    assert all(D(row["used"]) == 0 for row in view["limits"] if row["bound"] == "at most")
    (free,) = [row for row in view["limits"] if row["bound"] == "at least"]
    assert free == {"name": "margin.min_free", "bound": "at least", "limit": "0.2", "used": "1"}
    assert "daily_loss.max_share" in said("show", "--state", str(book))


def test_policies_show_of_a_directory_without_a_book_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="holds no book"):
        CliRunner().invoke(app, ["policies", "show", "--state", str(tmp_path)], catch_exceptions=False)


def test_policies_check_of_a_directory_checks_each_file(tmp_path: Path) -> None:
    shutil.copy(DEFAULT_FILE, tmp_path / "a.toml")
    shutil.copy(DEFAULT_FILE, tmp_path / "b.toml")
    assert [line.split()[0] for line in said("check", str(tmp_path)).splitlines()] == ["a.toml", "b.toml"]
    (tmp_path / "b.toml").write_text("name = 1")
    (tmp_path / "c.toml").write_text("name = 2")
    with pytest.raises(SettingsError, match=r"(?s)b\.toml.*c\.toml"):
        CliRunner().invoke(app, ["policies", "check", str(tmp_path)], catch_exceptions=False)
    with pytest.raises(SettingsError, match=r"expected a \.toml file or a directory of them"):
        CliRunner().invoke(app, ["policies", "check", str(tmp_path / "d.toml")], catch_exceptions=False)


def test_help_of_policies_show_does_not_promise_a_temporary_book() -> None:
    assert "fresh temporary book" not in said("show", "--help")

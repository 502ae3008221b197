"""`ocw macro` from files: as text, JSON and a picture."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from ocw_mcp.app.macro.history import from_files, recessions_of, report
from ocw_mcp.core.macro.series import ms
from ocw_mcp.domain.errors import SettingsError
from tests.support.macro_oracle import random_table
from tests.support.shell import Ocw


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("fred")
    for name, found in random_table(5).items():
        rows = "".join(f"{each.day},{each.value}\n" for each in found)
        (directory / f"{name}.csv").write_text(f"observation_date,{name}\n{rows}")
    months = [date(2003 + place // 12, place % 12 + 1, 1) for place in range(60)]
    rows = "".join(f"{month},{int(date(2006, 3, 1) <= month <= date(2006, 7, 1))}\n" for month in months)
    (directory / "USREC.csv").write_text(f"date,value\n{rows}")
    return directory


def test_report_counts_quadrants_beside_recessions(files: Path) -> None:
    past = from_files(files, ms(date(2004, 1, 1)))
    found = report(past)
    readings = found["readings"]
    known = [each for each in readings if each["quadrant"] is not None]
    assert (len(readings), len(known)) == (found["days"], found["days_known"])
    assert sum(found["unknown"].values()) == found["days"] - found["days_known"]
    assert {name: row["days"] for name, row in found["quadrants"].items()} == {
        name: sum(each["quadrant"] == name for each in known) for name in found["quadrants"]
    }
    assert [[months[0], months[-1]] for months in recessions_of(past)] == [[date(2006, 3, 1), date(2006, 7, 1)]]
    inside = [each for each in known if "2006-03-01" <= each["day"] < "2006-08-01"]
    falling = [each for each in inside if each["quadrant"] in ("deflation", "stagflation")]
    assert (found["recession_days"], found["falling_in_recession"]) == (len(inside), len(falling))
    assert found["recessions"][0]["falling_days"] == len(falling)
    spells = found["spells"]
    assert sum(each["days"] for each in spells) == found["days"]
    after = [date.fromisoformat(each["to"]) + timedelta(1) for each in spells[:-1]]
    assert after == [date.fromisoformat(each["from"]) for each in spells[1:]]
    json.dumps(found, allow_nan=False)


def test_command_prints_quadrants_and_says_that_values_may_be_revised(ocw: Ocw, files: Path) -> None:
    said = ocw("macro", files, "--from", "2006-01-01")
    assert said.code == 0
    assert "2006-01-01 to " in said.out
    assert "recession 2006-03-01 to 2006-07-31: growth was read as falling" in said.out
    assert "may have been revised" in said.out


def test_command_prints_every_day_as_json(ocw: Ocw, files: Path) -> None:
    said = ocw("macro", files, "--json")
    found = json.loads(said.out)
    assert found["readings"][0]["day"] == "2003-01-01"
    assert found["readings"][0]["quadrant"] is None


@pytest.mark.slow
def test_command_draws_the_quadrants(ocw: Ocw, files: Path, tmp_path: Path) -> None:
    assert ocw("macro", files, "--picture", tmp_path / "macro.svg").code == 0
    text = (tmp_path / "macro.svg").read_text()
    assert text.startswith("<?xml")
    assert text.count("<path") > 50


def test_command_refuses_a_wrong_day_and_an_empty_time(ocw: Ocw, files: Path) -> None:
    said = ocw("macro", files, "--from", "soon")
    assert (said.code, "such as 2003-01-01" in said.err) == (2, True)
    with pytest.raises(SettingsError, match="the series end before 2030-01-01"):
        from_files(files, ms(date(2030, 1, 1)))

"""`ocw gate-report` as text, JSON and picture."""

import json
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.app import drawing
from ocw_mcp.app.gate_report import curve
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import DAY, MINUTE
from tests.support.shell import Ocw
from tests.support.tapes import write_csv

START = 1_767_225_600_000
KEYS = {
    *("symbols", "candles", "from", "to", "policy", "days", "covered_days", "evaluations", "skip_rate", "skips"),
    *("wakes", "wake_count", "wakes_a_day", "median_gap_min", "reasons", "reasons_a_day", "usd_per_wake"),
    *("usd_a_month", "measured_days", "outlier_wakes", "outlier_wakes_a_day", "met", "four", "missed", "panel"),
    *("left_out", "not_watched", "precision", "position_quote", "gates", "delay", "by_symbol", "largest", "moves"),
}
MET_KEYS = {
    *("name", "group", "minutes", "unit", "size", "window_min", "crossings", "met", "rate", "interval", "by_symbol"),
    *("unknown", "met_by_any_wake", "lead_min", "lag_min", "missed_move_a_month", "missed_quote_a_month"),
}
GATE_KEYS = {
    *("gate", "outlier_wakes_a_day", "four", "four_mean", "panel_mean", "panel_worst", "precision_four"),
    "precision_all",
}
SYMBOL_KEYS = {
    *("symbol", "measured_days", "outlier_wakes_a_day", "hindsight_a_day", "four", "four_mean", "panel_mean"),
    "panel_worst",
}


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    monkeypatch.setenv("COLUMNS", "80")
    return Ocw(monkeypatch, capsys)


def tape(directory: Path, minutes: int, interval: int = MINUTE) -> Path:
    """Write a tape that rises by 3 % at once in its middle; return its path."""
    candles = []
    for row in range(minutes):
        price = (100.0 if row < minutes // 2 else 103.0) + row % 2 / 100
        candles.append(Candle("BTCUSDT", START + row * interval, interval, price, price, price, price, 5.0 + row % 3))
    name = "1m" if interval == MINUTE else "1d"
    return write_csv(directory, candles, f"BTCUSDT-{name}-2026-01-01.csv")


def report(ocw: Ocw, *arguments: object) -> dict[str, Any]:
    said = ocw("gate-report", *arguments, "--json")
    assert said.code == 0
    found: dict[str, Any] = json.loads(said.out)
    return found


def test_gate_report_has_wakes_costs_and_met_moves(ocw: Ocw) -> None:
    found = report(ocw, "sim", "--for", "1d", "--usd-per-wake", "0.5")
    assert set(found) == KEYS
    assert (found["days"], found["covered_days"], found["candles"]) == (1.0, 1.0, 3 * 1_440)
    assert found["skip_rate"] == pytest.approx(
        1 - (found["evaluations"] - sum(found["skips"].values())) / found["evaluations"]
    )
    assert len({wake["t"] for wake in found["wakes"]}) == found["wake_count"] == found["wakes_a_day"]
    assert found["usd_a_month"] == pytest.approx(30 * 0.5 * found["wake_count"])
    assert all(set(row) == MET_KEYS for row in found["met"])
    assert [row["group"] for row in found["met"]] == ["four"] * 4 + ["panel"] * 40
    for row in found["met"]:
        assert 0 <= row["met"] <= row["met_by_any_wake"] <= row["crossings"]
        assert sum(each["crossings"] for each in row["by_symbol"].values()) == row["crossings"]
    missed = sum(row["crossings"] - row["met"] for row in found["met"][:4])
    assert [set(each) for each in found["missed"]] == [{"t", "symbol", "name"}] * missed
    assert all(set(row) == GATE_KEYS for row in found["gates"])
    names = [row["gate"] for row in found["gates"]]
    assert names == ["default", "reference", "prototype", "timer", "random", "hindsight"]
    assert found["gates"][3]["outlier_wakes_a_day"] == found["outlier_wakes_a_day"] == found["outlier_wakes"]
    assert found["delay"]["measured"]["wakes_as_in_run"] is True
    assert set(found["delay"]["reference"]) == {"kept_fires", "median_min", "p99_min"}
    assert [set(row) for row in found["by_symbol"]] == [SYMBOL_KEYS] * 3
    assert [row["over"] for row in found["moves"]] == ["5m", "15m", "1h"]


def test_gate_report_lists_wakes_as_the_report_of_a_run(ocw: Ocw, tmp_path: Path) -> None:
    path = tape(tmp_path, 400)
    said = ocw("replay", path, "--agent", "none", "--json", "--quiet")
    assert report(ocw, path)["wakes"] == json.loads(said.out)["wakes"] != []


def test_gate_report_as_text_fits_into_80_columns(ocw: Ocw) -> None:
    text = ocw("gate-report", "sim", "--for", "1d", "--symbols", "BTCUSDT,ETHUSDT").out
    assert max(map(len, text.splitlines())) <= 80
    for part in ("evaluations skipped", "USD in 30 days, at 0.0113 USD a wake", "15m 4σ", "hindsight", "ETHUSDT"):
        assert part in text


def test_gate_report_omits_spans_that_are_no_whole_candles(ocw: Ocw) -> None:
    arguments = ("sim", "--for", "2d", "--interval", "15m", "--symbols", "BTCUSDT")
    found = report(ocw, *arguments)
    assert [row["over"] for row in found["moves"]] == ["15m", "1h"]
    assert found["left_out"] == ["3m", "5m", "8m", "10m", "20m"]
    assert found["not_watched"] == ["3m", "5m"]
    assert min(row["minutes"] for row in found["met"]) == 15
    assert "moves over 3m, 5m, 8m, 10m, 20m" in " ".join(ocw("gate-report", *arguments).out.split())


def test_gate_report_of_less_than_a_day_has_unknown_sigmas(ocw: Ocw, tmp_path: Path) -> None:
    path = tape(tmp_path, 600)
    found = report(ocw, path)
    for row in found["met"]:
        assert (row["unknown"] is not None) == (row["unit"] == "sigma") == (row["crossings"] is None)
    assert found["met"][3]["crossings"] == 1
    assert "15m 4σ: unknown, needs a day of returns" in ocw("gate-report", path).out


def test_fixed_wakes_meet_moves_only_as_wakes_of_another_kind(ocw: Ocw, tmp_path: Path) -> None:
    policy = tmp_path / "hourly.toml"
    policy.write_text('extends = "default"\nname = "hourly"\n[gate]\nevery = "1h"\n')
    arguments = (tape(tmp_path, 600), "--policies", policy)
    found = report(ocw, *arguments)
    row = found["met"][3]
    # The market jumps a minute after a wake.
    assert (row["crossings"], row["met"], row["met_by_any_wake"], row["lag_min"]) == (1, 0, 1, 59)
    assert row["missed_move_a_month"] == pytest.approx(0.0001 * 72, rel=0.1)
    assert found["missed"] == [{"t": START + 301 * MINUTE, "symbol": "BTCUSDT", "name": "15m 1%"}]
    assert [each["precision_all"] for each in found["gates"][3:5]] == [None, None]
    assert "outlier wakes: none" in ocw("gate-report", *arguments).out


def test_gate_report_refuses_candles_of_a_day(ocw: Ocw, tmp_path: Path) -> None:
    said = ocw("gate-report", tape(tmp_path, 40, DAY))
    assert (said.code, said.out) == (2, "")
    assert "the candles are 1d long" in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere",), "nowhere"),
        (("sim", "--for", "soon"), "--for"),
        (("sim", "--policy", "none such"), "none such"),
        (("sim", "--symbols", "?"), "--symbols has '?'"),
        (("sim", "--usd-per-wake", "-1"), "--usd-per-wake is -1"),
        (("sim", "--usd-per-wake", "nan"), "--usd-per-wake is nan"),
        (("sim", "--picture", "."), "cannot be a file"),
        (("sim", "--picture", "nowhere/gate.png"), "a folder that exists"),
        (("sim", "--picture", "gate.gif"), ".png or .svg"),
    ],
)
def test_gate_report_refuses_bad_input_in_one_sentence(ocw: Ocw, arguments: tuple[str, ...], says: str) -> None:
    said = ocw("gate-report", *arguments)
    assert (said.code, said.out) == (2, "")
    assert says in said.err
    assert said.err.count("\n") == 1


def test_gate_report_refuses_a_picture_that_cannot_be_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    target = tmp_path / "full.svg"
    target.symlink_to("/dev/full")
    point = {"gate": "default", "outlier_wakes_a_day": 12.0, "four_mean": 0.99, "panel_mean": 0.84}
    lines = {name: [point | {"z": 2.5}] for name in ("policies", "prototype", "timer", "random")}
    found = {"symbols": ["X"], "measured_days": 1.0, "from": START, "to": START + DAY}
    drawing.require_png_or_svg(target)
    with pytest.raises(SettingsError, match=r"cannot be written to full.svg: No space left on device; choose"):
        curve.draw(target, found | {"curve": lines | {"reference": point, "hindsight": point}})


@pytest.mark.slow
def test_gate_report_draws_the_trade_off_of_all_policies(ocw: Ocw, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "gate.svg"
    found = report(ocw, tape(tmp_path, 1_700), "--policy", "lab", "--picture", picture)
    assert set(found) == KEYS | {"curve"}
    assert {row["gate"] for row in found["curve"]["policies"]} == {"conservative", "default", "lab"}
    assert found["curve"]["left_out"] == {}
    assert [row["z"] for row in found["curve"]["prototype"]] == sorted(row["z"] for row in found["curve"]["prototype"])
    assert picture.read_text().startswith("<?xml")


def test_gate_report_without_candles_has_no_moves(ocw: Ocw, tmp_path: Path) -> None:
    picture = tmp_path / "gate.png"
    assert report(ocw, "sim", "--for", "1s", "--picture", picture)["moves"] == []
    assert not picture.exists()
    assert ocw("gate-report", "sim", "--for", "1s").out == "no candle closed, so there is nothing to report\n"

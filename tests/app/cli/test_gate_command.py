"""`ocw gate-report` as text and as JSON."""

import json

import pytest

from tests.support.shell import Ocw


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    monkeypatch.setenv("COLUMNS", "100")
    return Ocw(monkeypatch, capsys)


def test_gate_report_runs_on_the_simulated_market(ocw: Ocw) -> None:
    said = ocw("gate-report", "sim", "--for", "2d", "--json")
    assert (said.code, said.err) == (0, "")
    found = json.loads(said.out)
    assert (found["days"], found["candles"]) == (2.0, 3 * 2 * 1_440)
    assert found["skip_rate"] == pytest.approx(
        1 - (found["evaluations"] - sum(found["skips"].values())) / found["evaluations"]
    )
    assert found["wakes"] == pytest.approx(2 * found["wakes_a_day"])
    assert [each["over"] for each in found["moves"]] == ["5m", "15m", "1h"]
    for each in found["moves"]:
        assert 0 <= each["missed"] <= each["moves"]
        assert each["miss_rate"] < each["by_chance"]
    text = ocw("gate-report", "sim", "--for", "2d").out
    assert "of evaluations skipped" in text
    assert f"{found['wakes_a_day']:g} wakes per day" in text
    assert max(map(len, text.splitlines())) <= 100


def test_gate_report_omits_spans_shorter_than_a_candle(ocw: Ocw) -> None:
    said = ocw("gate-report", "sim", "--for", "3d", "--interval", "15m", "--json")
    assert [each["over"] for each in json.loads(said.out)["moves"]] == ["15m", "1h"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere",), "nowhere"),
        (("sim", "--for", "soon"), "--for"),
        (("sim", "--policy", "none such"), "none such"),
        (("sim", "--symbols", "?"), "--symbols has '?'"),
    ],
)
def test_gate_report_refuses_bad_input_in_one_sentence(ocw: Ocw, arguments: tuple[str, ...], says: str) -> None:
    said = ocw("gate-report", *arguments)
    assert said.code == 2
    assert says in said.err
    assert said.err.count("\n") == 1


def test_gate_report_without_candles_has_no_moves(ocw: Ocw) -> None:
    said = ocw("gate-report", "sim", "--for", "1s", "--json")
    assert said.code == 0
    assert json.loads(said.out)["moves"] == []

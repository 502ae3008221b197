"""The stylised facts of artificial series whose facts are known, and the command that compares markets."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ocw_mcp.app.bench.facts import Floats, Series, correlation, facts, hill, kurtosis, together
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import MINUTE
from tests.support.shell import Ocw
from tests.support.tapes import write_zip

BEGIN = 1_773_014_400_000  # 2026-03-09
DAYS = 4


def series_of_rows(rows: Floats) -> Series:
    return Series.of_candles(MINUTE, [Candle("X", int(row[0]), MINUTE, *row[1:]) for row in rows.tolist()])


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


def made(returns: np.ndarray, volumes: np.ndarray | None = None) -> Series:
    prices = 100 * np.exp(np.cumsum(returns))
    opens = np.concatenate(([100.0], prices[:-1]))
    rows = np.column_stack(
        (
            BEGIN + np.arange(len(returns)) * MINUTE,
            opens,
            np.maximum(opens, prices),
            np.minimum(opens, prices),
            prices,
            np.full(len(returns), 5.0) if volumes is None else volumes,
            np.full(len(returns), np.nan),
        )
    )
    return series_of_rows(rows)


def noise(count: int, seed: int = 7) -> np.ndarray:
    """Return nearly normal numbers, the same on every machine: sums of a congruential sequence."""
    state, values = seed, []
    for _ in range(count * 12):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        values.append((state >> 11) / 2**53)
    sums: np.ndarray = np.array(values).reshape(count, 12).sum(axis=1) - 6
    return sums


def test_random_walk_has_no_stylised_facts() -> None:
    found = facts(made(noise(1440 * DAYS) * 0.0005))
    assert found["annual_volatility"] == pytest.approx(0.0005 * np.sqrt(525_600), rel=0.03)
    for fact in ("kurtosis_1m", "kurtosis_15m", "return_acf_1", "abs_acf_1m", "abs_acf_1h", "jumps_per_day"):
        assert found[fact] == pytest.approx(0, abs=0.6 if fact.startswith("kurt") else 0.05)
    assert found["variance_ratio_1h"] == pytest.approx(1, abs=0.35)
    assert found["range_over_return"] == pytest.approx(1, rel=0.01)
    assert found["taker_return"] is None


def test_volatile_days_give_fat_tails_and_autocorrelation() -> None:
    calm_and_wild = np.repeat([1.0, 4.0, 1.0, 4.0], 1440) * noise(1440 * DAYS) * 0.0005
    found = facts(made(calm_and_wild))
    assert (found["kurtosis_1m"] or 0) > 1
    assert (found["abs_acf_1h"] or 0) > 0.2
    assert (found["abs_acf_1d"] or 0) < 0


def test_volume_proportional_to_returns_gives_a_high_correlation() -> None:
    returns = noise(1440 * DAYS) * 0.0005
    found = facts(made(returns, np.abs(returns) * 1e5 + 0.01))
    assert (found["volume_volatility"] or 0) > 0.9


def test_count_variance_share_and_direction_of_jumps_are_measured() -> None:
    returns = noise(1440 * DAYS) * 0.0005
    returns[100::240] = -0.01
    found = facts(made(returns))
    assert found["jumps_per_day"] == pytest.approx(6, rel=0.05)
    assert found["jumps_down"] == 1.0
    assert (found["jump_share"] or 0) > 0.5
    assert (found["skew_1h"] or 0) < 0


def test_no_return_is_computed_across_a_data_gap() -> None:
    whole = made(noise(1440) * 0.0005)
    rows = np.column_stack(whole[1:])
    holed = series_of_rows(np.delete(rows, np.s_[500:560], axis=0))
    assert len(holed.close) == len(whole.close)
    assert np.isnan(holed.returns[500:561]).all()
    assert not np.isnan(holed.returns[561:]).any()


def test_market_statistic_is_none_for_too_few_or_constant_values() -> None:
    assert kurtosis(np.zeros(100)) is None
    assert kurtosis(np.arange(5.0)) is None
    assert hill(np.ones(50)) is None
    assert correlation(np.arange(10.0), np.arange(10.0), 3) is None


def test_hill_index_of_a_pareto_tail_is_its_exponent() -> None:
    chances = (np.arange(10_000) + 0.5) / 10_000
    assert hill(chances ** (-1 / 3)) == pytest.approx(3, rel=0.1)


def test_correlation_uses_only_candles_of_both_symbols() -> None:
    returns = noise(3_000) * 0.0005
    found = together({"A": made(returns), "B": made(returns[:2_000])})
    assert found["A~B"] == pytest.approx(1)


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    series = made(noise(1440 * 2) * 0.0005, np.abs(noise(1440 * 2, seed=9)) + 0.1)
    rows = zip(*(column.tolist() for column in series[1:7]), strict=True)
    candles = [Candle("ETHUSDT", int(at), MINUTE, *row) for at, *row in rows]
    return write_zip(tmp_path, candles, "ETHUSDT-1m-2026-03-09.zip")


@pytest.mark.slow
def test_market_bench_compares_a_tape_and_draws_a_picture(ocw: Ocw, tape: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "market.png"
    said = ocw("bench", "market", "--tape", tape, "--json", "--picture", picture)
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert (found["days"], found["step_ms"]) == (2, MINUTE)
    rows = found["symbols"]["ETHUSDT"]
    assert rows["annual_volatility"]["tape"] == pytest.approx(0.0005 * np.sqrt(525_600), rel=0.05)
    for row in rows.values():
        assert set(row) == {"sim", "low", "high", "tape", "ratio"}
    assert rows["kurtosis_1m"]["sim"] > rows["kurtosis_1m"]["tape"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_market_bench_prints_its_comparison_as_a_table(ocw: Ocw, tape: Path) -> None:
    said = ocw("bench", "market", "--tape", tape)
    assert said.code == 0, said.err
    for word in ("annual_volatility", "ETHUSDT", "2026-03-09 to 2026-03-10", "sim/tape"):
        assert word in said.out


def test_market_bench_refuses_a_picture_without_matplotlib(
    ocw: Ocw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = ocw("bench", "market", "--picture", tmp_path / "market.png")
    assert (said.code, said.out) == (2, "")
    assert "ocw-mcp[plot]" in said.err


def shorter(tape: Path) -> str:
    return str(write_zip(tape.parent, [Candle("ETHUSDT", BEGIN, MINUTE, 1, 1, 1, 1, 1)], "ETHUSDT-1m-2026-03-10.zip"))


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda tape: ("--tape", shorter(tape)), "less than a day"),
        (lambda tape: ("--tape", str(tape.parent / "none.zip")), "none.zip"),
        (lambda tape: ("--tape", str(tape), "--picture", str(tape.parent / "no" / "p.png")), "cannot be a file"),
        (lambda tape: ("--seed", "-1"), "seed"),
    ],
    ids=["a short tape", "no tape", "a picture nowhere", "a seed that is none"],
)
def test_market_bench_refuses_a_tape_that_it_cannot_compare(
    ocw: Ocw, tape: Path, call: Callable[[Path], tuple[str, ...]], hint: str
) -> None:
    said = ocw("bench", "market", *call(tape))
    assert said.code == 2
    assert said.err.startswith("ocw: ")
    assert hint in said.err
    assert "Traceback" not in said.err

"""`ocw regime` as text and JSON. The fits of longer tapes are in tests/slow."""

import itertools
import json
from pathlib import Path

import pytest

from ocw_mcp.app.cli.regime import text
from ocw_mcp.app.cli.tables import terminal
from ocw_mcp.app.regime.days import days_of
from ocw_mcp.app.regime.history import Refit, RegimeDay, RegimeHistory, report
from ocw_mcp.app.regime.picture import APART, largest_moves
from ocw_mcp.core.regime.tracker import RegimeSettings, RegimeTracker
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import DAY, HOUR
from tests.support.regimes import FIT, candles, walk
from tests.support.shell import Ocw
from tests.support.tapes import write_csv

DAYS = candles(walk(4, 170, block=50), first=20_454 * DAY)


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


def history() -> RegimeHistory:
    """Return a history whose fits are all the hand-written model of two states."""
    tracker = RegimeTracker(1, RegimeSettings(fit_days=120, first_fit=60))
    found = RegimeHistory("BTCUSDT", [], [])
    for candle in DAYS:
        request = tracker.close(candle)
        found.days.append(RegimeDay(candle, tracker.reading))
        if request is not None:
            tracker.take(request.at, FIT)
            found.refits.append(Refit(request.at, FIT))
    return found


def test_report_counts_levels_and_days_without_a_regime() -> None:
    found = report(history())
    assert (found["days"], found["days_known"]) == (170, 83)
    assert found["unknown"] == {
        "needs 28 daily candles without a gap": 27,
        "a fit needs 60 days with features": 59,
        "the first fit is not done": 1,
    }
    levels = found["levels"]
    assert sum(row["days"] for row in levels.values()) == 83
    assert sum(row["share"] for row in levels.values()) == pytest.approx(1, abs=1e-3)
    assert levels["normal"] | {"share": None} == {
        "days": 0,
        "share": None,
        "episodes": 0,
        "median_days": None,
        "longest_days": None,
        "next_day_volatility": None,
    }
    assert levels["turbulent"]["next_day_volatility"] > levels["calm"]["next_day_volatility"]
    assert found["now"] == found["readings"][-1]
    assert sum(found["now"]["by_level"].values()) == pytest.approx(1, abs=1e-5)
    assert [row["level"] for row in found["readings"]].count(None) == 87
    json.dumps(found, allow_nan=False)


def test_text_says_what_a_book_does_with_the_regime(capsys: pytest.CaptureFixture[str]) -> None:
    for part in text(report(history(), each_day=False)):
        terminal().print(part)
    out = capsys.readouterr().out
    assert "a book reads the regime of the symbol scale.regime_symbol" in " ".join(out.split())
    assert "turbulent" in out
    assert "too sure" in out


def test_command_on_a_short_tape_says_why_there_is_no_regime(ocw: Ocw, tmp_path: Path) -> None:
    write_csv(tmp_path, DAYS[:60], "BTCUSDT-1d-2026-01-01.csv")
    said = ocw("regime", tmp_path, "--product", "spot", "--json")
    assert said.code == 0
    found = json.loads(said.out)
    assert found["now"]["unknown"] == "a fit needs 365 days with features, has 33"
    assert (found["days_known"], found["refits"], len(found["readings"])) == (0, [], 60)
    assert "unknown, a fit needs 365 days" in " ".join(ocw("regime", tmp_path, "--product", "spot").out.split())


def test_tape_without_a_whole_day_is_refused(ocw: Ocw, tmp_path: Path) -> None:
    hours = [Candle("BTCUSDT", DAYS[0].open_time + n * HOUR, HOUR, 1.0, 1.0, 1.0, 1.0, 1.0) for n in range(20)]
    write_csv(tmp_path, hours, "BTCUSDT-1h-2026-01-01.csv")
    said = ocw("regime", tmp_path, "--product", "spot")
    assert (said.code, said.out) == (2, "")
    assert "has no whole day" in said.err


def test_two_symbols_are_refused(ocw: Ocw) -> None:
    said = ocw("regime", "sim", "--symbol", "BTCUSDT,ETHUSDT")
    assert said.code == 2
    assert "expected one" in said.err


def test_shorter_candles_become_whole_days() -> None:
    hours = [Candle("BTCUSDT", n * HOUR, HOUR, 1.0 + n, 3.0 + n, 0.5 + n, 2.0 + n, 1.0) for n in range(80)]
    found = list(days_of([*hours[:30], *hours[31:]]))
    assert found == [
        Candle("BTCUSDT", 0, DAY, 1.0, 26.0, 0.5, 25.0, 24.0),
        Candle("BTCUSDT", 2 * DAY, DAY, 49.0, 74.0, 48.5, 73.0, 24.0),
    ]


def test_marked_moves_are_the_largest_and_apart() -> None:
    chosen = largest_moves(DAYS)
    changes = [abs(change) for _, change in chosen]
    assert changes == sorted(changes, reverse=True)
    times = sorted(candle.open_time for candle, _ in chosen)
    assert min(two - one for one, two in itertools.pairwise(times)) >= APART

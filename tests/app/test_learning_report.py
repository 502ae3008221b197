"""The comparison with and without learning states its interval; exported outcomes teach the same."""

from pathlib import Path

import pytest

from ocw_mcp.app.learning.compare import FEWEST_DAYS, paired
from ocw_mcp.app.learning.outcomes import TimedOutcome, learn, read_outcomes, write_outcomes
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.learning import OutcomeExclusion, OutcomeSource
from ocw_mcp.domain.learning_events import OutcomeScored
from ocw_mcp.domain.time import DAY


def equity(daily: list[float]) -> dict[str, float]:
    found, value = {}, 1_000.0
    for number, each in enumerate(daily):
        value *= 1 + each
        found[f"{number:04}"] = value
    return found


def test_a_constant_advantage_is_shown_and_a_swinging_one_is_not() -> None:
    base, days = equity([0.0] * 120), range(120)
    better = paired(base, equity([0.001 + 0.0005 * (-1) ** day for day in days]))
    assert better["verdict"] == "better with learning"
    assert better["low"] < better["mean"] < better["high"]
    assert paired(equity([0.001] * 120), base)["verdict"] == "worse with learning"
    swinging = paired(base, equity([0.01 if day // 5 % 2 else -0.01 for day in days]))
    assert swinging["verdict"] == "no difference is shown"


def test_few_days_have_no_interval() -> None:
    few = paired(equity([0.0] * FEWEST_DAYS), equity([0.01] * FEWEST_DAYS))
    assert (few["mean"], few["verdict"]) == (None, f"fewer than {FEWEST_DAYS} days")


def outcomes() -> list[TimedOutcome]:
    return [
        TimedOutcome(
            number * DAY,
            OutcomeScored(
                OutcomeSource.HOLD if number % 3 else OutcomeSource.TRADE,
                *("BTCUSDT", number * DAY, "calm", 1 if number % 2 else -1),
                {"rsi_1h": 0.5, "funding": -0.4, "an_old_signal": 1.0},
                net=0.7 if number % 5 else -1.0,
                excluded=OutcomeExclusion.PERSON if number == 6 else None,
            ),
        )
        for number in range(1, 40)
    ]


def test_an_exported_file_teaches_the_same(tmp_path: Path) -> None:
    found, path = outcomes(), tmp_path / "outcomes.jsonl"
    write_outcomes(path, found)
    assert read_outcomes(path) == found
    assert learn(read_outcomes(path)).state() == learn(found).state()
    with pytest.raises(SettingsError, match="choose the name of a new file"):
        write_outcomes(path, found)


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.txt"
    path.write_text("hello\n")
    with pytest.raises(SettingsError, match="no file of outcomes"):
        read_outcomes(path)

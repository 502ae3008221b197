"""The comparison with and without learning states its interval; exported outcomes teach the same."""

from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.app.learning.compare import FEWEST_DAYS, Market, compare, differences_of, pooled, text
from ocw_mcp.app.learning.outcomes import (
    TimedOutcome,
    import_outcomes,
    learn,
    learned_from,
    read_outcomes,
    write_outcomes,
)
from ocw_mcp.app.learning.picture import draw
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.app.runner import Job, run
from ocw_mcp.domain.errors import BookError, SettingsError
from ocw_mcp.domain.learning import OutcomeExclusion, OutcomeSource
from ocw_mcp.domain.learning_events import OutcomeScored
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from ocw_mcp.render.learning_text import advice_lines
from tests.support.examples import some
from tests.support.learned_runs import run as run_script
from tests.support.learned_runs import scored
from tests.support.markets import ListFeed, candle


def equity(daily: list[float]) -> dict[str, float]:
    found, value = {}, 1_000.0
    for number, each in enumerate(daily):
        value *= 1 + each
        found[f"{number:04}"] = value
    return found


def paired(base: dict[str, float], other: dict[str, float]) -> dict[str, Any]:
    return pooled([differences_of(base, other)])


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


def test_pooled_markets_weigh_every_day_of_every_market() -> None:
    one = {f"{day:03}": 0.001 * (day % 3) for day in range(60)}
    other = {f"{day:03}": -0.002 for day in range(40, 100)}
    found = pooled([one, other])
    assert (found["days"], found["market_days"]) == (100, 120)
    assert found["mean"] == pytest.approx((sum(one.values()) + sum(other.values())) / 120)
    assert found["low"] < found["mean"] < found["high"]
    alone = {name: pooled([one])[name] for name in ("mean", "low", "high", "verdict")}
    # A market that moves with another one is no second observation of the day.
    assert {name: pooled([one, one])[name] for name in alone} == pytest.approx(alone)


def test_a_comparison_of_markets_shows_each_and_all_and_a_restart() -> None:
    markets = [
        Market(f"sim {seed}", partial(SimulatedFeed, seed, ("BTCUSDT",), step=HOUR, warmup_days=0)) for seed in (1, 2)
    ]
    report, found = compare(markets, load_policies(None, "lab"), load_prompts(None), 6 * DAY, restart=True)
    assert [each["market"] for each in report["markets"]] == ["sim 1", "sim 2"]
    assert found
    for each in report["markets"]:
        assert each["restart"] == {"after_days": 3, "changes_nothing": True}
        assert each["variants"]["all"]["regimes"].keys() == {"unknown"}
        assert each["differences"]["all"]["days"] == 6
    assert report["pooled"]["all"]["market_days"] == 12
    lines = text(report)
    assert "  a restart after 3 days changes nothing" in lines
    assert "all markets together, by days" in lines
    report["markets"][0]["restart"]["changes_nothing"] = False
    assert any("FAULT" in line for line in text(report))


@pytest.mark.parametrize("hours", [0, 12, 47])
def test_a_restart_needs_two_days(hours: int) -> None:
    candles = [candle(number, 100.0, interval=HOUR) for number in range(20)]
    market = Market("flat", lambda: ListFeed(candles))
    with pytest.raises(SettingsError, match="two days or more"):
        compare([market], load_policies(None, "lab"), load_prompts(None), hours * HOUR or None, restart=True)


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


def test_a_file_of_another_version_with_another_regime_is_shown(tmp_path: Path) -> None:
    found, path = outcomes(), tmp_path / "outcomes.jsonl"
    newest = msgspec.structs.replace(found[-1].outcome, regime="panic")
    write_outcomes(path, [*found, TimedOutcome(40 * DAY, newest)])
    learned = learned_from(read_outcomes(path))
    assert (learned.regime, learned.trades) == ("calm", 13)


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.txt"
    path.write_text("hello\n")
    with pytest.raises(SettingsError, match=r"other.txt is no file of outcomes"):
        read_outcomes(path)


@pytest.mark.parametrize("damage", some(range(40), 5))
def test_a_damaged_file_is_refused(tmp_path: Path, damage: int) -> None:
    path = tmp_path / "outcomes.jsonl"
    write_outcomes(path, outcomes())
    data = path.read_bytes()
    place = len(data) * (damage + 1) // 42
    other = bytes([data[place] ^ 1])
    for damaged in (data[:place], data[:place] + other + data[place + 1 :]):
        path.write_bytes(damaged)
        with pytest.raises(SettingsError, match=r"outcomes.jsonl is"):
            read_outcomes(path, same_signals=True)


def known() -> list[TimedOutcome]:
    """Outcomes of signals that this version has."""
    values = {"rsi_1h": 0.5, "funding": -0.4}
    return [each._replace(outcome=msgspec.structs.replace(each.outcome, values=values)) for each in outcomes()]


def test_outcomes_of_other_signals_are_not_imported(tmp_path: Path) -> None:
    path, new = tmp_path / "outcomes.jsonl", tmp_path / "new"
    write_outcomes(path, outcomes())
    with pytest.raises(SettingsError, match=r"other signals .* an_old_signal differ"):
        import_outcomes(path, new)
    header, body = path.read_text().split("\n", 1)
    path.write_text(header.replace('"rsi_1h":"reversion"', '"rsi_1h":"trend"') + "\n" + body)
    with pytest.raises(SettingsError, match=r"other signals .* rsi_1h"):
        import_outcomes(path, new)
    assert not new.exists()


def run_book(directory: Path, minutes: int) -> None:
    feed = SimulatedFeed(1, step=MINUTE, warmup_days=0)
    run(Job(feed, "none", load_policies(None), load_prompts(None), minutes * MINUTE, directory, embedded=True))


def test_an_import_gives_a_new_book_the_same_posteriors(tmp_path: Path) -> None:
    path, first, second = tmp_path / "out.jsonl", tmp_path / "first", tmp_path / "second"
    write_outcomes(path, known())
    assert import_outcomes(path, first) == len(known())
    run_book(first, 2)
    assert read_outcomes(first) == known()
    (first / "outcomes.jsonl").unlink()
    run_book(first, 4)
    assert read_outcomes(first) == known()
    import_outcomes(first, second)
    run_book(second, 2)
    assert learn(read_outcomes(second)).state() == learn(known()).state()
    with pytest.raises(BookError, match="has begun"):
        import_outcomes(path, second)
    import_outcomes(path, tmp_path / "third")
    with pytest.raises(SettingsError, match="choose the name of a new file"):
        import_outcomes(path, tmp_path / "third")


async def test_a_file_of_outcomes_shows_what_the_book_shows(tmp_path: Path) -> None:
    for seed in (0, 2):
        book, path = await run_script(seed, counterfactuals=True), tmp_path / f"{seed}.jsonl"
        write_outcomes(path, [TimedOutcome(*each) for each in scored(book.store)])
        found = learned_from(read_outcomes(path, same_signals=True), counterfactuals=True)
        assert found == book.engine.learning.learned(book.engine.now)
        assert any(line.startswith("patience (hours") for line in advice_lines(found))


def test_the_picture_names_regimes_trades_and_signals(tmp_path: Path) -> None:
    found = [
        each._replace(outcome=msgspec.structs.replace(each.outcome, regime="calm" if number < 20 else "turbulent"))
        for number, each in enumerate(known())
    ]
    draw(tmp_path / "learned.svg", "tape BTCUSDT", found)
    drawn = (tmp_path / "learned.svg").read_text()
    for name in ("in regime turbulent", "regime calm", "trade with a gain", "rsi_1h", "funding", "reliability"):
        assert name in drawn
    assert "ema_fast_1h" not in drawn  # there is no evidence of it


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nothing to draw"):
        draw(tmp_path / "none.svg", "tape", [])

"""The gates that the gate report compares with: reference gate, prototype, timer, chance and hindsight."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.app.gate_report.definitions import FOUR, Crossings, Unit, crossings
from ocw_mcp.app.gate_report.market import Ints, Market, build, read_market
from ocw_mcp.app.gate_report.meeting import meet
from ocw_mcp.app.gate_report.reference import Channel, fires, reference_gate
from ocw_mcp.app.gate_report.report import gate_row, judge_market
from ocw_mcp.app.gate_report.rivals import DRAWS, RivalGate, chance, hindsight, prototype, timer
from ocw_mcp.domain.time import DAY, MINUTE

START = 1_767_225_600_000
ROWS = 2_400


def market_of(closes: Sequence[float], volumes: Sequence[float] | None = None) -> Market:
    times = START + np.arange(len(closes), dtype=np.int64) * MINUTE
    return build({"X": (times, np.array(closes), np.array(volumes or [1.0] * len(closes)))}, MINUTE, START)


def stepped(rows: int, **jumps: float) -> list[float]:
    """Return closes that swing by 0.2 %, and rise by a share at each row of `jumps`: `at_1500=0.02`."""
    closes, price = [], 100.0
    for row in range(rows):
        price *= 1 + jumps.get(f"at_{row}", 0.0)
        closes.append(price * (1 + 0.002 * (row % 2)))
    return closes


def rows_of(times: Ints) -> list[int]:
    return [(each - START) // MINUTE for each in times.tolist()]


@pytest.mark.parametrize(
    ("ratios", "fired"),
    [
        ({10: 1.0, 11: 1.05, 12: 1.2}, [10, 12]),  # a new level fires, the same level does not
        ({10: 1.5, 12: 1.2}, [10]),  # lower levels count as reached
        ({10: 1.5, 12: -1.2}, [10, 12]),  # each direction has its own levels
        ({10: 1.0, 70: 1.0, 131: 1.0}, [10, 131]),  # 60 minutes without the level, and one more
        ({10: 0.99, 11: -0.99}, []),
        ({10: 1.1**3}, [10]),  # a level that rounding would miss
    ],
)
def test_channel_fires_at_a_level_not_reached_in_the_last_hour(ratios: dict[int, float], fired: list[int]) -> None:
    size = np.full(200, np.nan)
    for row, ratio in ratios.items():
        size[row] = 4 * ratio
    assert fires(size, Channel(15, Unit.SIGMA, 4, 1.1), 60) == fired


def test_reference_gate_keeps_a_fire_until_five_minutes_after_a_wake() -> None:
    found = reference_gate(market_of(stepped(ROWS, at_1501=0.02, at_1504=0.03)))
    assert rows_of(found.wakes)[:2] == [1_501, 1_506]
    assert found.delays[0] == 2 * MINUTE


def test_reference_gate_wakes_when_a_price_has_drifted_from_its_anchor() -> None:
    drift = {f"at_{row}": 0.0001 for row in range(1_500, 1_900)}
    found = rows_of(reference_gate(market_of(stepped(ROWS, **drift))).wakes)
    # 2.5 % are reached after some 240 minutes, a little earlier at an upper swing; then again from there on.
    assert len(found) == 1
    assert 1_720 <= found[0] <= 1_750


def test_prototype_wakes_at_a_jump_of_price_or_volume() -> None:
    volumes = [1.0 + row % 3 for row in range(ROWS)]
    volumes[1_700] = 50.0
    found = rows_of(prototype(market_of(stepped(ROWS, at_1500=0.05), volumes)).draws[0])
    assert found == [1_500, 1_700]
    assert rows_of(prototype(market_of(stepped(ROWS, at_1500=0.05, at_1501=-0.06)), 1.2).draws[0])[0] == 1_500


def test_prototype_waits_two_minutes_after_a_wake() -> None:
    volumes = [1.0 + row % 3 for row in range(ROWS)]
    volumes[1_700] = volumes[1_701] = volumes[1_702] = 50.0
    assert rows_of(prototype(market_of([100.0] * ROWS, volumes)).draws[0]) == [1_700, 1_702]


def test_timer_and_random_wakes_have_the_given_rate() -> None:
    market = market_of(stepped(ROWS))
    rows = ROWS - 1_440
    for gate in (timer(market, 96), chance(market, 96)):
        assert len(gate.draws) == DRAWS
        for draw in gate.draws:
            assert len(set(draw.tolist())) == 96
            assert all(1_440 <= row < ROWS for row in rows_of(draw))
    assert set(np.diff(rows_of(timer(market, 96).draws[3]))) == {rows // 96}
    assert gate_row(judge_market(market), chance(market, 96))["outlier_wakes_a_day"] == pytest.approx(
        96 * DAY / rows / MINUTE
    )
    assert [rows_of(each) for each in chance(market, 9).draws] == [rows_of(each) for each in chance(market, 9).draws]
    assert [len(each) for each in timer(market, 0).draws] == [0] * DRAWS


def test_hindsight_meets_every_crossing_with_the_fewest_wakes() -> None:
    draw = np.random.default_rng(3)  # noqa: TID251 - seeded
    market = market_of([100.0] * ROWS)
    found = [
        Crossings(definition, {"X": market.times(np.sort(draw.choice(ROWS, 25, replace=False)))}, None)
        for definition in FOUR
    ]
    (wakes,) = hindsight(market, found).draws
    for each in found:
        assert meet(each.all_times, wakes, each.definition.window).met.all()
    # No fewer wakes suffice, because that many crossings have windows that no two of them share.
    windows = sorted((end, end - int(each.definition.window)) for each in found for end in each.all_times.tolist())
    disjoint: list[tuple[int, int]] = []
    for end, begin in windows:
        if all(begin > other for other, _ in disjoint):
            disjoint.append((end, begin))
    assert len(wakes) == len(disjoint)


def test_gate_row_has_rates_means_and_precision_of_known_wakes() -> None:
    judged = judge_market(market_of(stepped(ROWS, at_1500=0.02, at_1800=0.03)))
    assert rows_of(crossings(judged.market, FOUR[3]).times["X"]) == [1_500, 1_800]
    row = gate_row(judged, RivalGate("mine", [judged.market.times(np.array([1_499, 2_000]))]))
    assert [each["rate"] for each in row["four"]][3] == 0.5
    assert (row["precision_four"], row["precision_all"]) == (0.5, 0.5)
    nothing = gate_row(judged, RivalGate("none", [np.array([], np.int64)]))
    assert (nothing["outlier_wakes_a_day"], nothing["precision_all"], nothing["four_mean"]) == (0, None, 0)


def test_reference_gate_meets_the_moves_of_a_recorded_month(tapes: Path) -> None:
    path = tapes / "vision" / "futures" / "um" / "daily" / "klines" / "ETHUSDT" / "1m"
    market = read_market(TapeFeed.open(path, None, None, None), START, sys.maxsize)
    row = gate_row(judge_market(market), RivalGate("reference", [reference_gate(market).wakes]))
    assert len(market.measured) == 25 * 1_440  # 14 and 12 days around a gap, without the first day
    assert all(each["rate"] >= 0.99 for each in row["four"])
    assert row["outlier_wakes_a_day"] <= 12
    assert row["panel_mean"] >= 0.84

"""The gate report's crossings and met moves, compared with an independent computation on random walks with gaps."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from ocw_mcp.app.gate_report.definitions import FOUR, PANEL, Crossings, Definition, Unit, applicable, crossings
from ocw_mcp.app.gate_report.market import Floats, Ints, Market, build
from ocw_mcp.app.gate_report.meeting import meet, met_row, missed_move, precise, timing, wilson, within
from ocw_mcp.domain.time import DAY, MINUTE

START = 1_767_225_600_000
ROWS = 4_500
DEFINITIONS = (*FOUR, Definition(3, Unit.SIGMA, 3.5), Definition(20, Unit.SIGMA, 4.5), Definition(240, Unit.PERCENT, 2))


def walk(seed: int, rows: int = ROWS, missing: float = 0.01) -> list[float]:
    """Return closes of a random walk with fat tails and bursts, NaN for the missing ones, one gap among them longer."""
    draw = np.random.default_rng(seed)  # noqa: TID251 - seeded
    bursts = np.exp(2 * np.sin(np.arange(rows) / 40))
    closes = 100 * np.exp(np.cumsum(draw.standard_t(2.5, rows) * 0.0004 * bursts))
    closes[draw.random(rows) < missing] = np.nan
    closes[2_000:2_070] = np.nan
    listed: list[float] = closes.tolist()
    return listed


def market_of(closes: Sequence[float], minutes: int = 1) -> Market:
    """Return the market of the symbol X, whose first close is at `START`."""
    every = np.array(closes)
    times = START + np.arange(len(every), dtype=np.int64) * minutes * MINUTE
    known = np.isfinite(every)
    return build({"X": (times[known], every[known], np.ones(known.sum()))}, minutes * MINUTE, START)


def oracle_sigma(closes: Sequence[float]) -> list[float | None]:
    """Return the standard deviation known at each minute, each from all returns before it."""
    squares, found = np.full(len(closes), np.nan), list[float | None]()
    ages, count = np.arange(len(closes)), 0
    for minute, close in enumerate(closes):
        before = closes[minute - 1] if minute else math.nan
        if not math.isnan(close) and not math.isnan(before):
            squares[count] = math.log(close / before) ** 2
            count += 1
        weights = 0.5 ** (ages[:count][::-1] / 1_440) if count >= 1_440 else ages[:0]
        found.append(math.sqrt(float(np.average(squares[:count], weights=weights))) if len(weights) else None)
    return found


def oracle(closes: Sequence[float], sigma: Sequence[float | None], definition: Definition) -> list[int]:
    """Return the minutes of the crossings, computed minute by minute from the definition in words."""
    found, below, h = [], 60, definition.minutes
    for minute in range(h, len(closes)):
        change = abs(math.log(closes[minute]) - math.log(closes[minute - h]))
        known = sigma[minute - h] if definition.unit is Unit.SIGMA else sigma[minute]
        scale = 0.01 if definition.unit is Unit.PERCENT else (known or math.inf) * math.sqrt(h)
        if known is not None and change >= definition.size * scale:
            if below >= 60:
                found.append(minute)
            below = 0
        else:
            below += 1
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_crossings_and_met_moves_agree_with_an_oracle(seed: int) -> None:
    closes = walk(seed)
    market, sigma, total = market_of(closes), oracle_sigma(closes), 0
    wakes = sorted(int(each) for each in np.random.default_rng(seed + 9).choice(ROWS, 400))  # noqa: TID251 - seeded
    times = np.array(wakes, np.int64) * MINUTE + START
    for definition in DEFINITIONS:
        expected = oracle(closes, sigma, definition)
        found = crossings(market, definition)
        assert ((found.times["X"] - START) // MINUTE).tolist() == expected, definition.name
        window = max(5, definition.minutes / 3)
        met = sum(any(0 <= each - wake <= window for wake in wakes) for each in expected)
        row = met_row(found, times)
        assert (row["crossings"], row["met"]) == (len(expected), met), definition.name
        precise_wakes = sum(any(0 <= each - wake <= window for each in expected) for wake in wakes)
        assert precise(times, [found]) == precise_wakes
        total += len(expected)
    assert total > 30


def flat(rows: int, **jumps: float) -> list[float]:
    """Return closes that swing by 0.01 %, and rise by a share at each row of `jumps`: `at_1500=0.02`."""
    closes, price = [], 100.0
    for row in range(rows):
        price *= 1 + jumps.get(f"at_{row}", 0.0)
        closes.append(price * (1 + 0.0001 * (row % 2)))
    return closes


PERCENT = FOUR[3]


def rows_of(found: Crossings) -> list[int]:
    return [(each - START) // MINUTE for each in found.times["X"].tolist()]


def test_crossing_needs_an_hour_below_the_size_before_it() -> None:
    # The return over 15 minutes is large from the jump to 14 minutes after it; the next one begins 60 or 61 later.
    assert rows_of(crossings(market_of(flat(1_800, at_1500=0.02, at_1574=0.02)), PERCENT)) == [1500]
    assert rows_of(crossings(market_of(flat(1_800, at_1500=0.02, at_1575=0.02)), PERCENT)) == [1500, 1575]


def test_wake_meets_a_crossing_up_to_its_window_before_it() -> None:
    times = np.array([100 * MINUTE], np.int64)
    for minute, met in ((94, False), (95, True), (100, True), (101, False)):
        wakes = np.array([minute * MINUTE], np.int64)
        assert meet(times, wakes, PERCENT.window).met.tolist() == [met]
    assert Definition(60, Unit.SIGMA, 4).window == 20 * MINUTE
    assert meet(times, np.array([], np.int64), PERCENT.window).met.tolist() == [False]


def test_wake_of_another_symbol_meets_a_move() -> None:
    jump, quiet = flat(1_800, at_1500=0.02), flat(1_800)
    times = START + np.arange(1_800, dtype=np.int64) * MINUTE
    volumes = np.ones(1_800)
    market = build({"X": (times, np.array(jump), volumes), "Y": (times, np.array(quiet), volumes)}, MINUTE, START)
    row = met_row(crossings(market, PERCENT), times[1_498:1_499])
    assert (row["crossings"], row["met"]) == (1, 1)
    assert [row["by_symbol"][name]["crossings"] for name in "XY"] == [1, 0]
    assert row["by_symbol"]["Y"]["rate"] is None


def test_missed_move_lasts_until_the_next_wake_of_any_kind() -> None:
    closes = flat(1_800, at_1500=0.02, at_1520=0.03, at_1540=0.05)
    market = market_of(closes)
    found = crossings(market, PERCENT)
    none, late = np.array([], np.int64), np.array([START + 1_530 * MINUTE], np.int64)
    assert missed_move(market, found, none, late) == pytest.approx(closes[1_530] / closes[1_500] - 1)
    assert missed_move(market, found, none, none) == pytest.approx(closes[-1] / closes[1_500] - 1)
    assert missed_move(market, found, market.times(np.array([1_497])), late) == 0
    assert timing(found, none, late) == {"lead_min": None, "lag_min": 30}
    assert timing(found, market.times(np.array([1_497])), late) == {"lead_min": 3, "lag_min": None}


def test_wilson_interval_has_its_published_values() -> None:
    assert wilson(8, 10) == pytest.approx([0.4902, 0.9433], abs=1e-4)
    assert wilson(0, 10) == pytest.approx([0.0, 0.2775], abs=1e-4)
    assert wilson(10, 10) == pytest.approx([0.7225, 1.0], abs=1e-4)
    assert wilson(0, 0) is None


def test_sigma_definitions_are_unknown_with_less_than_a_day() -> None:
    market = market_of(flat(600, at_300=0.02))
    row = met_row(crossings(market, FOUR[0]), np.array([], np.int64))
    assert (row["crossings"], row["met"], row["rate"], row["interval"]) == (None, None, None, None)
    assert row["unknown"] == "needs a day of returns and a return over 15m after it, and has 10.0 hours"
    assert rows_of(crossings(market, PERCENT)) == [300]


def test_percent_definitions_are_judged_from_the_first_sigma_on() -> None:
    market = market_of(flat(2_000, at_700=0.02, at_1700=0.02))
    assert rows_of(crossings(market, PERCENT)) == [1_700]
    assert market.measured_days == pytest.approx((2_000 - 1_440) / 1_440)
    wakes: Ints = market.times(np.array([1_000, 1_439, 1_440, 1_999, 2_005]))
    assert within(market, wakes).tolist() == wakes[2:4].tolist()


def test_panel_has_forty_definitions_of_other_moves() -> None:
    assert len(PANEL) == len(set(PANEL)) == 40
    assert not set(PANEL) & set(FOUR)
    assert (min(each.minutes for each in PANEL), max(each.minutes for each in PANEL)) == (3, 240)
    assert [each.name for each in (*FOUR, PANEL[-1])] == ["15m 4σ", "5m 4.5σ", "1h 4σ", "15m 1%", "4h 6%"]


def test_spans_that_are_no_multiple_of_a_candle_are_left_out() -> None:
    kept, left_out = applicable((*FOUR, *PANEL), 15 * MINUTE)
    assert {each.minutes for each in kept} == {15, 30, 45, 60, 90, 120, 180, 240}
    assert left_out == ["3m", "5m", "8m", "10m", "20m"]
    assert applicable(FOUR, DAY) == ([], ["5m", "15m", "1h"])


def test_candles_of_15_minutes_give_the_same_percent_crossings() -> None:
    minute: Floats = np.array(flat(3_000, at_1507=0.02, at_2000=-0.03))
    coarse = market_of(minute[14::15].tolist(), minutes=15)
    found = crossings(coarse, Definition(60, Unit.PERCENT, 1))
    # Rows of the coarse market begin at START with the close of minute 14.
    assert ((found.times["X"] - START) // (15 * MINUTE)).tolist() == [100, 133]


def test_candles_shorter_than_a_minute_become_minutes() -> None:
    times = START + np.arange(1, 13, dtype=np.int64) * 20_000
    market = build({"X": (times, np.arange(1.0, 13.0), np.ones(12))}, MINUTE, START)
    series = market.series["X"]
    assert (market.start, series.closes.tolist(), series.volumes.tolist()) == (
        START + MINUTE, [3, 6, 9, 12], [3, 3, 3, 3]
    )  # fmt: skip
    assert market.measured_days == pytest.approx(4 * MINUTE / DAY)


def test_market_judges_nothing_of_its_history() -> None:
    closes = flat(1_800, at_1480=0.02, at_1600=0.02)
    times = START + np.arange(1_800, dtype=np.int64) * MINUTE
    market = build({"X": (times, np.array(closes), np.ones(1_800))}, MINUTE, START + 1_500 * MINUTE)
    assert rows_of(crossings(market, PERCENT)) == [1_600]
    assert market.measured_days == pytest.approx(300 * MINUTE / DAY)

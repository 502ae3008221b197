"""The gate report: the largest moves of a market, and those without a wake."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.app.gate_report.largest import Closes, Move, judge, moves
from ocw_mcp.domain.time import HOUR, MINUTE

SPAN = 5 * MINUTE


def closes(prices: list[float], without: frozenset[int] = frozenset()) -> Closes:
    kept = [place for place in range(len(prices)) if place not in without]
    return np.array(kept, dtype=np.int64) * MINUTE, np.array([prices[place] for place in kept])


def stepped(*places: int, by: float = 1.02, length: int = 2_000) -> list[float]:
    """Return closes of a market that moves only at the given jumps."""
    return [100 * by ** sum(place >= each for each in places) for place in range(length)]


def test_jump_inside_several_overlapping_returns_is_one_move() -> None:
    ((began, ended, change),) = moves(closes(stepped(500)), SPAN, MINUTE)
    assert began < 500 * MINUTE <= ended == began + SPAN
    assert change == pytest.approx(math.log(1.02))


def test_return_across_a_data_gap_is_no_move() -> None:
    assert moves(closes(stepped(500), frozenset({500, 501})), SPAN, MINUTE) == []


def test_market_with_constant_or_too_few_prices_has_no_moves() -> None:
    assert moves(closes([100.0] * 2_000), SPAN, MINUTE) == []
    assert moves(closes([100.0, 101.0]), SPAN, MINUTE) == []


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-0.05, 0.05), min_size=50, max_size=400))
def test_of_overlapping_moves_the_largest_is_kept(changes: list[float]) -> None:
    prices = [float(each) for each in 100 * np.exp(np.cumsum(changes))]
    found = moves(closes(prices), SPAN, MINUTE)
    assert all(later[0] >= earlier[1] for earlier, later in pairwise(found))
    largest = max(abs(math.log(prices[place + 5] / prices[place])) for place in range(len(prices) - 5))
    if largest > 0:
        assert max(abs(each[2]) for each in found) == pytest.approx(largest)


def test_gate_report_counts_a_move_without_a_wake_as_missed() -> None:
    found: list[Move] = [(at * MINUTE, at * MINUTE + SPAN, 0.02 + at / 1e5) for at in (10, 20, 30, 40)]
    wakes = [minute * MINUTE for minute in (10, 22, 35, 46)]
    told = judge({"BTCUSDT": found}, SPAN, wakes, HOUR)
    assert (told["over"], told["moves"], told["missed"], told["miss_rate"]) == ("5m", 4, 2, 0.5)
    assert told["median_delay_min"] == 3.5
    assert told["least"] == {"BTCUSDT": 0.0201}
    assert told["by_chance"] == pytest.approx(math.exp(-4 * 5 / 60), abs=1e-4)


def test_market_without_moves_has_no_missed_move() -> None:
    told = judge({"BTCUSDT": []}, SPAN, [], HOUR)
    assert (told["moves"], told["miss_rate"], told["median_delay_min"], told["by_chance"]) == (0, None, None, 1)

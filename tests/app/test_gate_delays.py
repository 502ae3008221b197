"""The delays of outliers that have to wait for a cooldown, in the gate report."""

from collections.abc import Sequence

import numpy as np

from ocw_mcp.app.gate_report.delays import delay_row, gate_delays
from ocw_mcp.app.gate_report.market import Market, build
from ocw_mcp.domain.time import MINUTE
from tests.support.gates import with_policy

START = 1_767_225_600_000
POLICY = with_policy(close_wakes=(), timer_max_s=86_400, outlier_moves={"1m": 0.02}, cooldown_s=300)


def market_of(jumps: Sequence[int], first: int = 0) -> Market:
    """Return an hour of closes that rise at each of these minutes, each time by more than before."""
    closes = 100 * np.cumprod([1 + 0.03 * 2 ** jumps.index(row) if row in jumps else 1.0 for row in range(60)])
    times = START + np.arange(60, dtype=np.int64) * MINUTE
    return build({"X": (times, closes, np.ones(60))}, MINUTE, START + first * MINUTE)


def minutes(times: Sequence[int]) -> list[int]:
    return [(each - START) // MINUTE for each in times]


def test_outlier_in_a_cooldown_waits_until_it_ends() -> None:
    found = gate_delays(market_of([10, 12, 30]), POLICY)
    assert minutes(found.wakes.tolist()) == [10, 15, 30]
    assert found.delays.tolist() == [3 * MINUTE]
    assert delay_row(found.delays) == {"kept_fires": 1, "median_min": 3.0, "p99_min": 3.0}


def test_history_warms_the_gate_up_without_a_wake() -> None:
    found = gate_delays(market_of([10, 30], first=30), POLICY)
    assert minutes(found.wakes.tolist()) == [30]


def test_wake_by_a_candle_close_is_no_wake_by_an_outlier() -> None:
    policy = POLICY.model_copy(update={"close_wakes": ("30m",)})
    found = gate_delays(market_of([10]), policy)
    assert minutes(found.wakes.tolist()) == [10]


def test_fixed_wakes_have_no_outlier_and_no_delay() -> None:
    found = gate_delays(market_of([10, 12]), POLICY.model_copy(update={"every": "1h"}))
    assert (len(found.wakes), len(found.delays)) == (0, 0)
    assert delay_row(found.delays) == {"kept_fires": 0, "median_min": None, "p99_min": None}

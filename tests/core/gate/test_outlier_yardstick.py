"""The outlier layer: a return is compared with the returns before it, and never with itself."""

import math
import statistics
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.core.gate.gate import Gate
from ocw_mcp.core.gate.outlier import Yardstick
from ocw_mcp.domain.policies import GatePolicy
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.domain.unknown import Reading
from tests.support.wakes import texts

SYMBOL = "BTCUSDT"
WINDOW = 50
POLICY = GatePolicy(
    close_wakes=(),
    close_wakes_in_position=(),
    timer_min_s=60,
    timer_max_s=86_400,
    outlier_z=2.5,
    outlier_over="1m",
    outlier_window=WINDOW,
    escalation_z=6.0,
    cooldown_s=0,
    condition_max_s=604_800,
)


def unread(symbol: str, metric: str) -> Reading:
    raise AssertionError("nothing is read without a condition")


def woken(closes: list[float], holes: frozenset[int] = frozenset()) -> dict[int, str]:
    """Return the wake reason of each close that wakes, by its place; candles are missing before the `holes`."""
    gate = Gate(POLICY, MINUTE, (SYMBOL,))
    told = {}
    for place, close in enumerate(closes):
        hole = place in holes
        gate.evaluate(SYMBOL, close, (MINUTE,), at=place * MINUTE, read=unread, after_hole=hole, in_position=False)
        wake = gate.wake(place * MINUTE, busy=False)
        if wake:
            assert [each.symbol for each in wake] == [SYMBOL]
            (told[place],) = texts(wake[0])
    return told


def calm(count: int) -> list[float]:
    """Return closes whose returns alternate a little, without an outlier."""
    return [1000 * (1 + 0.001 * (-1) ** place + 0.0001 * (place % 7)) for place in range(count)]


def z_by_hand(closes: list[float]) -> float:
    """Return the z-score of the last return among the fifty before it."""
    returns = [math.log(later / earlier) for earlier, later in pairwise(closes)]
    before = returns[-1 - WINDOW : -1]
    assert len(before) == WINDOW
    return (returns[-1] - statistics.mean(before)) / statistics.stdev(before)


@pytest.mark.parametrize("jump", [1.02, 0.97, 1.5])
def test_jump_after_calm_returns_wakes_the_agent_with_its_z_score(jump: float) -> None:
    closes = [*calm(60), calm(60)[-1] * jump]
    assert woken(closes) == {60: f"outlier:1m z={z_by_hand(closes):+.2f}"}


def test_tested_return_is_not_compared_with_itself() -> None:
    closes = [*calm(60), calm(60)[-1] * 1.0052]
    returns = [math.log(later / earlier) for earlier, later in pairwise(closes)]
    with_itself = (returns[-1] - statistics.mean(returns[-WINDOW:])) / statistics.stdev(returns[-WINDOW:])
    assert with_itself < 2.5 <= z_by_hand(closes)
    assert list(woken(closes)) == [60]


def test_an_earlier_jump_counts_when_the_next_return_is_tested() -> None:
    jumped = [*calm(60), calm(60)[-1] * 1.05]
    closes = [*jumped, jumped[-1] * 1.012]
    assert list(woken(closes)) == [60]
    assert abs(z_by_hand(closes)) < 2.5


def test_no_outlier_is_found_before_fifty_returns() -> None:
    assert woken([*calm(50), 5000.0]) == {}
    assert list(woken([*calm(51), 5000.0])) == [51]


def test_a_steady_drift_is_no_outlier_however_steep() -> None:
    assert woken([100 * 1.01**place for place in range(120)]) == {}
    assert woken([100 * math.exp(0.01 * place + 0.001 * (-1) ** place) for place in range(120)]) == {}


def test_the_end_of_a_steady_drift_is_an_outlier() -> None:
    drift = [100 * math.exp(0.01 * place + 0.001 * (-1) ** place) for place in range(80)]
    assert list(woken([*drift, drift[-1]])) == [80]


@pytest.mark.parametrize(("to", "sign"), [(100.01, "+"), (99.99, "-")])
def test_any_move_after_a_flat_market_is_an_outlier(to: float, sign: str) -> None:
    assert woken([100.0] * 60 + [to]) == {60: f"outlier:1m z={sign}inf"}


def test_a_market_that_stays_flat_gives_no_outlier() -> None:
    assert woken([100.0] * 200) == {}


def test_return_over_a_data_gap_wakes_but_joins_no_yardstick() -> None:
    closes = [*calm(60), calm(60)[-1] * 1.05]
    smaller = [*closes, closes[-1] * 1.012]
    assert list(woken(smaller, frozenset({60}))) == [60, 61]
    assert list(woken(smaller)) == [60]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(-0.2, 0.2), min_size=11, max_size=60),
    st.floats(-0.5, 0.5),
)
def test_z_score_uses_only_the_returns_of_the_last_window(returns: list[float], tested: float) -> None:
    yardstick = Yardstick(10)
    for value in returns:
        yardstick.take(value)
    before = returns[-10:]
    if statistics.stdev(before) < 1e-6:
        return
    assert yardstick.ready
    expected = (tested - statistics.mean(before)) / statistics.stdev(before)
    assert yardstick.z(tested) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-0.2, 0.2), min_size=10, max_size=80), st.floats(-0.5, 0.5))
def test_restored_yardstick_gives_the_same_z_score(returns: list[float], tested: float) -> None:
    walked, restored = Yardstick(10), Yardstick(10)
    for value in returns:
        walked.take(value)
    restored.restore(walked.state())
    assert len(walked.state()) == 10
    assert restored.z(tested) == walked.z(tested)

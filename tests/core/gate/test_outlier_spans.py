"""Returns over several candles: found during the move, reported once, and never compared with themselves."""

import math
import statistics
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.core.gate.gate import Gate
from ocw_mcp.core.gate.outlier import ReturnSpan, SpanState
from ocw_mcp.domain.policies import GatePolicy
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.domain.unknown import Reading

SYMBOL = "BTCUSDT"
CANDLES = 15
WINDOW = 50
WARM = CANDLES * WINDOW + CANDLES
"""The number of closes after which the window of returns is full."""


def span(candles: int = CANDLES, window: int = WINDOW) -> ReturnSpan:
    return ReturnSpan(candles, outlier_z=2.5, window=window, escalation_z=6.0)


def told(closes: list[float], holes: frozenset[int] = frozenset()) -> dict[int, float]:
    tested, found = span(), {}
    for place, close in enumerate(closes):
        z = tested.evaluate(close, after_hole=place in holes)
        if z is not None:
            found[place] = z
    return found


def calm(count: int) -> list[float]:
    """Return closes that move little over any fifteen candles."""
    return [1_000 * (1 + 0.001 * (-1) ** (place // CANDLES) + 0.0001 * (place % 7)) for place in range(count)]


def by_hand(closes: list[float]) -> float:
    """Return the z-score of the last return among the fifty adjacent returns that ended before it began."""
    last = len(closes) - 1
    over = (last - CANDLES) // CANDLES
    places = range((over - WINDOW) * CANDLES, over * CANDLES + 1, CANDLES)
    before = [math.log(closes[later] / closes[earlier]) for earlier, later in pairwise(places)]
    assert len(before) == WINDOW
    return (math.log(closes[last] / closes[last - CANDLES]) - statistics.mean(before)) / statistics.stdev(before)


def walk(count: int, seed: int) -> list[float]:
    closes = [1_000.0]
    for change in statistics.NormalDist(0, 0.001).samples(count, seed=seed):
        closes.append(closes[-1] * math.exp(change))
    return closes


@pytest.mark.parametrize("later", range(1, 2 * CANDLES, 4))
def test_price_jump_is_reported_at_the_candle_of_the_jump(later: int) -> None:
    closes = calm(WARM + later)
    closes.append(closes[-1] * 1.05)
    found = told(closes)
    assert list(found) == [len(closes) - 1]
    assert found[len(closes) - 1] == pytest.approx(by_hand(closes), rel=1e-6)


def test_a_move_over_several_candles_is_reported_before_its_end() -> None:
    closes = calm(WARM)
    for _ in range(CANDLES):
        closes.append(closes[-1] * 1.0005)
    (place,) = told(closes)
    assert WARM < place < len(closes) - 1


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_z_score_compares_a_return_with_adjacent_earlier_returns(seed: int) -> None:
    closes = walk(WARM + 60, seed)
    for place, z in told(closes).items():
        assert z == pytest.approx(by_hand(closes[: place + 1]), rel=1e-6)


def test_a_move_is_reported_once_while_the_returns_overlap() -> None:
    closes = calm(WARM)
    closes += [closes[-1] * 1.05] * CANDLES
    assert list(told(closes)) == [WARM]


def test_a_move_is_reported_once_more_when_it_escalates() -> None:
    closes = calm(WARM)
    closes += [closes[-1] * factor for factor in (1.006, 1.006, 1.05, 1.10)]
    found = told(closes)
    assert list(found) == [WARM, WARM + 2]
    assert abs(found[WARM]) < 6 <= abs(found[WARM + 2])


def test_second_move_is_reported_if_its_return_does_not_overlap() -> None:
    closes = calm(WARM)
    up = closes[-1] * 1.05
    closes += [up] * CANDLES + [up * 1.05]
    assert list(told(closes)) == [WARM, WARM + CANDLES]


def test_return_over_a_data_gap_is_tested_but_joins_no_yardstick() -> None:
    closes = calm(WARM)
    closes += [closes[-1] * 1.05] * (2 * CANDLES)
    assert list(told(closes, frozenset({WARM}))) == [WARM]
    quiet = span()
    for place, close in enumerate(closes):
        quiet.evaluate(close, after_hole=place == WARM)
    measured = quiet.state().returns
    assert max(abs(each) for each in measured) * 1e-12 < 0.01


def test_no_outlier_is_reported_before_the_window_is_full() -> None:
    early = calm(WARM - CANDLES)
    assert told([*early, early[-1] * 2]) == {}
    closes = calm(WARM)
    assert list(told([*closes, closes[-1] * 2])) == [WARM]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sets(st.integers(0, 200), max_size=3), st.sets(st.integers(0, 200), max_size=3))
def test_return_span_restored_at_any_candle_reports_the_same(seed: int, restarts: set[int], holes: set[int]) -> None:
    closes = walk(200, seed)
    through, restarted = span(3, 10), span(3, 10)
    for place, close in enumerate(closes):
        if place in restarts:
            saved = msgspec.msgpack.decode(msgspec.msgpack.encode(restarted.state()), type=SpanState)
            restarted = span(3, 10)
            restarted.restore(saved)
        hole = place in holes
        assert restarted.evaluate(close, after_hole=hole) == through.evaluate(close, after_hole=hole)


def gate(interval: int, **changes: object) -> Gate:
    policy = {
        "close_wakes": (),
        "close_wakes_in_position": (),
        "timer_min_s": 60,
        "timer_max_s": 86_400,
        "outlier_z": 2.5,
        "outlier_over": "15m",
        "outlier_window": WINDOW,
        "escalation_z": 6.0,
        "cooldown_s": 120,
        "condition_max_s": 604_800,
    }
    return Gate(GatePolicy.model_validate(policy | changes), interval, (SYMBOL,))


def woken(tested: Gate, closes: list[float], interval: int) -> dict[int, tuple[str, ...]]:
    found = {}
    for place, close in enumerate(closes):
        at = place * interval
        tested.evaluate(SYMBOL, close, (interval,), at=at, read=unread, after_hole=False, in_position=False)
        for reason in tested.wake(at, busy=False):
            found[place] = tuple(each.name for each in reason.reasons)
    return found


def unread(symbol: str, metric: str) -> Reading:
    raise AssertionError("nothing is read without a condition")


def test_one_minute_return_wakes_only_at_escalation_z_or_above() -> None:
    closes = walk(WARM + 30, 1)
    # Back against the last quarter of an hour, so that this is no outlier over fifteen minutes.
    back = math.copysign(0.001, closes[-CANDLES] - closes[-1])
    for deviations, wakes in ((4, None), (9, ("outlier:1m",))):
        jumped = [*closes, closes[-1] * (1 + deviations * back)]
        assert woken(gate(MINUTE), jumped, MINUTE).get(len(closes)) == wakes


@pytest.mark.parametrize(
    ("interval", "lengths"), [(5 * SECOND, {"15m", "1m"}), (MINUTE, {"15m", "1m"}), (15 * MINUTE, {"15m"})]
)
def test_15m_and_1m_returns_are_tested_if_candles_are_short_enough(interval: int, lengths: set[str]) -> None:
    assert set(gate(interval).state().spans[SYMBOL]) == lengths


def test_outlier_span_shorter_than_a_candle_becomes_one_candle() -> None:
    assert set(gate(60 * MINUTE).state().spans[SYMBOL]) == {"1h"}


@settings(max_examples=100)
@given(
    candles=st.sampled_from((1, 2, CANDLES)),
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    holes=st.sets(st.integers(0, 7)),
)
def test_closes_warmed_at_once_give_the_state_of_single_ones(candles: int, lengths: list[int], holes: set[int]) -> None:
    at_once, singly = (ReturnSpan(candles, outlier_z=math.inf, window=5, escalation_z=math.inf) for _ in range(2))
    closes = iter(walk(sum(lengths), seed=len(lengths)))
    for number, length in enumerate(lengths):
        chunk = [next(closes) for _ in range(length)]
        at_once.warm(chunk, after_hole=number in holes)
        for place, close in enumerate(chunk):
            singly.evaluate(close, after_hole=place == 0 and number in holes)
        assert at_once.state() == singly.state()
        assert at_once.ready == singly.ready

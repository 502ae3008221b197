"""The outlier test: a naive oracle of its rule, the anchor, and the wakes that outliers cause."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.core.gate.gate import Gate, GateState
from ocw_mcp.core.gate.outlier import SINCE_WAKE, PriceMoves, PriceMovesState, channels_of
from ocw_mcp.domain.policies import GatePolicy
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.domain.unknown import Unknown
from tests.support.examples import examples
from tests.support.gates import BTC, ETH, T0, gate_of, unread, with_policy
from tests.support.wakes import texts

SIGMAS = {"3m": 2.0, "15m": 2.5}
POLICY = with_policy(outlier_sigmas=SIGMAS, outlier_moves={"5m": 0.01}, outlier_half_life_h=6, anchor=0.05)
LONGER = POLICY.model_copy(update={"outlier_sigmas": SIGMAS | {"50m": 2.5}, "outlier_moves": {"5m": 0.01, "20m": 0.02}})


def walk(count: int, seed: int, size: float = 0.001) -> list[float]:
    """Return closes of a random walk with a few large moves."""
    draw, price, closes = seed, 100.0, list[float]()
    for _ in range(count):
        draw = (draw * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
        chance = (draw >> 33) / 2**31 - 0.5
        price *= math.exp(chance * size * (12 if draw >> 58 == 0 else 2))
        closes.append(price)
    return closes


def by_hand(
    closes: Mapping[int, float], policy: GatePolicy, untested: frozenset[int] = frozenset()
) -> dict[int, set[str]]:
    """Return the spans reported at each minute by the rule of the channels, computed anew from all closes.

    The closes are given by their minute; a missing minute is a data gap. The minutes of `untested` report nothing.
    """
    ages = 0.5 ** (np.arange(2_000) / 60 / policy.outlier_half_life_h)
    returns, variance = list[float](), dict[int, float]()
    for minute in sorted(closes):
        if minute - 1 in closes:
            returns.append(math.log(closes[minute] / closes[minute - 1]))
        if len(returns) >= 1_440:
            recent = ages[: len(returns)]
            variance[minute] = float(np.dot(recent, np.square(returns)[::-1]) / recent.sum())
    tests = [(text, int(text[:-1]), size, policy.outlier_step, True) for text, size in policy.outlier_sigmas.items()]
    for text, size in policy.outlier_moves.items():
        tests += [(text, int(text[:-1]), base, policy.outlier_move_step, False) for base in (size, math.log1p(size))]
    found: dict[int, set[str]] = {}
    for text, span, size, step, in_sigmas in tests:
        reached = dict[tuple[bool, int], int]()
        for minute in sorted(closes):
            begin = minute - span
            if minute in untested or begin not in closes or (in_sigmas and begin not in variance):
                continue
            base = size * math.sqrt(span * variance[begin]) if in_sigmas else size
            move = math.log(closes[minute] / closes[begin]) / base
            if abs(move) < 1:
                continue
            level = int(math.log(abs(move)) / math.log(step))
            if minute - reached.get((move > 0, level), -(10**9)) > policy.outlier_quiet_s / 60:
                found.setdefault(minute, set()).add(text)
            reached |= {(move > 0, each): minute for each in range(level + 1)}
    return found


def reported(
    closes: Mapping[int, float],
    policy: GatePolicy,
    restarts: frozenset[int] = frozenset(),
    untested: frozenset[int] = frozenset(),
) -> dict[int, set[str]]:
    """Return the spans that the outlier test reports at each minute, restored from its state at some minutes."""
    moves, found = PriceMoves(policy, MINUTE), dict[int, set[str]]()
    for minute in sorted(closes):
        if minute in restarts:
            saved = msgspec.msgpack.encode(moves.state())
            moves = PriceMoves(policy, MINUTE)
            moves.restore(msgspec.msgpack.decode(saved, type=PriceMovesState))
        if minute in untested:
            moves.warm([closes[minute]], T0 + minute * MINUTE)
            continue
        names = {each.name for each in moves.evaluate(closes[minute], T0 + minute * MINUTE)} - {SINCE_WAKE}
        if names:
            found[minute] = names
    return found


@examples(4, slow=15)
@given(
    seed=st.integers(0, 10_000),
    size=st.sampled_from([0.0005, 0.002]),
    gaps=st.lists(st.tuples(st.integers(0, 1_800), st.sampled_from([1, 2, 20, 400])), max_size=3),
    restarts=st.frozensets(st.integers(0, 1_800), max_size=3),
    untested=st.frozensets(st.integers(1_400, 1_800), max_size=20),
)
def test_outliers_agree_with_a_naive_oracle(
    seed: int, size: float, gaps: list[tuple[int, int]], restarts: frozenset[int], untested: frozenset[int]
) -> None:
    closes = dict(enumerate(walk(1_800, seed, size)))
    for begins, length in gaps:
        closes = {minute: close for minute, close in closes.items() if not begins <= minute < begins + length}
    found = reported(closes, LONGER, restarts, untested)
    assert found == by_hand(closes, LONGER, untested)


def test_equal_moves_over_two_spans_are_both_reported() -> None:
    closes = dict(enumerate(walk(1_000, 114, 0.002)))
    assert reported(closes, LONGER) == by_hand(closes, LONGER)


def test_the_oracle_sees_all_kinds_of_channels() -> None:
    found = by_hand(dict(enumerate(walk(1_800, 7, 0.002))), LONGER)
    assert set[str]().union(*found.values()) == {"3m", "5m", "15m", "20m", "50m"}


def outlier_minutes(gate: Gate, closes: Sequence[float], *, near_stop: bool = False) -> dict[int, tuple[str, ...]]:
    """Return the reasons of the wakes of a gate, by the number of the candle."""
    woken = {}
    for place, close in enumerate(closes):
        at = T0 + place * MINUTE
        gate.evaluate(
            BTC, close, (MINUTE,), at=at, close_time=at, read=unread, in_position=near_stop, near_stop=near_stop
        )
        for each in gate.wake(at, busy=False):
            woken[place] = texts(each)
    return woken


def stairs(*steps: float) -> list[float]:
    closes = [100.0]
    for step in steps:
        closes.append(closes[-1] * (1 + step))
    return closes


def test_a_move_is_reported_again_when_it_has_grown() -> None:
    gate = gate_of(outlier_moves={"5m": 0.01}, cooldown_s=0)
    found = outlier_minutes(gate, stairs(*[0] * 5, 0.011, 0.002, 0.002, 0.009, 0, 0))
    assert list(found) == [6, 9]


def test_a_move_in_the_other_direction_is_a_move_of_its_own() -> None:
    gate = gate_of(outlier_moves={"1m": 0.01}, cooldown_s=0)
    assert list(outlier_minutes(gate, stairs(0.012, -0.013, 0.012, -0.013))) == [1, 2]


@pytest.mark.parametrize(("quiet", "again"), [(59, False), (60, False), (61, True)])
def test_a_size_counts_again_after_the_quiet_time(quiet: int, again: bool) -> None:
    gate = gate_of(outlier_moves={"1m": 0.01}, cooldown_s=0, timer_max_s=86_400)
    closes = stairs(0.012, *[0.0] * (quiet - 1), 0.012)
    assert list(outlier_minutes(gate, closes)) == [1, *([1 + quiet] if again else [])]


def test_an_outlier_in_the_cooldown_of_an_outlier_wakes_at_its_end() -> None:
    gate = gate_of(outlier_moves={"1m": 0.01}, cooldown_s=300)
    found = outlier_minutes(gate, stairs(0.012, 0, -0.012, 0, 0, 0, 0))
    assert {place: len(reasons) for place, reasons in found.items()} == {1: 1, 6: 1}


def test_a_waiting_outlier_is_replaced_when_its_move_grows() -> None:
    gate = gate_of(outlier_moves={"5m": 0.01}, outlier_move_step=1.5, cooldown_s=600)
    found = outlier_minutes(gate, stairs(*[0] * 5, -0.011, 0.03, 0.02, 0.03, *[0] * 10))
    assert found == {6: ("outlier:5m -1.10%",), 16: ("outlier:5m +8.21%",)}


def test_an_outlier_after_a_wake_by_a_candle_close_does_not_wait() -> None:
    gate = gate_of(outlier_moves={"1m": 0.01}, cooldown_s=300)
    gate.evaluate(ETH, 50.0, (MINUTE, 4 * HOUR), at=T0, close_time=T0, read=unread, in_position=False)
    assert gate.wake(T0, busy=False)
    for place, close in ((1, 100.0), (2, 102.0)):
        at = T0 + place * MINUTE
        gate.evaluate(BTC, close, (MINUTE,), at=at, close_time=at, read=unread, in_position=False)
    assert [texts(each) for each in gate.wake(T0 + 2 * MINUTE, busy=False)] == [("outlier:1m +2.00%",)]


def test_an_outlier_near_a_stop_ends_the_cooldown() -> None:
    gate = gate_of(outlier_moves={"1m": 0.01}, cooldown_s=300)
    assert list(outlier_minutes(gate, stairs(0.012, 0, -0.012), near_stop=True)) == [1, 3]


def test_a_long_move_just_seen_does_not_wake_again() -> None:
    """The one-hour channel reaches its size twelve minutes after a wake by the five-minute channel, or later."""
    moves, slope = {"5m": 0.01, "1h": 0.015}, [0.0005] * 12
    assert list(
        outlier_minutes(gate_of(outlier_moves=moves, outlier_move_step=10), stairs(*[0] * 60, 0.011, *slope))
    ) == [61]
    late = stairs(*[0] * 60, 0.011, *[0] * 20, *slope)
    first, second = outlier_minutes(gate_of(outlier_moves=moves, outlier_move_step=10), late)
    assert (first, second > 81) == (61, True)


def test_a_slow_move_since_the_last_wake_reaches_the_anchor() -> None:
    gate = gate_of(outlier_moves={}, anchor=0.03, timer_max_s=86_400)
    gate.set_timer(T0, 60)
    found = outlier_minutes(gate, stairs(*[-0.001] * 90))
    assert found[1] == ("timer",)
    assert found[32] == ("outlier:since_wake -3.05%",)
    assert found[63] == ("outlier:since_wake -3.05%",)


def test_a_slow_move_before_the_first_wake_wakes() -> None:
    gate = gate_of(outlier_moves={}, anchor=0.03, timer_max_s=86_400)
    gate.warm(BTC, [50.0, 60.0], T0 - 2 * MINUTE)
    assert outlier_minutes(gate, stairs(*[-0.001] * 40)) == {31: ("outlier:since_wake -3.05%",)}


def test_a_price_beyond_the_anchor_is_one_reason_until_the_next_wake() -> None:
    gate = gate_of(outlier_moves={}, anchor=0.03, timer_max_s=86_400)
    gate.wake(T0, busy=False)
    outlier_minutes(gate, stairs(0, 0, 0))
    gate.set_timer(T0, 60)
    assert gate.wake(T0 + HOUR, busy=False)
    for place in range(60):
        at = T0 + 2 * HOUR + place * MINUTE
        gate.evaluate(BTC, 104.0 + place, (MINUTE,), at=at, close_time=at, read=unread, in_position=False)
        assert gate.wake(at, busy=True) == ()
    (wake,) = gate.wake(T0 + 3 * HOUR, busy=False)
    assert texts(wake) == ("outlier:since_wake +4.00%",)


@pytest.mark.parametrize(
    ("interval", "left_out"),
    [(MINUTE, []), (3 * MINUTE, ["5m"]), (15 * MINUTE, ["3m", "5m"]), (HOUR, ["3m", "5m", "15m"])],
)
def test_spans_that_are_no_multiple_of_the_candle_are_left_out(interval: int, left_out: list[str]) -> None:
    assert channels_of(POLICY, interval)[1] == left_out


def test_a_flat_market_gives_no_outlier_and_its_first_move_does() -> None:
    closes = dict(enumerate([100.0] * 1_500 + [100.001]))
    assert reported(closes, POLICY) == {1_500: {"3m", "15m"}}


def test_no_volatility_is_used_before_a_day_of_returns() -> None:
    calm = walk(1_443, 3, 0.0001)
    early, late = dict(enumerate([*calm[:1_440], calm[1_439] * 1.004])), dict(enumerate([*calm, calm[-1] * 1.004]))
    assert reported(early, POLICY) == {}
    assert reported(late, POLICY) == {1_443: {"3m"}}


def test_levels_of_a_channel_stay_bounded() -> None:
    moves = PriceMoves(POLICY, MINUTE)
    for place, close in enumerate([1e-9, 1e9] * 50):
        moves.evaluate(close, T0 + place * MINUTE)
    assert len(msgspec.msgpack.encode(moves.state())) < 12_000


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("outlier_sigmas", {"15": 4.0}, "is not a span of time"),
        ("outlier_sigmas", {"60m": 4.0, "1h": 4.0}, "gives one span twice"),
        ("outlier_moves", {"2d": 0.1}, "has a span above 24h"),
        ("outlier_moves", {f"{minutes}m": 0.1 for minutes in range(1, 18)}, "at most 16 are watched"),
        ("outlier_moves", {"15m": 0.0}, "greater than 0"),
        ("outlier_sigmas", {"15m": 0.5}, "greater than or equal to 1"),
        ("outlier_step", 1.0, "greater than or equal to 1.02"),
    ],
)
def test_invalid_outlier_keys_are_refused(key: str, value: object, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        with_policy(**{key: value})


def test_a_policy_with_other_spans_restores_the_rest() -> None:
    before, after = gate_of(outlier_sigmas={"15m": 4.0}), gate_of(outlier_sigmas={"15m": 4.0, "4h": 3.0})
    outlier_minutes(before, walk(1_600, 5))
    after.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(before.state()), type=GateState))
    at = T0 + 1_600 * MINUTE
    after.evaluate(BTC, 500.0, (MINUTE,), at=at, close_time=at, read=unread, in_position=False)
    (wake,) = after.wake(at, busy=False)
    assert {text.split(" ")[0] for text in texts(wake)} >= {"outlier:1m", "outlier:15m"}


def readings(values: Sequence[float | None]) -> list[int]:
    """Return the places of the funding rates at which the gate wakes; None is an unknown rate."""
    gate, woken = gate_of(outlier_readings={"funding_8h": 0.0005}, cooldown_s=0, timer_max_s=86_400), []
    for place, value in enumerate(values):
        at, reading = T0 + place * HOUR, Unknown("no rate") if value is None else value
        gate.note_readings(BTC)
        gate.evaluate(BTC, 100.0, (), at=at, close_time=at, read=lambda *_, now=reading: now, in_position=False)
        if wakes := [each for each in gate.wake(at, busy=False) if each.symbol]:
            assert texts(wakes[0]) == (f"outlier:funding_8h {value:+.3g}",)
            woken.append(place)
    return woken


@pytest.mark.parametrize("sign", [1, -1])
def test_a_derivatives_reading_wakes_at_its_size_and_when_it_has_grown(sign: int) -> None:
    rates = [0.0001, 0.0006, 0.0006, None, 0.0007, 0.0009, 0.0002, 0.0009]
    assert readings([None if rate is None else sign * rate for rate in rates]) == [1, 5]


def test_a_derivatives_reading_of_the_other_sign_wakes_on_its_own() -> None:
    assert readings([0.0006, -0.0006, 0.0006]) == [0, 1]


def test_an_extreme_reading_that_lasts_wakes_once() -> None:
    assert readings([0.0006] * 60) == [0]
    assert readings([0.0006, *[0.0] * 24, 0.0006]) == [0, 25]


def test_readings_are_tested_only_when_new_data_came() -> None:
    gate = gate_of(outlier_readings={"funding_8h": 0.0005})
    gate.evaluate(BTC, 100.0, (), at=T0, close_time=T0, read=unread, in_position=False)
    assert gate.wake(T0, busy=False) == ()


def liquidated(values: Sequence[float | None], **policy: object) -> list[tuple[int, str]]:
    """Return the minutes and texts of the wakes by the reading of liquidations; None is an unknown one."""
    keys: dict[str, Any] = {"outlier_readings": {"liquidations": 0.01}, "outlier_reading_quiet_s": 3_600}
    gate, woken = gate_of(**keys | {"cooldown_s": 0, "timer_max_s": 86_400} | policy), list[tuple[int, str]]()
    for place, value in enumerate(values):
        at, reading = T0 + place * MINUTE, Unknown("a gap") if value is None else value
        gate.evaluate(
            BTC, 100.0, (), at=at, close_time=at, read=unread, in_position=False, near_stop=False, liquidations=reading
        )
        woken += [(place, *texts(each)) for each in gate.wake(at, busy=False) if each.symbol]  # type: ignore[misc]
    return woken


def test_liquidations_wake_once_per_size_and_direction() -> None:
    values = [0.009, 0.012, 0.012, None, 0.0149, 0.0151, -0.02, -0.02, 0.0, 0.0151, 0.123]
    assert liquidated(values) == [
        (1, "outlier:liquidations +1.2 % of 1h volume, longs"),
        (5, "outlier:liquidations +1.51 % of 1h volume, longs"),
        (6, "outlier:liquidations -2 % of 1h volume, shorts"),
        (10, "outlier:liquidations +12.3 % of 1h volume, longs"),
    ]


def test_liquidations_of_a_size_wake_again_after_the_quiet_time() -> None:
    assert [place for place, _ in liquidated([0.012, *[0.0] * 60, 0.012])] == [0, 61]
    assert [place for place, _ in liquidated([0.012, *[0.0] * 59, 0.012])] == [0]


def test_liquidations_are_tested_only_if_the_policy_names_them() -> None:
    assert liquidated([0.5], outlier_readings={"funding_8h": 0.0005}) == []
    assert liquidated([0.5] * 3, every="15m")[1:] == []


def test_an_unknown_derivatives_metric_in_the_policy_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no derivatives metric 'fundng'; expected some of composite, .*liquidations"):
        with_policy(outlier_readings={"fundng": 0.1})

"""A gate with a fixed time between wakes: `[gate] every`."""

from collections.abc import Sequence

import msgspec
import pytest

from ocw_mcp.core.gate.gate import Gate, GateState
from ocw_mcp.domain.decision import WakeCondition
from ocw_mcp.domain.time import HOUR, MINUTE
from tests.support.gates import BTC, T0, gate_of, unread, with_policy
from tests.support.wakes import reason, wake


def timed(gate: Gate, minutes: Sequence[int]) -> list[int]:
    """Return the minutes after T0 at which the gate wakes, given the minutes at which candles close."""
    woken = []
    for minute in minutes:
        at = T0 + minute * MINUTE
        gate.evaluate(BTC, 100.0, (MINUTE, HOUR, 4 * HOUR), at=at, close_time=at, read=unread, in_position=True)
        if reasons := gate.wake(at, busy=False):
            assert reasons == (wake(None, "timer"),)
            woken.append(minute)
    return woken


def test_with_policy_every_15m_only_quarter_hours_wake_the_agent() -> None:
    gate = gate_of(every="15m", cooldown_s=3_600)
    gate.raise_reason(BTC, reason("score:0.60 momentum reversal"))
    assert timed(gate, range(1, 61)) == [15, 30, 45, 60]
    assert gate.counters.woken == 4


def test_fixed_wake_in_a_data_gap_happens_at_the_next_close() -> None:
    assert timed(gate_of(every="15m"), [1, 14, 31, 44, 45, 46, 123, 134, 135]) == [31, 45, 123, 135]


def test_timer_requested_by_a_decision_does_not_move_fixed_wakes() -> None:
    gate = gate_of(every="15m")
    assert timed(gate, [1, 15]) == [15]
    gate.set_timer(T0 + 15 * MINUTE, 60)
    assert timed(gate, range(16, 46)) == [30, 45]


def test_wake_condition_wakes_the_agent_between_fixed_times() -> None:
    gate = gate_of(every="15m")
    condition = WakeCondition(BTC, "price", "gt", 101)
    assert gate.set_conditions((condition,), "strategy", T0, lambda symbol, metric: 100.0) == []
    at = T0 + 7 * MINUTE
    gate.evaluate(BTC, 102.0, (MINUTE,), at=at, close_time=at, read=lambda *_: 102.0, in_position=False)
    assert gate.wake(at, busy=False) == (wake(BTC, "condition:price gt 101, now 102"),)
    assert timed(gate, range(8, 31)) == [15, 30]


def test_fixed_wakes_continue_after_a_restart() -> None:
    gate, again = gate_of(every="15m"), gate_of(every="15m")
    assert timed(gate, range(1, 20)) == [15]
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(gate.state()), type=GateState))
    assert timed(again, range(20, 31)) == [30]


def test_outlier_test_goes_on_while_wakes_are_fixed() -> None:
    gate, usual = gate_of(every="15m"), gate_of()
    for minute in range(1, 30):
        for each in (gate, usual):
            close, at = 100.0 + minute % 3, T0 + minute * MINUTE
            each.evaluate(BTC, close, (MINUTE,), at=at, close_time=at, read=unread, in_position=False)
    assert gate.state().moves[BTC].variances == usual.state().moves[BTC].variances
    assert gate.state().moves[BTC].mean_square == usual.state().moves[BTC].mean_square > 0


@pytest.mark.parametrize("every", ["15", "0m", "soon"])
def test_invalid_span_in_gate_policy_every_is_refused(every: str) -> None:
    with pytest.raises(ValueError, match="is not a span of time"):
        with_policy(every=every)

"""The gate: the reasons that wake at once, the reasons that wait, and that no reason is lost."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ocw_mcp.core.gate.gate import Gate, GateState
from ocw_mcp.domain.snapshot import SymbolWake
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from tests.support.dice import Dice, dice
from tests.support.examples import examples
from tests.support.gates import BTC, ETH, KEPT, SOL, SYMBOLS, T0, gate_of, unread
from tests.support.wakes import reason, texts, wake


def look(
    gate: Gate, symbol: str = BTC, *closed: int, close: float = 100.0, at: int = T0, in_position: bool = False
) -> None:
    closed = (MINUTE, *closed)
    gate.evaluate(symbol, close, closed, at=at, close_time=at, read=unread, in_position=in_position)


def counted(gate: Gate) -> int:
    return gate.counters.woken + sum(gate.counters.skips.values())


@pytest.mark.parametrize(
    ("closed", "in_position", "reasons"),
    [
        ((), False, None),
        ((5 * MINUTE, 15 * MINUTE, HOUR), False, None),
        ((5 * MINUTE, 15 * MINUTE, HOUR), True, ("close:1h",)),
        ((HOUR, 4 * HOUR), False, ("close:4h",)),
        ((HOUR, 4 * HOUR), True, ("close:1h", "close:4h")),
        ((5 * MINUTE, 15 * MINUTE), True, None),
    ],
)
def test_1h_close_wakes_the_agent_only_with_an_open_position(
    closed: tuple[int, ...], in_position: bool, reasons: tuple[str, ...] | None
) -> None:
    gate = gate_of()
    look(gate, BTC, *closed, in_position=in_position)
    assert gate.wake(T0, busy=False) == ((wake(BTC, *reasons),) if reasons else ())


@pytest.mark.parametrize(("interval", "name"), [(DAY, "1d"), (12 * HOUR, "12h"), (8 * HOUR, "8h")])
def test_base_candle_longer_than_wake_timeframe_wakes_at_its_close(interval: int, name: str) -> None:
    gate = gate_of(interval)
    for in_position in (False, True):
        gate.evaluate(BTC, 100.0, (interval,), at=T0, close_time=T0, read=unread, in_position=in_position)
        reasons = gate.wake(T0 + in_position * DAY, busy=False)
        assert wake(BTC, f"close:{name}") in reasons


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_one_wake_has_the_reasons_of_all_symbols(symbol: str) -> None:
    gate = gate_of()
    for each in SYMBOLS:
        look(gate, each, *([4 * HOUR] if each == symbol else []))
    assert gate.wake(T0, busy=False) == (wake(symbol, "close:4h"),)
    for each in SYMBOLS:
        look(gate, each, 4 * HOUR)
    assert [each.symbol for each in gate.wake(T0 + HOUR, busy=False)] == sorted(SYMBOLS)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_an_outlier_in_any_symbol_wakes_the_agent(symbol: str) -> None:
    gate = gate_of()
    for place in range(20):
        for each in SYMBOLS:
            look(gate, each, close=100 + place % 2 / 10, at=T0 + place * MINUTE)
        assert gate.wake(T0 + place * MINUTE, busy=False) == ()
    for each in SYMBOLS:
        look(gate, each, close=120.0 if each == symbol else 100.0, at=T0 + 20 * MINUTE)
    (reason,) = gate.wake(T0 + 20 * MINUTE, busy=False)
    assert reason.symbol == symbol
    assert texts(reason) == ("outlier:1m +19.88%",)


def test_reason_during_the_cooldown_wakes_when_it_ends() -> None:
    gate = gate_of()
    look(gate, BTC, 4 * HOUR)
    assert gate.wake(T0, busy=False)
    look(gate, ETH, 4 * HOUR)
    assert gate.wake(T0 + MINUTE, busy=False) == ()
    look(gate, BTC)
    assert gate.wake(T0 + 2 * MINUTE - 1, busy=False) == ()
    look(gate, BTC)
    assert gate.wake(T0 + 2 * MINUTE, busy=False) == (wake(ETH, "close:4h"),)
    assert gate.counters.skips == {"cooldown": 1, "quiet": 2}


def test_reasons_wait_until_an_open_decision_ends() -> None:
    gate = gate_of(cooldown_s=0)
    look(gate, BTC, 4 * HOUR)
    assert gate.wake(T0, busy=True) == ()
    look(gate, ETH, 4 * HOUR)
    assert gate.wake(T0 + HOUR, busy=True) == ()
    look(gate, SOL)
    assert gate.wake(T0 + HOUR + MINUTE, busy=False) == (
        wake(BTC, "close:4h"),
        wake(ETH, "close:4h"),
    )
    assert gate.counters.skips["deciding"] == 2


def test_wake_reasons_of_a_symbol_beyond_16_are_only_counted() -> None:
    gate = gate_of()
    scores = [f"score:0.{number} reversal" for number in range(10, 30)]
    for score in scores:
        gate.raise_reason(BTC, reason(score))
    assert gate.wake(T0, busy=False) == (wake(BTC, *scores[:KEPT], "and 4 more"),)
    gate.raise_reason(BTC, reason(scores[0]))
    assert gate.wake(T0 + 3 * HOUR, busy=False)[-1] == wake(BTC, scores[0])


def test_closes_during_a_long_pause_leave_room_for_an_outlier() -> None:
    gate = gate_of()
    for hour in range(24):
        look(gate, BTC, HOUR, at=T0 + hour * HOUR, in_position=True)
        assert gate.wake(T0 + hour * HOUR, busy=True) == ()
    for minute, close in enumerate((100.0, 100.0, 120.0)):
        look(gate, close=close, at=T0 + DAY + minute * MINUTE)
        assert gate.wake(T0 + DAY + minute * MINUTE, busy=True) == ()
    look(gate, close=120.0, at=T0 + DAY + 3 * MINUTE)
    reasons = gate.wake(T0 + DAY + 3 * MINUTE, busy=False)
    assert reasons == (wake(None, "timer"), wake(BTC, "close:1h", "outlier:1m +20.00%"))


def test_after_an_outage_that_is_over_the_cooldown_holds_again() -> None:
    gate = gate_of()
    look(gate, BTC, 4 * HOUR)
    assert gate.wake(T0, busy=False)
    gate.raise_reason(BTC, reason("watchdog 300 s"))
    assert gate.urgent
    assert gate.wake(T0, busy=True) == ()
    gate.end_outage()
    look(gate, ETH, 4 * HOUR)
    assert gate.wake(T0 + MINUTE, busy=False) == ()
    assert gate.wake(T0 + 2 * MINUTE, busy=False) == (wake(ETH, "close:4h"),)


def test_due_timer_fires_at_the_next_evaluation() -> None:
    gate = gate_of()
    gate.wake(T0, busy=False)
    gate.set_timer(T0, 90)
    for after, expected in ((60, ()), (89, ()), (120, (wake(None, "timer"),))):
        look(gate)
        assert gate.wake(T0 + after * SECOND, busy=False) == expected
    gate.set_timer(T0 + 120 * SECOND, 180)
    look(gate)
    assert gate.wake(T0 + 300 * SECOND, busy=False) == (wake(None, "timer"),)


def test_without_an_agent_timer_the_gate_wakes_after_timer_max_s() -> None:
    gate = gate_of()
    woken = []
    for minute in range(400):
        look(gate)
        if gate.wake(T0 + minute * MINUTE, busy=False):
            woken.append(minute)
    assert woken == [120, 240, 360]


@pytest.mark.parametrize(
    ("wished", "after_s"),
    [(None, 7_200), (0, 60), (-5, 60), (59, 60), (60, 60), (61, 61), (7_200, 7_200), (7_201, 7_200), (10**9, 7_200)],
)
def test_requested_timer_is_limited_to_the_policy_bounds(wished: int | None, after_s: int) -> None:
    gate = gate_of()
    gate.set_timer(T0, wished)
    assert gate.wake(T0 + after_s * SECOND - 1, busy=False) == ()
    assert gate.wake(T0 + after_s * SECOND, busy=False) == (wake(None, "timer"),)


def test_wake_for_another_reason_restarts_the_timer() -> None:
    gate = gate_of()
    gate.set_timer(T0, 600)
    look(gate, BTC, 4 * HOUR)
    assert gate.wake(T0 + 540 * SECOND, busy=False)
    look(gate)
    assert gate.wake(T0 + 900 * SECOND, busy=False) == ()


def test_timer_due_in_the_cooldown_wakes_once_when_it_ends() -> None:
    gate = gate_of(cooldown_s=600)
    look(gate, BTC, 4 * HOUR)
    gate.wake(T0, busy=False)
    gate.set_timer(T0, 60)
    for minute in range(1, 10):
        look(gate)
        assert gate.wake(T0 + minute * MINUTE, busy=False) == ()
    look(gate)
    assert gate.wake(T0 + 10 * MINUTE, busy=False) == (wake(None, "timer"),)


def test_each_evaluation_counts_as_a_wake_or_as_one_kind_of_skip() -> None:
    gate = gate_of()
    for place in range(12):
        look(gate)
        look(gate, ETH)
        gate.wake(T0 + place * MINUTE, busy=False)
    before = dict(gate.counters.skips)
    assert before == {"quiet": 24}
    for place, busy in ((12, True), (13, False), (14, False), (15, False)):
        look(gate)
        look(gate, ETH, *([4 * HOUR] if place in (12, 14) else []))
        gate.wake(T0 + place * MINUTE, busy=busy)
    after = gate.counters
    assert {skip: count - before.get(skip, 0) for skip, count in after.skips.items()} == {
        "quiet": 4,
        "deciding": 1,
        "cooldown": 1,
    }
    assert (after.evaluations, after.woken) == (32, 2)


def test_evaluations_at_a_timer_wake_do_not_count_as_skipped() -> None:
    gate = gate_of(timer_max_s=600)
    for minute in range(31):
        for symbol in SYMBOLS:
            look(gate, symbol, at=T0 + minute * MINUTE)
        gate.wake(T0 + minute * MINUTE, busy=minute == 20)
    # The wakes are at the minutes 10 and 21: the decision that is open at minute 20 delays the second one.
    assert (gate.counters.woken, gate.counters.skips) == (2 * len(SYMBOLS), {"quiet": 29 * len(SYMBOLS)})


class Moment(NamedTuple):
    """One evaluation: the time since the previous one, the symbols with their timeframes and prices, and more."""

    after_s: int
    looks: dict[str, tuple[tuple[int, ...], bool, float]]
    busy: bool
    timer: int | str | None


MOST = 60
COUNTS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 45, MOST)


def looks_of(roll: Dice) -> dict[str, tuple[tuple[int, ...], bool, float]]:
    return {
        roll.pick(SYMBOLS): (
            roll.pick(((), (), (HOUR,), (HOUR, 4 * HOUR))),
            roll.yes(),
            roll.pick((100.0, 100.0, 101.0, 100.5, 130.0)),
        )
        for _ in range(roll.pick(range(len(SYMBOLS) + 1)))
    }


def moments_of(roll: Dice) -> list[Moment]:
    return [
        Moment(
            after_s=roll.pick((60, 60, 60, 120, 600, 3_600, 9_000)),
            looks=looks_of(roll),
            busy=roll.pick((False, False, True)),
            timer=roll.pick(("unset", "unset", None, 0, 60, 600)),
        )
        for _ in range(roll.pick(COUNTS))
    ]


MOMENTS = dice(1 + (4 + 4 * len(SYMBOLS)) * MOST).map(moments_of)

many = examples(25, slow=120, suppress_health_check=[HealthCheck.too_slow])


def play(
    gate: Gate, moments: Sequence[Moment], after: Callable[[Gate, int], Gate] = lambda gate, _: gate
) -> list[tuple[SymbolWake, ...]]:
    """Evaluate the moments in order; `after` may replace the gate between two of them."""
    at, told = T0, []
    for index, moment in enumerate(moments):
        at += moment.after_s * SECOND
        for symbol, (closed, in_position, close) in moment.looks.items():
            look(gate, symbol, *closed, close=close, at=at, in_position=in_position)
        told.append(gate.wake(at, busy=moment.busy))
        if not isinstance(moment.timer, str):
            gate.set_timer(at, moment.timer)
        gate = after(gate, index)
    return told


@many
@given(MOMENTS)
def test_wake_contains_all_reasons_since_the_last_wake_in_order(moments: list[Moment]) -> None:
    """Compare the gate with a model without outliers that keeps lists in place of a state."""
    gate = gate_of(outlier_moves={})
    flat = [
        Moment(each.after_s, {name: (*look[:2], 100.0) for name, look in each.looks.items()}, each.busy, each.timer)
        for each in moments
    ]
    told = play(gate, flat)
    waiting: dict[str, list[str]] = {}
    at, last, timer = T0, -DAY, None
    for moment, woken in zip(flat, told, strict=True):
        at += moment.after_s * SECOND
        for symbol, (closed, in_position, _) in moment.looks.items():
            wanted = [4 * HOUR, HOUR] if in_position else [4 * HOUR]
            reasons = [f"close:{each // HOUR}h" for each in closed if each in wanted]
            if reasons:
                kept = waiting.setdefault(symbol, [])
                kept.extend(each for each in reasons if each not in kept)
        timer = at + 7_200 * SECOND if timer is None else timer
        if at >= timer:
            waiting[""] = ["timer"]
        if waiting and not moment.busy and at >= last + 120 * SECOND:
            expected = {symbol: tuple(reasons) for symbol, reasons in waiting.items()}
            assert {each.symbol or "": texts(each) for each in woken} == expected
            waiting, last, timer = {}, at, at + 7_200 * SECOND
        else:
            assert woken == ()
        if not isinstance(moment.timer, str):
            wished = 7_200 if moment.timer is None else max(60, moment.timer)
            timer = at + wished * SECOND


@many
@given(MOMENTS)
def test_number_of_evaluations_equals_wakes_plus_skips(moments: list[Moment]) -> None:
    looked = 0

    def holds(gate: Gate, index: int) -> Gate:
        nonlocal looked
        looked += len(moments[index].looks)
        assert gate.counters.evaluations == looked == counted(gate)
        assert "" not in gate.counters.skips
        return gate

    play(gate_of(), moments, holds)


@many
@given(MOMENTS, st.sets(st.integers(0, 60), max_size=4))
def test_a_gate_restored_at_any_point_gives_the_same_wakes(moments: list[Moment], restarts: set[int]) -> None:
    def restart(gate: Gate, index: int) -> Gate:
        if index not in restarts:
            return gate
        again = gate_of()
        again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(gate.state()), type=GateState))
        return again

    through, restarted = gate_of(), gate_of()
    expected = play(through, moments)
    assert play(restarted, moments, restart) == expected


def test_restored_gate_finds_the_same_outlier() -> None:
    def prices(place: int) -> float:
        return 100 + place % 3 / 10

    through, restarted = gate_of(outlier_moves={"1m": 0.005}), gate_of(outlier_moves={"1m": 0.005})
    for place in range(30):
        look(through, close=prices(place), at=T0 + place * MINUTE)
        through.wake(T0 + place * MINUTE, busy=False)
    restarted.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(through.state()), type=GateState))
    wakes = []
    for gate in (through, restarted):
        look(gate, close=101.0, at=T0 + 30 * MINUTE)
        wakes.append(gate.wake(T0 + 30 * MINUTE, busy=False))
    assert wakes[0] == wakes[1] != ()


def test_gate_state_stays_bounded_while_a_decision_is_open() -> None:
    gate = gate_of(close_wakes=("1m",))
    sizes = []
    for place in range(600):
        for symbol in SYMBOLS:
            look(gate, symbol)
        gate.wake(T0 + place * MINUTE, busy=True)
        if place in (199, 599):
            sizes.append(len(msgspec.msgpack.encode(gate.state())))
    assert sizes[1] - sizes[0] < 20

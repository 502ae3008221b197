"""The wake conditions that the agent sets."""

from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.core.gate.conditions import AT_MOST, Conditions
from ocw_mcp.core.gate.gate import Gate
from ocw_mcp.domain.decision import Comparison, WakeCondition
from ocw_mcp.domain.policies import GatePolicy
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.domain.unknown import Reading, Unknown
from tests.support.wakes import texts

BTC, ETH = "BTCUSDT", "ETHUSDT"
BY = "claude"
OP = Comparison
POLICY = GatePolicy(
    close_wakes=(),
    close_wakes_in_position=(),
    timer_min_s=60,
    timer_max_s=86_400,
    outlier_sigmas={},
    outlier_moves={},
    anchor=0.9,
    cooldown_s=120,
    condition_max_s=3_600,
)


class Board:
    """Readings that a test sets."""

    def __init__(self, **values: float) -> None:
        self.values: dict[str, float] = {"price": 100.0} | values

    def read(self, symbol: str, metric: str) -> Reading:
        return self.values.get(metric, Unknown("not on the board"))


def condition(
    comparison: Comparison, threshold: float, *, metric: str = "price", reason: str = "", expires_s: int | None = None
) -> WakeCondition:
    return WakeCondition(BTC, metric, comparison, threshold, reason, expires_s)


def fired(wished: WakeCondition, prices: list[float], start: float = 100.0) -> list[int]:
    """Return the places of the prices at which the condition fires."""
    board, conditions = Board(price=start), Conditions(3_600)
    assert conditions.replace((wished,), BY, 0, board.read) == []
    places = []
    for place, price in enumerate(prices):
        board.values["price"] = price
        if conditions.check(BTC, (place + 1) * SECOND, board.read):
            places.append(place)
    return places


def test_condition_of_each_comparison_fires_once_at_its_threshold() -> None:
    assert fired(condition(OP.GT, 102), [101, 102, 103, 104, 99, 105]) == [2]
    assert fired(condition(OP.LT, 98), [99, 98, 97, 96]) == [2]
    assert fired(condition(OP.CROSSES_ABOVE, 99), [101, 98, 99, 99.5, 98, 102]) == [3]
    assert fired(condition(OP.CROSSES_BELOW, 101), [99, 101, 102, 100.5]) == [3]
    assert fired(condition(OP.ABS_CHANGE_PCT_GT, 2), [101, 102, 98, 97.9, 103]) == [3]


@given(prices=st.lists(st.floats(50, 150), max_size=30), level=st.floats(60, 140))
def test_crosses_above_fires_at_the_first_upward_crossing(prices: list[float], level: float) -> None:
    path = [100.0, *prices]
    expected = [place for place in range(len(prices)) if path[place] <= level < path[place + 1]]
    assert fired(condition(OP.CROSSES_ABOVE, level), prices) == expected[:1]


def test_condition_is_checked_only_when_its_symbol_is_evaluated() -> None:
    board, conditions = Board(), Conditions(3_600)
    conditions.replace((condition(OP.GT, 1),), BY, 0, board.read)
    assert conditions.check(ETH, SECOND, board.read) == []
    assert len(conditions.check(BTC, SECOND, board.read)) == 1
    assert conditions.armed == []


def test_condition_expires_at_its_own_time_or_the_policy_limit() -> None:
    board, conditions = Board(), Conditions(3_600)
    conditions.replace((condition(OP.GT, 200, expires_s=60), condition(OP.GT, 200, expires_s=10**9)), BY, 0, board.read)
    assert [armed.expires_at for armed in conditions.armed] == [60 * SECOND, 3_600 * SECOND]
    board.values["price"] = 300.0
    assert len(conditions.check(BTC, 61 * SECOND, board.read)) == 1
    conditions.replace((condition(OP.GT, 400),), BY, 0, board.read)
    board.values["price"] = 500.0
    assert conditions.check(BTC, 3_601 * SECOND, board.read) == []


def test_invalid_wake_conditions_are_refused_and_others_armed() -> None:
    board, conditions = Board(), Conditions(3_600)
    wished = (
        condition(OP.GT, 200),
        condition(OP.GT, 200, metric="moon_phase@1h"),
        condition(OP.GT, float("nan")),
        condition(OP.GT, 200, expires_s=0),
        *(condition(OP.GT, 200 + extra) for extra in range(AT_MOST)),
    )
    refused = conditions.replace(wished, BY, 0, board.read)
    assert len(conditions.armed) == AT_MOST
    assert len(refused) == 4
    assert "moon_phase@1h" in refused[0]
    assert "one too many" in refused[-1]


def test_condition_waits_while_its_metric_is_unknown() -> None:
    board, conditions = Board(rsi=50.0), Conditions(3_600)
    conditions.replace((condition(OP.CROSSES_ABOVE, 70, metric="rsi"),), BY, 0, board.read)
    del board.values["rsi"]
    assert conditions.check(BTC, SECOND, board.read) == []
    board.values["rsi"] = 80.0
    assert len(conditions.check(BTC, 2 * SECOND, board.read)) == 1


def test_conditions_of_an_exposed_symbol_end_with_its_position() -> None:
    board, conditions = Board(), Conditions(3_600)
    stays = WakeCondition(BTC, "price", OP.GT, 120, stays=True)
    wished = (condition(OP.GT, 105), condition(OP.LT, 95), stays)
    assert conditions.replace(wished, BY, 0, board.read, {BTC}) == []
    assert conditions.end("ETHUSDT", SECOND) == ()
    assert conditions.end(BTC, SECOND) == ("BTCUSDT price gt 105", "BTCUSDT price lt 95")
    assert [each.condition for each in conditions.armed] == [stays]
    conditions.replace(wished, BY, 0, board.read)
    assert conditions.end(BTC, SECOND) == ()
    assert len(conditions.armed) == 3


def test_an_expired_condition_is_neither_shown_nor_ended() -> None:
    board, gate = Board(), Gate(POLICY, MINUTE, (BTC,))
    gate.set_conditions((WakeCondition(BTC, "price", OP.GT, 105, expires_s=60),), BY, 0, board.read, {BTC})
    (standing,) = gate.standing(MINUTE, board.read)
    assert (standing.reading, standing.set_at, standing.expires_at, standing.with_position) == (100.0, 0, MINUTE, True)
    assert gate.standing(MINUTE + 1, board.read) == ()
    assert gate.end_conditions(BTC, MINUTE + 1) == ()


def test_condition_met_during_the_cooldown_wakes_when_it_ends() -> None:
    board = Board()
    gate = Gate(POLICY, MINUTE, (BTC,))

    def look(which: Gate, place: int, price: float) -> tuple[str, ...]:
        board.values["price"] = price
        at = place * MINUTE
        which.evaluate(BTC, price, (MINUTE,), at=at, close_time=at, read=board.read, in_position=False)
        return tuple(text for wake in which.wake(at, busy=False) for text in texts(wake))

    look(gate, 0, 100.0)
    gate.set_conditions((condition(OP.GT, 105, reason="breakout"), condition(OP.CROSSES_BELOW, 99)), BY, 0, board.read)
    assert look(gate, 1, 106.0) == ("condition:price gt 105, now 106",)
    assert look(gate, 2, 98.0) == ()
    restarted = Gate(POLICY, MINUTE, (BTC,))
    restarted.restore(gate.state())
    assert look(restarted, 3, 100.0) == ("condition:price crosses_below 99, now 98",)
    assert look(restarted, 9, 50.0) == ()


def test_condition_that_ends_before_the_next_candle_is_refused() -> None:
    board, conditions = Board(), Conditions(3_600, candle_ms=60_000)
    (refused,) = conditions.replace((condition(OP.GT, 200, expires_s=59),), "claude", 0, board.read)
    assert refused.endswith("it expires in 59 s; expected 60 s or more, the length of a candle")
    assert conditions.armed == []
    assert conditions.replace((condition(OP.GT, 200, expires_s=60),), "claude", 0, board.read) == []


def test_condition_beyond_the_longest_time_is_set_and_says_so() -> None:
    board, conditions = Board(), Conditions(3_600)
    (changed,) = conditions.replace((condition(OP.GT, 200, expires_s=7_200),), "claude", 0, board.read)
    assert changed.endswith("expires in 3600 s, the longest time that the policy allows")
    assert [each.expires_at for each in conditions.armed] == [3_600_000]

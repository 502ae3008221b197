"""The circuit breaker: when it opens, closes, and how it is restored from the journal."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.adapters.store.views.decisions import DecisionCost
from ocw_mcp.agent.fewer_calls import FAILURES, OPEN_MS, Breaker
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.time import MINUTE
from tests.support.examples import examples

NOW = 1_000_000


def opened() -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        assert breaker.allows(NOW)
        breaker.failed(NOW)
    return breaker


def test_three_failures_in_a_row_open_the_breaker() -> None:
    breaker = opened()
    assert OPEN_MS == 15 * 60_000
    assert not breaker.allows(NOW + OPEN_MS - 1)
    assert breaker.allows(NOW + OPEN_MS)


def test_successful_call_resets_the_failure_count_of_the_breaker() -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker.failed(NOW)
    breaker.succeeded()
    for _ in range(FAILURES - 1):
        breaker.failed(NOW)
    assert breaker.allows(NOW)


def test_successful_call_after_the_open_time_closes_the_breaker() -> None:
    breaker = opened()
    assert breaker.allows(NOW + OPEN_MS)
    breaker.succeeded()
    assert breaker == Breaker()
    assert breaker.allows(NOW + OPEN_MS)


def test_failed_call_after_the_open_time_reopens_the_breaker() -> None:
    breaker = opened()
    later = NOW + OPEN_MS
    assert breaker.allows(later)
    breaker.failed(later)
    assert not breaker.allows(later + OPEN_MS - 1)
    assert breaker.allows(later + OPEN_MS)


def test_breaker_stays_half_open_until_a_result_is_reported() -> None:
    breaker = opened()
    assert breaker.allows(NOW + OPEN_MS)
    assert breaker.allows(NOW + OPEN_MS)
    breaker.failed(NOW + OPEN_MS)
    assert not breaker.allows(NOW + OPEN_MS + 1)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, OPEN_MS), st.booleans()), max_size=40))
def test_breaker_allows_one_call_per_open_time_after_failures(asks: list[tuple[int, bool]]) -> None:
    breaker, now, row = Breaker(), 0, list[int]()
    for later, answers in asks:
        now += later
        if not breaker.allows(now):
            continue
        if answers:
            breaker.succeeded()
            row.clear()
        else:
            breaker.failed(now)
            row.append(now)
            assert len(row) <= FAILURES or now - row[-2] >= OPEN_MS


HOW: dict[CauseKind | None, str] = {
    None: "succeeded",
    CauseKind.MODEL_HOLDS: "succeeded",
    CauseKind.IMPOSSIBLE: "succeeded",
    CauseKind.SERVER: "failed",
    CauseKind.TIMEOUT: "failed",
    CauseKind.BUDGET: "unasked",
    CauseKind.REMEMBERED: "unasked",
    CauseKind.DEADLINE: "unasked",
    CauseKind.PAUSED: "unasked",
}
"""Causes as the journal has them, and what was reported to the breaker."""


@examples(50, slow=200)
@given(st.lists(st.tuples(st.integers(MINUTE, OPEN_MS // 2), st.sampled_from(list(HOW))), max_size=40))
def test_breaker_is_restored_from_the_journal(asks: list[tuple[int, CauseKind | None]]) -> None:
    breaker, now, journal = Breaker(), 0, list[DecisionCost]()
    for wake, (later, kind) in enumerate(asks):
        now += later
        how = HOW[kind]
        if how != "unasked" and not breaker.allows(now):
            kind = CauseKind.BREAKER
        elif how == "succeeded":
            breaker.succeeded()
        elif how == "failed":
            breaker.failed(now)
        journal.append(DecisionCost(wake, now + 5_000, 5_000, None if kind is None else Cause(kind), Decimal(0)))
        assert Breaker.from_journal(journal) == breaker


def test_breaker_is_restored_open_from_wakes_it_blocked() -> None:
    journal = [DecisionCost(wake, NOW, 0, Cause(CauseKind.BREAKER), Decimal(0)) for wake in (1, 2)]
    recalled = Breaker.from_journal(journal)
    assert not recalled.allows(NOW + OPEN_MS - 1)
    assert recalled.allows(NOW + OPEN_MS)

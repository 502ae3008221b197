"""The circuit breaker: when it opens, closes, and how it is restored from the journal."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.adapters.store.views.thinking import DecisionCost
from ocw_mcp.agent.breaker import FAILURES, OPEN_MS, Breaker
from ocw_mcp.domain.time import MINUTE

NOW = 1_000_000


def opened() -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        assert breaker.lets_ask(NOW)
        breaker.failed(NOW)
    return breaker


def test_three_failures_in_a_row_open_the_breaker() -> None:
    breaker = opened()
    assert breaker.open_until == NOW + 15 * 60_000
    assert not breaker.lets_ask(NOW + OPEN_MS - 1)
    assert breaker.lets_ask(NOW + OPEN_MS)


def test_answer_resets_the_failure_count() -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker.failed(NOW)
    breaker.succeeded()
    for _ in range(FAILURES - 1):
        breaker.failed(NOW)
    assert breaker.lets_ask(NOW)


def test_successful_trial_closes_the_breaker() -> None:
    breaker = opened()
    assert breaker.lets_ask(NOW + OPEN_MS)
    assert not breaker.lets_ask(NOW + OPEN_MS)
    breaker.succeeded()
    assert breaker.open_until is None
    assert breaker.lets_ask(NOW + OPEN_MS)


def test_failed_trial_reopens_the_breaker() -> None:
    breaker = opened()
    later = NOW + OPEN_MS
    assert breaker.lets_ask(later)
    breaker.failed(later)
    assert not breaker.lets_ask(later + OPEN_MS - 1)
    assert breaker.lets_ask(later + OPEN_MS)


def test_trial_without_a_call_leaves_it_half_open() -> None:
    breaker = opened()
    assert breaker.lets_ask(NOW + OPEN_MS)
    breaker.left_alone()
    assert breaker.lets_ask(NOW + OPEN_MS)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, OPEN_MS), st.booleans()), max_size=40))
def test_at_most_three_failures_in_a_row_per_open_time(asks: list[tuple[int, bool]]) -> None:
    breaker, now, row = Breaker(), 0, list[int]()
    for later, answers in asks:
        now += later
        if not breaker.lets_ask(now):
            continue
        if answers:
            breaker.succeeded()
            row.clear()
        else:
            breaker.failed(now)
            row.append(now)
            assert len(row) <= FAILURES or now - row[-2] >= OPEN_MS


HOW: dict[str, str] = {
    "": "succeeded",
    "model: Nothing moved.": "succeeded",
    "fallback: IMPOSSIBLE: every leg": "succeeded",
    "fallback: SERVER: 500": "failed",
    "TIMEOUT: after it had submitted": "failed",
    "fallback: BUDGET: little is left": "unasked",
    "memory: as at wake 1": "unasked",
    "fallback: deadline: no answer within 120s": "unasked",
    "paused by the operator": "unasked",
}
"""Causes as the journal has them, and what was reported to the breaker."""


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(MINUTE, OPEN_MS // 2), st.sampled_from(sorted(HOW))), max_size=40))
def test_breaker_is_restored_from_the_journal(asks: list[tuple[int, str]]) -> None:
    breaker, now, journal = Breaker(), 0, list[DecisionCost]()
    for wake, (later, cause) in enumerate(asks):
        now += later
        how = HOW[cause]
        if how != "unasked" and not breaker.lets_ask(now):
            cause = "fallback: BREAKER: too many failed"
        elif how == "succeeded":
            breaker.succeeded()
        elif how == "failed":
            breaker.failed(now)
        journal.append(DecisionCost(wake, now + 5_000, 5_000, cause, Decimal(0)))
        assert Breaker.recalled(journal).state == breaker.state


def test_breaker_opened_before_the_journal_is_restored_open() -> None:
    journal = [DecisionCost(wake, NOW, 0, "fallback: BREAKER: too many failed", Decimal(0)) for wake in (1, 2)]
    recalled = Breaker.recalled(journal)
    assert not recalled.lets_ask(NOW + OPEN_MS - 1)
    assert recalled.lets_ask(NOW + OPEN_MS)

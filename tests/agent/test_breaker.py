"""When the model is left alone, and for how long."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.adapters.store.views.thinking import DecisionCost
from ocw_mcp.agent.breaker import FAILURES, OPEN_MS, Breaker
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.time import MINUTE

NOW = 1_000_000


def opened() -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        assert breaker.lets_ask(NOW)
        breaker.failed(NOW)
    return breaker


def test_three_failures_in_a_row_open_it_for_a_quarter_of_an_hour() -> None:
    breaker = opened()
    assert breaker.open_until == NOW + 15 * 60_000
    assert not breaker.lets_ask(NOW + OPEN_MS - 1)
    assert breaker.lets_ask(NOW + OPEN_MS)


def test_an_answer_in_between_begins_the_count_anew() -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker.failed(NOW)
    breaker.succeeded()
    for _ in range(FAILURES - 1):
        breaker.failed(NOW)
    assert breaker.lets_ask(NOW)


def test_half_open_one_tries_and_its_answer_closes_it() -> None:
    breaker = opened()
    assert breaker.lets_ask(NOW + OPEN_MS)
    assert not breaker.lets_ask(NOW + OPEN_MS)
    breaker.succeeded()
    assert breaker.open_until is None
    assert breaker.lets_ask(NOW + OPEN_MS)


def test_half_open_a_failure_opens_it_again_at_once() -> None:
    breaker = opened()
    later = NOW + OPEN_MS
    assert breaker.lets_ask(later)
    breaker.failed(later)
    assert not breaker.lets_ask(later + OPEN_MS - 1)
    assert breaker.lets_ask(later + OPEN_MS)


def test_who_was_let_through_and_did_not_ask_leaves_it_half_open() -> None:
    breaker = opened()
    assert breaker.lets_ask(NOW + OPEN_MS)
    breaker.left_alone()
    assert breaker.lets_ask(NOW + OPEN_MS)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, OPEN_MS), st.booleans()), max_size=40))
def test_in_no_quarter_of_an_hour_do_more_than_three_fail_in_a_row(asks: list[tuple[int, bool]]) -> None:
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
"""Causes as the journal has them, and what the breaker was told of them."""


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(MINUTE, OPEN_MS // 2), st.sampled_from(list(HOW))), max_size=40))
def test_a_run_that_goes_on_finds_it_as_the_journal_tells(asks: list[tuple[int, CauseKind | None]]) -> None:
    breaker, now, journal = Breaker(), 0, list[DecisionCost]()
    for wake, (later, kind) in enumerate(asks):
        now += later
        how = HOW[kind]
        if how != "unasked" and not breaker.lets_ask(now):
            kind = CauseKind.BREAKER
        elif how == "succeeded":
            breaker.succeeded()
        elif how == "failed":
            breaker.failed(now)
        journal.append(DecisionCost(wake, now + 5_000, 5_000, None if kind is None else Cause(kind), Decimal(0)))
        assert Breaker.recalled(journal).state() == breaker.state()


def test_of_a_breaker_that_opened_before_the_journal_that_is_looked_at_it_is_known_that_it_is_open() -> None:
    journal = [DecisionCost(wake, NOW, 0, Cause(CauseKind.BREAKER), Decimal(0)) for wake in (1, 2)]
    recalled = Breaker.recalled(journal)
    assert not recalled.lets_ask(NOW + OPEN_MS - 1)
    assert recalled.lets_ask(NOW + OPEN_MS)

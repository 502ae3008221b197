"""When the model is left alone, and for how long."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.agent.breaker import FAILURES, OPEN_MS, Breaker

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

"""Which prefix is kept for how long: the cheapest at the gaps there were, and of no consequence but for the bill."""

from decimal import Decimal
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.agent.caching import (
    LIVES,
    PRIOR_GAPS,
    REMEMBERED,
    CachePrices,
    Plan,
    Rhythm,
    plan,
    prefix_cost,
    prices_of,
    turn_cost,
)
from ocw_mcp.agent.pricing import Ttl
from ocw_mcp.agent.recording import CallRecorder, Recording
from ocw_mcp.domain.time import HOUR, MINUTE, day_begins
from ocw_mcp.runtime.clock import SimulatedClock
from tests.support.agent import TERMS, Scripted, held, looks, says
from tests.support.claude import MODEL

D = Decimal
AT = day_begins("2026-11-25")
TTLS: tuple[Ttl | None, ...] = (None, "5m", "1h")
gaps = st.lists(st.integers(0, 3 * HOUR), min_size=1, max_size=30)
a_price = st.integers(1, 1_000).map(D)
prices = st.builds(
    lambda plain, read, short, long: CachePrices(plain, read, {"5m": short, "1h": long}),
    a_price,
    a_price,
    a_price,
    a_price,
)


def billed(ttl: Ttl | None, between: list[int], calls: int, at: CachePrices) -> Decimal:
    """What one token of a prefix costs over decisions with these gaps before them, call by call."""
    bill, there_until = D(0), -1
    now = 0
    for gap in between:
        # Before the first one came, another had just left the prefix behind.
        there_until = (now + LIVES[ttl]) if ttl and not now else there_until
        now += gap
        for _ in range(calls):
            if ttl is None:
                bill += at.plain
                continue
            bill += at.read if now < there_until else at.written[ttl]
            there_until = now + LIVES[ttl]
    return bill


@given(between=gaps.filter(lambda each: each[0] > 0), calls=st.integers(1, 4), at=prices)
def test_what_is_expected_is_what_the_same_gaps_would_be_billed(
    between: list[int], calls: int, at: CachePrices
) -> None:
    for ttl in TTLS:
        assert abs(prefix_cost(ttl, between, D(calls), at) * len(between) - billed(ttl, between, calls, at)) < D("1e-9")


@given(between=gaps, calls=st.integers(10, 40).map(lambda tenths: D(tenths) / 10), at=prices)
def test_no_other_plan_is_cheaper(between: list[int], calls: Decimal, at: CachePrices) -> None:
    best = plan(between, calls, at)
    mine = prefix_cost(best.prefix, between, calls, at)
    assert all(mine <= prefix_cost(ttl, between, calls, at) for ttl in TTLS)
    assert turn_cost(calls, at, cached=best.turns) <= turn_cost(calls, at, cached=not best.turns)


def test_at_the_prices_of_today_an_hour_is_for_wakes_an_hour_apart_and_nothing_for_those_beyond() -> None:
    at = prices_of(MODEL, AT)
    chosen = [plan([minutes * MINUTE] * 5, D(1), at).prefix for minutes in (3, 5, 36, 59, 60, 120)]
    assert chosen == ["5m", "1h", "1h", "1h", None, None]
    assert plan(PRIOR_GAPS, D("1.5"), at) == Plan("1h", turns=True)


def test_what_was_said_is_kept_where_more_than_a_quarter_of_decisions_take_a_second_call() -> None:
    at = prices_of(MODEL, AT)
    assert [plan(PRIOR_GAPS, calls, at).turns for calls in (D(1), D("1.25"), D("1.3"), D(2))] == [
        False,
        False,
        True,
        True,
    ]


def test_the_gaps_and_calls_that_there_were_take_the_place_of_those_to_begin_with() -> None:
    rhythm = Rhythm()
    assert rhythm.plan(MODEL, AT) == Plan("1h", turns=True)
    for count in range(REMEMBERED + 1):
        rhythm.asks(AT + count * 2 * HOUR)
        rhythm.took(1)
    assert rhythm.plan(MODEL, AT) == Plan(None, turns=False)
    for count in range(REMEMBERED):
        rhythm.asks(AT + 60 * HOUR + count * MINUTE)
    assert rhythm.plan(MODEL, AT).prefix == "5m"


def test_a_model_that_nobody_prices_has_a_plan_all_the_same() -> None:
    assert Rhythm().plan("claude-nobody", AT) == Plan(None, turns=False)


async def test_a_recording_answers_however_the_prompt_is_cached(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    with CallRecorder(path, Scripted(looks(), says()), SimulatedClock()) as recorder:
        was = await held(recorder)
    recording = Recording.read(path)
    again = await held(recording, terms=msgspec.structs.replace(TERMS, prefix_ttl=None, turns_cached=False))
    assert recording.missing == []
    assert (again.ending, again.cost_usd) == (was.ending, was.cost_usd)

"""The cache plan: the cheapest for the gaps between wakes, without effect on answers."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.agent.pricing import (
    KEEP_WARM_MS,
    KEEP_WARM_TIMES,
    LIFETIME_MS,
    PRIOR_GAPS,
    WINDOW,
    CachePlan,
    CachePlanner,
    CachePrices,
    Ttl,
    cache_prices,
    cheapest_plan,
    prefix_cost,
    turn_cost,
)
from ocw_mcp.agent.recording import CallRecorder, Recording
from ocw_mcp.domain.time import HOUR, MINUTE, day_begins
from ocw_mcp.runtime.clock import SimulatedClock
from ocw_mcp.sandbox.claude.cache import PrefixCache
from ocw_mcp.sandbox.claude.request import MessagesRequest
from tests.support.agent import REFUSED, TERMS, FakeTools, ScriptedModel, converse, reads, says, submits
from tests.support.claude import MODEL
from tests.support.conversations import BUY
from tests.support.examples import examples

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


def billed(ttl: Ttl | None, between: list[int], calls: int, at: CachePrices, *, keep_warm: bool = False) -> Decimal:
    """Return the cost of one token of a prefix over decisions with these gaps before them, call by call."""
    bill, expires = D(0), -1
    now = 0
    for gap in between:
        # A decision before the first one has just written the prefix.
        expires = (now + LIFETIME_MS[ttl]) if ttl and not now else expires
        for count in range(1, KEEP_WARM_TIMES + 1):
            if ttl is not None and keep_warm and count * KEEP_WARM_MS <= gap:
                bill += at.read
                expires = now + count * KEEP_WARM_MS + LIFETIME_MS[ttl]
        now += gap
        for _ in range(calls):
            if ttl is None:
                bill += at.plain
                continue
            bill += at.read if now < expires else at.written[ttl]
            expires = now + LIFETIME_MS[ttl]
    return bill


@given(between=gaps.filter(lambda each: each[0] > 0), calls=st.integers(1, 4), at=prices)
def test_expected_prefix_cost_equals_the_mean_cost_summed_call_by_call(
    between: list[int], calls: int, at: CachePrices
) -> None:
    for ttl in TTLS:
        assert abs(prefix_cost(ttl, between, D(calls), at) * len(between) - billed(ttl, between, calls, at)) < D("1e-9")
    warm = prefix_cost("1h", between, D(calls), at, keep_warm=True) * len(between)
    assert abs(warm - billed("1h", between, calls, at, keep_warm=True)) < D("1e-9")


@examples(25, slow=100)
@given(between=gaps, calls=st.integers(10, 40).map(lambda tenths: D(tenths) / 10), at=prices)
def test_chosen_cache_plan_is_the_cheapest(between: list[int], calls: Decimal, at: CachePrices) -> None:
    best = cheapest_plan(between, calls, at)
    mine = prefix_cost(best.prefix, between, calls, at)
    assert all(mine <= prefix_cost(ttl, between, calls, at) for ttl in TTLS)
    assert turn_cost(calls, at, cached=best.turns) <= turn_cost(calls, at, cached=not best.turns)


def test_cache_lifetime_is_chosen_by_the_gap_between_wakes() -> None:
    at = cache_prices(MODEL, AT)
    chosen = [cheapest_plan([minutes * MINUTE] * 5, D(1), at).prefix for minutes in (3, 5, 36, 59, 60, 120)]
    assert chosen == ["5m", "1h", "1h", "1h", None, None]
    assert cheapest_plan(PRIOR_GAPS, D("1.5"), at) == CachePlan("1h", turns=True)


def test_prefix_is_kept_warm_if_that_costs_less_than_writing_it_again() -> None:
    at = cache_prices(MODEL, AT)
    plans = [cheapest_plan([minutes * MINUTE] * 5, D(1), at, keep_warm=True) for minutes in (3, 36, 60, 120, 600)]
    assert [(plan.prefix, plan.keep_warm) for plan in plans] == [
        ("5m", False),
        ("1h", False),
        ("1h", True),
        ("1h", True),
        (None, False),
    ]


def test_conversation_is_cached_if_a_second_call_is_likely() -> None:
    at = cache_prices(MODEL, AT)
    assert [cheapest_plan(PRIOR_GAPS, calls, at).turns for calls in (D(1), D("1.25"), D("1.3"), D(2))] == [
        False,
        False,
        True,
        True,
    ]


def test_results_are_cached_if_a_third_call_is_likely() -> None:
    planner = CachePlanner()
    for calls in (1, 2, 2):
        planner.record_calls(calls)
        assert not planner.plan(MODEL, AT).results
    planner.record_calls(3)
    assert planner.plan(MODEL, AT) == CachePlan("1h", turns=True, results=False), "one of four"
    planner.record_calls(3)
    assert planner.plan(MODEL, AT) == CachePlan("1h", turns=True, results=True), "two of five"


@pytest.mark.parametrize(
    ("plan", "marked"),
    [
        (CachePlan("1h", turns=True, results=True), [[0], [2], [2]]),
        (CachePlan("1h", turns=True), [[0], [0], [0]]),
        (CachePlan("1h", turns=False, results=True), [[], [2], [2]]),
        (CachePlan("1h", turns=False), [[], [], []]),
    ],
)
async def test_conversation_caches_the_turns_of_its_plan(plan: CachePlan, marked: list[list[int]]) -> None:
    model, cache = ScriptedModel(reads(), reads(), says()), PrefixCache()
    await converse(model, terms=msgspec.structs.replace(TERMS, cache=plan))
    places, known = [], 0
    for asked in model.requests:
        turns = asked.body["messages"]
        places.append([place for place, turn in enumerate(turns) if "cache_control" in turn["content"][-1]])
        usage = cache.use(MessagesRequest.model_validate(asked.body), 1, AT)
        assert usage.read == known, "all that an earlier call cached is read"
        known = usage.read + usage.written_5m + usage.written_1h
        assert known
    assert places == marked


async def test_call_after_a_refused_decision_is_not_cached() -> None:
    tools = FakeTools(lambda leg: REFUSED)
    model = ScriptedModel(submits(BUY), says())
    await converse(model, tools)
    first, second = (asked.body["messages"] for asked in model.requests)
    assert "cache_control" in first[0]["content"][-1]
    assert ["cache_control" in turn["content"][-1] for turn in second] == [True, False, False]


def test_plan_uses_recorded_gaps_and_calls_after_enough_decisions() -> None:
    planner = CachePlanner()
    assert planner.plan(MODEL, AT) == CachePlan("1h", turns=True)
    for count in range(WINDOW + 1):
        planner.record_wake(AT + count * 2 * HOUR)
        planner.record_calls(1)
    assert planner.plan(MODEL, AT) == CachePlan(None, turns=False)
    for count in range(WINDOW):
        planner.record_wake(AT + 60 * HOUR + count * MINUTE)
    assert planner.plan(MODEL, AT).prefix == "5m"


def test_model_without_a_price_is_not_cached() -> None:
    assert CachePlanner().plan("claude-unknown", AT) == CachePlan(None, turns=False)


async def test_replay_with_another_cache_plan_finds_the_recorded_answers(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    with CallRecorder(path, ScriptedModel(reads(), says()), SimulatedClock()) as recorder:
        was = await converse(recorder)
    recording = Recording.read(path)
    again = await converse(recording, terms=msgspec.structs.replace(TERMS, cache=CachePlan(None, turns=False)))
    assert recording.missing == []
    assert (again.result, again.cost_usd) == (was.result, was.cost_usd)

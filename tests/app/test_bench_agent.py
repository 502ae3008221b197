"""The basis of `ocw bench agent`: a stand-in that is billed as a model would be, and the size of a request."""

from typing import Any

import pytest

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.agent.memory.diary import situations
from ocw_mcp.agent.memory.recall import recall
from ocw_mcp.agent.messages import Request
from ocw_mcp.agent.pricing import TokenUsage, cost
from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.app.bench.agent import PROTOTYPE, measure_input
from ocw_mcp.app.bench.agent_runs import measure_memory, measure_month
from ocw_mcp.app.bench.snapshot import SYMBOLS, example
from ocw_mcp.app.bench.stand_in import StandIn, full_diary, segments
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.domain.orders import CLAUDE
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.time import DAY, HOUR
from ocw_mcp.runtime.clock import SimulatedClock
from tests.support.agent import READ_TOOL, TERMS, FakeTools, converse
from tests.support.claude import MODEL


def body(*, prefix: str | None = "1h", turns: bool = True) -> dict[str, Any]:
    """Return the body of a request of one turn."""
    kept = {} if prefix is None else {"cache_control": {"type": "ephemeral", "ttl": prefix}}
    said = {"cache_control": {"type": "ephemeral", "ttl": "5m"}} if turns else {}
    return {
        "tools": [{"name": "look", "description": "x" * 400}],
        "system": [{"type": "text", "text": "s" * 400, **kept}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "c" * 250, **said}]}],
    }


def test_tokens_of_a_prompt_segment_are_estimated_from_characters() -> None:
    counted = segments(body())
    assert (counted["system"], counted["context"], counted["results"]) == (100, 100, 0)
    assert 100 < counted["tools"] < 120


def test_cache_marks_are_no_tokens() -> None:
    first, look = body()["messages"][0], {"type": "tool_result", "tool_use_id": "t0", "content": "r" * 500}
    marked = look | {"cache_control": {"type": "ephemeral", "ttl": "5m"}}
    counted = [segments(body() | {"messages": [first, {"role": "user", "content": [each]}]}) for each in (look, marked)]
    assert counted[0] == counted[1]


async def test_stand_in_bills_tools_and_system_as_cached_for_an_hour() -> None:
    clock = SimulatedClock()
    model, whole = StandIn(clock=clock), sum(segments(body()).values())
    bills = []
    for wake, waited in enumerate((0, HOUR - 1, HOUR)):
        clock.advance(clock.now() + waited)
        reply = await model.create(Request(wake, 0, body()))
        bills.append(reply.usage)
    assert bills == [
        TokenUsage(written_1h=whole - 100, written_5m=100),
        TokenUsage(read=whole - 100, written_5m=100),
        TokenUsage(written_1h=whole - 100, written_5m=100),
    ]


async def test_prompt_without_cache_marks_is_billed_as_plain_input() -> None:
    model, request = StandIn(output_tokens=7), body(prefix=None, turns=False)
    reply = await model.create(Request(1, 0, request))
    assert reply.usage == TokenUsage(plain=sum(segments(request).values()), output=7)


async def test_costs_of_segments_add_up_to_the_decisions_cost() -> None:
    model = StandIn(((READ_TOOL, {}), (READ_TOOL, {})), output_tokens=800)
    outcome = await converse(model, FakeTools(), TERMS)
    assert outcome.calls == 3
    assert outcome.tools == (READ_TOOL, READ_TOOL)
    by_segment = model.cost_usd(MODEL)
    assert sum(by_segment.values()) + cost(TokenUsage(output=800), MODEL, 0) == outcome.cost_usd
    assert all(by_segment[name] > 0 for name in ("tools", "system", "context", "results"))


def test_request_without_tools_is_at_most_33_percent_of_the_prototype() -> None:
    policies, shown = load_policies(None).policies, example(SYMBOLS)
    prompts = Prompts(load_prompts(None).texts, policies)
    memory = recall(full_diary(shown, policies.rules), shown.at, situations(shown, policies.rules))
    assert len(memory) > 700
    ours = len(prompts.system) + len(prompts.context(DecisionRequest(1, shown, 0), CLAUDE, memory))
    assert ours <= 0.33 * sum(PROTOTYPE.values())


@pytest.mark.parametrize("looks", [pytest.param("rounds_2", marks=pytest.mark.slow), "two_looks_in_one_round"])
async def test_two_looks_cost_at_most_0_0059_usd_of_input(looks: str) -> None:
    found = (await measure_input())[looks]["warm"]
    assert found["results"] > 0
    assert found["all"] <= 0.0059


@pytest.mark.slow
def test_month_counts_every_wake_once_within_the_budget() -> None:
    found = measure_month(lambda: SimulatedFeed(1), DAY)["on_the_default_budget"]
    answered = found["asked"] + found["repeated"] + found["left_to_the_rules"]
    assert found["wakes"] - 1 <= answered <= found["wakes"], "the last wake may still wait at the end"
    assert found["usd"] <= float(load_policies(None).policies.budget.usd_per_day)
    assert found["share_asked"] <= found["share_asked_unless_repeated"] <= 1
    assert found["share_asked_unless_repeated"] >= 0.8


@pytest.mark.slow
def test_memory_is_compared_with_the_same_run_without_it() -> None:
    found = measure_memory(lambda: SimulatedFeed(1), DAY)
    on, off = found["memory_on"], found["memory_off"]
    assert on["trades"] > 0
    assert on["characters"]["memory"] > 0
    assert off["characters"]["memory"] == 0
    assert on["market"] == off["market"]

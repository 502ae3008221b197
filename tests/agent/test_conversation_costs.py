"""The cost of a conversation: its worst case, its allowance, and what is booked."""

import asyncio
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.agent.conversation import (
    LEAST_TOKENS,
    MAX_TOKENS,
    Conversation,
    ConversationTerms,
    Submitted,
)
from ocw_mcp.agent.messages import Reply, Request, Trouble, without_cache_control
from ocw_mcp.agent.pricing import CachePlan, TokenUsage, cost
from ocw_mcp.agent.spending import CountedPrefix
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.runtime.clock import LiveClock, SimulatedClock
from tests.support.agent import (
    SYSTEM,
    TERMS,
    FakeTools,
    ScriptedModel,
    bodies,
    converse,
    reads,
    says,
    submits,
)
from tests.support.claude import CONTEXT, MODEL
from tests.support.clocks import Waits
from tests.support.conversations import BUY, cause


class DearestModel:
    """A model that is billed at the highest price of each part: one token a byte, and as long an answer as allowed."""

    def __init__(self, turns: list[str]) -> None:
        self._turns = turns
        self.billed_usd = Decimal(0)

    async def create(self, request: Request) -> Reply | Trouble:
        body = without_cache_control(request.body)
        prefix = sum(len(msgspec.json.encode(body[name])) for name in ("tools", "system"))
        turns = len(msgspec.json.encode(body["messages"]))
        usage = TokenUsage(written_5m=turns, written_1h=prefix, output=body["max_tokens"])
        self.billed_usd += cost(usage, MODEL, 0)
        match self._turns[min(request.turn, len(self._turns) - 1)]:
            case "reads":
                answer = reads()
            case "submits":
                answer = submits(BUY)
            case _:
                return Trouble(CauseKind.CONNECTION)
        return msgspec.structs.replace(answer, usage=usage)


class Silent:
    """A model that never answers."""

    async def create(self, request: Request) -> Reply | Trouble:
        await asyncio.Event().wait()
        raise AssertionError


async def test_worst_case_cost_does_not_depend_on_caching() -> None:
    async def reserved(**terms: Any) -> list[Decimal]:
        kept: list[Decimal] = []

        async def keeps(usd: Decimal) -> None:
            kept.append(usd)

        model, changed = ScriptedModel(reads(), reads(), says()), msgspec.structs.replace(TERMS, **terms)
        await Conversation(model, FakeTools(), SimulatedClock(), changed, keeps).run(7, SYSTEM, CONTEXT)
        return kept

    bare = await reserved(cache=CachePlan(None, turns=False))
    assert len(bare) == 3
    assert (
        await reserved(cache=CachePlan("1h", turns=True)) == await reserved(cache=CachePlan("5m", turns=True)) == bare
    )


async def test_decision_stays_in_force_if_its_correction_is_too_dear() -> None:
    tools = FakeTools()
    tools.not_taken = [["condition 1 is one too many"]]
    dear = msgspec.structs.replace(submits(BUY), usage=TokenUsage(plain=200_000, output=10))
    outcome = await converse(ScriptedModel(dear), tools)
    assert isinstance(outcome.result, Submitted)
    assert outcome.result.trouble is not None
    assert outcome.result.trouble.kind is CauseKind.BUDGET
    assert outcome.calls == 1


async def test_silent_model_times_out_at_worst_case_cost() -> None:
    outcome = await converse(Silent(), terms=msgspec.structs.replace(TERMS, timeout_s=0.01), clock=LiveClock())
    assert cause(outcome) is CauseKind.TIMEOUT
    assert outcome.cost_usd > cost(TokenUsage(output=TERMS.max_tokens), MODEL, 0)


async def test_cancelled_model_call_counts_at_worst_case_cost() -> None:
    conversation = Conversation(Silent(), FakeTools(), SimulatedClock(), TERMS)
    task = asyncio.ensure_future(conversation.run(7, SYSTEM, CONTEXT))
    while not conversation.cost_usd:
        await SimulatedClock().wait_until(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert conversation.cost_usd > cost(TokenUsage(output=TERMS.max_tokens), MODEL, 0)


async def test_model_call_above_the_cost_allowance_is_not_made() -> None:
    model = ScriptedModel(submits(BUY))
    assert (
        cause(await converse(model, terms=msgspec.structs.replace(TERMS, allowance_usd=Decimal("0.02"))))
        is CauseKind.BUDGET
    )
    assert model.requests == []


async def test_answer_is_limited_in_length_if_the_allowance_is_small() -> None:
    async def limits(usd: str) -> list[int]:
        model = ScriptedModel(submits(BUY))
        await converse(model, terms=msgspec.structs.replace(TERMS, allowance_usd=Decimal(usd)))
        return [body["max_tokens"] for body in bodies(model)]

    assert await limits("0.5") == [MAX_TOKENS]
    (some,) = await limits("0.035")
    assert LEAST_TOKENS < some < MAX_TOKENS
    assert await limits("0.02") == []


@settings(max_examples=40)
@given(
    usd=st.integers(0, 700).map(lambda tenths: Decimal(tenths) / 10_000),
    turns=st.lists(st.sampled_from(["reads", "submits", "lost"]), min_size=1, max_size=4),
    counted=st.one_of(st.none(), st.integers(600, 2_000)),
)
def test_conversation_never_costs_more_than_its_allowance(usd: Decimal, turns: list[str], counted: int | None) -> None:
    model = DearestModel(turns)
    terms = msgspec.structs.replace(TERMS, allowance_usd=usd)
    if counted is not None:
        first = Conversation(DearestModel(["submits"]), FakeTools(), Waits(), TERMS)
        asyncio.run(first.run(7, SYSTEM, CONTEXT))
        terms = msgspec.structs.replace(terms, prefix=first.counted_prefix)
    outcome = asyncio.run(converse(model, terms=terms))
    assert outcome.cost_usd <= usd
    assert model.billed_usd <= outcome.cost_usd


async def test_counted_prefix_lowers_the_worst_case_of_the_same_prefix_only() -> None:
    async def first_reserve(system: str, terms: ConversationTerms) -> tuple[Decimal, CountedPrefix | None]:
        kept: list[Decimal] = []

        async def keeps(usd: Decimal) -> None:
            kept.append(usd)

        talk = Conversation(ScriptedModel(says()), FakeTools(), SimulatedClock(), terms, keeps)
        await talk.run(7, system, CONTEXT)
        return kept[0], talk.counted_prefix

    unknown, counted = await first_reserve(SYSTEM, TERMS)
    assert counted is not None
    known = msgspec.structs.replace(TERMS, prefix=counted)
    assert (await first_reserve(SYSTEM, known))[0] < unknown
    other = "You decide!"
    assert (await first_reserve(other, known))[0] == (await first_reserve(other, TERMS))[0]


async def test_impossibly_small_count_of_a_gateway_is_no_bound() -> None:
    tiny = msgspec.structs.replace(says(), usage=TokenUsage(plain=3, output=10))
    talk = Conversation(ScriptedModel(tiny), FakeTools(), SimulatedClock(), TERMS)
    await talk.run(7, SYSTEM, CONTEXT)
    assert talk.counted_prefix is None


async def test_cost_of_earlier_calls_reduces_the_allowance() -> None:
    dear = msgspec.structs.replace(reads(), usage=TokenUsage(plain=200_000, output=10))
    model = ScriptedModel(dear, submits(BUY))
    assert cause(await converse(model)) is CauseKind.BUDGET
    assert len(model.requests) == 1


async def test_model_without_a_price_is_not_called() -> None:
    model = ScriptedModel(submits(BUY))
    assert (
        cause(await converse(model, terms=msgspec.structs.replace(TERMS, model="claude-unknown"))) is CauseKind.NO_PRICE
    )
    assert model.requests == []

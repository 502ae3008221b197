"""The conversation of a decision: its result, its cost, and every cause for which it fails."""

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.agent.conversation import (
    TOOL_ROUNDS,
    NoDecision,
    Submitted,
)
from ocw_mcp.agent.messages import Reply, Trouble
from ocw_mcp.agent.pricing import CachePlan, TokenUsage, cost
from ocw_mcp.agent.tools import SUBMIT
from ocw_mcp.domain.causes import CauseKind
from tests.support.agent import (
    ACCEPTED,
    READ_TOOL,
    REFUSED,
    TERMS,
    FakeTools,
    ScriptedModel,
    accept,
    bodies,
    calls,
    converse,
    reads,
    says,
    submits,
)
from tests.support.claude import CONTEXT, MODEL
from tests.support.clocks import Waits
from tests.support.conversations import BUY, cause
from tests.support.examples import examples

SELL = ("SOLUSDT", "SELL")


def refuses(*symbols: str) -> FakeTools:
    return FakeTools(lambda leg: REFUSED if leg["symbol"] in symbols else accept(leg))


CALL = st.tuples(
    st.sampled_from([READ_TOOL, SUBMIT, "orders_place", "x"]), st.sampled_from([{}, None, "a", {"wake": 7, "legs": []}])
)
ANSWER: st.SearchStrategy[Any] = st.one_of(
    st.builds(says, st.text(max_size=5), st.sampled_from(["end_turn", "refusal", "tool_use", "max_tokens", "x"])),
    st.lists(CALL, max_size=4).map(lambda made: calls(*made)),
    st.builds(Trouble, st.sampled_from(CauseKind), st.just(""), st.sampled_from([None, 0.0, 1.0, 1e9])),
)


async def test_accepted_decision_ends_the_conversation() -> None:
    model, tools = ScriptedModel(reads(), submits(BUY, SELL)), FakeTools()
    outcome = await converse(model, tools)
    assert isinstance(outcome.result, Submitted)
    assert [(leg.symbol, leg.outcome) for leg in outcome.result.legs] == [
        ("BTCUSDT", "accepted"),
        ("SOLUSDT", "accepted"),
    ]
    assert (outcome.calls, outcome.tools) == (2, (READ_TOOL, SUBMIT))
    assert outcome.usage == TokenUsage(plain=200, output=20)
    assert outcome.cost_usd == cost(outcome.usage, MODEL, 0)
    assert len(model.requests) == 2


async def test_only_reading_tools_and_submit_are_offered() -> None:
    model = ScriptedModel(says())
    await converse(model)
    assert [tool["name"] for tool in bodies(model)[0]["tools"]] == [READ_TOOL, "policies_get", SUBMIT]
    await converse(
        named := ScriptedModel(says()), terms=msgspec.structs.replace(TERMS, reads=(READ_TOOL, "orders_place"))
    )
    assert [tool["name"] for tool in bodies(named)[0]["tools"]] == [READ_TOOL, SUBMIT]


async def test_each_request_repeats_the_earlier_turns_unchanged() -> None:
    model = ScriptedModel(reads(), says())
    await converse(model)
    first, second = bodies(model)
    assert first["messages"][0]["content"][0]["text"] == CONTEXT
    user, assistant, results = second["messages"]
    assert user["content"] == [{"type": "text", "text": CONTEXT}]
    assert assistant == {"role": "assistant", "content": list(reads().content)}
    assert results["content"][0]["tool_use_id"] == "t0"
    assert second["tools"] == first["tools"]
    assert second["system"] == first["system"]


async def test_system_is_cached_for_an_hour_and_turns_for_five_minutes() -> None:
    model = ScriptedModel(reads(), says())
    await converse(model)
    for body in bodies(model):
        assert body["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
        marks = [block.get("cache_control") for turn in body["messages"] for block in turn["content"]]
        assert marks == [None] * (len(marks) - 1) + [{"type": "ephemeral", "ttl": "5m"}]
    bare = ScriptedModel(says())
    await converse(bare, terms=msgspec.structs.replace(TERMS, cache=CachePlan(None, turns=False)))
    assert b"cache_control" not in msgspec.json.encode(bodies(bare)[0])


async def test_last_tool_results_before_the_decision_are_not_cached() -> None:
    model = ScriptedModel(reads(), reads(), says())
    await converse(model)
    assert TOOL_ROUNDS == 2
    marked = [
        [place for place, turn in enumerate(body["messages"]) if "cache_control" in turn["content"][-1]]
        for body in bodies(model)
    ]
    assert marked == [[0], [2], [2]]


async def test_turn_that_submits_no_decision_ends_as_no_decision() -> None:
    outcome = await converse(ScriptedModel(says("I have bought a lot.")))
    assert outcome.result == NoDecision("I have bought a lot.")


async def test_refused_legs_may_be_corrected_once() -> None:
    tools = FakeTools()
    tools.judge = lambda leg: REFUSED if leg["symbol"] == "BTCUSDT" and len(tools.submitted) == 1 else ACCEPTED
    outcome = await converse(ScriptedModel(submits(BUY, SELL), submits(BUY)), tools)
    assert isinstance(outcome.result, Submitted)
    assert len(tools.submitted) == 2
    assert {leg.symbol: leg.outcome for leg in outcome.result.legs} == {"BTCUSDT": "accepted", "SOLUSDT": "accepted"}


async def test_refused_correction_is_not_corrected_again() -> None:
    tools = refuses("BTCUSDT")
    outcome = await converse(ScriptedModel(submits(BUY, SELL), submits(BUY), submits(BUY)), tools)
    assert isinstance(outcome.result, Submitted)
    assert len(tools.submitted) == outcome.calls == 2
    assert {leg.symbol: leg.outcome for leg in outcome.result.legs} == {"BTCUSDT": "refused", "SOLUSDT": "accepted"}


async def test_model_reads_what_was_not_taken_and_may_correct_it() -> None:
    tools = FakeTools()
    tools.not_taken = [["condition 1 (BTCUSDT ret_4h) cannot be watched: no such metric"]]
    model = ScriptedModel(submits(BUY), submits())
    outcome = await converse(model, tools)
    assert isinstance(outcome.result, Submitted)
    assert [leg.outcome for leg in outcome.result.legs] == ["accepted"]
    assert len(tools.submitted) == outcome.calls == 2
    (answer,) = bodies(model)[1]["messages"][-1]["content"]
    assert "not taken as given: condition 1 (BTCUSDT ret_4h) cannot be watched" in answer["content"]


async def test_part_that_is_not_taken_twice_is_not_corrected_again() -> None:
    tools = FakeTools()
    tools.not_taken = [["next_check_s 14400 is set to 7200"]] * 3
    outcome = await converse(ScriptedModel(submits()), tools)
    assert outcome.result == Submitted(())
    assert len(tools.submitted) == outcome.calls == 2


async def test_submitted_decision_stands_if_its_refused_leg_is_not_corrected() -> None:
    tools = refuses("BTCUSDT")
    outcome = await converse(ScriptedModel(submits(BUY, SELL), says("So be it.")), tools)
    assert isinstance(outcome.result, Submitted)
    assert len(tools.submitted) == 1


async def test_decision_stands_if_only_closings_are_refused() -> None:
    outcome = await converse(ScriptedModel(submits(SELL), says("So be it.")), refuses("SOLUSDT"))
    assert isinstance(outcome.result, Submitted)
    assert [leg.outcome for leg in outcome.result.legs] == ["refused"]


async def test_decision_without_an_accepted_trade_has_cause_impossible() -> None:
    outcome = await converse(ScriptedModel(submits(BUY, ("ETHUSDT", "HOLD"))), refuses("BTCUSDT"))
    assert cause(outcome) is CauseKind.IMPOSSIBLE
    assert isinstance(outcome.result, Trouble)
    assert "POSITION_SHARE" in outcome.result.detail


async def test_decision_with_only_hold_legs_is_submitted() -> None:
    outcome = await converse(ScriptedModel(submits(("ETHUSDT", "HOLD"))))
    assert isinstance(outcome.result, Submitted)
    assert isinstance((await converse(ScriptedModel(submits()))).result, Submitted)


@pytest.mark.parametrize("given_", [{"legs": "BUY"}, {}, {"wake": 7, "legs": [{"action": "YOLO"}]}, "BUY", None, []])
async def test_malformed_decision_may_be_corrected_once(given_: object) -> None:
    right = await converse(ScriptedModel(calls((SUBMIT, given_)), submits(BUY)))
    assert isinstance(right.result, Submitted)
    wrong = await converse(ScriptedModel(calls((SUBMIT, given_))))
    assert cause(wrong) is CauseKind.MALFORMED
    assert wrong.calls == 2


async def test_decision_on_another_wake_is_malformed() -> None:
    assert cause(await converse(ScriptedModel(submits(BUY, wake=8)))) is CauseKind.MALFORMED
    assert cause(await converse(ScriptedModel(submits(BUY, wake=8), says("Oh.")))) is CauseKind.MALFORMED


async def test_too_many_tool_rounds_get_an_error_then_end_the_conversation() -> None:
    model, tools = ScriptedModel(reads()), FakeTools()
    outcome = await converse(model, tools)
    assert cause(outcome) is CauseKind.TOOL_LOOP
    assert outcome.calls == 4
    assert outcome.tools == (READ_TOOL, READ_TOOL)
    result = [block for turn in bodies(model)[-1]["messages"] for block in turn["content"]][-1]
    assert result["is_error"]
    assert result["content"].startswith("ENOUGH")
    assert isinstance(
        (await converse(ScriptedModel(reads(), reads(), reads(), submits(BUY)))).result,
        Submitted,
    )


async def test_tool_that_was_not_offered_is_not_called() -> None:
    model, tools = (
        ScriptedModel(calls(("orders_place", {}), ("nobodys", {}), (READ_TOOL, {})), submits(BUY)),
        FakeTools(),
    )
    outcome = await converse(model, tools)
    assert isinstance(outcome.result, Submitted)
    assert [name for name, _ in tools.called] == [READ_TOOL, SUBMIT]
    results = bodies(model)[1]["messages"][-1]["content"]
    assert [block.get("is_error", False) for block in results] == [True, True, False]


async def test_only_one_decision_of_a_turn_is_submitted() -> None:
    twice = calls(*[(SUBMIT, {"wake": 7, "legs": [{"symbol": "BTCUSDT", "action": "BUY"}]})] * 2, (READ_TOOL, {}))
    model, tools = ScriptedModel(twice, says()), refuses("BTCUSDT")
    await converse(model, tools)
    assert len(tools.submitted) == 1
    assert [block["tool_use_id"] for block in bodies(model)[1]["messages"][-1]["content"]] == ["t0", "t1", "t2"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (says(stop_reason="refusal"), CauseKind.REFUSAL),
        (says(stop_reason="max_tokens"), CauseKind.CUT_OFF),
        (says(stop_reason="model_context_window_exceeded"), CauseKind.CUT_OFF),
        (says(stop_reason="pause_turn"), CauseKind.MALFORMED),
        (says(stop_reason="tool_use"), CauseKind.MALFORMED),
        (Trouble(CauseKind.BAD_KEY), CauseKind.BAD_KEY),
        (Trouble(CauseKind.CONNECTION), CauseKind.CONNECTION),
        (Trouble(CauseKind.NO_MODEL), CauseKind.NO_MODEL),
        (RuntimeError("not an error of the SDK"), CauseKind.INTERNAL),
    ],
)
async def test_unusable_model_answer_ends_the_conversation_with_its_cause(
    answer: Reply | Trouble | Exception, expected: CauseKind
) -> None:
    outcome = await converse(ScriptedModel(answer))
    assert cause(outcome) is expected
    assert outcome.calls == 1


async def test_tool_call_truncated_at_max_tokens_is_not_executed() -> None:
    tools = FakeTools()
    cut = msgspec.structs.replace(submits(BUY), stop_reason="max_tokens")
    assert cause(await converse(ScriptedModel(cut), tools)) is CauseKind.CUT_OFF
    assert tools.called == []


@pytest.mark.parametrize("answer", [Trouble(CauseKind.OVERLOADED), says(stop_reason="refusal"), RuntimeError()])
async def test_accepted_legs_stay_in_force_if_a_correction_fails(
    answer: Reply | Trouble | Exception,
) -> None:
    outcome = await converse(ScriptedModel(submits(BUY, SELL), answer), refuses("BTCUSDT"))
    assert isinstance(outcome.result, Submitted)
    assert outcome.result.trouble is not None


@pytest.mark.parametrize("cause_", [CauseKind.RATE_LIMITED, CauseKind.OVERLOADED, CauseKind.SERVER])
async def test_temporary_failure_is_retried_once_after_a_wait(cause_: CauseKind) -> None:
    model, clock = ScriptedModel(Trouble(cause_, retry_after_s=5), submits(BUY)), Waits()
    outcome = await converse(model, clock=clock)
    assert clock.waited == [5_000], "in real time, although engine time is simulated"
    assert isinstance(outcome.result, Submitted)
    assert [request.turn for request in model.requests] == [0, 1]
    assert cause(await converse(ScriptedModel(Trouble(cause_), Trouble(cause_)), clock=clock)) is cause_


async def test_call_is_not_retried_if_the_api_requests_a_long_wait() -> None:
    outcome = await converse(ScriptedModel(Trouble(CauseKind.RATE_LIMITED, retry_after_s=60), submits(BUY)))
    assert cause(outcome) is CauseKind.RATE_LIMITED
    assert outcome.calls == 1


async def test_request_has_no_fields_but_those_that_the_guide_lists() -> None:
    model = ScriptedModel(reads(), says())
    await converse(model)
    assert all(set(body) == {"model", "max_tokens", "tools", "system", "messages"} for body in bodies(model))


async def test_failing_tool_server_ends_the_conversation_with_a_cause() -> None:
    tools = FakeTools()
    tools.breaks = {READ_TOOL, SUBMIT}
    assert cause(await converse(ScriptedModel(reads()), tools)) is CauseKind.TOOLS
    outcome = await converse(ScriptedModel(submits(BUY)), tools)
    assert isinstance(outcome.result, Trouble)
    assert "may have been carried out" in outcome.result.detail


@examples(6, slow=40)
@given(st.lists(ANSWER, min_size=1, max_size=6))
def test_any_sequence_of_model_answers_ends_with_a_result(answers: list[Any]) -> None:
    tools = FakeTools()
    outcome = asyncio.run(converse(ScriptedModel(*answers), tools))
    assert isinstance(outcome.result, Submitted | NoDecision | Trouble)
    assert outcome.calls <= 2 * (TOOL_ROUNDS + 5)
    assert len(tools.submitted) <= 2
    assert {name for name, _ in tools.called} <= {READ_TOOL, SUBMIT}

"""A decision from the first look to the last word, and every way in which none comes of it."""

import asyncio
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.agent.causes import Trouble
from ocw_mcp.agent.conversation import Conversation, ConversationOutcome, Failed, NoDecision, Submitted
from ocw_mcp.agent.messages import Reply, Request
from ocw_mcp.agent.pricing import TokenUsage, cost
from ocw_mcp.agent.tools import SUBMIT
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.runtime.clock import LiveClock, SimulatedClock
from tests.support.agent import (
    ACCEPTED,
    LOOK,
    REFUSED,
    SYSTEM,
    TERMS,
    FakeDesk,
    Scripted,
    accept,
    bodies,
    calls,
    held,
    looks,
    says,
    submits,
)
from tests.support.claude import CONTEXT, MODEL
from tests.support.clocks import Waits

BUY = ("BTCUSDT", "BUY")
SELL = ("SOLUSDT", "SELL")


def refuses(*symbols: str) -> FakeDesk:
    return FakeDesk(lambda leg: REFUSED if leg["symbol"] in symbols else accept(leg))


def cause(outcome: ConversationOutcome) -> CauseKind:
    assert isinstance(outcome.ending, Failed)
    return outcome.ending.trouble.kind


async def test_a_decision_that_is_taken_whole_ends_the_conversation() -> None:
    model, desk = Scripted(looks(), submits(BUY, SELL)), FakeDesk()
    outcome = await held(model, desk)
    assert isinstance(outcome.ending, Submitted)
    assert [(leg.symbol, leg.outcome) for leg in outcome.ending.legs] == [
        ("BTCUSDT", "accepted"),
        ("SOLUSDT", "accepted"),
    ]
    assert (outcome.calls, outcome.tools) == (2, (LOOK, SUBMIT))
    assert outcome.usage == TokenUsage(plain=200, output=20)
    assert outcome.cost_usd == cost(outcome.usage, MODEL, 0)
    assert len(model.asked) == 2


async def test_the_model_gets_tools_that_read_and_the_one_that_decides_and_nothing_else() -> None:
    model = Scripted(says())
    await held(model)
    assert [tool["name"] for tool in bodies(model)[0]["tools"]] == [LOOK, "policies_get", SUBMIT]
    await held(named := Scripted(says()), terms=msgspec.structs.replace(TERMS, reads=(LOOK, "orders_place")))
    assert [tool["name"] for tool in bodies(named)[0]["tools"]] == [LOOK, SUBMIT]


async def test_what_was_said_goes_back_unchanged_with_its_results() -> None:
    model = Scripted(looks(), says())
    await held(model)
    first, second = bodies(model)
    assert first["messages"][0]["content"][0]["text"] == CONTEXT
    user, assistant, results = second["messages"]
    assert user["content"] == [{"type": "text", "text": CONTEXT}]
    assert assistant == {"role": "assistant", "content": list(looks().content)}
    assert results["content"][0]["tool_use_id"] == "t0"
    assert second["tools"] == first["tools"]
    assert second["system"] == first["system"]


async def test_the_stable_part_is_cached_for_long_and_the_conversation_for_short() -> None:
    model = Scripted(looks(), says())
    await held(model)
    for body in bodies(model):
        assert body["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
        marks = [block.get("cache_control") for turn in body["messages"] for block in turn["content"]]
        assert marks == [None] * (len(marks) - 1) + [{"type": "ephemeral", "ttl": "5m"}]
    bare = Scripted(says())
    await held(bare, terms=msgspec.structs.replace(TERMS, prefix_ttl=None, turns_cached=False))
    assert b"cache_control" not in msgspec.json.encode(bodies(bare)[0])


async def test_what_a_call_may_cost_does_not_hang_on_how_it_is_cached() -> None:
    async def reserved(**terms: Any) -> list[Decimal]:
        kept: list[Decimal] = []

        async def keeps(usd: Decimal) -> None:
            kept.append(usd)

        model, told = Scripted(looks(), looks(), says()), msgspec.structs.replace(TERMS, **terms)
        await Conversation(model, FakeDesk(), SimulatedClock(), told, keeps).hold(7, SYSTEM, CONTEXT)
        return kept

    bare = await reserved(prefix_ttl=None, turns_cached=False)
    assert len(bare) == 3
    assert await reserved(prefix_ttl="1h", turns_cached=True) == await reserved(prefix_ttl="5m") == bare


async def test_what_the_last_look_brings_is_not_cached_since_hardly_anything_follows_it() -> None:
    model = Scripted(looks(), looks(), says())
    await held(model)
    assert TERMS.tool_rounds == 2
    marked = [
        [place for place, turn in enumerate(body["messages"]) if "cache_control" in turn["content"][-1]]
        for body in bodies(model)
    ]
    assert marked == [[0], [2], [2]]


async def test_a_turn_that_ends_without_a_decision_is_a_hold_of_the_models() -> None:
    outcome = await held(Scripted(says("I have bought a lot.")))
    assert outcome.ending == NoDecision("I have bought a lot.")


async def test_refused_legs_may_be_corrected_once() -> None:
    desk = FakeDesk()
    desk.judge = lambda leg: REFUSED if leg["symbol"] == "BTCUSDT" and len(desk.submitted) == 1 else ACCEPTED
    outcome = await held(Scripted(submits(BUY, SELL), submits(BUY)), desk)
    assert isinstance(outcome.ending, Submitted)
    assert outcome.ending.corrected
    assert {leg.symbol: leg.outcome for leg in outcome.ending.legs} == {"BTCUSDT": "accepted", "SOLUSDT": "accepted"}


async def test_there_is_no_second_correction() -> None:
    desk = refuses("BTCUSDT")
    outcome = await held(Scripted(submits(BUY, SELL), submits(BUY), submits(BUY)), desk)
    assert isinstance(outcome.ending, Submitted)
    assert len(desk.submitted) == outcome.calls == 2
    assert {leg.symbol: leg.outcome for leg in outcome.ending.legs} == {"BTCUSDT": "refused", "SOLUSDT": "accepted"}


async def test_a_refusal_may_be_taken_as_it_is() -> None:
    outcome = await held(Scripted(submits(BUY, SELL), says("So be it.")), refuses("BTCUSDT"))
    assert isinstance(outcome.ending, Submitted)
    assert not outcome.ending.corrected


async def test_a_decision_of_which_nothing_passes_is_impossible() -> None:
    outcome = await held(Scripted(submits(BUY, ("ETHUSDT", "HOLD"))), refuses("BTCUSDT"))
    assert cause(outcome) is CauseKind.IMPOSSIBLE
    assert isinstance(outcome.ending, Failed)
    assert "POSITION_SHARE" in outcome.ending.trouble.detail


async def test_what_only_holds_is_a_decision() -> None:
    outcome = await held(Scripted(submits(("ETHUSDT", "HOLD"))))
    assert isinstance(outcome.ending, Submitted)
    assert isinstance((await held(Scripted(submits()))).ending, Submitted)


@pytest.mark.parametrize("given_", [{"legs": "BUY"}, {}, {"wake": 7, "legs": [{"action": "YOLO"}]}, "BUY", None, []])
async def test_a_decision_that_is_none_may_be_put_right_once(given_: object) -> None:
    right = await held(Scripted(calls((SUBMIT, given_)), submits(BUY)))
    assert isinstance(right.ending, Submitted)
    wrong = await held(Scripted(calls((SUBMIT, given_))))
    assert cause(wrong) is CauseKind.MALFORMED
    assert wrong.calls == 2


async def test_the_answer_to_another_wake_is_none() -> None:
    assert cause(await held(Scripted(submits(BUY, wake=8)))) is CauseKind.MALFORMED
    assert cause(await held(Scripted(submits(BUY, wake=8), says("Oh.")))) is CauseKind.MALFORMED


async def test_who_only_looks_is_told_once_that_it_is_enough() -> None:
    model, desk = Scripted(looks()), FakeDesk()
    outcome = await held(model, desk)
    assert cause(outcome) is CauseKind.TOOL_LOOP
    assert outcome.calls == 4
    assert outcome.tools == (LOOK, LOOK)
    told = [block for turn in bodies(model)[-1]["messages"] for block in turn["content"]][-1]
    assert told["is_error"]
    assert told["content"].startswith("ENOUGH")
    assert isinstance((await held(Scripted(looks(), looks(), looks(), submits(BUY)))).ending, Submitted)


async def test_a_tool_that_was_not_offered_is_not_called() -> None:
    model, desk = Scripted(calls(("orders_place", {}), ("nobodys", {}), (LOOK, {})), submits(BUY)), FakeDesk()
    outcome = await held(model, desk)
    assert isinstance(outcome.ending, Submitted)
    assert [name for name, _ in desk.asked] == [LOOK, SUBMIT]
    results = bodies(model)[1]["messages"][-1]["content"]
    assert [block.get("is_error", False) for block in results] == [True, True, False]


async def test_one_decision_a_turn_is_taken_and_every_call_is_answered() -> None:
    twice = calls(*[(SUBMIT, {"wake": 7, "legs": [{"symbol": "BTCUSDT", "action": "BUY"}]})] * 2, (LOOK, {}))
    model, desk = Scripted(twice, says()), refuses("BTCUSDT")
    await held(model, desk)
    assert len(desk.submitted) == 1
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
        (RuntimeError("what no SDK raises"), CauseKind.INTERNAL),
    ],
)
async def test_an_answer_that_is_none_is_a_cause(answer: Reply | Trouble | Exception, expected: CauseKind) -> None:
    outcome = await held(Scripted(answer))
    assert cause(outcome) is expected
    assert outcome.calls == 1


async def test_a_cut_off_call_is_not_carried_out() -> None:
    desk = FakeDesk()
    cut = msgspec.structs.replace(submits(BUY), stop_reason="max_tokens")
    assert cause(await held(Scripted(cut), desk)) is CauseKind.CUT_OFF
    assert desk.asked == []


@pytest.mark.parametrize("answer", [Trouble(CauseKind.OVERLOADED), says(stop_reason="refusal"), RuntimeError()])
async def test_a_decision_that_was_taken_stands_whatever_happens_to_its_correction(
    answer: Reply | Trouble | Exception,
) -> None:
    outcome = await held(Scripted(submits(BUY, SELL), answer), refuses("BTCUSDT"))
    assert isinstance(outcome.ending, Submitted)
    assert outcome.ending.trouble is not None


@pytest.mark.parametrize("cause_", [CauseKind.RATE_LIMITED, CauseKind.OVERLOADED, CauseKind.SERVER])
async def test_a_moment_of_bad_luck_is_waited_out_once(cause_: CauseKind) -> None:
    model, clock = Scripted(Trouble(cause_, retry_after_s=5), submits(BUY)), Waits()
    outcome = await held(model, clock=clock)
    assert clock.waited == [5_000], "by the wall, though engine time is simulated"
    assert isinstance(outcome.ending, Submitted)
    assert [request.turn for request in model.asked] == [0, 1]
    assert cause(await held(Scripted(Trouble(cause_), Trouble(cause_)), clock=clock)) is cause_


async def test_who_asks_to_be_left_alone_for_long_is_left_alone() -> None:
    outcome = await held(Scripted(Trouble(CauseKind.RATE_LIMITED, retry_after_s=60), submits(BUY)))
    assert cause(outcome) is CauseKind.RATE_LIMITED
    assert outcome.calls == 1


class Silent:
    """Never answers."""

    async def create(self, request: Request) -> Reply | Trouble:
        await asyncio.Event().wait()
        raise AssertionError


async def test_silence_ends_with_the_time_and_counts_at_its_worst() -> None:
    outcome = await held(Silent(), terms=msgspec.structs.replace(TERMS, timeout_s=0.01), clock=LiveClock())
    assert cause(outcome) is CauseKind.TIMEOUT
    assert outcome.cost_usd > cost(TokenUsage(output=TERMS.max_tokens), MODEL, 0)


async def test_what_is_under_way_when_the_desk_gives_up_counts_at_its_worst() -> None:
    conversation = Conversation(Silent(), FakeDesk(), SimulatedClock(), TERMS)
    task = asyncio.ensure_future(conversation.hold(7, SYSTEM, CONTEXT))
    while not conversation.cost_usd:
        await SimulatedClock().wait_until(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert conversation.cost_usd > cost(TokenUsage(output=TERMS.max_tokens), MODEL, 0)


async def test_no_call_is_made_whose_worst_is_not_left() -> None:
    model = Scripted(submits(BUY))
    poor = msgspec.structs.replace(TERMS, allowance_usd=Decimal("0.03"))
    assert cause(await held(model, terms=poor)) is CauseKind.BUDGET
    assert model.asked == []


async def test_what_was_spent_counts_for_the_next_call() -> None:
    dear = msgspec.structs.replace(looks(), usage=TokenUsage(plain=200_000, output=10))
    model = Scripted(dear, submits(BUY))
    assert cause(await held(model)) is CauseKind.BUDGET
    assert len(model.asked) == 1


async def test_a_model_without_a_price_is_not_asked() -> None:
    model = Scripted(submits(BUY))
    assert cause(await held(model, terms=msgspec.structs.replace(TERMS, model="claude-nobody"))) is CauseKind.NO_PRICE
    assert model.asked == []


async def test_a_desk_that_cannot_be_asked_is_a_cause() -> None:
    desk = FakeDesk()
    desk.breaks = {LOOK, SUBMIT}
    assert cause(await held(Scripted(looks()), desk)) is CauseKind.TOOLS
    outcome = await held(Scripted(submits(BUY)), desk)
    assert isinstance(outcome.ending, Failed)
    assert "may have been carried out" in outcome.ending.trouble.detail


CALL = st.tuples(
    st.sampled_from([LOOK, SUBMIT, "orders_place", "x"]), st.sampled_from([{}, None, "a", {"wake": 7, "legs": []}])
)
ANSWER: st.SearchStrategy[Any] = st.one_of(
    st.builds(says, st.text(max_size=5), st.sampled_from(["end_turn", "refusal", "tool_use", "max_tokens", "x"])),
    st.lists(CALL, max_size=4).map(lambda made: calls(*made)),
    st.builds(Trouble, st.sampled_from(CauseKind), st.just(""), st.sampled_from([None, 0.0, 1.0, 1e9])),
)


@settings(max_examples=40)
@given(st.lists(ANSWER, min_size=1, max_size=6))
def test_whatever_a_model_does_the_conversation_ends_and_says_how(answers: list[Any]) -> None:
    desk = FakeDesk()
    outcome = asyncio.run(held(Scripted(*answers), desk))
    assert isinstance(outcome.ending, Submitted | NoDecision | Failed)
    assert outcome.calls <= 2 * (TERMS.tool_rounds + 5)
    assert len(desk.submitted) <= 2
    assert {name for name, _ in desk.asked} <= {LOOK, SUBMIT}

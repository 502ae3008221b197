"""A decision that a model writes as text instead of calling the tool: nothing is sent, and the run reports that."""

from typing import Any

import pytest

from ocw_mcp.agent.messages import Reply, Trouble
from ocw_mcp.agent.pricing import TokenUsage
from ocw_mcp.agent.text_decisions import contains_decision
from ocw_mcp.domain import events
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Decision
from ocw_mcp.runtime.clock import SimulatedClock
from tests.support.agent import says
from tests.support.claude_runs import ClaudeRun, ModelByWake, decides, leg
from tests.support.markets import ListFeed, path
from tests.support.runs import policies

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, budget={"usd_per_day": 1_000, "usd_per_month": 10_000})

WRITTEN = [
    "BUY BTCUSDT 10% of equity, stop 95000.",
    "Decision: SELL ETHUSDT.",
    "**BUY** BTC/USDT size 0.1",
    "BTCUSDT: SHORT with a stop at 105",
    "I will buy 0.1 BTC.",
    "I am going long BTCUSDT with 5%.",
    "Closing my SOLUSDT long here.",
    "I have submitted a BUY of BTCUSDT and it was filled at a very good price.",
    "action: BUY\nsymbol: BTCUSDT",
    '{"wake": 7, "legs": [{"symbol": "BTCUSDT", "action": "BUY", "size": 0.1}]}',
    'My answer:\n```json\n{"legs": [{"symbol": "ETHUSDT", "action": "SELL"}]}\n```\nDone.',
    'decisions_submit(wake=7, legs=[{"symbol": "BTCUSDT", "action": "COVER"}])',
    "{'symbol': 'BTCUSDT', 'action': 'BUY'}",
    '{"symbol": "BTCUSDT", "side": "LONG"}',
    "BTCUSDT: buy 0.1",
    "| BTCUSDT | BUY | 0.5 |",
    "Long BTCUSDT, 1% risk.",
    "Buy bitcoin.",
    "I raise the stop of BTCUSDT to 99.",
    "My decision: LONG BTCUSDT 10 % stop 97",
    "BTC: BUY, ETH: HOLD",
    "Place a market buy order for BTCUSDT, size 0.1.",
    "I am buying BTCUSDT because the signals agree.",
    "Buy BTCUSDT now, as it was strong yesterday.",
    "REDUCE BTCUSDT by 50 %.",
    "PROTECT ETHUSDT, stop 2300.",
    "Cancel the BTCUSDT entry.",
    "I have reduced SOLUSDT by half.",
    '{"symbol": "BTCUSDT", "action": "PROTECT", "stop": 99}',
]
HELD = [
    "Nothing to do.",
    "I hold: no reason to BUY BTCUSDT at this price.",
    "Too choppy, waiting for BTCUSDT to close above 80000 before I buy.",
    "The long in BTCUSDT is fine.",
    "Short squeeze in BTCUSDT is over.",
    "Long BTCUSDT runs well.",
    "If BTC breaks 105, buy BTC.",
    "BTCUSDT: BUY signal of the rules, but I hold.",
    "The buy order for BTCUSDT rests at 95.",
    "I hold, since the rules say SELL ETHUSDT on a weak signal.",
    "The stop of BTCUSDT is set at 99.",
    "The position stays open, its stop protects it.",
    "Its stop will protect BTCUSDT gains.",
    "No need to reduce BTCUSDT yet.",
    '{"legs": []}',
    '{"symbol": "BTCUSDT", "action": "HOLD"}',
]


@pytest.mark.parametrize("text", WRITTEN)
def test_decision_written_in_words_or_json_is_detected(text: str) -> None:
    assert contains_decision(text)


@pytest.mark.parametrize("text", HELD)
def test_text_that_explains_a_hold_is_not_detected_as_a_decision(text: str) -> None:
    assert not contains_decision(text)


@pytest.mark.parametrize("text", [WRITTEN[0], WRITTEN[9]])
async def test_decision_written_as_text_is_a_hold_and_reported_as_unsent(text: str) -> None:
    model = ModelByWake({1: [says(text)]})
    claude = ClaudeRun(ListFeed(path([100.0] * 5)), model, policy=WAKES)
    await claude.go()
    made = claude.events(events.DecisionMade)
    assert (made[0].decider, made[0].decision) == ("claude", Decision(cause=Cause(CauseKind.UNSENT, text)))
    assert claude.events(events.OrderIntended) == []
    assert [each.text for each in claude.events(events.Incident)] == [
        "claude wrote its decision on wake 1 as text; nothing was sent"
    ]
    first, second = (str(request.body["messages"]) for request in model.requests[:2])
    line = "not taken: wake 1 was answered in words, not with decisions_submit: nothing was sent"
    assert (line in first, line in second) == (False, True)


async def no_pause(clock: SimulatedClock, ms: float) -> None:
    """Try again at once; the clock would wait some real seconds."""


NO_WORDS = Reply("end_turn", (), TokenUsage(plain=100, output=1))


@pytest.mark.parametrize("between", [Trouble(CauseKind.OVERLOADED), NO_WORDS])
async def test_model_sees_its_unsent_decision_at_the_next_wake_it_answers(
    between: Reply | Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SimulatedClock, "pause", no_pause)
    refused = decides(1, conditions=[{"symbol": "DOGE", "metric": "price", "comparison": "gt", "threshold": 1}])
    for first, line in ((says(WRITTEN[0]), "nothing was sent"), (refused, "condition 1 (DOGE price)")):
        model = ModelByWake({1: [first], 2: [between] * 9})
        claude = ClaudeRun(ListFeed(path([100.0] * 6)), model, policy=WAKES)
        await claude.go()
        assert claude.events(events.DecisionMade)[1].decider == "rules"
        assert line in str(next(request for request in model.requests if request.wake == 3).body["messages"])


async def test_wake_after_a_decision_written_as_text_calls_the_model() -> None:
    model = ModelByWake({1: [says(WRITTEN[0])]})
    claude = ClaudeRun(ListFeed(path([100.0] * 4)), model, policy=WAKES)
    await claude.go()
    assert [request.wake for request in model.requests][:2] == [1, 2]


async def test_submitted_decision_raises_no_incident() -> None:
    claude = ClaudeRun(ListFeed(path([100.0] * 4)), ModelByWake({1: [decides(1, leg("BUY"))]}), policy=WAKES)
    await claude.go()
    assert claude.events(events.Incident) == []


@pytest.mark.parametrize("content", [(), ({"type": "text", "text": " \u200b\n"},), ({"type": "text", "text": None},)])
async def test_empty_answer_leaves_the_wake_to_the_rules(content: tuple[dict[str, Any], ...]) -> None:
    empty = Reply("end_turn", content, TokenUsage(plain=100, output=1))
    model = ModelByWake({wake: [empty] for wake in (1, 2, 3)})
    claude = ClaudeRun(ListFeed(path([100.0] * 7)), model, policy=WAKES)
    await claude.go()
    made = claude.events(events.DecisionMade)
    assert all(each.decider == "rules" for each in made)
    assert [each.decision.cause_kind for each in made[:4]] == [*["MALFORMED"] * 3, "BREAKER"]
    assert len(claude.events(events.Incident)) == 3
    assert claude.run.engine.decisions.state().held is None

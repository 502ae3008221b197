"""`decisions_submit`: whoever is attached answers the wakes of an engine that waits for them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult

from ocw_mcp.domain import events
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.render.snapshot_text import compact
from ocw_mcp.runtime.deciders import AttachedDecider
from tests.support.facades import Looked
from tests.support.runs import policies

ERAS = ("auto", "legacy")
WAITS = policies(
    gate={"close_wakes": ["1h"], "outlier_z": 50, "escalation_z": 50},
    decision={"deadline_s": 900},
    fallback={"rules": "manage"},
)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Looked]:
    """An engine that has been waiting for an answer to its first wake for a minute."""
    found = Looked(tmp_path / "desk", AttachedDecider(), policy=WAITS, agent="attached", fallback=True)
    asyncio.run(found.run.go(HOUR + MINUTE))
    assert found.facade.status().deciding
    yield found
    found.store.close()


def text(result: CallToolResult) -> str:
    block = result.content[0]
    assert block.type == "text"
    return block.text


def told(desk: Looked, kind: type) -> list[Any]:
    return [event for _, event in desk.store.all_events() if isinstance(event, kind)]


async def submit(desk: Looked, era: str = "auto", wake: int = 1, **decision: Any) -> CallToolResult:
    async with Client(desk.server, mode=era) as client:
        return await client.call_tool("decisions_submit", {"wake": wake, "legs": []} | decision)


def leg(desk: Looked, symbol: str = "BTCUSDT", size: str = "0.1", stop: float = 0.97) -> dict[str, Any]:
    last = desk.facade.symbol(symbol).last
    assert isinstance(last, float)
    return {
        "symbol": symbol, "action": "BUY", "size": size, "stop": f"{last * stop:.2f}", "thesis": "it breaks out",
        "signals": ["adx"],
    }  # fmt: skip


@pytest.mark.parametrize("era", ERAS)
async def test_all_legs_are_submitted_at_once_and_each_is_answered_by_itself(desk: Looked, era: str) -> None:
    legs = [leg(desk), leg(desk, "ETHUSDT", size="0.9"), {"symbol": "SOLUSDT", "action": "HOLD"}]
    answer = await submit(desk, era, legs=legs, next_check_s=600, note="watch ETH")
    assert not answer.is_error, text(answer)
    assert answer.structured_content is not None
    rows = answer.structured_content["legs"]
    assert [row["outcome"] for row in rows] == ["accepted", "refused", "held"]
    assert rows[1]["refusal"].startswith("ORDER_NOTIONAL: ")
    assert float(rows[1]["largest"]) > 0
    (made,) = told(desk, events.DecisionMade)
    assert (made.wake_id, made.decider, made.thinking_ms) == (1, "mcp:insider", MINUTE)
    assert made.decision.next_check_s == 600
    note = desk.facade.snapshot().note
    assert note is not None
    assert (note.text, note.by) == ("watch ETH", "mcp:insider")
    assert not desk.facade.status().deciding
    (order,) = desk.facade.orders()
    assert (order.intent.principal, order.intent.wake_id) == ("mcp:insider", 1)


async def test_how_sure_a_leg_is_is_journaled_and_makes_it_no_other_answer(desk: Looked) -> None:
    wrong = await submit(desk, legs=[leg(desk) | {"confidence": 1.5}])
    assert text(wrong).startswith("BAD_ARGUMENTS: ")
    first = await submit(desk, legs=[leg(desk) | {"confidence": 0.65}])
    again = await submit(desk, legs=[leg(desk) | {"confidence": 0.2}])
    assert first.structured_content is not None
    assert again.structured_content is not None
    assert first.structured_content["legs"] == again.structured_content["legs"]
    (made,) = told(desk, events.DecisionMade)
    assert made.decision.legs[0].confidence == 0.65
    assert len(desk.facade.orders()) == 1


@pytest.mark.parametrize("era", ERAS)
async def test_the_same_answer_to_the_same_wake_is_taken_once(desk: Looked, era: str) -> None:
    first = await submit(desk, era, legs=[leg(desk)])
    again = await submit(desk, era, legs=[leg(desk)])
    assert first.structured_content is not None
    assert again.structured_content is not None
    assert first.structured_content["legs"] == again.structured_content["legs"]
    assert len(desk.facade.orders()) == 1


async def test_what_was_refused_may_be_corrected_once_and_nothing_else(desk: Looked) -> None:
    await submit(desk, legs=[leg(desk), leg(desk, "ETHUSDT", size="0.9")])
    other = await submit(desk, legs=[leg(desk, "SOLUSDT")])
    assert text(other).startswith("NO_WAKE: ")
    assert "limit=corrections of ETHUSDT actual=a leg on SOLUSDT" in text(other)
    corrected = await submit(desk, legs=[leg(desk, "ETHUSDT", size="0.1")])
    assert corrected.structured_content is not None
    assert [row["outcome"] for row in corrected.structured_content["legs"]] == ["accepted"]
    (event,) = told(desk, events.DecisionCorrected)
    assert (event.wake_id, event.decider) == (1, "mcp:insider")
    third = await submit(desk, legs=[leg(desk, "ETHUSDT", size="0.05")])
    assert text(third).startswith("NO_WAKE: ")
    assert len(desk.facade.orders()) == 2


async def test_a_wake_that_waits_for_nothing_takes_no_answer(desk: Looked) -> None:
    early = await submit(desk, wake=2, legs=[leg(desk)])
    assert text(early).startswith("NO_WAKE: ")
    assert "limit=wake 1 actual=wake 2" in text(early)
    assert desk.facade.orders() == []
    await submit(desk, legs=[])
    late = await submit(desk, legs=[leg(desk)])
    assert "limit=no wake waits actual=wake 1" in text(late)


async def test_an_answer_to_a_wake_that_comes_later_is_taken_when_it_is_there(desk: Looked) -> None:
    legs = [leg(desk)]
    assert (await submit(desk, wake=2, legs=legs)).is_error
    await submit(desk, legs=[])
    await desk.run.go(2 * HOUR + MINUTE)
    answer = await submit(desk, wake=2, legs=legs)
    assert not answer.is_error, text(answer)


async def test_where_nobody_answers_in_time_the_rules_decide_and_the_journal_says_why(desk: Looked) -> None:
    await desk.run.go(HOUR + 20 * MINUTE)
    (made,) = told(desk, events.DecisionMade)
    assert (made.decider, made.decision.cause) == ("rules", Cause(CauseKind.DEADLINE, "900 s after the wake"))


async def test_an_engine_whose_agent_is_another_takes_no_answer_from_outside(tmp_path: Path) -> None:
    desk = Looked(tmp_path / "other")
    await desk.run.go(HOUR)
    refused = await submit(desk, legs=[])
    assert text(refused).startswith("NO_WAKE: ")
    assert "--agent attached" in text(refused)
    desk.store.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"legs": [{"symbol": "BTCUSDT", "action": "DANCE"}]},
        {"legs": [{"symbol": "BTCUSDT", "action": "BUY", "approved": True}]},
        {"legs": [{"symbol": "BTCUSDT", "action": "BUY", "size": "NaN"}]},
        {"legs": "all of it"},
        {"legs": [], "conditions": [{"symbol": "BTCUSDT", "metric": "price", "comparison": "gt", "threshold": "inf"}]},
        {"legs": [], "wake": 0},
    ],
    ids=str,
)
async def test_a_malformed_decision_is_told_what_is_wrong_and_leaves_the_wake_waiting(
    desk: Looked, wrong: dict[str, Any]
) -> None:
    refused = await submit(desk, **wrong)
    assert text(refused).startswith("BAD_ARGUMENTS: ")
    assert desk.facade.status().deciding


async def test_a_symbol_that_nobody_follows_is_one_refused_leg(desk: Looked) -> None:
    made_up = {"symbol": "MOONUSDT", "action": "BUY", "size": "0.1", "stop": "1"}
    answer = await submit(desk, legs=[made_up, leg(desk)])
    assert answer.structured_content is not None
    rows = answer.structured_content["legs"]
    assert [row["outcome"] for row in rows] == ["refused", "accepted"]
    assert rows[0]["refusal"].startswith("UNKNOWN_SYMBOL: ")


async def test_conditions_are_armed_and_those_that_cannot_be_are_told_in_the_journal(desk: Looked) -> None:
    good = {"symbol": "btcusdt", "metric": "price", "comparison": "gt", "threshold": 1e6, "reason": "a moon"}
    await submit(desk, conditions=[good, good | {"metric": "vibes"}])
    (armed,) = told(desk, events.WakeConditionsSet)
    assert (armed.armed, len(armed.refused)) == (1, 1)


def rows(answer: CallToolResult) -> list[tuple[str, str, str]]:
    assert answer.structured_content is not None, text(answer)
    legs = answer.structured_content["legs"]
    return [(each["symbol"], each["action"], each["outcome"]) for each in legs]


async def holding(desk: Looked) -> None:
    """Have the engine hold a BTCUSDT long and wait for an answer to its second wake."""
    await submit(desk, legs=[leg(desk)])
    await desk.run.go(2 * HOUR + MINUTE)
    assert [each.symbol for each in desk.facade.positions()] == ["BTCUSDT"]


@pytest.mark.parametrize("symbol", ["BTC/USDT", "btcusdt", "BTC-USDT", "BTC/USDT:USDT"])
async def test_a_leg_may_spell_its_symbol_as_other_programs_do(desk: Looked, symbol: str) -> None:
    await holding(desk)
    answer = await submit(desk, wake=2, legs=[{"symbol": symbol, "action": "SELL"}])
    assert rows(answer) == [("BTCUSDT", "SELL", "accepted")]


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"symbol": "ETHUSDT", "action": "BUY", "size": "a lot"}, "size"),
        ({"symbol": "ETHUSDT", "action": "YOLO"}, "action"),
        ({"symbol": "ETHUSDT", "action": "BUY", "conviction": "max"}, "conviction"),
        ({"symbol": "ETHUSDT", "action": "BUY", "stop": -1}, "stop"),
        ({"action": "BUY", "size": 0.1}, "symbol"),
        ("BUY ETHUSDT", "dict"),
        (None, "dict"),
        ({"symbol": "MOONUSDT", "action": "BUY", "size": 0.1}, "UNKNOWN_SYMBOL"),
    ],
)
async def test_a_close_is_carried_out_beside_a_leg_that_cannot_be_read(desk: Looked, bad: Any, named: str) -> None:
    await holding(desk)
    answer = await submit(desk, wake=2, legs=[bad, {"symbol": "BTCUSDT", "action": "SELL"}])
    assert answer.structured_content is not None
    refused, closed = answer.structured_content["legs"]
    assert (refused["outcome"], closed["outcome"]) == ("refused", "accepted")
    assert named in refused["refusal"]
    again = await submit(desk, wake=2, legs=[leg(desk, "ETHUSDT")])
    assert rows(again) == [("ETHUSDT", "BUY", "accepted")]
    assert desk.store.verify().ok


@pytest.mark.parametrize("beyond", [{"size": 0.5}, {"quantity": "0.1"}, {"limit": "99999"}])
async def test_a_size_on_a_closing_is_refused_by_its_name(desk: Looked, beyond: dict[str, Any]) -> None:
    await holding(desk)
    answer = await submit(desk, wake=2, legs=[{"symbol": "BTCUSDT", "action": "SELL"} | beyond, leg(desk, "ETHUSDT")])
    assert [each[2] for each in rows(answer)] == ["refused", "accepted"]
    assert answer.structured_content is not None
    assert next(iter(beyond)) in answer.structured_content["legs"][0]["refusal"]


async def test_long_texts_are_cut_and_long_floats_rounded(desk: Looked) -> None:
    entry = leg(desk) | {"size": 0.1 + 0.2 - 0.2, "stop": float(leg(desk)["stop"]) + 1e-9, "thesis": "x" * 2_000}
    entry |= {"signals": ["y" * 900] * 40}
    answer = await submit(desk, legs=[entry], note="z" * 3_000, next_check_s=10**9)
    assert rows(answer) == [("BTCUSDT", "BUY", "accepted")]
    (made,) = told(desk, events.DecisionMade)
    (taken,) = made.decision.legs
    assert (str(taken.size), len(taken.reasoning), len(taken.signals)) == ("0.1", 500, 16)
    assert (len(taken.signals[0]), len(made.decision.note), made.decision.next_check_s) == (200, 500, 86_400)


async def test_refused_conditions_are_in_the_answer_and_in_the_next_wake(desk: Looked) -> None:
    good = {"symbol": "BTC/USDT", "metric": "price", "comparison": "gt", "threshold": 1e6}
    wished = [
        good,
        good | {"metric": "vibes"},
        good | {"symbol": "MOONUSDT"},
        good | {"comparison": "above"},
    ]
    answer = await submit(desk, conditions=wished, next_check_s="soon")
    assert answer.structured_content is not None
    refused = answer.structured_content["not_taken"]
    assert len(refused) == 4
    assert all(f"not taken: {each}" in text(answer) for each in refused)
    parts = ("vibes", "UNKNOWN_SYMBOL", "BTCUSDT, ETHUSDT, SOLUSDT", "comparison", "next_check_s")
    assert all(any(part in each for each in refused) for part in parts)
    (armed,) = told(desk, events.WakeConditionsSet)
    assert (armed.armed, len(armed.refused)) == (1, 4)
    shown = compact(desk.run.engine.snapshot(desk.run.clock.now()), reader="mcp:insider")
    assert all(f"not taken: {each}" in shown for each in refused)
    other = compact(desk.run.engine.snapshot(desk.run.clock.now()), reader="claude")
    assert "not taken" not in other
    await desk.run.go(2 * HOUR + MINUTE)
    await submit(desk, wake=2, legs=[])
    assert "not taken" not in compact(desk.run.engine.snapshot(desk.run.clock.now()), reader="mcp:insider")


async def test_conditions_are_numbered_as_they_were_given(desk: Looked) -> None:
    good = {"symbol": "btc-usdt", "metric": "price", "comparison": "gt", "threshold": 1e6}
    wished = [good | {"comparison": "above"}, good, "junk", good | {"symbol": "DOGE"}, good | {"metric": "vibes"}]
    answer = await submit(desk, conditions=wished)
    assert answer.structured_content is not None
    refused = {each.split(":")[0].removesuffix(" cannot be watched") for each in answer.structured_content["not_taken"]}
    assert refused == {
        "condition 1 could not be read",
        "condition 3 could not be read",
        "condition 4 (DOGE price)",
        "condition 5 (BTCUSDT vibes)",
    }


async def test_a_null_is_as_good_as_left_out_in_a_decision(desk: Looked) -> None:
    nulls = dict.fromkeys(("target", "limit", "leverage", "confidence", "thesis", "signals"))
    condition = {"symbol": "BTCUSDT", "metric": "price", "comparison": "gt", "threshold": 1e6, "reason": None}
    answer = await submit(desk, legs=[leg(desk) | nulls], conditions=[condition], next_check_s=None, note=None)
    assert rows(answer) == [("BTCUSDT", "BUY", "accepted")]


async def test_what_a_correction_brings_beside_legs_is_said_to_be_left_out(desk: Looked) -> None:
    good = {"symbol": "BTCUSDT", "metric": "price", "comparison": "gt", "threshold": 1e6}
    await submit(desk, legs=[leg(desk, size="0.9")], conditions=[good], next_check_s=600)
    answer = await submit(desk, legs=[leg(desk)], conditions=[good, good], next_check_s=60)
    assert rows(answer) == [("BTCUSDT", "BUY", "accepted")]
    left = [f"{name} of a correction, which changes legs only" for name in ("conditions", "next_check_s")]
    assert answer.structured_content is not None
    assert answer.structured_content["not_taken"] == left
    shown = compact(desk.run.engine.snapshot(desk.run.clock.now()), reader="mcp:insider")
    assert all(f"not taken: {each}" in shown for each in left)
    assert [each.armed for each in told(desk, events.WakeConditionsSet)] == [1]

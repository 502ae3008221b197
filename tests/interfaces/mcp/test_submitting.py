"""`decisions_submit`: an attached client answers the wakes of an engine."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult

from ocw_mcp.domain import events
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.metrics import INDICATORS, PLAIN, TIMEFRAMES
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.interfaces.mcp.server import tools
from ocw_mcp.render.snapshot_text import compact
from ocw_mcp.runtime.deciders import AttachedDecider
from tests.support.facades import FacadeRun
from tests.support.runs import policies
from tests.support.trading import AS_PROGRAM

ERAS = ("auto", "legacy")
WAITS = policies(
    gate={"close_wakes": ["1h"], "outlier_moves": {}, "anchor": 0.99},
    decision={"deadline_s": 900},
    fallback={"rules": "manage"},
)


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[FacadeRun]:
    """An engine that has waited for one minute for an answer to its first wake."""
    found = FacadeRun(tmp_path / "desk", AttachedDecider(), policy=WAITS, agent="attached", fallback=True)
    asyncio.run(found.run.go(HOUR + MINUTE))
    assert found.facade.status().deciding
    yield found
    found.store.close()


def text(result: CallToolResult) -> str:
    block = result.content[0]
    assert block.type == "text"
    return block.text


def events_of(sim: FacadeRun, kind: type) -> list[Any]:
    return [event for _, event in sim.store.all_events() if isinstance(event, kind)]


async def submit(sim: FacadeRun, era: str = "auto", wake: int = 1, **decision: Any) -> CallToolResult:
    async with Client(sim.server, mode=era) as client:
        return await client.call_tool("decisions_submit", {"wake": wake, "legs": []} | decision, meta=AS_PROGRAM)


def leg(sim: FacadeRun, symbol: str = "BTCUSDT", size: str = "0.1", stop: float = 0.97) -> dict[str, Any]:
    last = sim.facade.symbol(symbol).last
    assert isinstance(last, float)
    return {
        "symbol": symbol, "action": "BUY", "size": size, "stop": f"{last * stop:.2f}", "thesis": "it breaks out",
        "signals": ["adx"],
    }  # fmt: skip


@pytest.mark.parametrize("era", ERAS)
async def test_one_submission_is_answered_leg_by_leg(sim: FacadeRun, era: str) -> None:
    legs = [leg(sim), leg(sim, "ETHUSDT", size="0.9"), {"symbol": "SOLUSDT", "action": "HOLD"}]
    answer = await submit(sim, era, legs=legs, next_check_s=600, note="watch ETH")
    assert not answer.is_error, text(answer)
    assert answer.structured_content is not None
    rows = answer.structured_content["legs"]
    assert [row["outcome"] for row in rows] == ["accepted", "refused", "held"]
    assert rows[1]["refusal"].startswith("ORDER_NOTIONAL: ")
    assert float(rows[1]["largest"]) > 0
    (made,) = events_of(sim, events.DecisionMade)
    assert (made.wake_id, made.decider, made.thinking_ms) == (1, "mcp:insider", MINUTE)
    assert made.decision.next_check_s == 600
    note = sim.facade.snapshot().note
    assert note is not None
    assert (note.text, note.by) == ("watch ETH", "mcp:insider")
    assert not sim.facade.status().deciding
    (order,) = sim.facade.orders()
    assert (order.intent.principal, order.intent.wake_id) == ("mcp:insider", 1)


async def test_repeated_decision_with_other_confidence_is_not_executed_again(sim: FacadeRun) -> None:
    wrong = await submit(sim, legs=[leg(sim) | {"confidence": 1.5}])
    assert text(wrong).startswith("BAD_ARGUMENTS: ")
    first = await submit(sim, legs=[leg(sim) | {"confidence": 0.65}])
    again = await submit(sim, legs=[leg(sim) | {"confidence": 0.2}])
    assert first.structured_content is not None
    assert again.structured_content is not None
    assert first.structured_content["legs"] == again.structured_content["legs"]
    (made,) = events_of(sim, events.DecisionMade)
    assert made.decision.legs[0].confidence == 0.65
    assert len(sim.facade.orders()) == 1


@pytest.mark.parametrize("era", ERAS)
async def test_repeated_decision_for_a_wake_is_executed_once(sim: FacadeRun, era: str) -> None:
    first = await submit(sim, era, legs=[leg(sim)])
    again = await submit(sim, era, legs=[leg(sim)])
    assert first.structured_content is not None
    assert again.structured_content is not None
    assert first.structured_content["legs"] == again.structured_content["legs"]
    assert len(sim.facade.orders()) == 1


async def test_only_refused_legs_may_be_corrected_and_only_once(sim: FacadeRun) -> None:
    await submit(sim, legs=[leg(sim), leg(sim, "ETHUSDT", size="0.9")])
    other = await submit(sim, legs=[leg(sim, "SOLUSDT")])
    assert text(other).startswith("NO_WAKE: ")
    assert "limit=a correction of ETHUSDT actual=a leg on SOLUSDT" in text(other)
    corrected = await submit(sim, legs=[leg(sim, "ETHUSDT", size="0.1")])
    assert corrected.structured_content is not None
    assert [row["outcome"] for row in corrected.structured_content["legs"]] == ["accepted"]
    (event,) = events_of(sim, events.DecisionCorrected)
    assert (event.wake_id, event.decider) == (1, "mcp:insider")
    third = await submit(sim, legs=[leg(sim, "ETHUSDT", size="0.05")])
    assert text(third).startswith("NO_WAKE: ")
    assert len(sim.facade.orders()) == 2


async def test_decision_on_a_future_or_decided_wake_is_refused(sim: FacadeRun) -> None:
    early = await submit(sim, wake=2, legs=[leg(sim)])
    assert text(early).startswith("NO_WAKE: ")
    assert "limit=wake 1 actual=wake 2" in text(early)
    assert sim.facade.orders() == []
    await submit(sim, legs=[])
    late = await submit(sim, legs=[leg(sim)])
    assert "limit=no wake waits actual=wake 1" in text(late)


async def test_decision_refused_as_too_early_is_accepted_at_its_wake(sim: FacadeRun) -> None:
    legs = [leg(sim)]
    assert (await submit(sim, wake=2, legs=legs)).is_error
    await submit(sim, legs=[])
    await sim.run.go(2 * HOUR + MINUTE)
    answer = await submit(sim, wake=2, legs=legs)
    assert not answer.is_error, text(answer)


async def test_wake_without_a_client_decision_is_decided_by_the_rules(sim: FacadeRun) -> None:
    await sim.run.go(HOUR + 20 * MINUTE)
    (made,) = events_of(sim, events.DecisionMade)
    assert (made.decider, made.decision.cause) == ("rules", Cause(CauseKind.DEADLINE, "900 s after the wake"))


async def test_engine_with_its_own_agent_refuses_client_decisions(tmp_path: Path) -> None:
    sim = FacadeRun(tmp_path / "other")
    await sim.run.go(HOUR)
    refused = await submit(sim, legs=[])
    assert text(refused).startswith("NO_WAKE: ")
    assert "--agent attached" in text(refused)
    sim.store.close()


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
async def test_malformed_decision_gets_an_error_and_the_wake_stays_open(sim: FacadeRun, wrong: dict[str, Any]) -> None:
    refused = await submit(sim, **wrong)
    assert text(refused).startswith("BAD_ARGUMENTS: ")
    assert sim.facade.status().deciding


async def test_leg_with_an_unknown_symbol_is_refused_and_others_accepted(sim: FacadeRun) -> None:
    made_up = {"symbol": "MOONUSDT", "action": "BUY", "size": "0.1", "stop": "1"}
    answer = await submit(sim, legs=[made_up, leg(sim)])
    assert answer.structured_content is not None
    rows = answer.structured_content["legs"]
    assert [row["outcome"] for row in rows] == ["refused", "accepted"]
    assert rows[0]["refusal"].startswith("UNKNOWN_SYMBOL: ")


async def test_invalid_wake_conditions_are_journaled_and_valid_ones_armed(sim: FacadeRun) -> None:
    good = {"symbol": "btcusdt", "metric": "price", "comparison": "gt", "threshold": 1e6, "reason": "a moon"}
    await submit(sim, conditions=[good, good | {"metric": "vibes"}])
    (armed,) = events_of(sim, events.WakeConditionsSet)
    assert (armed.armed, len(armed.refused)) == (1, 1)


async def test_condition_names_its_metric_and_timeframe_by_the_schema(sim: FacadeRun) -> None:
    (offered,) = [tool for tool in tools(lambda: sim.facade) if tool.name == "decisions_submit"]
    fields = offered.parameters["properties"]["conditions"]["items"]["properties"]
    assert fields["metric"]["enum"] == [*PLAIN, *INDICATORS]
    assert fields["timeframe"]["enum"] == [*TIMEFRAMES]
    good = {"symbol": "BTCUSDT", "metric": "close", "timeframe": "15m", "comparison": "gt", "threshold": 1e6}
    answer = await submit(sim, conditions=[good, good | {"metric": "price"}])
    assert "wakes on BTCUSDT close@15m gt 1e+06" in compact(sim.run.engine.snapshot(sim.run.clock.now()))
    assert "'price@15m' is no metric; nearest: price" in text(answer)


def rows(answer: CallToolResult) -> list[tuple[str, str, str]]:
    assert answer.structured_content is not None, text(answer)
    legs = answer.structured_content["legs"]
    return [(each["symbol"], each["action"], each["outcome"]) for each in legs]


async def holding(sim: FacadeRun) -> None:
    """Bring the engine to a BTCUSDT long and an open second wake."""
    await submit(sim, legs=[leg(sim)])
    await sim.run.go(2 * HOUR + MINUTE)
    assert [each.symbol for each in sim.facade.positions()] == ["BTCUSDT"]


@pytest.mark.parametrize("symbol", ["BTC/USDT", "btcusdt", "BTC-USDT", "BTC/USDT:USDT"])
async def test_leg_accepts_common_spellings_of_a_symbol(sim: FacadeRun, symbol: str) -> None:
    await holding(sim)
    answer = await submit(sim, wake=2, legs=[{"symbol": symbol, "action": "SELL"}])
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
async def test_valid_close_is_executed_despite_a_malformed_leg(sim: FacadeRun, bad: Any, named: str) -> None:
    await holding(sim)
    answer = await submit(sim, wake=2, legs=[bad, {"symbol": "BTCUSDT", "action": "SELL"}])
    assert answer.structured_content is not None
    refused, closed = answer.structured_content["legs"]
    assert (refused["outcome"], closed["outcome"]) == ("refused", "accepted")
    assert named in refused["refusal"]
    again = await submit(sim, wake=2, legs=[leg(sim, "ETHUSDT")])
    assert rows(again) == [("ETHUSDT", "BUY", "accepted")]
    assert sim.store.verify().ok


@pytest.mark.parametrize("beyond", [{"size": 0.5}, {"quantity": "0.1"}, {"limit": "99999"}])
async def test_refusal_of_a_closing_leg_names_its_size_or_limit(sim: FacadeRun, beyond: dict[str, Any]) -> None:
    await holding(sim)
    answer = await submit(sim, wake=2, legs=[{"symbol": "BTCUSDT", "action": "SELL"} | beyond, leg(sim, "ETHUSDT")])
    assert [each[2] for each in rows(answer)] == ["refused", "accepted"]
    assert answer.structured_content is not None
    assert next(iter(beyond)) in answer.structured_content["legs"][0]["refusal"]


async def test_submitted_long_texts_are_cut_and_long_floats_rounded(sim: FacadeRun) -> None:
    entry = leg(sim) | {"size": 0.1 + 0.2 - 0.2, "stop": float(leg(sim)["stop"]) + 1e-9, "thesis": "x" * 2_000}
    entry |= {"signals": ["y" * 900] * 40}
    answer = await submit(sim, legs=[entry], note="z" * 3_000, next_check_s=10**9)
    assert rows(answer) == [("BTCUSDT", "BUY", "accepted")]
    assert "note kept, its first 500 characters" in text(answer)
    (made,) = events_of(sim, events.DecisionMade)
    (taken,) = made.decision.legs
    assert (str(taken.size), len(taken.reasoning), len(taken.signals)) == ("0.1", 500, 16)
    assert (len(taken.signals[0]), len(made.decision.note), made.decision.next_check_s) == (200, 500, 10**9)


async def test_refused_wake_conditions_are_shown_until_the_next_decision(sim: FacadeRun) -> None:
    good = {"symbol": "BTC/USDT", "metric": "price", "comparison": "gt", "threshold": 1e6}
    wished = [
        good,
        good | {"metric": "vibes"},
        good | {"symbol": "MOONUSDT"},
        good | {"comparison": "above"},
    ]
    answer = await submit(sim, conditions=wished, next_check_s="soon")
    assert answer.structured_content is not None
    refused = answer.structured_content["not_taken"]
    assert len(refused) == 4
    assert all(f"not taken as given: {each}" in text(answer) for each in refused)
    parts = ("vibes", "UNKNOWN_SYMBOL", "BTCUSDT, ETHUSDT, SOLUSDT", "comparison", "next_check_s")
    assert all(any(part in each for each in refused) for part in parts)
    (armed,) = events_of(sim, events.WakeConditionsSet)
    assert (armed.armed, len(armed.refused)) == (1, 4)
    shown = compact(sim.run.engine.snapshot(sim.run.clock.now()), reader="mcp:insider")
    assert all(f"not taken: {each}" in shown for each in refused)
    other = compact(sim.run.engine.snapshot(sim.run.clock.now()), reader="claude")
    assert "not taken" not in other
    await sim.run.go(2 * HOUR + MINUTE)
    await submit(sim, wake=2, legs=[])
    assert "not taken" not in compact(sim.run.engine.snapshot(sim.run.clock.now()), reader="mcp:insider")


async def test_wake_conditions_are_numbered_in_the_given_order(sim: FacadeRun) -> None:
    good = {"symbol": "btc-usdt", "metric": "price", "comparison": "gt", "threshold": 1e6}
    wished = [good | {"comparison": "above"}, good, "junk", good | {"symbol": "DOGE"}, good | {"metric": "vibes"}]
    answer = await submit(sim, conditions=wished)
    assert answer.structured_content is not None
    refused = {each.split(":")[0].removesuffix(" cannot be watched") for each in answer.structured_content["not_taken"]}
    assert refused == {
        "condition 1 could not be read",
        "condition 3 could not be read",
        "condition 4 (DOGE price)",
        "condition 5 (BTCUSDT vibes)",
    }


async def test_null_field_in_a_decision_counts_as_absent(sim: FacadeRun) -> None:
    nulls = dict.fromkeys(("target", "limit", "leverage", "confidence", "thesis", "signals"))
    condition = {"symbol": "BTCUSDT", "metric": "price", "comparison": "gt", "threshold": 1e6, "reason": None}
    answer = await submit(sim, legs=[leg(sim) | nulls], conditions=[condition], next_check_s=None, note=None)
    assert rows(answer) == [("BTCUSDT", "BUY", "accepted")]


async def test_correction_replaces_note_conditions_and_check_time(sim: FacadeRun) -> None:
    good = {"symbol": "BTCUSDT", "metric": "price", "comparison": "gt", "threshold": 1e6}
    await submit(sim, legs=[leg(sim, size="0.9")], conditions=[good], next_check_s=600)
    answer = await submit(sim, legs=[leg(sim)], conditions=[good, good], next_check_s=99_999, note="smaller")
    assert rows(answer) == [("BTCUSDT", "BUY", "accepted")]
    assert "2 conditions set, in place of all earlier ones\nnote kept" in text(answer)
    assert "not taken as given: next_check_s 99999 became 7200: the policy allows " in text(answer)
    shown = compact(sim.run.engine.snapshot(sim.run.clock.now()), reader="mcp:insider")
    assert "not taken: next_check_s 99999 became 7200" in shown
    assert "smaller" in shown
    assert [each.armed for each in events_of(sim, events.WakeConditionsSet)] == [1, 2]


async def test_correction_without_conditions_keeps_those_of_the_decision(sim: FacadeRun) -> None:
    good = {"symbol": "BTCUSDT", "metric": "price", "comparison": "gt", "threshold": 1e6}
    await submit(sim, legs=[leg(sim, size="0.9")], conditions=[good], next_check_s=600, note="first")
    before = sim.run.engine.gate.counters.timer_at
    await submit(sim, legs=[leg(sim)])
    assert [each.armed for each in events_of(sim, events.WakeConditionsSet)] == [1]
    assert sim.run.engine.gate.counters.timer_at == before
    assert "first" in compact(sim.run.engine.snapshot(sim.run.clock.now()), reader="mcp:insider")


async def test_refused_condition_may_be_corrected_although_no_leg_was_refused(sim: FacadeRun) -> None:
    bad = {"symbol": "BTCUSDT", "metric": "vibes", "comparison": "gt", "threshold": 1e6}
    await submit(sim, legs=[leg(sim)], conditions=[bad])
    answer = await submit(sim, legs=[], conditions=[bad | {"metric": "price"}])
    assert "1 condition set" in text(answer)
    third = await submit(sim, legs=[], conditions=[bad])
    assert text(third).startswith("NO_WAKE: ")


async def test_answer_says_that_a_long_thesis_is_cut(sim: FacadeRun) -> None:
    answer = await submit(sim, legs=[leg(sim) | {"thesis": "z" * 501}])
    assert "thesis of leg 1: its first 500 characters are kept" in text(answer)


async def test_entry_too_small_for_the_venue_names_the_smallest_size(sim: FacadeRun) -> None:
    answer = await submit(sim, legs=[leg(sim, size="0.00001")])
    smallest = text(answer).partition("limit=0.001 units, size ")[2].split(" ")[0]
    corrected = await submit(sim, legs=[leg(sim, size=smallest)])
    assert rows(corrected) == [("BTCUSDT", "BUY", "accepted")]

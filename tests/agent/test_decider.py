"""Claude decides in a run: through the tools and in its own name; if it cannot, the rules decide."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult

from ocw_mcp.agent.decider import CORRECTION_MS, QUICKEST_MS, SLOWEST_MS
from ocw_mcp.agent.messages import Reply, Request, Trouble
from ocw_mcp.domain import events
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.time import DAY, MINUTE
from ocw_mcp.interfaces.mcp.server import build
from tests.support.agent import calls, says
from tests.support.claude_runs import ClaudeRun, ModelByWake, decides, leg
from tests.support.examples import again_among_slow, some
from tests.support.markets import ListFeed, path
from tests.support.runs import policies
from tests.support.stores import Crash, MemoryStore

BOTH = ("BTCUSDT", "ETHUSDT")
LOST = Cause(CauseKind.ERROR, "the process ended before it was through")
FLAT = [100.0] * 8


def market(closes: list[float] | None = None) -> ListFeed:
    return ListFeed([each for symbol in BOTH for each in path(closes or FLAT, symbol)])


def made(claude: ClaudeRun, wake: int) -> events.DecisionMade:
    found: events.DecisionMade = next(each for each in claude.events(events.DecisionMade) if each.wake_id == wake)
    return found


async def test_submitted_decision_is_executed_with_claude_as_principal() -> None:
    model = ModelByWake({1: [decides(1, leg("BUY", signals=["adx_14@1h"]), next_check_s=600, note="watch it")]})
    claude = ClaudeRun(market(), model)
    await claude.go()
    first = made(claude, 1)
    assert (first.decider, first.decision.note, first.decision.next_check_s) == ("claude", "watch it", 600)
    assert QUICKEST_MS <= first.thinking_ms <= SLOWEST_MS
    assert first.cost_usd > 0
    (entry, *_) = claude.events(events.OrderIntended)
    assert (entry.intent.principal, entry.intent.wake_id) == ("claude", 1)
    assert claude.run.engine.account.ledger.quantity("BTCUSDT") > 0
    assert [each.wake_id for each in claude.events(events.DecisionEnded)] == [1]
    assert [request.wake for request in model.requests].count(1) == 1, "an accepted decision ends the conversation"


async def test_first_request_has_the_snapshot_and_no_acting_tools() -> None:
    model = ModelByWake()
    await ClaudeRun(market(), model).go(2 * MINUTE)
    body = model.requests[0].body
    said = body["messages"][0]["content"][0]["text"]
    assert said.startswith("Wake 1\n")
    assert "BTCUSDT" in said
    assert "\nThe built-in rules:\n" in said
    assert "0.05" in body["system"][0]["text"], "limits are quoted from the policy file"
    names = [tool["name"] for tool in body["tools"]]
    assert "decisions_submit" in names
    assert not {"orders_place", "risk_halt", "positions_close"} & set(names)


async def test_turn_without_a_decision_is_journaled_as_hold() -> None:
    claude = ClaudeRun(market(), ModelByWake({1: [says("Nothing moved.")]}))
    await claude.go(2 * MINUTE)
    first = made(claude, 1)
    assert (first.decider, first.decision.legs) == ("claude", ())
    assert first.decision.cause == Cause(CauseKind.MODEL_HOLDS, "Nothing moved.")


async def test_refused_leg_is_corrected_after_the_correction_time() -> None:
    model = ModelByWake(
        {
            1: [
                decides(1, leg("BUY"), leg("BUY", "ETHUSDT", size="0.9")),
                decides(1, leg("BUY", "ETHUSDT", size="0.1")),
            ]
        }
    )
    claude = ClaudeRun(market(), model)
    await claude.go()
    (again,) = claude.events(events.DecisionCorrected)
    assert again.thinking_ms == made(claude, 1).thinking_ms + CORRECTION_MS
    entries = [each for each in claude.events(events.OrderIntended) if each.intent.purpose is Purpose.ENTRY]
    assert [each.intent.symbol for each in entries] == list(BOTH)
    result = model.requests[1].body["messages"][-1]["content"][0]["content"]
    assert "ETHUSDT: refused, ORDER_NOTIONAL" in result
    assert "largest size=" in result


async def test_condition_that_was_not_taken_is_corrected_at_the_same_wake() -> None:
    def asks(metric: str, **more: Any) -> dict[str, Any]:
        return {"symbol": "BTCUSDT", "metric": metric, "comparison": "gt", "threshold": 1e6} | more

    wrong = decides(1, leg("BUY"), conditions=[asks("price"), asks("vibes")], note="first")
    right = decides(1, conditions=[asks("price")], note="second")
    model = ModelByWake({1: [wrong, right]})
    claude = ClaudeRun(market(), model)
    await claude.go(3 * MINUTE)
    result = model.requests[1].body["messages"][-1]["content"][0]["content"]
    assert "BUY BTCUSDT: accepted" in result
    assert "not taken as given: condition 2 (BTCUSDT vibes)" in result
    assert len(claude.events(events.DecisionCorrected)) == 1
    entries = [each for each in claude.events(events.OrderIntended) if each.intent.purpose is Purpose.ENTRY]
    assert len(entries) == 1
    later = model.requests[2].body["messages"][0]["content"][0]["text"]
    assert ": second" in later
    assert "not taken" not in later


@pytest.mark.requirement("A01")
async def test_rules_decide_if_every_leg_is_refused() -> None:
    absurd = decides(1, leg("BUY", "MOONUSDT", size="1", stop="1"))
    claude = ClaudeRun(market(), ModelByWake({1: [absurd, absurd]}))
    await claude.go(3 * MINUTE)
    decided = [each for each in claude.events(events.DecisionMade) if each.wake_id == 1]
    assert [each.decider for each in decided] == ["claude", "rules"]
    assert decided[1].decision.cause_kind is CauseKind.IMPOSSIBLE
    assert claude.events(events.OrderIntended) == []


async def test_rules_decide_if_all_legs_except_hold_are_refused() -> None:
    absurd, hold = leg("BUY", "MOONUSDT", size="1", stop="1"), leg("HOLD", "ETHUSDT")
    claude = ClaudeRun(market(), ModelByWake({1: [decides(1, absurd, hold), says("So be it.")]}))
    await claude.go(3 * MINUTE)
    assert [each.decider for each in claude.events(events.DecisionMade) if each.wake_id == 1] == ["claude", "rules"]
    (ended,) = claude.events(events.DecisionEnded)
    assert ended.cause is not None
    assert ended.cause.kind is CauseKind.IMPOSSIBLE


async def test_refused_legs_corrected_to_hold_are_a_decision_of_claude() -> None:
    absurd = leg("BUY", "MOONUSDT", size="1", stop="1")
    both = decides(1, absurd, leg("BUY", "ETHUSDT", size="1", stop="1"))
    for corrected, deciders in (
        (decides(1, leg("HOLD", "MOONUSDT"), leg("HOLD", "ETHUSDT")), ["claude"]),
        (decides(1, leg("HOLD", "MOONUSDT")), ["claude", "rules"]),
    ):
        claude = ClaudeRun(market(), ModelByWake({1: [both, corrected]}))
        await claude.go(3 * MINUTE)
        assert [each.decider for each in claude.events(events.DecisionMade) if each.wake_id == 1] == deciders
        (ended,) = [each for each in claude.events(events.DecisionEnded) if each.wake_id == 1]
        assert bool(ended.cause) is (deciders != ["claude"])


async def test_accepted_leg_stays_if_another_on_its_symbol_is_refused() -> None:
    twice = decides(1, leg("BUY"), leg("BUY", size="0.9"))
    claude = ClaudeRun(market(), ModelByWake({1: [twice, says("So be it.")]}))
    await claude.go(3 * MINUTE)
    (ended,) = [each for each in claude.events(events.DecisionEnded) if each.wake_id == 1]
    assert ended.cause is None


TROUBLES: dict[str, Trouble | Reply] = {
    "NO_KEY": Trouble(CauseKind.NO_KEY),
    "BAD_KEY": Trouble(CauseKind.BAD_KEY, "401"),
    "RATE_LIMITED": Trouble(CauseKind.RATE_LIMITED, "429", retry_after_s=900),
    "OVERLOADED": Trouble(CauseKind.OVERLOADED, "529", retry_after_s=900),
    "TIMEOUT": Trouble(CauseKind.TIMEOUT),
    "CONNECTION": Trouble(CauseKind.CONNECTION),
    "REFUSAL": says("No.", "refusal"),
    "CUT_OFF": says("I would", "max_tokens"),
    "MALFORMED": calls(("decisions_submit", {"wake": 1, "legs": "all of them"})),
    "TOOL_LOOP": calls(("market_get_candles", {"symbol": "BTCUSDT"})),
    "NO_MODEL": Trouble(CauseKind.NO_MODEL, "retired"),
}


@pytest.mark.requirement("A01")
@pytest.mark.parametrize(("cause", "answer"), TROUBLES.items(), ids=TROUBLES.keys())
async def test_rules_decide_with_the_cause_of_a_failed_model_call(cause: str, answer: Trouble | Reply) -> None:
    claude = ClaudeRun(market(), ModelByWake({1: [answer] * 9}))
    await claude.go(3 * MINUTE)
    first = made(claude, 1)
    assert first.decider == "rules"
    assert first.decision.cause_kind == cause
    assert made(claude, 2).decider == "claude"


async def test_rules_decide_every_wake_if_there_is_no_api_key() -> None:
    claude = ClaudeRun(market(), Trouble(CauseKind.NO_KEY, "set ANTHROPIC_API_KEY"))
    await claude.go(4 * MINUTE)
    assert {(each.decider, each.thinking_ms) for each in claude.events(events.DecisionMade)} == {("rules", 0)}


async def test_model_without_a_price_takes_no_thinking_time() -> None:
    model = ModelByWake()
    claude = ClaudeRun(market(), model, model="claude-unknown")
    await claude.go(4 * MINUTE)
    decisions = {(each.decider, each.thinking_ms, each.decision.cause) for each in claude.events(events.DecisionMade)}
    why = Cause(CauseKind.NO_PRICE, "claude-unknown")
    assert decisions == {("rules", 0, why)}
    assert model.requests == []


async def test_repeated_hold_takes_no_thinking_time() -> None:
    claude = ClaudeRun(market(), ModelByWake())
    await claude.go()
    asked, *remembered = [each.thinking_ms for each in claude.events(events.DecisionMade)]
    assert asked >= QUICKEST_MS
    assert set(remembered) == {0}
    again = ClaudeRun(market(), model := ModelByWake(), store=claude.run.store.without_checkpoint())
    await again.go()
    assert again.run.store.fingerprint == claude.run.store.fingerprint
    assert model.requests == []


async def test_model_is_called_even_with_a_deadline_of_one_second() -> None:
    hasty = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, decision={"deadline_s": 1})
    claude = ClaudeRun(market(), model := ModelByWake(), policy=hasty)
    await claude.go(2 * MINUTE)
    assert len(model.requests) == 1
    assert made(claude, 1).thinking_ms == 1


async def test_breaker_opens_after_three_failures_in_a_run() -> None:
    down: list[Reply | Trouble] = [Trouble(CauseKind.CONNECTION)]
    model = ModelByWake(dict.fromkeys(range(1, 30), down))
    claude = ClaudeRun(market([100.0] * 22), model)
    await claude.go()
    causes = [each.decision.cause_kind for each in claude.events(events.DecisionMade)]
    assert causes[:3] == ["CONNECTION"] * 3
    assert set(causes[3:16]) == {"BREAKER"}
    assert {each.thinking_ms for each in claude.events(events.DecisionMade)[3:16]} == {0}
    assert causes[17] == "CONNECTION", "half open: one trial"
    assert len(model.requests) == 4


@pytest.mark.requirement("A05")
async def test_rules_decide_once_the_budget_is_spent() -> None:
    poor = policies(
        gate={"close_wakes": ["1m"], "cooldown_s": 0}, budget={"usd_per_day": "0.0005", "usd_per_month": 10}
    )
    model = ModelByWake()
    claude = ClaudeRun(market(), model, policy=poor)
    await claude.go()
    assert model.requests == [], "the worst-case cost is not left"
    assert {each.decision.cause_kind for each in claude.events(events.DecisionMade)} == {CauseKind.BUDGET}
    (spent,) = claude.events(events.BudgetSpent)
    assert (spent.spent_usd, spent.until % DAY) == (0, 0)


@pytest.mark.requirement("A02")
async def test_manipulated_model_cannot_pass_the_policies() -> None:
    wild = decides(1, leg("BUY", "ETHUSDT", size="1"))
    claude = ClaudeRun(
        market(), ModelByWake({1: [calls(("risk_halt", {"key": "k"}), ("orders_place", {})), wild, wild]})
    )
    await claude.go(3 * MINUTE)
    assert claude.events(events.OrderIntended) == []
    assert claude.events(events.CommandTaken) == []
    assert claude.facade.moment().state == "ACTIVE"


async def test_attached_client_cannot_answer_claudes_wake() -> None:
    class Interrupted(ModelByWake):
        """While it thinks, another client that may trade submits for its wake."""

        async def create(self, request: Request) -> Reply | Trouble:
            if not self.requests:
                async with Client(build(lambda: claude.facade, "1.2.3")) as client:
                    asking = asyncio.ensure_future(
                        client.call_tool("decisions_submit", {"wake": 1, "legs": [leg("BUY")]})
                    )
                    for _ in range(50):
                        await asyncio.sleep(0)  # noqa: TID251 - lets the other client ask
                    asking.cancel()
            return await super().create(request)

    claude = ClaudeRun(market(), Interrupted())
    await claude.go(2 * MINUTE)
    assert {each.decider for each in claude.events(events.DecisionMade)} == {"claude"}
    assert claude.events(events.OrderIntended) == []


async def killed_again(
    reopened: Callable[[], MemoryStore], script: dict[int, list[Reply | Trouble]], expected: str
) -> None:
    """Kill a resumed run soon after its start, too, and check that the next run reaches the expected result."""
    for die_at in range(2, 14, 3):
        store = reopened()
        store.die_at = die_at
        try:
            await ClaudeRun(market(), ModelByWake(script), store=store).go()
        except* Crash:
            pass
        last = ClaudeRun(market(), ModelByWake(script), store=store.reopened())
        await last.go()
        assert last.run.store.fingerprint == expected, die_at


@again_among_slow
async def test_run_killed_at_any_event_resumes_to_the_same_result() -> None:
    script: dict[int, list[Reply | Trouble]] = {
        1: [
            decides(1, leg("BUY"), leg("BUY", "ETHUSDT", size="0.9")),
            decides(1, leg("BUY", "ETHUSDT", size="0.1")),
        ],
        2: [Trouble(CauseKind.OVERLOADED, "529", retry_after_s=900)],
        3: [decides(3, leg("SELL"))],
        4: [decides(4, leg("BUY", "MOONUSDT", size="1", stop="1"))] * 2,
    }
    whole = ClaudeRun(market(), ModelByWake(script))
    await whole.go()
    touches = whole.run.store.touches
    same = lost = 0
    for die_at in some(range(1, touches, 9), 10):
        store = MemoryStore()
        store.die_at = die_at
        first = ModelByWake(script)
        try:
            await ClaudeRun(market(), first, store=store).go()
        except* Crash:
            pass
        decided = {
            each.event.wake_id for each in store.reopened().domain if isinstance(each.event, events.DecisionMade)
        }
        second = ModelByWake(script)
        again = ClaudeRun(market(), second, store=store.reopened())
        await again.go()
        assert not decided & {request.wake for request in second.requests}, die_at
        if any(each.cause == LOST for each in again.events(events.DecisionEnded)):
            # It died while its decision was open: the submitted legs stand, and a correction is lost.
            lost += 1
            await killed_again(store.reopened, script, again.run.store.fingerprint)
        else:
            assert again.run.store.fingerprint == whole.run.store.fingerprint, die_at
            same += 1
    assert same > lost > 0


async def test_decision_after_a_tool_result_with_client_text_is_tainted() -> None:
    """A tool quotes text of a client, and the legs that follow have to pass both policy sets."""
    strict = policies(order={"max_notional": 100})
    script: dict[int, list[Reply | Trouble]] = {
        1: [decides(1, leg("BUY"))],
        2: [calls(("trades_search", {})), decides(2, leg("BUY", "ETHUSDT"))],
    }
    claude = ClaudeRun(market(), ModelByWake(script), strict=strict)

    async def quoting(name: str, arguments: dict[str, Any] | None = None, *, meta: Any = None) -> CallToolResult:
        answer = await claude.client.call_tool(name, arguments, meta=meta)
        if name != "trades_search":
            return answer
        quoted = {"said": [{"source": "client", "at": None, "untrusted_text": "buy, buy"}]}
        return answer.model_copy(update={"structured_content": quoted})

    claude.intercept = quoting
    await claude.go(4 * MINUTE)
    assert [each.tainted for each in claude.events(events.DecisionMade)[:2]] == [False, True]
    (entry, *_) = claude.events(events.OrderIntended)
    assert (entry.intent.symbol, entry.intent.tainted) == ("BTCUSDT", False)
    refused = claude.events(events.OrderRefused)[0]
    assert (refused.intent.symbol, refused.refusal.code, refused.refusal.limit) == ("ETHUSDT", "ORDER_NOTIONAL", "100")

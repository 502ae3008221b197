"""Claude decides on a running desk: through its tools, in its own name, and where it cannot, the rules do."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult

from ocw_mcp.agent.causes import Trouble
from ocw_mcp.agent.decider import CORRECTION_MS, QUICKEST_MS, SLOWEST_MS
from ocw_mcp.agent.messages import Reply, Request
from ocw_mcp.domain import events
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.time import DAY, MINUTE
from ocw_mcp.interfaces.mcp.server import build
from tests.support.agent import calls, says
from tests.support.markets import ListFeed, path
from tests.support.runs import policies
from tests.support.seated import ByWake, Seated, decides, leg
from tests.support.stores import Crash, MemoryStore

BOTH = ("BTCUSDT", "ETHUSDT")
LOST = Cause(CauseKind.ERROR, "the process ended before it was through")
FLAT = [100.0] * 8


def market(closes: list[float] | None = None) -> ListFeed:
    return ListFeed([each for symbol in BOTH for each in path(closes or FLAT, symbol)])


def made(seated: Seated, wake: int) -> events.DecisionMade:
    found: events.DecisionMade = next(each for each in seated.events(events.DecisionMade) if each.wake_id == wake)
    return found


async def test_a_decision_is_submitted_through_the_desk_and_carried_out_in_claudes_name() -> None:
    model = ByWake({1: [decides(1, leg("BUY", signals=["adx_14@1h"]), next_check_s=600, note="watch it")]})
    seated = Seated(market(), model)
    await seated.go()
    first = made(seated, 1)
    assert (first.decider, first.decision.note, first.decision.next_check_s) == ("claude", "watch it", 600)
    assert QUICKEST_MS <= first.thinking_ms <= SLOWEST_MS
    assert first.cost_usd > 0
    (entry, *_) = seated.events(events.OrderIntended)
    assert (entry.intent.principal, entry.intent.wake_id) == ("claude", 1)
    assert seated.run.engine.account.ledger.quantity("BTCUSDT") > 0
    assert [each.wake_id for each in seated.events(events.DecisionEnded)] == [1]
    assert [request.wake for request in model.asked].count(1) == 1, "an accepted decision is not talked about any more"


async def test_the_context_holds_the_snapshot_what_the_rules_would_do_and_nothing_of_a_key() -> None:
    model = ByWake()
    await Seated(market(), model).go(2 * MINUTE)
    body = model.asked[0].body
    said = body["messages"][0]["content"][0]["text"]
    assert said.startswith("Wake 1\n")
    assert "BTCUSDT" in said
    assert "The rules would: " in said
    assert "0.05" in body["system"][0]["text"], "limits are quoted from the policy file"
    names = [tool["name"] for tool in body["tools"]]
    assert "decisions_submit" in names
    assert not {"orders_place", "risk_halt", "positions_close"} & set(names)


async def test_a_turn_without_a_decision_is_a_hold_of_the_models_own() -> None:
    seated = Seated(market(), ByWake({1: [says("Nothing moved.")]}))
    await seated.go(2 * MINUTE)
    first = made(seated, 1)
    assert (first.decider, first.decision.legs, first.decision.cause) == (
        "claude",
        (),
        Cause(CauseKind.MODEL_HOLDS, "Nothing moved."),
    )


async def test_what_was_refused_is_corrected_once_in_its_own_time() -> None:
    model = ByWake(
        {1: [decides(1, leg("BUY"), leg("BUY", "ETHUSDT", size="0.9")), decides(1, leg("BUY", "ETHUSDT", size="0.1"))]}
    )
    seated = Seated(market(), model)
    await seated.go()
    (again,) = seated.events(events.DecisionCorrected)
    assert again.thinking_ms == made(seated, 1).thinking_ms + CORRECTION_MS
    entries = [each for each in seated.events(events.OrderIntended) if each.intent.purpose is Purpose.ENTRY]
    assert [each.intent.symbol for each in entries] == list(BOTH)
    told = model.asked[1].body["messages"][-1]["content"][0]["content"]
    assert "ETHUSDT: refused, ORDER_NOTIONAL" in told
    assert "largest=" in told


@pytest.mark.requirement("A01")
async def test_a_decision_of_which_nothing_can_be_done_is_left_to_the_rules() -> None:
    absurd = decides(1, leg("BUY", "MOONUSDT", size="1", stop="1"))
    seated = Seated(market(), ByWake({1: [absurd, absurd]}))
    await seated.go(3 * MINUTE)
    decided = [each for each in seated.events(events.DecisionMade) if each.wake_id == 1]
    assert [each.decider for each in decided] == ["claude", "rules"]
    assert decided[1].decision.cause_kind is CauseKind.IMPOSSIBLE
    assert seated.events(events.OrderIntended) == []


async def test_a_leg_that_holds_beside_refused_ones_is_nothing_done() -> None:
    absurd, hold = leg("BUY", "MOONUSDT", size="1", stop="1"), leg("HOLD", "ETHUSDT")
    seated = Seated(market(), ByWake({1: [decides(1, absurd, hold), says("So be it.")]}))
    await seated.go(3 * MINUTE)
    assert [each.decider for each in seated.events(events.DecisionMade) if each.wake_id == 1] == ["claude", "rules"]
    (ended,) = seated.events(events.DecisionEnded)
    assert ended.cause is not None
    assert ended.cause.kind is CauseKind.IMPOSSIBLE


async def test_a_refused_leg_that_is_corrected_to_a_hold_is_a_hold_that_stands() -> None:
    absurd = leg("BUY", "MOONUSDT", size="1", stop="1")
    both = decides(1, absurd, leg("BUY", "ETHUSDT", size="1", stop="1"))
    for corrected, deciders in (
        (decides(1, leg("HOLD", "MOONUSDT"), leg("HOLD", "ETHUSDT")), ["claude"]),
        (decides(1, leg("HOLD", "MOONUSDT")), ["claude", "rules"]),
    ):
        seated = Seated(market(), ByWake({1: [both, corrected]}))
        await seated.go(3 * MINUTE)
        assert [each.decider for each in seated.events(events.DecisionMade) if each.wake_id == 1] == deciders
        (ended,) = [each for each in seated.events(events.DecisionEnded) if each.wake_id == 1]
        assert bool(ended.cause) is (deciders != ["claude"])


async def test_of_two_legs_on_one_symbol_the_one_that_passed_stands() -> None:
    twice = decides(1, leg("BUY"), leg("BUY", size="0.9"))
    seated = Seated(market(), ByWake({1: [twice, says("So be it.")]}))
    await seated.go(3 * MINUTE)
    (ended,) = [each for each in seated.events(events.DecisionEnded) if each.wake_id == 1]
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
async def test_where_claude_cannot_decide_the_rules_do_and_the_journal_says_why(
    cause: str, answer: Trouble | Reply
) -> None:
    seated = Seated(market(), ByWake({1: [answer] * 9}))
    await seated.go(3 * MINUTE)
    first = made(seated, 1)
    assert first.decider == "rules"
    assert first.decision.cause_kind == cause
    assert made(seated, 2).decider == "claude"


async def test_without_a_key_every_wake_is_the_rules() -> None:
    seated = Seated(market(), Trouble(CauseKind.NO_KEY, "set ANTHROPIC_API_KEY"))
    await seated.go(4 * MINUTE)
    assert {(each.decider, each.thinking_ms) for each in seated.events(events.DecisionMade)} == {("rules", 0)}


async def test_a_model_that_nobody_prices_is_not_asked_and_takes_no_time() -> None:
    model = ByWake()
    seated = Seated(market(), model)
    seated.decider._model = "claude-nobody"
    await seated.go(4 * MINUTE)
    told = {(each.decider, each.thinking_ms, each.decision.cause) for each in seated.events(events.DecisionMade)}
    why = Cause(CauseKind.NO_PRICE, "claude-nobody")
    assert told == {("rules", 0, why)}
    assert model.asked == []


async def test_what_is_remembered_takes_no_time_and_is_the_same_from_the_journal() -> None:
    seated = Seated(market(), ByWake())
    await seated.go()
    asked, *remembered = [each.thinking_ms for each in seated.events(events.DecisionMade)]
    assert asked >= QUICKEST_MS
    assert set(remembered) == {0}
    again = Seated(market(), model := ByWake(), store=seated.run.store.without_checkpoint())
    await again.go()
    assert again.run.store.fingerprint == seated.run.store.fingerprint
    assert model.asked == []


async def test_with_a_deadline_of_a_second_the_model_is_still_asked() -> None:
    hasty = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, decision={"deadline_s": 1})
    seated = Seated(market(), model := ByWake(), policy=hasty)
    await seated.go(2 * MINUTE)
    assert len(model.asked) == 1
    assert made(seated, 1).thinking_ms == 1


async def test_after_three_failures_the_model_is_left_alone_for_a_quarter_of_an_hour() -> None:
    down: list[Reply | Trouble] = [Trouble(CauseKind.CONNECTION)]
    model = ByWake(dict.fromkeys(range(1, 30), down))
    seated = Seated(market([100.0] * 22), model)
    await seated.go()
    causes = [each.decision.cause_kind for each in seated.events(events.DecisionMade)]
    assert causes[:3] == ["CONNECTION"] * 3
    assert set(causes[3:16]) == {"BREAKER"}
    assert {each.thinking_ms for each in seated.events(events.DecisionMade)[3:16]} == {0}
    assert causes[17] == "CONNECTION", "half open: one asks"
    assert len(model.asked) == 4


@pytest.mark.requirement("A05")
async def test_with_the_budget_spent_the_rules_decide_and_say_so() -> None:
    poor = policies(
        gate={"close_wakes": ["1m"], "cooldown_s": 0}, budget={"usd_per_day": "0.0005", "usd_per_month": 10}
    )
    model = ByWake()
    seated = Seated(market(), model, policy=poor)
    await seated.go()
    assert model.asked == [], "what it may cost at the worst is not there"
    assert {each.decision.cause_kind for each in seated.events(events.DecisionMade)} == {CauseKind.BUDGET}
    (told,) = seated.events(events.BudgetSpent)
    assert (told.spent_usd, told.until % DAY) == (0, 0)


@pytest.mark.requirement("A02")
async def test_a_model_that_was_talked_round_gets_no_further_than_the_policies() -> None:
    wild = decides(1, leg("BUY", "ETHUSDT", size="1"))
    seated = Seated(market(), ByWake({1: [calls(("risk_halt", {"key": "k"}), ("orders_place", {})), wild, wild]}))
    await seated.go(3 * MINUTE)
    assert seated.events(events.OrderIntended) == []
    assert seated.events(events.CommandTaken) == []
    assert seated.facade.moment().state == "ACTIVE"


async def test_nobody_from_outside_answers_in_claudes_place() -> None:
    seated = Seated(market(), ByWake())
    other = build(lambda: seated.facade, "1.2.3")

    class Interrupted(ByWake):
        """While it thinks, somebody else who may trade submits for its wake."""

        async def create(self, request: Request) -> Reply | Trouble:
            if not self.asked:
                async with Client(other) as client:
                    asking = asyncio.ensure_future(
                        client.call_tool("decisions_submit", {"wake": 1, "legs": [leg("BUY")]})
                    )
                    for _ in range(50):
                        await asyncio.sleep(0)  # noqa: TID251 - lets the other one ask
                    asking.cancel()
            return await super().create(request)

    seated.decider._messages = Interrupted()
    await seated.go(2 * MINUTE)
    assert {each.decider for each in seated.events(events.DecisionMade)} == {"claude"}
    assert seated.events(events.OrderIntended) == []


async def killed_again(
    reopened: Callable[[], MemoryStore], script: dict[int, list[Reply | Trouble]], expected: str
) -> None:
    """A run that goes on is killed, too, soon after it began to; the one after it comes to what it would have."""
    for die_at in range(2, 14, 3):
        store = reopened()
        store.die_at = die_at
        try:
            await Seated(market(), ByWake(script), store=store).go()
        except* Crash:
            pass
        last = Seated(market(), ByWake(script), store=store.reopened())
        await last.go()
        assert last.run.store.fingerprint == expected, die_at


async def test_killed_at_any_event_and_resumed_it_comes_to_the_same_and_asks_nobody_twice() -> None:
    script: dict[int, list[Reply | Trouble]] = {
        1: [decides(1, leg("BUY"), leg("BUY", "ETHUSDT", size="0.9")), decides(1, leg("BUY", "ETHUSDT", size="0.1"))],
        2: [Trouble(CauseKind.OVERLOADED, "529", retry_after_s=900)],
        3: [decides(3, leg("SELL"))],
        4: [decides(4, leg("BUY", "MOONUSDT", size="1", stop="1"))] * 2,
    }
    whole = Seated(market(), ByWake(script))
    await whole.go()
    touches = whole.run.store.touches
    same = lost = 0
    for die_at in range(1, touches, 9):
        store = MemoryStore()
        store.die_at = die_at
        first = ByWake(script)
        try:
            await Seated(market(), first, store=store).go()
        except* Crash:
            pass
        decided = {
            each.event.wake_id for each in store.reopened().domain if isinstance(each.event, events.DecisionMade)
        }
        second = ByWake(script)
        again = Seated(market(), second, store=store.reopened())
        await again.go()
        assert not decided & {request.wake for request in second.asked}, die_at
        if any(each.cause == LOST for each in again.events(events.DecisionEnded)):
            # It died while it had the floor: what it had submitted stands, and what it might have added is gone.
            lost += 1
            await killed_again(store.reopened, script, again.run.store.fingerprint)
        else:
            assert again.run.store.fingerprint == whole.run.store.fingerprint, die_at
            same += 1
    assert same > lost > 0


async def test_whoever_has_read_other_peoples_words_is_held_to_the_stricter_policies_too() -> None:
    """A tool quotes what a client wrote, and the legs that follow have to pass both sets."""
    strict = policies(order={"max_notional": 100})
    script: dict[int, list[Reply | Trouble]] = {
        1: [decides(1, leg("BUY"))],
        2: [calls(("trades_search", {})), decides(2, leg("BUY", "ETHUSDT"))],
    }
    seated = Seated(market(), ByWake(script), strict=strict)

    async def quoting(name: str, arguments: dict[str, Any] | None = None, *, meta: Any = None) -> CallToolResult:
        answer = await seated.client.call_tool(name, arguments, meta=meta)
        if name != "trades_search":
            return answer
        quoted = {"said": [{"source": "client", "at": None, "untrusted_text": "buy, buy"}]}
        return answer.model_copy(update={"structured_content": quoted})

    seated.calls = quoting
    await seated.go(4 * MINUTE)
    assert [each.tainted for each in seated.events(events.DecisionMade)[:2]] == [False, True]
    (entry, *_) = seated.events(events.OrderIntended)
    assert (entry.intent.symbol, entry.intent.tainted) == ("BTCUSDT", False)
    refused = seated.events(events.OrderRefused)[0]
    assert (refused.intent.symbol, refused.refusal.code, refused.refusal.limit) == ("ETHUSDT", "ORDER_NOTIONAL", "100")

"""The rules decide, as far as the policy allows, if an agent does not answer or its budget is spent."""

import math
from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.time import DAY, MINUTE, SECOND
from ocw_mcp.engine.summary import summary
from tests.support.deciders import Failing, Scripted
from tests.support.examples import again_among_slow, some
from tests.support.legs import buy
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Run, policies
from tests.support.stores import Crash, MemoryStore

D = Decimal
EAGER = {"timeframe": "15m", "entry_score": 0.1, "exit_score": 0.3, "rsi_too_high": 100, "adx_range": 1, "adx_trend": 2}
DEAD = Cause(CauseKind.ERROR, "ConnectionError: the line is dead")
RISING = [100 * 1.0003**minute + 0.3 * math.sin(minute / 7) for minute in range(900)]
"""Enough to know the average of 50 quarters of an hour, and up all the way."""


def rules_may(what: str) -> Policies:
    return policies(gate={"close_wakes": ["15m"], "cooldown_s": 0}, fallback={"rules": what}, rules=EAGER)


async def test_the_rules_replace_a_failed_agent_and_journal_the_cause() -> None:
    run = await Run(ListFeed(path(RISING)), Failing(), policy=rules_may("trade"), agent="model", fallback=True).go()
    made = run.events(events.DecisionMade)
    assert {each.decider for each in made} == {"rules"}
    assert {each.decision.cause for each in made} == {DEAD}
    assert run.engine.account.ledger.quantity("BTCUSDT") > 0
    assert {each.intent.principal for each in run.events(events.OrderIntended)} == {"rules", "guard"}


async def test_rules_limited_to_managing_positions_make_no_entry() -> None:
    run = await Run(ListFeed(path(RISING)), Failing(), policy=rules_may("manage"), agent="model", fallback=True).go()
    assert all(not leg.action.adds_risk for each in run.events(events.DecisionMade) for leg in each.decision.legs)
    assert run.events(events.OrderIntended) == run.events(events.OrderRefused) == []


async def test_a_failed_decision_without_a_fallback_is_a_hold() -> None:
    run = await Run(ListFeed(path(RISING[:40])), Failing(), policy=rules_may("trade"), agent="model").go()
    made = run.events(events.DecisionMade)[0]
    assert (made.decider, made.decision) == (
        "failing",
        Decision(cause=DEAD),
    )


async def test_a_late_answer_is_replaced_by_the_rules_and_still_costs() -> None:
    policy = policies(gate={"close_wakes": ["15m"], "cooldown_s": 0}, decision={"deadline_s": 60})
    run = Run(ListFeed(path([100.0] * 40)), Dear({}, 200 * SECOND), policy=policy, agent="dear", fallback=True)
    made = (await run.go()).events(events.DecisionMade)
    assert {each.decision.cause for each in made} == {Cause(CauseKind.DEADLINE, "60 s after the wake")}
    assert {each.cost_usd for each in made} == {D(0)}
    assert [each.cost_usd for each in run.events(events.DecisionDiscarded)] == [D("0.2")] * len(made)


class Dear(Scripted):
    """Costs 20 cents a wake."""

    name = "dear"

    def cost_usd(self, wake_id: int) -> Decimal:
        return D("0.2")


DEAR = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, budget={"usd_per_day": "0.5", "usd_per_month": 10})
AROUND_MIDNIGHT = path([100.0] * (DAY // MINUTE + 10))[-30:]


def dear(store: MemoryStore | None = None, policy: Policies = DEAR) -> Run:
    return Run(ListFeed(AROUND_MIDNIGHT), Dear({}), policy=policy, store=store, agent="dear", fallback=True)


async def test_the_rules_decide_while_the_budget_is_spent() -> None:
    run = await dear().go()
    made = run.timed(events.DecisionMade)
    before, after = ([each for at, each in made if (at < START + DAY) is early] for early in (True, False))
    for day in (before, after):
        assert [each.decider for each in day[:4]] == ["dear", "dear", "dear", "rules"]
        assert [each.cost_usd for each in day[:4]] == [D("0.2"), D("0.2"), D("0.2"), D(0)]
        assert {each.decider for each in day[3:]} == {"rules"}
    assert before[3].decision.cause == Cause(
        CauseKind.BUDGET, "0.6 USD spent today, 0.6 this month; the next from 2026-01-02T00:00:00Z on"
    )
    spent = run.events(events.BudgetSpent)
    assert [(each.spent_usd, each.until) for each in spent] == [(D("0.6"), START + DAY), (D("1.2"), START + 2 * DAY)]


async def test_budget_spent_in_a_month_is_renewed_in_the_next() -> None:
    policy = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, budget={"usd_per_day": 9, "usd_per_month": "0.4"})
    run = await dear(policy=policy).go()
    assert [each.decider for each in run.events(events.DecisionMade)].count("dear") == 2
    (spent,) = run.events(events.BudgetSpent)
    assert spent.until == START + 31 * DAY


async def test_a_non_model_agent_decides_even_if_the_budget_is_0() -> None:
    policy = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, budget={"usd_per_day": 0, "usd_per_month": 0})
    run = await Run(ListFeed(path([100.0] * 5)), Scripted({}), policy=policy).go()
    assert {each.decider for each in run.events(events.DecisionMade)} == {"scripted"}


@again_among_slow
async def test_a_run_killed_after_a_model_cost_resumes_to_the_same_events() -> None:
    undisturbed = await dear(MemoryStore()).go()
    for moment in some(range(1, undisturbed.store.touches + 1, 7)):
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await dear(dying).go()
        resumed = await dear(dying.reopened()).go()
        assert resumed.store.fingerprint == undisturbed.store.fingerprint, f"died at {moment}"
        assert resumed.engine.state() == undisturbed.engine.state()


async def test_limit_usage_counts_live_entries_and_model_cost() -> None:
    script = {1: buy("96", "0.2", limit="98")}
    mandate = {"amount": 5_000, "symbols": ["*"], "expires": "2030-01-01T00:00:00Z"}
    budget = {"usd_per_day": "0.5", "usd_per_month": 10}
    gate = {"close_wakes": ["1m"], "cooldown_s": 0}
    policy = policies(gate=gate, mandate=mandate, margin={"min_free": "0.2"}, budget=budget)
    run = await Run(ListFeed(path([100.0] * 4)), Dear(script), policy=policy, agent="dear", fallback=True).go()
    used = {row["name"]: (D(row["limit"]), D(row["used"])) for row in summary(run.engine)["limits"]}
    view = run.engine.manager.view("BTCUSDT", START + 4 * MINUTE)
    assert view is not None
    assert used["mandate.amount"] == (D(5_000), view.gross)
    assert view.gross > 0
    assert used["exposure.max_gross"][1] == used["position.max_share"][1] == round(view.gross / view.equity, 6)
    assert used["margin.min_free"] == (D("0.2"), round(view.free_margin / view.equity, 6))
    assert used["positions.max_open"][1] == used["pace.entries_per_day"][1] == 1
    assert used["pace.reductions_per_minute"][1] == 0
    assert used["budget.usd_per_day"] == (policy.budget.usd_per_day, D("0.6"))


async def test_a_model_without_orders_for_long_is_reported() -> None:
    idle = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, decision={"idle_wakes": 3})
    script = Scripted({4: buy("97")})
    run = await Run(ListFeed(path([100.0] * 9)), script, policy=idle, agent="a model", fallback=True).go()
    told = [each.text for each in run.events(events.Incident)]
    assert told == ["nothing was done for 3 decisions in a row"] * 2

"""A halt or a flatten while the agent thinks, on a book at the exchange: the late decision changes nothing."""

import asyncio
from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.state import TradingState
from ocw_mcp.sandbox.binance.account.api import FuturesApi
from tests.support.examples import slow_after
from tests.support.exchange_books import Outcome
from tests.support.exchange_stories import BTC, play
from tests.support.sandbox_books import BEGIN, ByMinute

SLOW_S = 50.0
ENTERS = Decision((Leg(BTC, Action.BUY, size=Decimal("0.015"), stop=Decimal(88_650)),))
ADDS = Decision((Leg(BTC, Action.ADD, size=Decimal("0.015")),))
CANCELS = Decision((Leg(BTC, Action.CANCEL),))


class Slow(ByMinute):
    """Decides by a script, as a model of which each answer takes 50 s."""

    def thinking_ms(self, request: DecisionRequest) -> int | None:  # type: ignore[override]
        return None

    async def decide(self, request: DecisionRequest) -> Decision:
        await asyncio.sleep(SLOW_S)  # noqa: TID251 - virtual time
        return await super().decide(request)


def played(verb: str, late: Decision) -> Outcome:
    """Enter in minute 2, and give a command at 200 s, while the agent thinks about the wake of minute 3."""
    return play({}, minutes=7, commands=[(200, verb)], decider=lambda: Slow({2: ENTERS, 3: late}))


def seconds(outcome: Outcome, kind: type) -> list[float]:
    return [(at - BEGIN) / 1_000 for at, event in outcome.journal if isinstance(event, kind)]


@pytest.mark.requirement("K05")
@pytest.mark.parametrize("late", slow_after(1, [ADDS, ENTERS, CANCELS]))
def test_decision_after_a_flatten_has_no_effect_on_a_flat_account(late: Decision) -> None:
    outcome = played("flatten", late)
    assert outcome.problems() == []
    api = outcome.exchange.exchange.account
    assert isinstance(api, FuturesApi)
    state = api.account.state
    assert state.position(BTC).quantity == len(state.open) == len(state.waiting) == 0
    (taken,) = seconds(outcome, events.CommandTaken)
    arrived = [(each.at - BEGIN) / 1_000 for each in outcome.record.arrivals]
    # The account is flat within a second of the command, long before the decision comes, and no order comes after.
    assert taken < max(arrived) < taken + 1
    assert outcome.record.latest[BTC].at < BEGIN + (taken + 1) * 1_000
    # The agent was asked before the command, and its decision came after it.
    asked = next(at for at, each in outcome.journal if isinstance(each, events.WakeRaised) and each.wake_id == 3)
    made = next(at for at, each in outcome.journal if isinstance(each, events.DecisionMade) and each.wake_id == 3)
    assert (asked - BEGIN) / 1_000 < taken < (made - BEGIN) / 1_000
    assert outcome.run.engine.account.trading_state is TradingState.HALTED


@pytest.mark.requirement("K05")
def test_decision_after_a_halt_leaves_the_stop_and_adds_nothing() -> None:
    outcome = played("halt", ADDS)
    assert outcome.problems() == []
    assert len(outcome.record.trades) == 1
    standing = outcome.record.latest[BTC]
    assert standing.position > 0
    assert not standing.naked
    assert max(each.at for each in outcome.record.arrivals) < BEGIN + 200_000

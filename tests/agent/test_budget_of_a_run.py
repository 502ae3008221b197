"""A run with a model whose answers cost money never spends more than its budget, and spends most of it."""

from dataclasses import replace
from decimal import Decimal

import pytest

from ocw_mcp import __version__
from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.feeds.simulated.feed import START
from ocw_mcp.agent.messages import Reply, Request
from ocw_mcp.agent.pricing import TokenUsage, cost
from ocw_mcp.app.bench.stand_in import StandIn, open_seat, trades
from ocw_mcp.app.claude import MODEL
from ocw_mcp.app.policy_loader import LoadedPolicies, load_policies
from ocw_mcp.domain import events
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.time import DAY, utc_day

COSTS = (events.DecisionMade, events.DecisionEnded, events.DecisionCorrected, events.DecisionDiscarded)


def limited(usd_per_day: str) -> LoadedPolicies:
    default = load_policies(None)
    budget = default.policies.budget.model_copy(update={"usd_per_day": Decimal(usd_per_day)})
    return replace(default, policies=default.policies.model_copy(update={"budget": budget}))


class Billed(StandIn):
    """A stand-in that adds up the price of its answers, and counts those that keep the prompt cache."""

    def __init__(self) -> None:
        super().__init__(output_tokens=800)
        self.usd = ZERO
        self.kept = 0

    async def create(self, request: Request) -> Reply:
        reply = await super().create(request)
        self.usd += cost(reply.usage, MODEL, self.clock.now())
        self.kept += request.body["max_tokens"] == 1
        return reply


@pytest.mark.slow
async def test_every_answer_is_booked_also_those_that_keep_the_cache() -> None:
    model = Billed()
    async with open_seat(SimulatedFeed(1), load_policies(None), model) as seat:
        await seat.book.run.run(__version__, DAY)
        booked = [event.cost_usd for _, event in seat.book.store.all_events() if isinstance(event, COSTS)]
    assert model.kept > 3
    unbooked = model.usd - sum(booked, ZERO)
    # The last decision may still be under way when the run ends.
    assert 0 <= unbooked <= cost(TokenUsage(plain=1_500, read=7_500, output=800), MODEL, START)


@pytest.mark.parametrize(
    ("usd_per_day", "trading"), [("0.1", False), pytest.param("0.25", True, marks=pytest.mark.slow)]
)
async def test_no_day_costs_more_than_its_budget(usd_per_day: str, trading: bool) -> None:
    model = StandIn(output_tokens=800, script=trades if trading else None)
    spent: dict[str, Decimal] = {}
    async with open_seat(SimulatedFeed(1), limited(usd_per_day), model) as seat:
        await seat.book.run.run(__version__, 2 * DAY)
        for at, event in seat.book.store.all_events():
            if isinstance(event, COSTS):
                spent[utc_day(at)] = spent.get(utc_day(at), ZERO) + event.cost_usd
    assert max(spent.values()) <= Decimal(usd_per_day)
    assert max(spent.values()) > Decimal(usd_per_day) / 2

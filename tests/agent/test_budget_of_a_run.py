"""A run with a model whose answers cost money never spends more than its budget, and spends most of it."""

from dataclasses import replace
from decimal import Decimal

import pytest

from ocw_mcp import __version__
from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.app.bench.stand_in import StandIn, open_seat, trades
from ocw_mcp.app.policy_loader import LoadedPolicies, load_policies
from ocw_mcp.domain import events
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.time import DAY, utc_day

COSTS = (events.DecisionMade, events.DecisionEnded, events.DecisionCorrected, events.DecisionDiscarded)


def limited(usd_per_day: str) -> LoadedPolicies:
    default = load_policies(None)
    budget = default.policies.budget.model_copy(update={"usd_per_day": Decimal(usd_per_day)})
    return replace(default, policies=default.policies.model_copy(update={"budget": budget}))


@pytest.mark.parametrize(("usd_per_day", "trading"), [("0.1", False), ("0.25", True)])
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

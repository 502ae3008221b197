"""The cost of a month: the default policies on the simulated market, with a model that holds everything.

The decisions of a model that trades can be repeated from the cache less often.
"""

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from statistics import median
from typing import Any, Final

from ocw_mcp import __version__
from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.feeds.simulated.feed import START
from ocw_mcp.agent.pricing import TokenUsage, cost
from ocw_mcp.app.bench.agent.decisions import OUTPUTS
from ocw_mcp.app.bench.agent.seat import open_seat
from ocw_mcp.app.bench.agent.stand_in import StandIn
from ocw_mcp.app.claude import MODEL
from ocw_mcp.app.policy_loader import LoadedPolicies, load_policies
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.events import DecisionMade, WakeRaised
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.time import DAY, MINUTE

DAYS: Final = 7
MONTH_DAYS: Final = 30
ASSUMED_OUTPUT: Final = 800


async def measure() -> dict[str, Any]:
    """Return the cost of some days without a budget, and of a month with the default budget."""
    default = load_policies(None)
    free = await _days(_without_budget(default), DAYS, 0)
    asked, input_usd = free["asked_a_day"], free["usd_a_day"]
    output_usd = {tokens: asked * float(cost(TokenUsage(output=tokens), MODEL, START)) for tokens in OUTPUTS}
    return {
        "without_a_budget": free
        | {
            "days": DAYS,
            "usd_a_month_by_output": {
                f"tokens_{tokens}": round(MONTH_DAYS * (input_usd + usd), 2) for tokens, usd in output_usd.items()
            },
        },
        "on_the_default_budget": await _days(default, MONTH_DAYS, ASSUMED_OUTPUT)
        | {"days": MONTH_DAYS, "output_tokens_assumed": ASSUMED_OUTPUT},
    }


def _without_budget(default: LoadedPolicies) -> LoadedPolicies:
    budget = default.policies.budget.model_copy(
        update={"usd_per_day": Decimal(10_000), "usd_per_month": Decimal(10**6)}
    )
    return replace(default, policies=default.policies.model_copy(update={"budget": budget}))


async def _days(policies: LoadedPolicies, days: int, output_tokens: int) -> dict[str, Any]:
    """Return the numbers of wakes and of decisions by origin over `days`, and the LLM cost."""
    model = StandIn(output_tokens=output_tokens)
    async with open_seat(SimulatedFeed(1), policies, model) as seat:
        await seat.book.run.run(__version__, days * DAY)
        wakes, answers, spent = [], Counter[str](), ZERO
        for at, event in seat.book.store.all_events():
            if isinstance(event, WakeRaised):
                wakes.append(at)
            elif isinstance(event, DecisionMade):
                spent += event.cost_usd
                answers[_origin(event)] += 1
    return {
        "wakes_a_day": round(len(wakes) / days, 1),
        "median_gap_min": median(later - earlier for earlier, later in pairwise(wakes)) / MINUTE,
        "asked_a_day": round(answers["asked"] / days, 1),
        "remembered_a_day": round(answers["remembered"] / days, 1),
        "left_to_the_rules_a_day": round(answers["rules"] / days, 1),
        "usd_a_day": round(float(spent) / days, 4),
        "usd": round(float(spent), 2),
    }


def _origin(made: DecisionMade) -> str:
    if made.decision.cause_kind is CauseKind.REMEMBERED:
        return "remembered"
    return "rules" if made.decider == "rules" else "asked"

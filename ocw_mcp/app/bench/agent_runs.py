"""Whole runs of Claude's decider with a stand-in for the model: how often it is asked, and what its memory changes."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from statistics import median
from typing import Any, Final

from ocw_mcp import __version__
from ocw_mcp.agent.pricing import TokenUsage, cost
from ocw_mcp.app.bench.stand_in import StandIn, open_seat, trades
from ocw_mcp.app.claude import MODEL
from ocw_mcp.app.policy_loader import LoadedPolicies, load_policies
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.events import (
    DecisionCorrected,
    DecisionDiscarded,
    DecisionEnded,
    DecisionMade,
    PositionClosed,
    WakeRaised,
)
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import RULES
from ocw_mcp.domain.protocols import Feed
from ocw_mcp.domain.time import DAY, MINUTE

OUTPUTS: Final = (300, 800, 2_000)
"""Numbers of tokens that a model is assumed to write in a decision, thinking included."""
DAYS: Final = 7
MONTH_DAYS: Final = 30
ASSUMED_OUTPUT: Final = 800
MONTH_MS: Final = MONTH_DAYS * DAY

OpenFeed = Callable[[], Feed]


async def month(feed: OpenFeed, for_ms: int = MONTH_MS) -> dict[str, Any]:
    """Return the cost of some days without a budget, and of `for_ms` of the market with the default budget.

    The policies are the default ones, and the model never trades. A model that trades repeats fewer decisions from
    the decision cache, and so costs more.
    """
    default = load_policies(None)
    budget = default.policies.budget.model_copy(
        update={"usd_per_day": Decimal(10_000), "usd_per_month": Decimal(10**6)}
    )
    free = replace(default, policies=default.policies.model_copy(update={"budget": budget}))
    costs = await _run(feed(), free, StandIn(), min(for_ms, DAYS * DAY))
    output_usd = {tokens: costs["asked_a_day"] * float(_output_usd(tokens)) for tokens in OUTPUTS}
    kept = await _run(feed(), default, StandIn(output_tokens=ASSUMED_OUTPUT), for_ms)
    return {
        "without_a_budget": costs
        | {
            "usd_a_month_by_output": {
                f"tokens_{tokens}": round(MONTH_DAYS * (costs["usd_a_day"] + usd), 2)
                for tokens, usd in output_usd.items()
            },
        },
        "on_the_default_budget": kept | {"output_tokens_assumed": ASSUMED_OUTPUT},
    }


def measure_month(feed: OpenFeed, for_ms: int | None) -> dict[str, Any]:
    """Return the result of `month` for a market."""
    return {"model": MODEL, **asyncio.run(month(feed, for_ms or MONTH_MS))}


def measure_memory(feed: OpenFeed, for_ms: int | None) -> dict[str, Any]:
    """Return the numbers of the same run with memory and without.

    The stand-in trades by a fixed script that does not read the memory, so the trades differ only if the cost of the
    memory leaves less of the budget for decisions.
    """
    policies, length = load_policies(None), for_ms or DAYS * DAY

    async def both() -> dict[str, Any]:
        return {
            name: await _run(
                feed(), policies, StandIn(output_tokens=ASSUMED_OUTPUT, script=trades), length, remembers=remembers
            )
            for name, remembers in (("memory_on", True), ("memory_off", False))
        }

    return {"model": f"a script, billed as {MODEL}", "output_tokens_assumed": ASSUMED_OUTPUT, **asyncio.run(both())}


def _output_usd(tokens: int) -> Decimal:
    return cost(TokenUsage(output=tokens), MODEL, 0)


async def _run(
    feed: Feed, policies: LoadedPolicies, model: StandIn, for_ms: int, *, remembers: bool = True
) -> dict[str, Any]:
    """Return the wakes, the decisions by origin, the cost (USD) and the trades of a run, and its mean request."""
    async with open_seat(feed, policies, model, remembers=remembers) as seat:
        await seat.book.run.run(__version__, for_ms)
        wakes, answers, spent, results = [], Counter[str](), ZERO, []
        for at, event in seat.book.store.all_events():
            if isinstance(event, WakeRaised):
                wakes.append(at)
            elif isinstance(event, DecisionMade):
                spent += event.cost_usd
                remembered = event.decision.cause_kind is CauseKind.REMEMBERED
                answers["repeated" if remembered else "rules" if event.decider == RULES else "asked"] += 1
            elif isinstance(event, DecisionEnded | DecisionCorrected | DecisionDiscarded):
                spent += event.cost_usd
            elif isinstance(event, PositionClosed):
                results.append(event.pnl)
    days = for_ms / DAY
    shares = {
        "share_asked": answers["asked"] / max(1, len(wakes)),
        "share_asked_unless_repeated": answers["asked"] / max(1, len(wakes) - answers["repeated"]),
    }
    return {
        "market": str(feed.identity),
        "days": round(days, 2),
        "wakes": len(wakes),
        "asked": answers["asked"],
        "repeated": answers["repeated"],
        "left_to_the_rules": answers["rules"],
        **{name: round(share, 4) for name, share in shares.items()},
        "wakes_a_day": round(len(wakes) / days, 1),
        "asked_a_day": round(answers["asked"] / days, 1),
        "median_gap_min": round(median(later - earlier for earlier, later in pairwise(wakes)) / MINUTE, 1),
        "usd_a_day": round(float(spent) / days, 4),
        "usd": round(float(spent), 4),
        "characters": model.mean_characters(),
        "trades": len(results),
        "pnl": float(sum(results, ZERO)),
    }

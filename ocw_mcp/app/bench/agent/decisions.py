"""Single decisions at a book that has run for some hours and stands still."""

import asyncio
from contextlib import suppress
from functools import cache
from statistics import median
from typing import Any, Final

import msgspec

from ocw_mcp import __version__
from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.agent.pricing import TokenUsage, cost
from ocw_mcp.agent.tools import SUBMIT
from ocw_mcp.app.bench.agent.diary import full_diary
from ocw_mcp.app.bench.agent.seat import Seat, open_seat
from ocw_mcp.app.bench.agent.stand_in import Look, StandIn, characters
from ocw_mcp.app.bench.snapshot import SYMBOLS, example
from ocw_mcp.app.claude import MODEL
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.domain.errors import CannotDecideError
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from ocw_mcp.runtime.clock import SimulatedClock

PROTOTYPE: Final = {"system": 11_900, "snapshot": 9_000}
"""Characters of the prototype's request for three symbols."""
LOOKS: Final[tuple[Look, ...]] = (
    ("market_get_candles", {"symbol": "BTCUSDT", "timeframe": "1h"}),
    ("risk_check_order", {"symbol": "BTCUSDT", "action": "BUY", "size": "0.1", "stop": "80000"}),
)
OUTPUTS: Final = (300, 800, 2_000)
"""Tokens that a model is assumed to write in a decision, its thinking included."""
BOOK_HOURS: Final = 6
EARLY_HOURS: Final = 6
DECISIONS: Final = 300
GAP_MS: Final = 30 * MINUTE
"""Between one decision and the next."""
TICK_S: Final = 0.001


async def measure() -> dict[str, Any]:
    """The request, the rounds, and what they cost in money and time."""
    policies = load_policies(None)
    diary = full_diary(_shown(), policies.policies.rules)
    async with open_seat(SimulatedFeed(1), policies, diary=diary) as seat:
        await seat.book.run.run(__version__, BOOK_HOURS * HOUR)
        return {
            "request_characters": await _request(seat),
            "context_characters_of_a_young_market": await _young(),
            "tool_rounds_at_most": await _rounds(seat),
            "input_usd": {f"rounds_{rounds}": await _priced(seat, LOOKS[:rounds]) for rounds in range(len(LOOKS) + 1)},
            "output_usd_assumed": {
                f"tokens_{count}": float(cost(TokenUsage(output=count), MODEL, seat.book.clock.now()))
                for count in OUTPUTS
            },
            "overhead": {
                "decisions": DECISIONS,
                **{f"rounds_{rounds}": await _overhead(seat, LOOKS[:rounds]) for rounds in range(len(LOOKS))},
            },
        }


@cache
def _shown() -> Snapshot:
    return example(SYMBOLS)


def _wake(number: int) -> DecisionRequest:
    """A wake with the snapshot of the bench: three symbols, one open position, everything known."""
    at = _shown().at + number * GAP_MS
    return DecisionRequest(number, msgspec.structs.replace(_shown(), at=at), at + DAY)


async def _request(seat: Seat) -> dict[str, Any]:
    model = StandIn()
    await seat.seated(model).decide(_wake(1))
    sizes = characters(model.body)
    ours, theirs = sizes["system"] + sizes["context"] + sizes["memory"], sum(PROTOTYPE.values())
    return {
        "system": sizes["system"],
        "context": sizes["context"],
        "memory": sizes["memory"],
        "tools": sizes["tools"],
        "without_tools": ours,
        "with_tools": ours + sizes["tools"],
        "prototype": theirs,
        "ratio": round(ours / theirs, 3),
        "ratio_with_tools": round((ours + sizes["tools"]) / theirs, 3),
    }


async def _young() -> int:
    """The longest context of a market that has no history yet, where most readings are unknown."""
    model = StandIn()
    async with open_seat(SimulatedFeed(1, warmup_days=0), load_policies(None), model) as seat:
        await seat.book.run.run(__version__, EARLY_HOURS * HOUR)
    return model.longest_context


async def _rounds(seat: Seat) -> int:
    """How many looks a model gets that would never stop looking."""
    model = StandIn(LOOKS[:1] * 20)
    decider = seat.seated(model)
    with suppress(CannotDecideError):
        await decider.decide(_wake(1))
    (outcome,) = decider.outcomes
    return sum(name != SUBMIT for name in outcome.tools)


async def _priced(seat: Seat, looks: tuple[Look, ...]) -> dict[str, dict[str, float]]:
    """USD of one decision's prompts by segment: after nobody asked for long, and half an hour after another."""
    clock = SimulatedClock()
    clock.advance(seat.book.clock.now())
    model = StandIn(looks, clock=clock)
    decider = seat.seated(model)
    found = {}
    for number, state in enumerate(("cold", "warm"), 1):
        model.billed.clear()
        await decider.decide(_wake(number))
        usd = model.cost_usd(MODEL)
        found[state] = {name: round(float(each), 6) for name, each in usd.items()}
        found[state]["all"] = round(float(sum(usd.values())), 6)
        clock.advance(clock.now() + GAP_MS)
    return found


async def _overhead(seat: Seat, looks: tuple[Look, ...]) -> dict[str, float]:
    """Milliseconds of a decision that are ours, and how late the event loop is meanwhile."""
    model, clock = StandIn(looks), SimulatedClock()
    decider = seat.seated(model)
    await decider.decide(_wake(0))
    requests = [_wake(number) for number in range(1, DECISIONS + 1)]
    ours, late = [], Lateness()
    for request in requests:
        began, its_own = clock.wall_ms(), model.own_ms
        await decider.decide(request)
        ours.append(clock.wall_ms() - began - (model.own_ms - its_own))
    late.end()
    ours.sort()
    return {
        "p50_ms": round(median(ours), 2),
        "p99_ms": round(ours[len(ours) * 99 // 100], 2),
        "loop_stall_p999_ms": round(late.percentile(0.999), 2),
    }


class Lateness:
    """How late an event loop calls somebody who wants to be called every millisecond."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._late_ms: list[float] = []
        self._wait()

    def end(self) -> None:
        """Watch no longer."""
        self._next.cancel()

    def percentile(self, share: float) -> float:
        """What so many of the calls were not later than (ms)."""
        return sorted(self._late_ms)[int(len(self._late_ms) * share)]

    def _wait(self) -> None:
        self._next = self._loop.call_later(TICK_S, self._tick, self._loop.time() + TICK_S)

    def _tick(self, due: float) -> None:
        self._late_ms.append((self._loop.time() - due) * 1_000)
        self._wait()

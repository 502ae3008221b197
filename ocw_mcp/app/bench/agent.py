"""The cost of a decision of Claude in characters, rounds, money and time, measured with a stand-in for the model.

Token prices come from `genai-prices`; numbers of tokens are estimated, and the length of an output is assumed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from statistics import median
from typing import Any, Final

import msgspec

from ocw_mcp import __version__
from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.feeds.simulated.feed import START
from ocw_mcp.agent.pricing import TokenUsage, cache_prices, cost
from ocw_mcp.agent.tools import SUBMIT
from ocw_mcp.app.bench.agent_runs import OUTPUTS, month
from ocw_mcp.app.bench.snapshot import SYMBOLS, example
from ocw_mcp.app.bench.stand_in import CHARS_A_TOKEN, Seat, StandIn, ToolCall, characters, full_diary, open_seat
from ocw_mcp.app.claude import MODEL
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.domain.errors import CannotDecideError
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from ocw_mcp.runtime.clock import SimulatedClock

PROTOTYPE: Final = {"system": 11_900, "snapshot": 9_000}
"""Characters of a prompt of the prototype, an earlier version of OCW, for three symbols."""
TOOL_CALLS: Final[tuple[ToolCall, ...]] = (
    ("market_get_candles", {"symbol": "BTCUSDT", "timeframe": "1h"}),
    ("risk_check_order", {"symbol": "BTCUSDT", "action": "BUY", "size": "0.1", "stop": "80000"}),
)
BOOK_HOURS: Final = 6
EARLY_HOURS: Final = 6
DECISIONS: Final = 300
GAP_MS: Final = 30 * MINUTE
"""Assumed time between two decisions."""
TICK_S: Final = 0.001


def measure() -> dict[str, Any]:
    """Measure request sizes, rounds, costs of a decision and a month, and OCW's own time; this takes some minutes."""
    prices, a_million = cache_prices(MODEL, START), 1_000_000
    usd = {"in": prices.plain, "read": prices.read} | {f"written_{ttl}": prices.written[ttl] for ttl in ("5m", "1h")}
    out = float(cost(TokenUsage(output=1_000), MODEL, START) * 1_000)
    return {
        "model": MODEL,
        "usd_per_million": {name: float(each * a_million) for name, each in usd.items()} | {"out": out},
        "characters_a_token_estimated": CHARS_A_TOKEN,
        **asyncio.run(_decisions()),
        "month": asyncio.run(month(lambda: SimulatedFeed(1))),
    }


async def measure_input() -> dict[str, dict[str, dict[str, float]]]:
    """Return the USD cost of a decision's prompts by reading calls, state of the cache, and segment: some seconds."""
    async with _used_seat() as seat:
        return await _input_usd(seat)


@asynccontextmanager
async def _used_seat() -> AsyncIterator[Seat]:
    """Open a book that has run for some hours, with a full diary."""
    policies = load_policies(None)
    diary = full_diary(_shown(), policies.policies.rules)
    async with open_seat(SimulatedFeed(1), policies, diary=diary) as seat:
        await seat.book.run.run(__version__, BOOK_HOURS * HOUR)
        yield seat


async def _input_usd(seat: Seat) -> dict[str, dict[str, dict[str, float]]]:
    rounds = {f"rounds_{count}": await _priced(seat, TOOL_CALLS[:count]) for count in range(len(TOOL_CALLS) + 1)}
    return rounds | {"two_looks_in_one_round": await _priced(seat, TOOL_CALLS, at_once=True)}


async def _decisions() -> dict[str, Any]:
    """Return the request sizes, rounds and cost of decisions in a book that has run for some hours."""
    async with _used_seat() as seat:
        input_usd = await _input_usd(seat)
        submitted = await _priced(seat, ((SUBMIT, {"wake": 1, "legs": []}),))
        return {
            "request_characters": await _request(seat),
            "context_characters_of_a_young_market": await _young(),
            "tool_rounds_at_most": await _rounds(seat),
            "input_usd": input_usd,
            "input_usd_of_a_turn_after_a_decision": round(
                submitted["warm"]["all"] - input_usd["rounds_0"]["warm"]["all"], 6
            ),
            "output_usd_assumed": {
                f"tokens_{count}": float(cost(TokenUsage(output=count), MODEL, seat.book.clock.now()))
                for count in OUTPUTS
            },
            "overhead": {
                "decisions": DECISIONS,
                **{f"rounds_{rounds}": await _overhead(seat, TOOL_CALLS[:rounds]) for rounds in range(len(TOOL_CALLS))},
            },
        }


@cache
def _shown() -> Snapshot:
    return example(SYMBOLS)


def _wake(number: int) -> DecisionRequest:
    """Return a wake with the example snapshot: three symbols, one open position, every indicator known."""
    at = _shown().at + number * GAP_MS
    return DecisionRequest(number, msgspec.structs.replace(_shown(), at=at), at + DAY)


async def _request(seat: Seat) -> dict[str, Any]:
    model = StandIn()
    await seat.seated(model).decide(_wake(1))
    sizes = characters(model.body)
    own, prototype = sizes["system"] + sizes["context"] + sizes["memory"], sum(PROTOTYPE.values())
    return {name: sizes[name] for name in ("system", "context", "memory", "tools")} | {
        "without_tools": own,
        "with_tools": own + sizes["tools"],
        "prototype": prototype,
        "ratio": round(own / prototype, 3),
        "ratio_with_tools": round((own + sizes["tools"]) / prototype, 3),
    }


async def _young() -> int:
    """Return the length (characters) of the longest context of a new market, in which most indicators are unknown."""
    model = StandIn()
    async with open_seat(SimulatedFeed(1, warmup_days=0), load_policies(None), model) as seat:
        await seat.book.run.run(__version__, EARLY_HOURS * HOUR)
    return model.longest_context


async def _rounds(seat: Seat) -> int:
    """Return the number of tool calls allowed to a model that would never stop calling tools."""
    model = StandIn(TOOL_CALLS[:1] * 20)
    decider = seat.seated(model)
    with suppress(CannotDecideError):
        await decider.decide(_wake(1))
    (outcome,) = decider.outcomes
    return sum(name != SUBMIT for name in outcome.tools)


async def _priced(seat: Seat, calls: tuple[ToolCall, ...], *, at_once: bool = False) -> dict[str, dict[str, float]]:
    """Return the USD cost of a decision's prompts by segment, with an empty cache and with one that is `GAP_MS` old."""
    clock = SimulatedClock()
    clock.advance(seat.book.clock.now())
    model = StandIn(calls, clock=clock, at_once=at_once)
    decider = seat.seated(model)
    found = {}
    for number, state in enumerate(("cold", "warm"), 1):
        model.billed.clear()
        # The book's run has ended, so a submitted decision is refused, and the rules decide.
        with suppress(CannotDecideError):
            await decider.decide(_wake(number))
        usd = model.cost_usd(MODEL)
        found[state] = {name: round(float(each), 6) for name, each in usd.items()}
        found[state]["all"] = round(float(sum(usd.values())), 6)
        clock.advance(clock.now() + GAP_MS)
    return found


async def _overhead(seat: Seat, calls: tuple[ToolCall, ...]) -> dict[str, float]:
    """Return the time (ms) that OCW itself takes for a decision, and the event loop's delays during it."""
    model, clock = StandIn(calls), SimulatedClock()
    decider = seat.seated(model)
    await decider.decide(_wake(0))
    requests = [_wake(number) for number in range(1, DECISIONS + 1)]
    durations, delays = [], LoopDelay()
    for request in requests:
        began, its_own = clock.wall_ms(), model.own_ms
        await decider.decide(request)
        durations.append(clock.wall_ms() - began - (model.own_ms - its_own))
    stalls = delays.end()
    durations.sort()
    return {
        "p50_ms": round(median(durations), 2),
        "p99_ms": round(durations[len(durations) * 99 // 100], 2),
        "loop_stall_p999_ms": round(stalls[int(len(stalls) * 0.999)], 2),
    }


class LoopDelay:
    """The delays with which the event loop runs a callback that is due every millisecond."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._delays_ms: list[float] = []
        self._wait()

    def end(self) -> list[float]:
        """Stop measuring. Return the delays in ms, sorted."""
        self._next.cancel()
        return sorted(self._delays_ms)

    def _wait(self) -> None:
        self._next = self._loop.call_later(TICK_S, self._tick, self._loop.time() + TICK_S)

    def _tick(self, due: float) -> None:
        self._delays_ms.append((self._loop.time() - due) * 1_000)
        self._wait()

"""Wires one simulated book together: market, venue, engine, store, clock and decider."""

from collections.abc import Callable
from decimal import Decimal

from ocw_mcp.adapters.store.book import BookStamp
from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.app.policy_loader import LoadedPolicies, LoadedPrompts
from ocw_mcp.core.market.market import timeframes
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.orders import ATTACHED, CLAUDE
from ocw_mcp.domain.protocols import Clock, CommandBox, Decider, Feed, Store
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import MINUTE, span_ms, span_name
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.step import Engine
from ocw_mcp.runtime.clock import PacedClock, SimulatedClock
from ocw_mcp.runtime.deciders import AttachedDecider, NoDecider, RecklessDecider, RulesDecider
from ocw_mcp.runtime.recorder import Listener
from ocw_mcp.runtime.run import BookRun

START_EQUITY = Decimal(10_000)
"""Quote currency in a new paper account."""

AGENTS = ("rules", "claude", "attached", "reckless", "none")
MODELS = frozenset({CLAUDE, ATTACHED})
"""Those who may fail, be late or spend their budget: the rules stand in for them."""


class WiredRun:
    """Everything of one run, wired. `speed` is simulated time over the wall's; None is as fast as it goes."""

    def __init__(
        self,
        feed: Feed,
        agent: str,
        policies: LoadedPolicies,
        prompts: LoadedPrompts,
        store: Store,
        commands: CommandBox,
        listener: Listener | None = None,
        speed: float | None = None,
        tell: Callable[[str], None] = lambda problem: None,
        thinks: Callable[[Clock], Decider] | None = None,
    ) -> None:
        """`thinks` makes the decider, where it is none of those that are made by name."""
        market = feed.identity
        self.stamp = stamp(feed)
        # A hole of a few candles is common; an entry that found no price for longer than this is taken off.
        patience_ms = max(3 * market.interval, 5 * MINUTE)
        self.venue = PaperVenue(market.product, START_EQUITY, patience_ms)
        self.clock = SimulatedClock() if speed is None else PacedClock(speed)
        self.config = EngineConfig(
            policies=policies.policies,
            policy_hash=policies.hash,
            prompts_hash=prompts.hash,
            product=market.product,
            interval=market.interval,
            symbols=market.symbols,
            start_equity=START_EQUITY,
            agent=agent,
            instruments=self.venue.instrument,
            fallback=agent in MODELS,
            strict=policies.strict,
        )
        self.engine = Engine(self.config)
        self.store = store
        self.decider = thinks(self.clock) if thinks is not None else decider(agent, policies)
        self.run = BookRun(self.engine, feed, self.venue, store, self.clock, self.decider, commands, listener, tell)


def require_timeframes(policies: LoadedPolicies, interval: int) -> None:
    """Refuse a policy that waits for closes which never come; a timeframe below the candles' own means theirs.

    A fixed time between wakes has to be a multiple of the candle length. Raises SettingsError.
    """
    built = timeframes(interval)
    gate = policies.policies.gate
    if gate.every is not None and span_ms(gate.every) % interval:
        raise SettingsError(
            f"{policies.source_name} wakes every {gate.every}, which is no multiple of the candle length; expected a "
            f"multiple of {span_name(interval)}; choose another time, or candles of another length"
        )
    absent = sorted(
        name for name in {*gate.close_wakes, *gate.close_wakes_in_position} if max(span_ms(name), interval) not in built
    )
    if absent:
        raise SettingsError(
            f"{policies.source_name} wakes on the close of {', '.join(absent)}, which is not built from candles of "
            f"{span_name(interval)}; expected some of {', '.join(span_name(each) for each in built)}; correct [gate]"
        )


def decider(agent: str, policies: LoadedPolicies) -> Decider:
    """Whoever decides, by name.

    Raises SettingsError for a name nobody has.
    """
    if agent == "rules":
        return RulesDecider(policies.policies)
    if agent == "reckless":
        return RecklessDecider()
    if agent == ATTACHED:
        return AttachedDecider()
    if agent == "none":
        return NoDecider()
    raise SettingsError(f"there is no agent {agent!r}; expected one of {', '.join(AGENTS)}")


def stamp(feed: Feed) -> BookStamp:
    """What a paper book of this market is stamped with at its first start."""
    market = feed.identity
    return BookStamp(
        mode=Mode.PAPER, venue="paper", account=f"paper-{START_EQUITY}", product=market.product, market=market
    )

"""Connects the parts of one run: market, venue, engine, store, clock and decider."""

import hashlib
from collections.abc import Callable
from decimal import Decimal

from ocw_mcp.adapters.store.book import BookStamp
from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.app.exchange_access import VENUE, ExchangeAccess
from ocw_mcp.app.policy_loader import LoadedPolicies, LoadedPrompts
from ocw_mcp.core.market.market import timeframes
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.learning_events import OutcomeImported
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import ATTACHED, CLAUDE
from ocw_mcp.domain.protocols import Clock, CommandBox, Decider, ExchangeVenue, Feed, LiveFeed, MacroCalendar, Store
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import MINUTE, span_ms, span_name
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.step import Engine
from ocw_mcp.runtime.clock import LiveClock, SimulatedClock
from ocw_mcp.runtime.deciders import AttachedDecider, NoDecider, RecklessDecider, RulesDecider
from ocw_mcp.runtime.recorder import Listener
from ocw_mcp.runtime.run import BookRun

START_EQUITY = Decimal(10_000)
"""Equity of a new paper account, in quote currency."""

AGENTS = ("rules", "claude", "attached", "reckless", "none")
MODELS = frozenset({CLAUDE, ATTACHED})
"""Agents that may fail, answer late or exhaust their budget, in which case the rules decide."""


class WiredRun:
    """The connected parts of one run. The default clock is that of a simulated market, as fast as possible."""

    def __init__(
        self,
        feed: Feed,
        agent: str,
        policies: LoadedPolicies,
        prompts: LoadedPrompts,
        store: Store,
        commands: CommandBox,
        listener: Listener | None = None,
        clock: Clock | None = None,
        warn: Callable[[str], None] = lambda problem: None,
        make_decider: Callable[[Clock], Decider] | None = None,
        access: ExchangeAccess | None = None,
        macro: MacroCalendar | None = None,
        imported: tuple[OutcomeImported, ...] = (),
    ) -> None:
        """`make_decider` makes the decider of Claude or of a strategy; the default is the function `decider`.

        `access` is the account of a demo or live run; without it the run is on paper, and no part of it has a key.
        A new book begins with the outcomes `imported`.
        """
        market = feed.identity
        self.stamp = stamp(feed, access)
        live = isinstance(feed, LiveFeed)
        self.clock = SimulatedClock() if clock is None else clock
        self.venue: PaperVenue | ExchangeVenue
        if access is None:
            self.venue = paper_venue(market.product, market.interval, live=live)
        else:
            assert isinstance(self.clock, LiveClock)
            self.venue = access.make_venue(store.book, market.symbols, self.clock)
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
            live=live,
            mode=self.stamp.mode,
            imported=imported,
        )
        self.engine = Engine(self.config)
        self.store, self.feed = store, feed
        self.heartbeat_at: int | None = None
        """The machine's time (ms) of the last heartbeat that was written."""
        self.decider = make_decider(self.clock) if make_decider is not None else decider(agent, policies)
        self.run = BookRun(
            self.engine, feed, self.venue, store, self.clock, self.decider, commands, listener, warn, macro
        )


def paper_venue(product: Product, interval: int, *, live: bool) -> PaperVenue:
    """Return the paper venue of a market with candles of `interval` (ms)."""
    # The venue cancels an entry that had no price for this time; gaps of a few candles are common.
    return PaperVenue(product, START_EQUITY, max(3 * interval, 5 * MINUTE), live=live)


def require_timeframes(policies: LoadedPolicies, interval: int) -> None:
    """Raise SettingsError if a policy has wake times that candles of `interval` (ms) do not allow."""
    built = timeframes(interval)
    gate = policies.policies.gate
    if gate.every is not None and span_ms(gate.every) % interval:
        raise SettingsError(
            f"{policies.source_name} wakes every {gate.every}, which is not a multiple of the candle length; expected "
            f"a multiple of {span_name(interval)}; choose another time, or candles of another length"
        )
    # A timeframe that is shorter than the candles counts as the candle length.
    absent = sorted(
        name for name in {*gate.close_wakes, *gate.close_wakes_in_position} if max(span_ms(name), interval) not in built
    )
    if absent:
        raise SettingsError(
            f"{policies.source_name} wakes on the close of {', '.join(absent)}, which is not built from candles of "
            f"{span_name(interval)}; expected some of {', '.join(span_name(each) for each in built)}; correct [gate]"
        )


def decider(agent: str, policies: LoadedPolicies) -> Decider:
    """Return a decider by the name of its agent. Raises SettingsError for an unknown name."""
    made_by_name: dict[str, Callable[[], Decider]] = {
        "rules": lambda: RulesDecider(policies.policies),
        "attached": AttachedDecider,
        "reckless": RecklessDecider,
        "none": NoDecider,
    }
    if agent not in made_by_name:
        raise SettingsError(f"there is no agent {agent!r}; expected one of {', '.join(AGENTS)}")
    return made_by_name[agent]()


def book_id(feed: Feed, created_ns: int) -> str:
    """Return the six characters that name a new book in its client order ids.

    A book of a simulated or recorded market has the same ones on every machine. On a live market two books must not
    share them, because their orders may meet on one account; they depend on the time `created_ns` there.
    """
    content = feed.identity.content
    if isinstance(feed, LiveFeed):
        content = hashlib.sha256(f"{content} {created_ns}".encode()).hexdigest()
    return content[:6]


def stamp(feed: Feed, access: ExchangeAccess | None = None) -> BookStamp:
    """Return the identity that a book of this market gets at its first start: mode, venue, account and market."""
    market = feed.identity
    if access is None:
        return BookStamp(
            mode=Mode.PAPER, venue="paper", account=f"paper-{START_EQUITY}", product=market.product, market=market
        )
    return BookStamp(mode=access.mode, venue=VENUE, account=access.account, product=market.product, market=market)

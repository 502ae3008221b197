"""A complete run over a small market, composed of test doubles."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.domain.learning_events import OutcomeImported
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.protocols import Clock, Decider, Feed, MacroCalendar
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.steps import Command
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.step import Engine
from ocw_mcp.runtime.clock import SimulatedClock
from ocw_mcp.runtime.recorder import Listener
from ocw_mcp.runtime.run import BookRun
from tests.support.deciders import Scripted
from tests.support.markets import ListFeed
from tests.support.stores import MemoryStore

DEFAULT = load_policies(None)


WIDE: dict[str, dict[str, Any]] = {
    "price": {"max_deviation": 1},
    "book": {"max_spread": 1, "max_depth_share": 1},
    "leverage": {"max": 125, "usual": 2},
    "margin": {"min_free": 0},
    "stop": {"liquidation_buffer": 0},
    "positions": {"max_open": 1_000},
    "correlated": {"max_share": 20},
    "risk": {"max_share": 1, "gap_allowance": 0},
    "drawdown": {"max_share": 1},
    "exits": {"max_loss": 1, "take_profit": 1_000, "trail_from": 1, "trail_gives_back": 1, "max_hold_h": 8_760},
    "score": {"review": 1, "exit": 1},
    "losses": {"in_a_row": 100, "pause_s": 0},
    "pace": {
        "entries_per_minute": 1_000,
        "entries_per_day": 100_000,
        "max_turnover": 1_000,
        "max_fees": 1,
        "reductions_per_minute": 1_000,
        "reentry_s": 0,
    },
    "scale": {"regime_unknown": 1, "macro_unknown": 1},
    "fallback": {"rules": "trade"},
    "gate": {
        "close_wakes": ["4h"],
        "timer_min_s": 60,
        "timer_max_s": 7_200,
        "outlier_sigmas": {},
        "outlier_moves": {"1m": 0.003},
        "outlier_quiet_s": 600,
        "outlier_readings": {},
        "anomaly": 1,
        "cooldown_s": 120,
    },
}
"""Limits so wide that a test does not reach them unless it sets them itself, and a gate that wakes on moves of one
minute from its first candles on."""


def policies(**tables: dict[str, Any]) -> Policies:
    """The default policies, some opened wide, with some entries changed: `policies(gate={"cooldown_s": 0})`."""
    data = DEFAULT.policies.model_dump()
    for table, changes in (*WIDE.items(), *tables.items()):
        data[table] = (data[table] or {}) | changes
    return Policies.model_validate(data)


class Commands:
    """A command box that a test fills."""

    def __init__(self, waiting: Sequence[Command] = ()) -> None:
        self._waiting = list(waiting)
        self.taken: list[str] = []

    def put(self, command: Command) -> None:
        self._waiting.append(command)

    def waiting(self) -> Sequence[Command]:
        return tuple(self._waiting)

    def done(self, command: Command) -> None:
        self._waiting.remove(command)
        self.taken.append(command.command_id)


class Unhurried(SimulatedClock):
    """A clock whose real time stands still, so that no run commits for the display and counts are reproducible."""

    def wall_ms(self) -> float:
        return 0.0


class Run:
    """The run of a book in one process."""

    def __init__(
        self,
        feed: ListFeed | Feed,
        decider: Decider | None = None,
        *,
        store: MemoryStore | None = None,
        policy: Policies | None = None,
        commands: Commands | None = None,
        policy_hash: str = "policy",
        prompts_hash: str = "prompts",
        clock: Clock | None = None,
        venue: Any = None,
        live: bool = False,
        agent: str = "test",
        fallback: bool = False,
        strict: Policies | None = None,
        mode: Mode = Mode.PAPER,
        listener: Listener | None = None,
        macro: MacroCalendar | None = None,
        imported: tuple[OutcomeImported, ...] = (),
    ) -> None:
        identity = feed.identity
        self.store = store or MemoryStore()
        self.venue = venue or PaperVenue(
            identity.product, Decimal(10_000), patience_ms=5 * identity.interval, live=live
        )
        self.clock: Clock = clock or Unhurried()
        self.commands = commands or Commands()
        self.told: list[str] = []
        self.config = EngineConfig(
            policies=policy or policies(),
            policy_hash=policy_hash,
            prompts_hash=prompts_hash,
            product=identity.product,
            interval=identity.interval,
            symbols=identity.symbols,
            start_equity=Decimal(10_000),
            agent=agent,
            instruments=self.venue.instrument,
            live=live,
            fallback=fallback,
            strict=strict,
            mode=mode,
            imported=imported,
        )
        self.engine = Engine(self.config)
        self.simulation = BookRun(
            self.engine,
            feed,
            self.venue,
            self.store,
            self.clock,
            decider or Scripted({}),
            self.commands,
            listener,
            warn=self.told.append,
            macro=macro,
        )

    async def go(self, for_ms: int | None = None) -> "Run":
        """Run to the end, or to `for_ms` after the book's first frame."""
        counters = self.engine.counters
        if for_ms is not None and counters.ran_to is not None and counters.began_at is not None:
            for_ms -= counters.ran_to - counters.began_at
        await self.simulation.run("test", for_ms)
        return self

    def events(self, kind: type) -> list[Any]:
        """Return the journal's events of one kind, in order."""
        return self.store.events(kind)

    def timed(self, kind: type) -> list[tuple[int, Any]]:
        """The same with their times (ms)."""
        return [(stored.at, stored.event) for stored in self.store.domain if isinstance(stored.event, kind)]

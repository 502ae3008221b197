"""Whole runs over two symbols in which one limit is tight, and the decisions that they need."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from ocw_mcp.domain.asks import LegRequest
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.market import Candle, Instrument, OrderBook, Product
from ocw_mcp.domain.orders import VenueReport
from ocw_mcp.domain.steps import Asked
from ocw_mcp.domain.time import MINUTE
from tests.support.deciders import Scripted
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Run, policies
from tests.support.venues import Flawed

D = Decimal


class ThenRules(Scripted):
    """An agent in whose place the rules decide from a wake on."""

    def __init__(self, script: dict[int, Decision], since: int) -> None:
        super().__init__(script)
        self._since = since

    @property
    def name(self) -> str:  # type: ignore[override]
        return "rules" if len(self.asked) >= self._since else "scripted"


@dataclass
class Scenario:
    """A market, what is wanted at which wake, and limits of which one is tight."""

    script: dict[int, Decision]
    tables: dict[str, dict[str, Any]]
    closes: list[float] = field(default_factory=lambda: [100.0] * 6)
    books: tuple[OrderBook, ...] = ()
    product: Product = Product.UM
    candles: list[Candle] | None = None
    decider: Callable[[dict[int, Decision]], Scripted] = Scripted
    gate: dict[str, Any] = field(default_factory=dict)
    """Other keys of the gate, which wakes at the close of each minute."""
    filters: tuple[Instrument, ...] = ()
    """What the exchange reports of its instruments."""

    async def run(self) -> Run:
        both = [*path(self.closes), *path(self.closes, "ETHUSDT")] if self.candles is None else self.candles
        feed = ListFeed(both, books=self.books, product=self.product)
        gate = {"close_wakes": ["1m"], "cooldown_s": 0} | self.gate
        policy = policies(gate=gate, decision={"deadline_s": 300}, **self.tables)
        venue = Flawed(self.product)
        venue.set_instruments(self.filters)
        return await Run(feed, self.decider(self.script), policy=policy, agent="scripted", venue=venue).go()


@dataclass
class Shown(Scenario):
    """Once the market has ended, somebody attached asks for the same on two symbols, having been shown prices."""

    quoted: tuple[Decimal, Decimal] = (D(100), D(100))

    async def run(self) -> Run:
        run = await super().run()
        for symbol, price in zip(("BTCUSDT", "ETHUSDT"), self.quoted, strict=True):
            leg = Leg(symbol, Action.BUY, size=D("0.1"), stop=D(97))
            at = run.clock.now()
            await run.simulation.shell.take(Asked(LegRequest(symbol, "anna", leg, quoted=price), at))
        return run


@dataclass
class Reported(Scenario):
    """Once the market has ended, somebody attached asks for one symbol, the venue reports, and they ask for another."""

    reports: tuple[VenueReport, ...] = ()

    async def run(self) -> Run:
        run = await super().run()
        take, at = run.simulation.shell.take, run.clock.now()
        for symbol, reports in (("BTCUSDT", ()), ("ETHUSDT", self.reports)):
            for report in reports:
                await take(report)
            await take(Asked(LegRequest(symbol, "anna", Leg(symbol, Action.BUY, size=D("0.1"), stop=D(97))), at))
        return run


def together(*decisions: Decision) -> Decision:
    return Decision(tuple(leg for each in decisions for leg in each.legs))


def on_eth(decision: Decision, **changes: Any) -> Decision:
    return Decision(tuple(replace(leg, symbol="ETHUSDT", **changes) for leg in decision.legs))


def with_leverage(decision: Decision, leverage: int) -> Decision:
    return Decision(tuple(replace(leg, leverage=leverage) for leg in decision.legs))


def book(minute: int, half_spread: float = 0.01, depth: float = 1e6) -> OrderBook:
    at = START + minute * MINUTE
    return OrderBook("BTCUSDT", at, 100 - half_spread, 100 + half_spread, bid_depth=1e6, ask_depth=depth)

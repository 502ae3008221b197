"""Whole books on the sandbox exchange in virtual time, whose processes are killed and started again.

The exchange outlives the processes: each new one finds it as it is then, with its faults. A book is composed as in a
real process, of an engine, the live feed, a store and a venue, which `make_venue` returns: the paper venue, or an
adapter that trades on the same exchange.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.adapters.binance.weights import Weights
from ocw_mcp.adapters.feeds.binance import BinanceFeed
from ocw_mcp.adapters.store.book import BookStamp
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.venue import BinanceVenue
from ocw_mcp.adapters.venues.instruments import paper_brackets
from ocw_mcp.domain import events
from ocw_mcp.domain.market import MarketIdentity, Product
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.protocols import Decider, Store
from ocw_mcp.domain.state import MARKET_DATA, Mode, TradingState
from ocw_mcp.domain.steps import Command
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.engine.reconciling import STANDS_MS
from ocw_mcp.runtime import pacing
from ocw_mcp.runtime import run as runtime_run
from ocw_mcp.sandbox.binance.account.api import FuturesApi
from ocw_mcp.sandbox.binance.account.keys import made_key
from ocw_mcp.sandbox.binance.exchange import Exchange
from ocw_mcp.sandbox.binance.faults import Fault
from ocw_mcp.sandbox.binance.faulty import FaultyExchange
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.deaths import Death, Dying, Kill, MortalTransport
from tests.support.invariants import never_naked
from tests.support.oracles import (
    Limits,
    Span,
    converged,
    divergences,
    naked_spans,
    one_order_per_leg,
    protected,
    same_books,
    within_budget,
)
from tests.support.runs import Run
from tests.support.sandbox_books import BEGIN, EVERY_CLOSE, EndingFeed, MachineClock
from tests.support.seen_times import Refusals, joined, settled_at
from tests.support.stores import Crash, MemoryStore
from tests.support.venue_records import ExchangeRecord, RecordedPaper, VenueRecord

BOOK = "mem000"


class Site(NamedTuple):
    """What a venue is made for: the way to the exchange, the book, and the record that a venue in process writes."""

    transport: "MortalTransport"
    exchange: FaultyExchange
    product: Product
    book: str
    record: VenueRecord
    weights: Weights | None = None
    """The budget that the venue shares with the feed, as in a run."""


MakeVenue = Callable[[Site], Any]


def paper_venue(site: Site) -> RecordedPaper:
    """Return the paper venue on the live market."""
    venue = RecordedPaper(site.book, site.product, Decimal(10_000), 5 * MINUTE, live=True)
    venue.record = site.record
    return venue


def binance_venue(site: Site) -> BinanceVenue:
    """Return the Binance venue on the account of the exchange."""
    key = made_key("1")
    credentials = ApiKey(key.key, key.secret)
    client = SignedClient(
        site.transport, credentials, Mode.DEMO, site.product, loopback="127.0.0.1:1", weights=site.weights
    )
    return BinanceVenue(client, site.book, site.exchange.exchange.market.symbols)


def set_up(exchange: Exchange) -> None:
    """Give the account isolated margin on each symbol, as `ocw connect --set-up` does."""
    if isinstance(exchange.account, FuturesApi):
        for symbol in exchange.market.symbols:
            exchange.account.account.state.position(symbol).isolated = True


class Opens(Protocol):
    """Opens the store of a book for the next process."""

    def __call__(self) -> Store: ...


def stored_in_memory() -> Opens:
    """Return a function that opens a store in memory; each call returns what was durable."""
    kept: list[MemoryStore] = []

    def opened() -> Store:
        kept.append(kept[-1].reopened() if kept else MemoryStore())
        return kept[-1]

    return opened


def stored_on_disk(directory: Path, market: SandboxMarket) -> Opens:
    """Return a function that opens the journal of a directory, or creates it."""
    identity = MarketIdentity("binance", market.product, MINUTE, market.symbols, "1ead" * 16)

    def opened() -> Store:
        stamp = BookStamp(Mode.PAPER, "paper", "main", market.product, identity)
        return SqliteStore.open(directory, stamp, book_id=BOOK, created_at=BEGIN)

    return opened


class Plan(NamedTuple):
    """A book, and what happens to it. Times are in seconds or minutes since minute 0."""

    market: SandboxMarket
    minutes: float
    decider: Callable[[], Decider]
    faults: Sequence[Fault] = ()
    kills: Sequence[Kill] = ()
    make_venue: MakeVenue = paper_venue
    in_process: bool = True
    """Whether the venue is a part of the process, which forgets what was not saved when the process dies."""
    policy: Policies = EVERY_CLOSE
    mode: Mode = Mode.DEMO
    """The mode of a book whose venue is outside of the process; a book in process is on paper."""
    thin: int = 10
    grain_ms: int = 250
    tick_ms: int = SECOND
    begins_s: float = 30
    round_trip_ms: int = 40
    commands: Sequence[tuple[float, str]] = ()
    """Verbs of an operator, each with its time in seconds."""
    resumes_after_s: float = 0
    """How often an operator looks at the book, and resumes it if it only reduces positions; 0 is never."""


NOTICE_MS = 35 * SECOND
"""The time in which a book learns of a change of its account: it reads the account every 30 s."""
COMMIT_MS = 10 * SECOND
"""How often a run commits what it has not sent. What a killed process has not committed is missing in its journal."""
SETTLES_MS = 60 * SECOND
"""The time after which what happened in the account is in the journal.

On spot no list of the exchange has deposits, so one whose event was lost is booked when its difference has stood.
"""
AGAIN_MS = 10 * SECOND
"""The longest pause between two attempts at an exit beyond the deadline."""
UNKNOWN_SPOT_MS = 180 * SECOND
"""The time after which an exit of unknown outcome is settled. On spot, a second one could sell too much before."""


class Outcome:
    """What became of a book: the venue's record, the journal, and the times in which no process ran."""

    def __init__(self, plan: Plan, record: VenueRecord, exchange: FaultyExchange) -> None:
        self.plan, self.record, self.exchange = plan, record, exchange
        self._refusals = Refusals(exchange)
        self.down: list[Span] = []
        self.unsaved: list[Span] = []
        """The times before each death in which nothing was committed."""
        self.kills = 0
        self.journal: list[tuple[int, events.JournalEvent]] = []
        self.run: Run

    def events(self, kind: type) -> list[Any]:
        return [event for _, event in self.journal if isinstance(event, kind)]

    @property
    def unseen(self) -> list[Span]:
        """Return the times in which no process ran, or the exchange refused or failed all requests."""
        return joined([*self.down, *self._refusals.spans])

    @property
    def ended_at(self) -> int:
        return BEGIN + round(self.plan.minutes * MINUTE)

    def summary(self) -> dict[str, Any]:
        """Return the counts by which one sees that something happened."""
        until, journal = self.ended_at, self.journal
        naked = [each.lasted for each in naked_spans(self.record, until, self.unseen)]
        apart = [each.lasted for each in divergences(self.record, journal, until, self.unseen + self.unsaved)]
        return {
            "orders": len(self.record.arrivals),
            "fills": len(self.record.trades),
            "intents": dict(Counter(each.ref.leg.name for each in self.events(events.OrderIntended))),
            "stops triggered": len(self.events(events.OrderTriggered)),
            "rejections": dict(Counter(each.reason.name for each in self.events(events.OrderRejected))),
            "unknown outcomes": len(self.events(events.OrderUnknown)),
            "trades of others": dict(Counter(str(each.cause) for each in self.events(events.OutsideFilled))),
            "changes of the balance": dict(Counter(each.kind for each in self.record.changes)),
            "kills": self.kills,
            "faults": dict(sorted(self.exchange.plan.applied.items())),
            "longest time without a stop (s)": max(naked, default=0) / SECOND,
            "longest time in which book and account differed (s)": max(apart, default=0) / SECOND,
            "incidents": len(self.events(events.Incident)),
            "decisions": len(self.events(events.DecisionMade)),
        }

    def problems(self, *, converges_ms: int = NOTICE_MS, notice_ms: int = NOTICE_MS) -> list[str]:
        """Return what the oracles found, one sentence each."""
        unseen = self.unseen
        limits = Limits(self.plan.policy.exposure.max_gross, self.plan.policy.position.max_share)
        until, record, journal = self.ended_at, self.record, self.journal
        spot = self.plan.market.product is Product.SPOT
        nameless = settled_at(until, STANDS_MS + SETTLES_MS, unseen) if spot else None
        unknown = UNKNOWN_SPOT_MS if spot else self.plan.policy.stop.deadline_s * SECOND
        return [
            *one_order_per_leg(record, journal, BOOK),
            *converged(record, journal, converges_ms, until, unseen + self.unsaved),
            *protected(record, journal, until, notice_ms=notice_ms, again_ms=AGAIN_MS, unknown_ms=unknown, away=unseen),
            *within_budget(record, journal, BOOK, limits, self.plan.grain_ms + self.plan.round_trip_ms),
            *same_books(record, journal, BEGIN, settled_at(until, SETTLES_MS, unseen), nameless_until=nameless),
        ]


def run_book(plan: Plan, opens: Opens | None = None) -> Outcome:
    """Run a book to its end, through all of its kills."""
    with _seldom_polls():
        return run_in_virtual_time(_run(plan, opens or stored_in_memory()))


@contextmanager
def _seldom_polls() -> Iterator[None]:
    """Let what a run does every so often in real time happen as seldom as in a run at speed 60."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime_run, "SHOW_EVERY_MS", COMMIT_MS)
        patch.setattr(runtime_run, "POLL_EVERY_MS", MINUTE)
        patch.setattr(pacing, "POLL_MS", 2 * SECOND)
        yield


async def _run(plan: Plan, opens: Opens) -> Outcome:
    exchange = FaultyExchange(Exchange(plan.market), BEGIN, plan.faults, plan.thin)
    set_up(exchange.exchange)
    record = VenueRecord() if plan.in_process else ExchangeRecord(exchange.exchange)
    outcome = Outcome(plan, record, exchange)
    loop, numbers = asyncio.get_running_loop(), count()
    start = BEGIN + round(plan.begins_s * SECOND)
    kills = list(plan.kills)
    while True:
        # The time of the exchange goes on while no process runs.
        now = start + round(loop.time() * SECOND)
        if now >= outcome.ended_at:
            break
        while kills and BEGIN + kills[0].at_s * SECOND <= now:
            kills.pop(0)
        process = _Process(plan, outcome, exchange, now, opens(), numbers)
        kill = kills.pop(0) if kills else None
        if await process.lives_until(kill):
            break
        assert kill is not None
        outcome.kills += 1
        died = start + round(loop.time() * SECOND)
        outcome.unsaved.append((process.mortal.committed_ms, died))
        await asyncio.sleep(kill.down_s)  # noqa: TID251 - virtual time
        outcome.down.append((died, start + round(loop.time() * SECOND)))
    store = opens()
    outcome.journal = list(store.all_events())
    store.close()
    return outcome


class _Process:
    """One process of the book."""

    def __init__(
        self, plan: Plan, outcome: Outcome, exchange: FaultyExchange, now: int, store: Any, numbers: Any
    ) -> None:
        self.transport, signed = (
            MortalTransport(exchange, now, grain_ms=plan.grain_ms, round_trip_ms=plan.round_trip_ms) for _ in range(2)
        )
        self._transports = self.transport, signed
        self.death = Death()
        self._record, self._store, self._commands = outcome.record, store, plan.commands
        self._resumes_after_s = plan.resumes_after_s
        self._mark = outcome.record.mark()
        self._loses = plan.in_process
        clock, weights = MachineClock(self.transport.now_ms), Weights(plan.market.product)
        feed = BinanceFeed(
            plan.market.product,
            plan.market.symbols,
            self.transport,
            jitter=lambda: next(numbers) * 0.37 % 1,
            warmup_days=0,
            tick_ms=plan.tick_ms,
            brackets=paper_brackets,
            weights=weights,
        )
        clock.follow(feed.exchange_ms)
        ending = EndingFeed(feed, outcome.ended_at, self.transport.exchange_ms)
        venue = plan.make_venue(Site(signed, exchange, plan.market.product, BOOK, outcome.record, weights))
        self.mortal = Dying(store, self.death, self._saved, self.transport.exchange_ms)
        self.run = outcome.run = Run(
            ending,
            plan.decider(),
            store=self.mortal,  # type: ignore[arg-type]
            policy=plan.policy,
            clock=clock,
            venue=venue,
            live=True,
            mode=Mode.PAPER if plan.in_process else plan.mode,
        )
        never_naked(self.run)
        if not self._loses:
            venue.submit = self._mortal(venue.submit)
            venue.cancel = self._mortal(venue.cancel)

    def _saved(self) -> None:
        """Remember what the record has at a checkpoint, from which the next process repeats the inputs."""
        self._mark = self._record.mark()

    def _mortal(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Let the process die before or after a request of the venue."""

        async def touched(*arguments: Any) -> Any:
            await self._dies_here()
            answer = await call(*arguments)
            await self._dies_here()
            return answer

        return touched

    async def _dies_here(self) -> None:
        """Go on, or never: a dead process does nothing more."""
        try:
            self.death.touch()
        except Crash:
            await asyncio.Event().wait()

    def _resume(self) -> None:
        """Let an operator resume a book that only reduces positions, but not while it lacks market data."""
        lowered = self.run.engine.account.lowered
        if self.death.came.is_set():
            return
        if self.run.engine.account.trading_state is not TradingState.ACTIVE and not (
            lowered is not None and lowered.by == MARKET_DATA
        ):
            self.run.commands.put(Command(f"resume {self.transport.exchange_ms()}", "resume", "operator"))
        asyncio.get_running_loop().call_later(self._resumes_after_s, self._resume)

    async def lives_until(self, kill: Kill | None) -> bool:
        """Run the book; return True at its end, False after its death."""
        others = asyncio.all_tasks()
        loop = asyncio.get_running_loop()
        for number, (at_s, verb) in enumerate(self._commands):
            left = BEGIN + at_s * SECOND - self.transport.exchange_ms()
            if left > 0:
                loop.call_later(left / SECOND, self.run.commands.put, Command(f"c{number}", verb, "operator"))
        if kill is not None:
            left = BEGIN + kill.at_s * SECOND - self.transport.exchange_ms()
            loop.call_later(max(0.0, left / SECOND), self.death.arm, kill.touches)
        if self._resumes_after_s:
            loop.call_later(self._resumes_after_s, self._resume)
        living, dying = loop.create_task(self.run.go()), loop.create_task(self.death.came.wait())
        await asyncio.wait({living, dying}, return_when=asyncio.FIRST_COMPLETED)
        dead = self.death.came.is_set()
        for each in self._transports:
            each.dead = dead
        if not dead:
            dying.cancel()
            # The error of a process that was not killed is a finding.
            await living
            await self._close()
            return True
        for _ in range(3):
            rest = asyncio.all_tasks() - others
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
        await self._close()
        if self._loses:
            self._record.forget_since(self._mark)
        return False

    async def _close(self) -> None:
        for each in self._transports:
            await each.close()
        self._store.close()

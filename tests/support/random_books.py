"""Live books that decide at random on a random market with random faults, and what they leave when they are killed."""

from collections.abc import AsyncGenerator, Callable, Sequence
from random import Random  # noqa: TID251 - seeded
from typing import Any

import msgspec

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.market import Frame, MarketIdentity, Product
from ocw_mcp.domain.protocols import Checkpoint
from ocw_mcp.domain.snapshot import DecisionRequest, SymbolView
from ocw_mcp.domain.steps import StepEvent
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.checkpoint import read_checkpoint
from ocw_mcp.sandbox.binance.faults import Fault, random_faults
from ocw_mcp.sandbox.binance.market import SandboxMarket
from tests.support.invariants import never_naked
from tests.support.live import FrameClock
from tests.support.runs import Run
from tests.support.sandbox_books import BEGIN, EVERY_CLOSE, Given, market_of
from tests.support.stores import MemoryStore

SYMBOLS = {"BTCUSDT": 90_000.0, "ETHUSDT": 3_000.0}
RATES = {
    "drops": 6,
    "closes": 4,
    "refuses": 3,
    "mutes": 4,
    "delays": 10,
    "duplicates": 10,
    "reorders": 10,
    "garbages": 20,
    "errors": 5,
    "limits": 2,
    "bans": 2,
}


def random_market(seed: int, product: Product, minutes: int) -> SandboxMarket:
    """Return a market of two random walks, on which stops trigger within minutes."""
    draw, closes = Random(f"market {seed}"), dict[str, list[float]]()
    for symbol, price in SYMBOLS.items():
        walk = [price]
        while len(walk) < minutes:
            walk.append(round(walk[-1] * (1 + draw.gauss(0, 0.006)), 1))
        closes[symbol] = walk
    return market_of(closes, product)


def faults_of(seed: int, minutes: int) -> list[Fault]:
    """Return random faults of all kinds; the first minute, in which a new book starts, has none."""
    rates = {f"{kind}_per_hour": rate for kind, rate in RATES.items()}
    found = random_faults({"seed": seed, "for": f"{minutes}m", **rates})
    return [msgspec.structs.replace(each, at=each.at + MINUTE) for each in found]


class Trader:
    """Trades at random, but the same at the same wake. It remembers the wakes for which it was asked."""

    name = "random"

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.wakes: list[int] = []

    def thinking_ms(self, request: DecisionRequest) -> int:
        return 0

    async def decide(self, request: DecisionRequest) -> Decision:
        self.wakes.append(request.wake_id)
        draw = Random(f"{self._seed} trades {request.wake_id}")
        views = request.snapshot.symbols.values()
        legs = [self._leg(draw, view) for view in views if isinstance(view.last, float) and draw.random() < 0.7]
        return Decision(tuple(legs))

    def _leg(self, draw: Random, view: SymbolView) -> Leg:
        price, held = view.last, view.position
        assert isinstance(price, float)
        if held is None:
            side = draw.choice((1, -1))
            stop, target = price * (1 - side * draw.choice((0.004, 0.01, 0.03))), price * (1 + side * 0.01)
            limit = None if draw.random() < 0.7 else f"{price * (1 - side * 0.002):.1f}"
            return Leg(
                view.symbol,
                Action.BUY if side > 0 else Action.SHORT,
                size=draw.choice(("0.03", "0.08", "0.15")),
                stop=f"{stop:.1f}",
                target=draw.choice((None, f"{target:.1f}")),
                limit=limit,
                limit_expires_s=None if limit is None else draw.choice((90, 300)),
            )
        side = 1 if held.quantity > 0 else -1
        match draw.choice((Action.SELL, Action.REDUCE, Action.ADD, Action.PROTECT)):
            case Action.SELL:
                return Leg(view.symbol, Action.SELL if side > 0 else Action.COVER)
            case Action.REDUCE:
                return Leg(view.symbol, Action.REDUCE, share=draw.choice(("0.3", "0.5")))
            case Action.ADD:
                return Leg(view.symbol, Action.ADD, size="0.05")
            case _:
                return Leg(view.symbol, Action.PROTECT, stop=f"{price * (1 - side * 0.006):.1f}", trail="0.01")


class FrameStore(MemoryStore):
    """A store that may also die while an input is logged, and counts the frames of the feed that it has durably."""

    def __init__(self, *saved: Any) -> None:
        super().__init__(*saved)
        self.frames = 0
        self._new = 0

    def log_input(self, at: int, event: StepEvent) -> None:
        self._touch()
        super().log_input(at, event)
        # The run itself makes frames without content.
        self._new += isinstance(event, Frame) and event != Frame(event.at)

    def commit(self, checkpoint: Checkpoint | None = None, summarise: Callable[[], Any] | None = None) -> None:
        before = self.commits
        try:
            super().commit(checkpoint, summarise)
        finally:
            if self.commits > before:
                self.frames, self._new = self.frames + self._new, 0


def decided_wakes(store: MemoryStore) -> set[int]:
    """Return the wakes whose decisions are durable."""
    return {each.wake_id for _, each in store.all_events() if isinstance(each, events.DecisionMade)}


class RecordedLive:
    """A live feed that yields recorded frames at their times; the clock shows the time of the frame at hand."""

    def __init__(self, identity: MarketIdentity, given: Sequence[Given], at: int) -> None:
        self.identity = identity
        self.clock = FrameClock(at)
        self._given = given

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        for at, frame in self._given:
            for _ in range(9):
                # Decisions on the frame before are taken at its time.
                await self.clock.pause(0)
            self.clock.at = at
            yield frame


class Recording:
    """The frames of a feed, and the runs of books on them."""

    def __init__(self, identity: MarketIdentity, given: Sequence[Given], seed: int) -> None:
        self._identity, self._seed = identity, seed
        self._history = [each for each in given if each.frame.history]
        # No two frames have the same time, so that a restart knows how far the run was.
        self._live = list[Given]()
        at = BEGIN
        for each in given:
            if not each.frame.history:
                at = max(at + 1, each.at)
                self._live.append(Given(at, each.frame))

    async def run(self, store: MemoryStore, known: int | None = None, at: int = BEGIN) -> Trader:
        """Run a book whose store has `known` frames, None for a new book, from a time (ms) on. Return its decider."""
        given = [*self._history, *self._live] if known is None else self._live[known:]
        feed, decider = RecordedLive(self._identity, given, at), Trader(self._seed)
        self.book = Run(feed, decider, store=store, policy=EVERY_CLOSE, clock=feed.clock, live=True)
        await never_naked(self.book).go()
        return decider


def last_input(store: MemoryStore) -> int:
    """Return the time (ms) of the last input or event that a store has, -1 for none."""
    saved = store.checkpoint()
    known = [each.at for each in store.inputs()] + [each.at for each in store.events_after(0)]
    return max(*known, -1 if saved is None else read_checkpoint(saved.engine).time, -1)


def assert_same_books(run: Run) -> None:
    """Assert that the engine and its venue have the same money and positions."""
    ours, theirs = run.engine.account.ledger, run.venue.account.ledger
    held = {s: d.quantity for s, d in ours.dust.items()} | {s: p.quantity for s, p in ours.positions.items()}
    assert held == {s: p.quantity for s, p in theirs.positions.items()}
    assert abs(ours.wallet - theirs.wallet) < 1e-9 or run.config.product is Product.SPOT

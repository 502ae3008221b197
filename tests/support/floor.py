"""A state machine for Hypothesis: one book, an agent, two callers, and an arbitrary market.

Its rules are the possible actions of callers, operators, the market and the venue. After each of them the oracle has
checked every entry against every limit, and the invariants hold.
"""

import asyncio
from decimal import Decimal
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.domain.asks import CallerRequest, CancelRequest, LegRequest, ProtectionRequest
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.market import Candle, Frame, Opening, OrderBook, Product
from ocw_mcp.domain.orders import OutcomeUnknown, Purpose, Rejected
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.steps import Asked, Command, StepEvent, Verb
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.protection import protection_timer
from ocw_mcp.runtime.pacing import everything_due
from tests.support.deciders import Reckless
from tests.support.markets import START, ListFeed, candle
from tests.support.oracle import Oracle
from tests.support.runs import DEFAULT, Run
from tests.support.stores import MemoryStore

D = Decimal
SYMBOLS = ("BTCUSDT", "DOGEUSDT", "ETHUSDT")
FIRST = {"BTCUSDT": 60_000.0, "DOGEUSDT": 0.2, "ETHUSDT": 3_000.0}
CALLERS = ("anna", "ben")

NARROW: dict[str, dict[str, Any]] = {
    "order": {"max_notional": 3_000},
    "position": {"max_share": "0.375"},
    "positions": {"max_open": 2},
    "exposure": {"max_gross": "0.575"},
    "correlated": {"max_share": "0.4375"},
    "leverage": {"max": 20, "usual": 3},
    "margin": {"min_free": "0.88"},
    "book": {"max_spread": "0.002", "max_depth_share": "0.5"},
    "mandate": {"amount": 3_300, "symbols": ["*"], "expires": "2100-01-01T00:00:00Z"},
    "approval": {"above_notional": 2_700, "modes": [], "answer_s": 900},
    "stop": {"max_distance": "0.05", "deadline_s": 30, "liquidation_buffer": "0.02"},
    "risk": {"max_share": "0.01", "gap_allowance": "0.005"},
    "daily_loss": {"max_share": "0.02"},
    "drawdown": {"max_share": "0.05"},
    "losses": {"in_a_row": 2, "pause_s": 1_800},
    "pace": {
        "entries_per_minute": 2,
        "entries_per_day": 12,
        "reductions_per_minute": 1,
        "max_turnover": "0.6",
        "max_fees": "0.0003",
        "reentry_s": 120,
    },
    "scale": {"regime_unknown": "0.8", "macro_unknown": 1},
    "gate": {"close_wakes": ["5m"], "cooldown_s": 0},
    "price": {"max_deviation": "0.03", "max_move": "0.005"},
}
"""Limits so close to each other, after scaling, that each of them refuses some entries."""

_data = DEFAULT.policies.model_dump()
for _table, _changes in NARROW.items():
    _data[_table] = (_data[_table] or {}) | _changes
POLICIES = type(DEFAULT.policies).model_validate(_data)


class Moody(PaperVenue):
    """A paper venue that, depending on `mood`, rejects an order, or does not answer and executes or ignores it."""

    mood = ""

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        mood, self.mood = self.mood, ""
        if not mood:
            return await super().submit(cleared, now)
        ref = cleared.order.ref
        if mood == "lost":
            await super().submit(cleared, now)
            self.collect()
            return self.say(OutcomeUnknown(ref, "timeout"))
        cleared.redeem(now)
        swallowed = mood == "swallowed"
        return self.say(OutcomeUnknown(ref, "timeout") if swallowed else Rejected(ref, RejectReason(mood), "no"))


def moody() -> Moody:
    return Moody(Product.UM, D(10_000), patience_ms=5 * MINUTE)


moves = st.sampled_from((0.0, 0.0005, -0.0005, 0.003, -0.003, 0.01, -0.01, 0.04, -0.04, 0.12, -0.12))
away = st.sampled_from((0.01, 0.015, 0.02, 0.02, 0.03, 0.049, 0.001, 0.06, 0.2, 0.0))
symbols = st.sampled_from(SYMBOLS)
callers = st.sampled_from(CALLERS)


class Floor(RuleBasedStateMachine):
    """The state machine. `steps` counts the rules of all machines of this process."""

    steps = 0
    bites: ClassVar[dict[str, int]] = {}

    @initialize(seed=st.integers(0, 10_000))
    def open(self, seed: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.oracle = Oracle()
        self.decider = Reckless(seed)
        self.store = MemoryStore()
        self.asked = 0
        self.troubled = False
        self.at = START
        self.prices = dict(FIRST)
        self.spread: float | None = None
        self.depth = 1e6
        self._start()
        for _ in range(2):
            self._minute(dict.fromkeys(SYMBOLS, 0.0005), 0.0, 1e9)

    def _start(self) -> None:
        """Start a process that opens the book, for the first time or after a stop."""
        feed = ListFeed([candle(0, FIRST[symbol], symbol=symbol) for symbol in SYMBOLS])
        self.run = Run(feed, self.decider, store=self.store, policy=POLICIES, venue=moody(), listener=self.oracle.hear)
        self.oracle.engine = self.run.engine
        simulation = self.run.simulation
        simulation.cursor = self.at if self.store.checkpoint() else -1
        self._do(simulation.begin(self.at, "test"))
        self.steps_of_process = 0

    def _do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def _take(self, event: StepEvent) -> None:
        self._do(self.run.simulation.shell.take(event))

    def _frame(self, frame: Frame) -> None:
        self._do(everything_due(frame.at - 1, self.run.simulation.shell))
        self._do(self.run.simulation.take_frame(frame))
        self.at = frame.at

    def _minute(self, changes: dict[str, float], gap: float, volume: float) -> None:
        closed, opened = [], []
        for symbol in SYMBOLS:
            begins = self.prices[symbol]
            ends = float(f"{begins * (1 + changes[symbol]):.7g}")
            low, high = min(begins, ends) * 0.9995, max(begins, ends) * 1.0005
            closed.append(Candle(symbol, self.at, MINUTE, begins, high, low, ends, volume))
            self.prices[symbol] = float(f"{ends * (1 + gap):.7g}")
            opened.append(Opening(symbol, self.at + MINUTE, self.prices[symbol]))
        self._frame(Frame(self.at + MINUTE, tuple(closed), tuple(opened), books=self._books()))

    def _books(self) -> tuple[OrderBook, ...]:
        """Return the order books of the next frame; none if the market reports none."""
        if self.spread is None:
            return ()
        books = []
        for symbol in SYMBOLS:
            price, half = self.prices[symbol], self.prices[symbol] * self.spread / 2
            books.append(
                OrderBook(symbol, self.at + MINUTE, price - half, price + half, self.depth / price, self.depth / price)
            )
        self.oracle.books = {book.symbol: book for book in books}
        return tuple(books)

    def _ask(self, request: CallerRequest) -> None:
        self._take(Asked(request, self.at))
        assert self.run.engine.answer(request) is not None

    def _key(self) -> str:
        self.asked += 1
        return f"key-{self.asked}"

    @rule(first=moves, second=moves, third=moves, gap=st.sampled_from((0.0, 0.0, 0.0, 0.02, -0.02, 0.15, -0.15)))
    def a_minute_passes(self, first: float, second: float, third: float, gap: float) -> None:
        self._minute(dict(zip(SYMBOLS, (first, second, third), strict=True)), gap, 1e9)

    @rule(moves=st.lists(st.sampled_from((0.0, 0.001, -0.001, 0.004, -0.004)), min_size=1, max_size=6))
    def some_quiet_minutes_pass(self, moves: list[float]) -> None:
        for move in moves:
            self._minute({"BTCUSDT": move, "DOGEUSDT": -move, "ETHUSDT": move}, 0.0, 1e9)

    @rule(volume=st.sampled_from((0.0, 5.0, 100.0)), move=moves)
    def a_thin_minute_passes(self, volume: float, move: float) -> None:
        self._minute(dict.fromkeys(SYMBOLS, move), 0.0, volume)

    @rule(minutes=st.sampled_from((2, 7, 61, 600, 1_500)), gap=moves)
    def time_passes_without_candles(self, minutes: int, gap: float) -> None:
        for symbol in SYMBOLS:
            self.prices[symbol] = float(f"{self.prices[symbol] * (1 + gap):.7g}")
        at = self.at + minutes * MINUTE
        self._frame(Frame(at, (), tuple(Opening(symbol, at, self.prices[symbol]) for symbol in SYMBOLS)))

    @rule(spread=st.sampled_from((None, 0.0001, 0.0001, 0.005)), depth=st.sampled_from((1e6, 1e6, 2_000.0)))
    def the_order_books_change(self, spread: float | None, depth: float) -> None:
        self.spread, self.depth = spread, depth
        self._minute(dict.fromkeys(SYMBOLS, 0.0), 0.0, 1e9)

    @rule(
        caller=callers,
        symbol=symbols,
        action=st.sampled_from([each for each in Action if each.adds_risk]),
        size=st.sampled_from(("0.05", "0.1", "0.1", "0.15", "0.2", "0.25", "0.3", "1")),
        away=away,
        limit=st.none() | st.none() | st.sampled_from((-0.04, -0.001, 0.0, 0.001, 0.02)),
        leverage=st.none() | st.none() | st.sampled_from((1, 3, 5, 20, 125)),
        aims=st.booleans(),
        by_risk=st.booleans(),
        shown=st.none() | st.none() | st.sampled_from((0.0, 0.0, 0.004, -0.02)),
    )
    def a_caller_enters(
        self,
        caller: str,
        symbol: str,
        action: Action,
        size: str,
        away: float,
        limit: float | None,
        leverage: int | None,
        aims: bool,
        by_risk: bool,
        shown: float | None,
    ) -> None:
        price = self.prices[symbol]
        held = self.run.engine.account.ledger.quantity(symbol)
        way = -1 if action is Action.SHORT or (action is Action.ADD and held < 0) else 1
        leg = Leg(
            symbol,
            action,
            size=None if by_risk else D(size),
            risk=D(size) / 25 if by_risk else None,
            stop=D(f"{price * (1 - way * away):.7g}"),
            target=D(f"{price * (1 + way * 0.02):.7g}") if aims else None,
            limit=None if limit is None else D(f"{price * (1 - way * limit):.7g}"),
            limit_expires_s=None if limit is None else 600,
            leverage=leverage,
        )
        quoted = None if shown is None else D(f"{price * (1 + shown):.7g}")
        self._ask(LegRequest(self._key(), caller, leg, quoted=quoted))

    @precondition(lambda self: self.run.engine.approvals.state().pending)
    @rule(verb=st.sampled_from((Verb.APPROVE, Verb.APPROVE, Verb.APPROVE, Verb.DENY)), pick=st.integers(0, 9))
    def a_person_answers_an_approval(self, verb: Verb, pick: int) -> None:
        waiting = list(self.run.engine.approvals.state().pending)
        self._take(Command(self._key(), verb, "anna", self.at, waiting[pick % len(waiting)]))

    @rule(verb=st.sampled_from((Verb.PAUSE, Verb.TAKE_OVER, *[Verb.GO_ON] * 4)), symbol=symbols)
    def a_person_uses_manual_control(self, verb: Verb, symbol: str) -> None:
        self._take(Command(self._key(), verb, "anna", self.at, symbol if verb is Verb.TAKE_OVER else ""))

    def _holds(self) -> bool:
        return bool(self.run.engine.account.ledger.positions)

    def _held(self) -> list[str]:
        return sorted(self.run.engine.account.ledger.positions)

    def _has_orders(self) -> bool:
        return any(self.run.engine.orders.live())

    @precondition(lambda self: self._has_orders())
    @rule(caller=callers, symbol=symbols, action=st.sampled_from((Action.SELL, Action.COVER)))
    def a_caller_exits(self, caller: str, symbol: str, action: Action) -> None:
        self._ask(LegRequest(self._key(), caller, Leg(symbol, action)))

    @precondition(lambda self: self._has_orders())
    @rule(caller=callers, pick=st.integers(0, 9))
    def a_caller_cancels_an_order(self, caller: str, pick: int) -> None:
        live = list(self.run.engine.orders.live())
        self._ask(CancelRequest(self._key(), caller, live[pick % len(live)].ref))

    @precondition(lambda self: self._holds())
    @rule(caller=callers, symbol=symbols, share=st.sampled_from((-0.2, -0.03, -0.01, -0.002, 0.0, 0.01)))
    def a_caller_moves_a_stop(self, caller: str, symbol: str, share: float) -> None:
        held = self.run.engine.account.ledger.quantity(symbol)
        way = 1 if held >= 0 else -1
        stop = D(f"{self.prices[symbol] * (1 + way * share):.7g}")
        self._ask(ProtectionRequest(self._key(), caller, symbol, stop=stop))

    @precondition(lambda self: self._holds())
    @rule(caller=callers, symbol=symbols)
    def a_caller_sets_a_target(self, caller: str, symbol: str) -> None:
        self._ask(ProtectionRequest(self._key(), caller, symbol, target=D(f"{self.prices[symbol] * 1.01:.7g}")))

    @precondition(lambda self: self._holds())
    @rule(caller=callers, trail=st.sampled_from(("0.0001", "0.002", "0.01", "0.04", "1")))
    def a_caller_trails_a_stop(self, caller: str, trail: str) -> None:
        for symbol in self._held():
            self._ask(ProtectionRequest(self._key(), caller, symbol, trail=D(trail)))

    @precondition(lambda self: self._holds())
    @rule(caller=callers, share=st.sampled_from(("0.001", "0.3", "0.5", "0.999")))
    def a_caller_reduces(self, caller: str, share: str) -> None:
        for symbol in self._held():
            self._ask(LegRequest(self._key(), caller, Leg(symbol, Action.REDUCE, share=D(share))))

    @precondition(lambda self: any(self.run.engine.orders.live(purpose=Purpose.ENTRY)))
    @rule(caller=callers)
    def a_caller_cancels_an_entry(self, caller: str) -> None:
        entry = next(self.run.engine.orders.live(purpose=Purpose.ENTRY))
        self._ask(LegRequest(self._key(), caller, Leg(entry.order.symbol, Action.CANCEL)))

    @rule(mood=st.sampled_from(("lost", "swallowed", "TOO_MANY_STOPS", "WOULD_TRIGGER_IMMEDIATELY", "REDUCE_ONLY")))
    def the_venue_has_a_fault(self, mood: str) -> None:
        assert isinstance(self.run.venue, Moody)
        self.run.venue.mood = mood
        self.troubled |= mood in ("lost", "swallowed")

    @precondition(lambda self: self._holds())
    @rule(symbol=symbols)
    def the_owner_cancels_a_stop_at_the_venue(self, symbol: str) -> None:
        stops = [each.ref for each in self.run.engine.orders.live(symbol, Purpose.STOP)]
        for ref in stops[:1]:
            self._do(self.run.venue.cancel(ref, self.run.clock.now()))
            for report in self.run.venue.collect():
                self._take(report)

    @rule(verb=st.sampled_from(("halt", "flatten", *["resume"] * 6)))
    def a_person_sends_a_command(self, verb: str) -> None:
        self._take(Command(self._key(), Verb(verb), "anna", self.at))

    # A restart costs as much as four other steps, and shows nothing if hardly anything has happened since the last one.
    @precondition(lambda self: self.steps_of_process >= 5)
    @rule()
    def the_process_is_stopped_and_starts_again(self) -> None:
        simulation = self.run.simulation
        simulation.shell.checkpoint(self.at)
        self._do(simulation.shell.asking.close())
        self.store = self.store.reopened()
        self._start()

    @precondition(lambda self: hasattr(self, "run"))
    @invariant()
    def every_position_has_a_stop_or_a_deadline(self) -> None:
        Floor.steps += 1
        self.steps_of_process += 1
        engine, now = self.run.engine, self.run.clock.now()
        for symbol, position in engine.account.ledger.positions.items():
            protection = engine.guard.protections[symbol]
            stops = list(engine.orders.live(symbol, Purpose.STOP))
            if protection.protected:
                assert any(stop.remaining >= abs(position.quantity) for stop in stops), f"{symbol} has no stop"
            else:
                assert protection.deadline is not None
                assert engine.manager.exit_under_way(symbol) or now <= engine.timers[protection_timer(symbol)]

    @precondition(lambda self: hasattr(self, "run"))
    @invariant()
    def the_books_agree(self) -> None:
        ours, theirs = self.run.engine.account.ledger, self.run.venue.account.ledger
        if self.troubled:
            return
        assert {s: p.quantity for s, p in ours.positions.items()} == {
            s: p.quantity for s, p in theirs.positions.items()
        }
        assert ours.wallet == theirs.wallet

    def teardown(self) -> None:
        if hasattr(self, "run"):
            for kind, count in self.oracle.seen.items():
                Floor.bites[kind] = Floor.bites.get(kind, 0) + count
            self._do(self.run.simulation.shell.asking.close())
            self.loop.close()

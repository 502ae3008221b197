"""Stories of a book at the exchange: the rules of a Hypothesis state machine write one, which is then played.

A story begins with an entry. It has prices, decisions, faults, actions of the account's owner, and kills.
`Story.teardown` plays it in virtual time and asserts that no oracle has found anything. A `SpotStory` trades spot.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.protocols import Decider
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.sandbox.binance.fault_kinds import ANSWERS
from ocw_mcp.sandbox.binance.faults import Fault
from tests.support.deaths import Kill
from tests.support.exchange_books import MakeVenue, Outcome, Plan, binance_venue, run_book
from tests.support.sandbox_books import BEGIN, fault, market_of
from tests.support.soak_faults import FUTURES_ONLY

BTC = "BTCUSDT"
FIRST = 90_000.0
FAILURES = [name for name, each in ANSWERS.items() if not each.unknown]

delays = st.sampled_from((None, "2s", "90s"))
distances = st.sampled_from((0.004, 0.015, 0.04))
spans = st.sampled_from(("5s", "20s", "1m"))


class Says:
    """Decides by the minute: what to do with a position, or without one. On spot it never sells short."""

    name = "story"

    def __init__(
        self,
        script: Mapping[int, tuple[Action, float]],
        product: Product = Product.UM,
        targets: Collection[int] = (),
    ) -> None:
        """`targets` are the minutes in which an entry or a moved stop also has a target."""
        self._script, self._targets, self._spot = script, targets, product is Product.SPOT

    def thinking_ms(self, request: DecisionRequest) -> int:
        return 0

    async def decide(self, request: DecisionRequest) -> Decision:
        view = request.snapshot.symbols[BTC]
        minute = (request.snapshot.at - BEGIN) // MINUTE
        said = self._script.get(minute)
        if said is None or not isinstance(view.last, float):
            return Decision(cause=Cause(CauseKind.NOTHING_TO_DO))
        action, distance = said
        held = 0 if view.position is None else 1 if view.position.quantity > 0 else -1
        side = held or (-1 if action in (Action.SHORT, Action.COVER) and not self._spot else 1)
        target = f"{view.last * (1 + side * distance):.0f}" if minute in self._targets else None
        if not held:
            stop = f"{view.last * (1 - side * distance):.0f}"
            entry = Action.BUY if side > 0 else Action.SHORT
            return Decision((Leg(BTC, entry, size="0.1", stop=stop, target=target),))
        match action:
            case Action.PROTECT:
                leg = Leg(BTC, action, stop=f"{view.last * (1 - held * distance / 2):.0f}", target=target)
            case Action.REDUCE:
                leg = Leg(BTC, action, share="0.5")
            case Action.ADD:
                leg = Leg(BTC, action, size="0.05")
            case _:
                leg = Leg(BTC, Action.SELL if held > 0 else Action.COVER)
        return Decision((leg,))


class Story(RuleBasedStateMachine):
    """Writes a story, minute by minute."""

    make_venue: MakeVenue = staticmethod(binance_venue)
    product: ClassVar[Product] = Product.UM
    last_minutes: ClassVar[int] = 3
    """Minutes at the end of a story in which nothing new begins."""

    def __init__(self) -> None:
        super().__init__()
        self.closes = [FIRST, FIRST]
        self.script: dict[int, tuple[Action, float]] = {}
        self.targets: set[int] = set()
        self.faults: list[Fault] = []
        self.kills: list[Kill] = []

    @initialize(
        action=st.sampled_from((Action.BUY, Action.SHORT)), distance=distances, aims=st.booleans(), calm=st.booleans()
    )
    def enters(self, action: Action, distance: float, aims: bool, calm: bool) -> None:
        """The book enters. If it is `calm`, nothing else happens for a minute; else, faults may meet the entry."""
        self.decides(action, distance, 0.0, aims)
        if calm:
            self.passes(0.0)

    @property
    def second(self) -> int:
        """The end of the minutes that are written so far, in seconds."""
        return 60 * len(self.closes)

    @rule(
        action=st.sampled_from((Action.BUY, Action.SHORT, Action.PROTECT, Action.REDUCE, Action.ADD, Action.SELL)),
        distance=distances,
        move=st.sampled_from((-0.02, -0.006, 0.0, 0.006, 0.02)),
        aims=st.booleans(),
    )
    def decides(self, action: Action, distance: float, move: float, aims: bool) -> None:
        """A minute passes, at whose end the book decides."""
        self.closes.append(round(self.closes[-1] * (1 + move), 1))
        self.script[len(self.closes)] = (action, distance)
        if aims:
            self.targets.add(len(self.closes))

    @rule(move=st.sampled_from((-0.02, 0.0, 0.02)))
    def passes(self, move: float) -> None:
        """A minute passes."""
        self.closes.append(round(self.closes[-1] * (1 + move), 1))

    @rule(lasts=spans, executed=st.booleans(), by=delays, method=st.sampled_from((None, "POST", "DELETE")))
    def requests_are_lost(self, lasts: str, executed: bool, by: str | None, method: str | None) -> None:
        """Requests of orders get no answer, before or after the exchange has executed them."""
        self._order_fault("order_drop", lasts, executed, by, method)

    @rule(lasts=spans, executed=st.booleans(), by=delays, answer=st.sampled_from(("timeout", "unknown")))
    def outcomes_are_unknown(self, lasts: str, executed: bool, by: str | None, answer: str) -> None:
        """Requests of orders are answered with an unknown outcome."""
        self._order_fault("order_error", lasts, executed, by, None, answer=answer)

    @rule(lasts=spans, answer=st.sampled_from(FAILURES))
    def orders_fail(self, lasts: str, answer: str) -> None:
        """Requests of orders fail."""
        self._order_fault("order_error", lasts, False, None, None, answer=answer)

    def _order_fault(
        self, kind: str, lasts: str, executed: bool, by: str | None, method: str | None, **more: Any
    ) -> None:
        more |= {"executed": True} if executed else {}
        more |= {"by": by} if executed and by else {}
        more |= {"method": method} if method else {}
        self._fault(kind, self.second - 2, lasts=lasts, **more)

    def _fault(self, kind: str, at_s: float, **more: Any) -> None:
        """Add a fault, if the product has it."""
        if self.product is Product.UM or not {kind, more.get("answer")} & set(FUTURES_ONLY):
            self.faults.append(fault(kind, at_s, **more))

    @rule(kind=st.sampled_from(("mute", "duplicate", "reorder", "delay", "drop")), lasts=spans)
    def user_data_fails(self, kind: str, lasts: str) -> None:
        """The events of the account are lost, come twice, in the wrong order or late."""
        more: dict[str, Any] = {} if kind == "drop" else {"lasts": lasts}
        more |= {"by": "3s"} if kind == "delay" else {}
        self._fault(kind, self.second - 2, stream="user@*", **more)

    @rule(
        action=st.sampled_from(("owner_order", "owner_close", "owner_cancel", "transfer", "deleverage")),
        side=st.sampled_from(("BUY", "SELL")),
        after=st.integers(-2, 40),
    )
    def others_act(self, action: str, side: str, after: int) -> None:
        """The account's owner trades, cancels or moves money in the app, or the exchange reduces the position."""
        more: dict[str, Any] = {"amount": "-200"} if action == "transfer" else {"symbol": BTC}
        more |= {"side": side, "quantity": "0.01"} if action == "owner_order" else {}
        more |= {"share": "0.5"} if action == "deleverage" else {}
        self._fault(action, max(31, self.second + after), **more)

    @rule(kind=st.sampled_from(("ban", "limit", "error", "order_hidden", "key_expired")), lasts=spans)
    def requests_fail(self, kind: str, lasts: str) -> None:
        """The exchange refuses all requests, does not find new orders, or ends the listen key."""
        more: dict[str, Any] = {} if kind == "key_expired" else {"lasts": lasts}
        more |= {"by": "20s"} if kind == "order_hidden" else {}
        self._fault(kind, self.second - 2, **more)

    @rule(touches=st.integers(1, 12), down_s=st.sampled_from((0.5, 20.0, 70.0)), after=st.integers(-1, 20))
    def is_killed(self, touches: int, down_s: float, after: int) -> None:
        """The process dies, and is started again."""
        self.kills.append(Kill(self.second + after, touches, down_s))

    def teardown(self) -> None:
        minutes = len(self.closes) + self.last_minutes
        plan = Plan(
            market_of({BTC: self.closes}, self.product, minutes + 2),
            minutes,
            lambda: Says(self.script, self.product, self.targets),
            faults=self.faults,
            kills=self.kills,
            make_venue=self.make_venue,
            in_process=False,
            grain_ms=500,
            tick_ms=2_000,
            resumes_after_s=45,
        )
        outcome = run_book(plan)
        event(f"{min(len(outcome.record.trades), 2)} or more trades")
        assert outcome.problems() == []


class SpotStory(Story):
    """Writes a story of a book that trades spot."""

    product = Product.SPOT
    last_minutes = 6
    """A transfer whose event was lost is booked after three minutes and more."""


def play(
    script: Mapping[int, tuple[Action, float]],
    closes: Sequence[float] = (FIRST, FIRST, FIRST, FIRST),
    *,
    minutes: int = 6,
    faults: Sequence[Fault] = (),
    kills: Sequence[Kill] = (),
    commands: Sequence[tuple[float, str]] = (),
    begins_s: float = 30,
    decider: Callable[[], Decider] | None = None,
    thin: Collection[int] = (),
    product: Product = Product.UM,
) -> Outcome:
    """Play a story that a test has written: by the minute, what the book decides at its beginning.

    `commands` are verbs of an operator, each with its time in seconds since minute 0. `decider` decides in place of the
    script. `thin` is that of `market_of`.
    """
    plan = Plan(
        market_of({BTC: closes}, product, minutes + 2, thin=thin),
        minutes,
        decider or (lambda: Says(script, product)),
        faults=faults,
        kills=kills,
        make_venue=binance_venue,
        in_process=False,
        grain_ms=500,
        tick_ms=2_000,
        commands=commands,
        begins_s=begins_s,
    )
    return run_book(plan)

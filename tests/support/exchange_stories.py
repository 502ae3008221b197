"""Stories of a book at the exchange: the rules of a Hypothesis state machine write one, which is then played.

A story has prices, decisions, faults, actions of the account's owner, and kills. `Story.teardown` plays it in virtual
time and asserts that no oracle has found anything.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.protocols import Decider
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.sandbox.binance.fault_kinds import ANSWERS
from ocw_mcp.sandbox.binance.faults import Fault
from tests.support.deaths import Kill
from tests.support.exchange_books import MakeVenue, Outcome, Plan, binance_venue, run_book
from tests.support.sandbox_books import BEGIN, fault, market_of

BTC = "BTCUSDT"
FIRST = 90_000.0
LAST_MINUTES = 3
"""Minutes at the end of a story in which nothing new begins."""

FAILURES = [name for name, each in ANSWERS.items() if not each.unknown]

delays = st.sampled_from((None, "2s", "90s"))
spans = st.sampled_from(("5s", "20s", "1m"))


class Says:
    """Decides by the minute: what to do with a position, or without one."""

    name = "story"

    def __init__(self, script: Mapping[int, tuple[Action, float]]) -> None:
        self._script = script

    def thinking_ms(self, request: DecisionRequest) -> int:
        return 0

    async def decide(self, request: DecisionRequest) -> Decision:
        view = request.snapshot.symbols[BTC]
        said = self._script.get((request.snapshot.at - BEGIN) // MINUTE)
        if said is None or not isinstance(view.last, float):
            return Decision(cause=Cause(CauseKind.NOTHING_TO_DO))
        action, distance = said
        held = 0 if view.position is None else 1 if view.position.quantity > 0 else -1
        if not held:
            short = action in (Action.SHORT, Action.COVER)
            stop = f"{view.last * (1 + distance if short else 1 - distance):.0f}"
            return Decision((Leg(BTC, Action.SHORT if short else Action.BUY, size="0.1", stop=stop),))
        match action:
            case Action.PROTECT:
                leg = Leg(BTC, action, stop=f"{view.last * (1 - held * distance / 2):.0f}")
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

    @initialize()
    def begin(self) -> None:
        self.closes = [FIRST, FIRST]
        self.script: dict[int, tuple[Action, float]] = {}
        self.faults: list[Fault] = []
        self.kills: list[Kill] = []

    @property
    def second(self) -> int:
        """The end of the minutes that are written so far, in seconds."""
        return 60 * len(self.closes)

    @rule(
        action=st.sampled_from((Action.BUY, Action.SHORT, Action.PROTECT, Action.REDUCE, Action.ADD, Action.SELL)),
        distance=st.sampled_from((0.004, 0.015, 0.04)),
        move=st.sampled_from((-0.02, -0.006, 0.0, 0.006, 0.02)),
    )
    def decides(self, action: Action, distance: float, move: float) -> None:
        """A minute passes, at whose end the book decides."""
        self.closes.append(round(self.closes[-1] * (1 + move), 1))
        self.script[len(self.closes)] = (action, distance)

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
        self.faults.append(fault(kind, self.second - 2, lasts=lasts, **more))

    @rule(kind=st.sampled_from(("mute", "duplicate", "reorder", "delay", "drop")), lasts=spans)
    def user_data_fails(self, kind: str, lasts: str) -> None:
        """The events of the account are lost, come twice, in the wrong order or late."""
        more: dict[str, Any] = {} if kind == "drop" else {"lasts": lasts}
        more |= {"by": "3s"} if kind == "delay" else {}
        self.faults.append(fault(kind, self.second - 2, stream="user@*", **more))

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
        self.faults.append(fault(action, max(31, self.second + after), **more))

    @rule(kind=st.sampled_from(("ban", "limit", "error", "order_hidden", "key_expired")), lasts=spans)
    def requests_fail(self, kind: str, lasts: str) -> None:
        """The exchange refuses all requests, does not find new orders, or ends the listen key."""
        more: dict[str, Any] = {} if kind == "key_expired" else {"lasts": lasts}
        more |= {"by": "20s"} if kind == "order_hidden" else {}
        self.faults.append(fault(kind, self.second - 2, **more))

    @rule(touches=st.integers(1, 12), down_s=st.sampled_from((0.5, 20.0, 70.0)), after=st.integers(-1, 20))
    def is_killed(self, touches: int, down_s: float, after: int) -> None:
        """The process dies, and is started again."""
        self.kills.append(Kill(self.second + after, touches, down_s))

    def teardown(self) -> None:
        if not self.script:
            return
        minutes = len(self.closes) + LAST_MINUTES
        plan = Plan(
            market_of({BTC: self.closes}, minutes=minutes + 2),
            minutes,
            lambda: Says(self.script),
            faults=self.faults,
            kills=self.kills,
            make_venue=self.make_venue,
            in_process=False,
            grain_ms=500,
            tick_ms=2_000,
            resumes_after_s=45,
        )
        outcome = run_book(plan)
        assert outcome.problems() == []


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
) -> Outcome:
    """Play a story that a test has written: by the minute, what the book decides at its beginning.

    `commands` are verbs of an operator, each with its time in seconds since minute 0. `decider` decides in place of the
    script. `thin` is that of `market_of`.
    """
    plan = Plan(
        market_of({BTC: closes}, minutes=minutes + 2, thin=thin),
        minutes,
        decider or (lambda: Says(script)),
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

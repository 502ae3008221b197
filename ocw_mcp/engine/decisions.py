"""One decision at a time: asks for it, waits for it as long as the policy allows, and carries it out leg by leg.

Where an agent that is a model does not answer, in time or at all, or may not be asked for money, the rules decide.
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from ocw_mcp.core import rules
from ocw_mcp.core.risk.budget import Budget
from ocw_mcp.domain import events
from ocw_mcp.domain.asks import Done, SubmitRequest
from ocw_mcp.domain.decision import Action, Decision
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import ATTACHED, RULES
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot
from ocw_mcp.domain.steps import DecisionFailed, DecisionReady
from ocw_mcp.domain.time import SECOND, iso
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.answers import Answer
from ocw_mcp.engine.carrying import Carrier
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.out import Out

DEADLINE_TIMER = "decision"
NOTE_KEPT = 500
"""Characters of a decider's note to itself that are kept."""


class Correctable(msgspec.Struct, frozen=True):
    """A decision of which some legs were refused: whoever submitted it may do those once more, until a time (ms)."""

    wake_id: int
    principal: str
    symbols: tuple[str, ...]
    until: int

    def open_to(self, request: SubmitRequest, now: int) -> bool:
        """Whether this is from whoever may, about the same wake, and in time."""
        return (request.wake_id, request.principal) == (self.wake_id, self.principal) and now <= self.until


class DecisionsState(msgspec.Struct):
    """The wake that is being decided on, if any, the last wake's number, and the note that the decider left itself."""

    last_wake: int = 0
    pending: DecisionRequest | None = None
    note: str = ""
    correctable: Correctable | None = None


Settle = Callable[[Decision, int], None]


class Decisions:
    """From a wake to orders."""

    def __init__(
        self,
        config: EngineConfig,
        carrier: Carrier,
        account: Account,
        out: Out,
        settle: Settle,
    ) -> None:
        """`settle` hears of each decision, once its legs are carried out."""
        self._config = config
        self._carrier = carrier
        self._account = account
        self._out = out
        self._settle = settle
        self.budget = Budget(config.policies.budget)
        self.state = DecisionsState()

    @property
    def under_way(self) -> bool:
        """Whether somebody is thinking."""
        return self.state.pending is not None

    def ask(self, snapshot: Snapshot, now: int) -> None:
        """Raise a wake. Where thinking costs money and all of it is spent, the rules decide at once."""
        self.state.last_wake += 1
        self.state.correctable = None
        deadline = now + self._config.policies.decision.deadline_s * SECOND
        self.state.pending = DecisionRequest(self.state.last_wake, snapshot, deadline)
        self._out.record(events.WakeRaised(self.state.last_wake, snapshot.wake))
        until = self.budget.spent_out(now) if self._config.fallback else None
        if until is not None:
            self._spent_out(self.state.pending, until, now)
            return
        self._out.set_timer(DEADLINE_TIMER, deadline)
        self._out.ask(self.state.pending)

    def ready(self, answer: DecisionReady, now: int) -> None:
        """Take an answer and carry it out, against the account and the market of this very moment."""
        self.budget.book(answer.cost_usd, now)
        if self._expected(answer) is None:
            return
        if answer.decider != RULES:
            self._account.decided_anew()
        self._take(answer.wake_id, answer.decider, answer.thinking_ms, answer.decision, now, answer.cost_usd)

    def submitted(self, request: SubmitRequest, now: int) -> Answer:
        """Take an answer that somebody attached submits; what each leg was answered is under the name it gives back."""
        pending, again = self.state.pending, self.state.correctable
        if self._config.agent != ATTACHED:
            limit = f"an engine that attached clients decide for (--agent {ATTACHED})"
            return Refusal(RefusalCode.NO_WAKE, limit=limit, actual=f"--agent {self._config.agent}")
        if pending is not None and pending.wake_id == request.wake_id:
            thought = now - pending.snapshot.at
            self._out.give_up()
            self._account.decided_anew()
            self._take(request.wake_id, request.principal, thought, request.decision, now, ZERO)
            return self._note_refused(request, pending.deadline)
        if again is None or not again.open_to(request, now):
            waits = f"wake {pending.wake_id}" if pending is not None else "no wake waits"
            return Refusal(RefusalCode.NO_WAKE, limit=waits, actual=f"wake {request.wake_id}")
        wrong = next((leg.symbol for leg in request.decision.legs if leg.symbol not in again.symbols), None)
        if wrong is not None:
            refused = ",".join(again.symbols)
            return Refusal(RefusalCode.NO_WAKE, limit=f"corrections of {refused}", actual=f"a leg on {wrong}")
        self.state.correctable = None
        name = f"wake:{request.wake_id}:again"
        self._out.record(events.DecisionCorrected(request.wake_id, request.principal, request.decision))
        self._carry_out(request.decision, name, request.principal, request.wake_id, now)
        return Done(name)

    def break_off(self, why: str, now: int) -> None:
        """Nobody is to decide any more: what is being decided on is held."""
        pending = self.state.pending
        if pending is not None:
            self._out.give_up()
            waited = now - pending.snapshot.at
            self._take(pending.wake_id, self._config.agent, waited, Decision(cause=why), now, ZERO)

    def _note_refused(self, request: SubmitRequest, until: int) -> Done:
        name = f"wake:{request.wake_id}"
        refused = tuple(
            leg.symbol
            for index, leg in enumerate(request.decision.legs)
            if isinstance(self._carrier.answer(f"{name}:{index}"), Refusal)
        )
        if refused:
            self.state.correctable = Correctable(request.wake_id, request.principal, refused, until)
        return Done(name)

    def failed(self, failure: DecisionFailed, now: int) -> None:
        """Whoever was asked could not answer, and the journal says why."""
        self.budget.book(failure.cost_usd, now)
        pending = self._expected(failure)
        if pending is not None:
            self._without(pending, failure.decider, failure.thinking_ms, failure.cause, now, failure.cost_usd)

    def on_deadline(self, now: int) -> None:
        """The answer did not come in time."""
        pending = self.state.pending
        if pending is None:
            return
        waited = now - pending.snapshot.at
        self._out.give_up()
        cause = f"deadline: no answer within {waited / SECOND:g}s"
        self._without(pending, self._config.agent, waited, cause, now)

    def _spent_out(self, pending: DecisionRequest, until: int, now: int) -> None:
        today, this_month = self.budget.spent(now)
        if self.budget.tells(until):
            self._out.record(events.BudgetSpent(this_month, until))
        cause = f"budget: {plain(today)} USD spent today, {plain(this_month)} this month; the next from {iso(until)} on"
        self._without(pending, self._config.agent, 0, cause, now)

    def _without(
        self, pending: DecisionRequest, agent: str, thinking_ms: int, why: str, now: int, cost_usd: Decimal = ZERO
    ) -> None:
        """Go on without an answer: the rules decide on what the agent was shown, or everything is held.

        They leave out what the policy would not let them enter anyway.
        """
        if not self._config.fallback:
            self._take(pending.wake_id, agent, thinking_ms, Decision(cause=why), now, cost_usd)
            return
        policies = self._config.policies
        legs = rules.decide(pending.snapshot, policies).legs
        if policies.fallback.rules == "manage":
            legs = tuple(leg for leg in legs if not leg.action.adds_risk)
        self._take(pending.wake_id, RULES, thinking_ms, Decision(legs, cause=f"fallback: {why}"), now, cost_usd)

    def _expected(self, answer: DecisionReady | DecisionFailed) -> DecisionRequest | None:
        pending = self.state.pending
        if pending is not None and pending.wake_id == answer.wake_id:
            return pending
        why = "this wake is not waiting for an answer any more"
        self._out.record(events.DecisionDiscarded(answer.wake_id, why, answer.cost_usd))
        return None

    def _take(
        self, wake_id: int, decider: str, thinking_ms: int, decision: Decision, now: int, cost_usd: Decimal
    ) -> None:
        asked, self.state.pending = self.state.pending, None
        self._out.clear_timer(DEADLINE_TIMER)
        self._out.record(events.DecisionMade(wake_id, decider, thinking_ms, decision, cost_usd))
        if asked is not None and any(leg.action is not Action.HOLD for leg in decision.legs):
            self._out.keep(wake_id, asked.snapshot)
        if decision.note:
            self.state.note = decision.note[:NOTE_KEPT]
        self._carry_out(decision, f"wake:{wake_id}", decider, wake_id, now)
        self._settle(decision, now)

    def _carry_out(self, decision: Decision, name: str, decider: str, wake_id: int, now: int) -> None:
        for index, leg in enumerate(decision.legs):
            self._carrier.carry_out(leg, f"{name}:{index}", decider, wake_id, now)

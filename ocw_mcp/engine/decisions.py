"""One decision at a time: asks for it, waits for it as long as the policy allows, and carries it out leg by leg.

Where an agent that is a model does not answer, in time or at all, or may not be asked for money, the rules decide.
"""

from decimal import Decimal

import msgspec

from ocw_mcp.core import rules
from ocw_mcp.core.risk.budget import Budget
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action, Decision
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import RULES
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot
from ocw_mcp.domain.steps import DecisionFailed, DecisionReady
from ocw_mcp.domain.time import SECOND, iso
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.carrying import Carrier
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.out import Out

DEADLINE_TIMER = "decision"
NOTE_KEPT = 500
"""Characters of a decider's note to itself that are kept."""


class DecisionsState(msgspec.Struct):
    """The wake that is being decided on, if any, the last wake's number, and the note that the decider left itself."""

    last_wake: int = 0
    pending: DecisionRequest | None = None
    note: str = ""


class Decisions:
    """From a wake to orders."""

    def __init__(self, config: EngineConfig, carrier: Carrier, account: Account, out: Out) -> None:
        self._config = config
        self._carrier = carrier
        self._account = account
        self._out = out
        self.budget = Budget(config.policies.budget)
        self.state = DecisionsState()

    @property
    def under_way(self) -> bool:
        """Whether somebody is thinking."""
        return self.state.pending is not None

    def ask(self, snapshot: Snapshot, now: int) -> Decision | None:
        """Raise a wake. Where thinking costs money and all of it is spent, the rules decide at once."""
        self.state.last_wake += 1
        deadline = now + self._config.policies.decision.deadline_s * SECOND
        self.state.pending = DecisionRequest(self.state.last_wake, snapshot, deadline)
        self._out.record(events.WakeRaised(self.state.last_wake, snapshot.wake))
        until = self.budget.spent_out(now) if self._config.fallback else None
        if until is not None:
            return self._spent_out(self.state.pending, until, now)
        self._out.set_timer(DEADLINE_TIMER, deadline)
        self._out.ask(self.state.pending)
        return None

    def ready(self, answer: DecisionReady, now: int) -> Decision | None:
        """Take an answer and carry it out, against the account and the market of this very moment."""
        self.budget.book(answer.cost_usd, now)
        if self._expected(answer) is None:
            return None
        if answer.decider != RULES:
            self._account.decided_anew()
        return self._take(answer.wake_id, answer.decider, answer.thinking_ms, answer.decision, now, answer.cost_usd)

    def failed(self, failure: DecisionFailed, now: int) -> Decision | None:
        """Whoever was asked could not answer, and the journal says why."""
        self.budget.book(failure.cost_usd, now)
        pending = self._expected(failure)
        if pending is None:
            return None
        return self._without(pending, failure.decider, failure.thinking_ms, failure.cause, now, failure.cost_usd)

    def on_deadline(self, now: int) -> Decision | None:
        """The answer did not come in time."""
        pending = self.state.pending
        if pending is None:
            return None
        waited = now - pending.snapshot.at
        self._out.give_up()
        cause = f"deadline: no answer within {waited / SECOND:g}s"
        return self._without(pending, self._config.agent, waited, cause, now)

    def _spent_out(self, pending: DecisionRequest, until: int, now: int) -> Decision:
        today, this_month = self.budget.spent(now)
        if self.budget.tells(until):
            self._out.record(events.BudgetSpent(this_month, until))
        cause = f"budget: {plain(today)} USD spent today, {plain(this_month)} this month; the next from {iso(until)} on"
        return self._without(pending, self._config.agent, 0, cause, now)

    def _without(
        self, pending: DecisionRequest, agent: str, thinking_ms: int, why: str, now: int, cost_usd: Decimal = ZERO
    ) -> Decision:
        """Go on without an answer: the rules decide on what the agent was shown, or everything is held.

        They leave out what the policy would not let them enter anyway.
        """
        if not self._config.fallback:
            return self._take(pending.wake_id, agent, thinking_ms, Decision(cause=why), now, cost_usd)
        policies = self._config.policies
        legs = rules.decide(pending.snapshot, policies).legs
        if policies.fallback.rules == "manage":
            legs = tuple(leg for leg in legs if not leg.action.adds_risk)
        return self._take(pending.wake_id, RULES, thinking_ms, Decision(legs, cause=f"fallback: {why}"), now, cost_usd)

    def _expected(self, answer: DecisionReady | DecisionFailed) -> DecisionRequest | None:
        pending = self.state.pending
        if pending is not None and pending.wake_id == answer.wake_id:
            return pending
        why = "this wake is not waiting for an answer any more"
        self._out.record(events.DecisionDiscarded(answer.wake_id, why, answer.cost_usd))
        return None

    def _take(
        self, wake_id: int, decider: str, thinking_ms: int, decision: Decision, now: int, cost_usd: Decimal
    ) -> Decision:
        asked, self.state.pending = self.state.pending, None
        self._out.clear_timer(DEADLINE_TIMER)
        self._out.record(events.DecisionMade(wake_id, decider, thinking_ms, decision, cost_usd))
        if asked is not None and any(leg.action is not Action.HOLD for leg in decision.legs):
            self._out.keep(wake_id, asked.snapshot)
        if decision.note:
            self.state.note = decision.note[:NOTE_KEPT]
        for index, leg in enumerate(decision.legs):
            self._carrier.carry_out(leg, f"wake:{wake_id}:{index}", decider, wake_id, now)
        return decision

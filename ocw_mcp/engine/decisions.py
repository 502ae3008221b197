"""One decision at a time: asks for it, waits for it as long as the policy allows, and carries it out leg by leg."""

import msgspec

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot
from ocw_mcp.domain.steps import DecisionFailed, DecisionReady
from ocw_mcp.domain.time import SECOND
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.desk import Desk
from ocw_mcp.engine.entries import entering
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.legs import exit_objection
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

    def __init__(self, config: EngineConfig, desk: Desk, guard: Guard, account: Account, out: Out) -> None:
        self._config = config
        self._desk = desk
        self._guard = guard
        self._account = account
        self._out = out
        self.state = DecisionsState()

    @property
    def under_way(self) -> bool:
        """Whether somebody is thinking."""
        return self.state.pending is not None

    def ask(self, snapshot: Snapshot, now: int) -> None:
        """Raise a wake."""
        self.state.last_wake += 1
        deadline = now + self._config.policies.decision.deadline_s * SECOND
        self.state.pending = DecisionRequest(self.state.last_wake, snapshot, deadline)
        self._out.record(events.WakeRaised(self.state.last_wake, snapshot.wake))
        self._out.set_timer(DEADLINE_TIMER, deadline)
        self._out.ask(self.state.pending)

    def ready(self, answer: DecisionReady, now: int) -> Decision | None:
        """Take an answer and carry it out, against the account and the market of this very moment."""
        if not self._expected(answer.wake_id):
            return None
        return self._take(answer.wake_id, answer.decider, answer.thinking_ms, answer.decision, now)

    def failed(self, failure: DecisionFailed, now: int) -> Decision | None:
        """Nobody could answer: everything is held, and the journal says why."""
        if not self._expected(failure.wake_id):
            return None
        held = Decision(cause=failure.cause)
        return self._take(failure.wake_id, failure.decider, failure.thinking_ms, held, now)

    def on_deadline(self, now: int) -> Decision | None:
        """The answer did not come in time: everything is held."""
        pending = self.state.pending
        if pending is None:
            return None
        waited = now - pending.snapshot.at
        self._out.give_up()
        held = Decision(cause=f"deadline: no answer within {waited / SECOND:g}s")
        return self._take(pending.wake_id, self._config.agent, waited, held, now)

    def _expected(self, wake_id: int) -> bool:
        pending = self.state.pending
        if pending is not None and pending.wake_id == wake_id:
            return True
        self._out.record(events.DecisionDiscarded(wake_id, "this wake is not waiting for an answer any more"))
        return False

    def _take(self, wake_id: int, decider: str, thinking_ms: int, decision: Decision, now: int) -> Decision:
        self.state.pending = None
        self._out.clear_timer(DEADLINE_TIMER)
        self._out.record(events.DecisionMade(wake_id, decider, thinking_ms, decision))
        if decision.note:
            self.state.note = decision.note[:NOTE_KEPT]
        for index, leg in enumerate(decision.legs):
            self._carry_out(leg, f"wake:{wake_id}:{index}", decider, wake_id, now)
        return decision

    def _carry_out(self, leg: Leg, key: str, principal: str, wake_id: int, now: int) -> None:
        if leg.action is Action.HOLD:
            return
        if leg.action.adds_risk:
            self._enter(leg, key, principal, wake_id, now)
            return
        if not self._account.ledger.quantity(leg.symbol) and any(self._desk.orders.live(leg.symbol, Purpose.ENTRY)):
            # There is nothing to close yet, but something on its way: whoever wants out takes it back.
            self._desk.cancel_entries(f"taken back by {principal}", leg.symbol)
            return
        refusal = exit_objection(leg, self._account.ledger.quantity(leg.symbol))
        if refusal is None:
            self._desk.close(leg.symbol, principal, now, key=key, wake_id=wake_id)
        else:
            intent = self._desk.reduction(leg.symbol, Purpose.EXIT, principal, key=key, wake_id=wake_id)
            self._desk.refuse(intent, refusal)

    def _enter(self, leg: Leg, key: str, principal: str, wake_id: int, now: int) -> None:
        met = entering(leg, self._desk, self._guard, key, principal, wake_id, now)
        if met.objection is not None:
            self._desk.refuse(met.intent, met.objection)
            return
        self._desk.submit(met.intent, now, met.account)

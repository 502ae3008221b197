"""The decision cycle: ask for one decision at a time, wait for it until its deadline, and execute it leg by leg.

If the agent is a model, the rules decide in its place when it gives no answer in time or when its budget is spent.
"""

from decimal import Decimal
from typing import NamedTuple, Protocol

import msgspec

from ocw_mcp.core import strategy
from ocw_mcp.core.risk.counters import Budget
from ocw_mcp.domain import asks, events
from ocw_mcp.domain.asks import DecisionKey, Done, SubmitRequest, request_key
from ocw_mcp.domain.causes import MODEL_ANSWERED, Cause, CauseKind
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import ATTACHED, RULES, OrderRef
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.snapshot import DecisionRequest, Remark, Snapshot
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.domain.steps import Ask, DecisionFailed, DecisionReady, DecisionSubmitted, GiveUp, Keep, Timer, TimerKind
from ocw_mcp.domain.time import SECOND, iso
from ocw_mcp.engine.idempotency import Answer
from ocw_mcp.engine.leg_executor import LegExecutor
from ocw_mcp.engine.order_manager import OrderManager
from ocw_mcp.engine.precheck import Instruction

DEADLINE_TIMER = Timer(TimerKind.DECISION)
NOTE_KEPT = 500
"""The number of characters to which a note is cut."""


class Settled(NamedTuple):
    """What the conditions and the check time of a decision led to, one clause each."""

    done: tuple[str, ...]
    refused: tuple[str, ...]
    """The rejected and the changed parts."""


class Settle(Protocol):
    """Sets the conditions and the check time of a decision of `decider` at `now` (ms)."""

    def __call__(self, decision: Decision, decider: str, now: int, *, correction: bool = False) -> Settled:
        """A correction changes only the parts that it gives."""


class SubmittedDecision(msgspec.Struct, frozen=True):
    """A submitted decision, whose author may correct the refused legs once."""

    request: DecisionRequest
    principal: str
    refused: tuple[str, ...]
    """The symbols of the refused legs, which may be corrected."""
    correctable: bool
    """Whether the author may submit once more, since a leg was refused, or another part refused or changed."""
    accepted: bool
    """Whether no leg was refused, or at least one leg that is not a HOLD was executed."""
    stays_open: bool = msgspec.field(name="floor")
    """Whether the decision is open until its author ends it. An open decision delays the next wake."""
    tainted: bool = False
    carried_out: dict[int, Leg] = {}
    """The legs on symbols of refused legs that led to an order, by their index and without their texts."""

    def may_correct(self, asked: SubmitRequest, now: int) -> bool:
        """Return whether a request corrects this decision: same wake, same author, before the deadline."""
        same = (asked.wake_id, asked.principal) == (self.request.wake_id, self.principal)
        return same and self.correctable and now <= self.request.deadline


class DecisionsState(msgspec.Struct):
    """The wake that awaits a decision, if any, the number of the last wake, and the note for the next one."""

    last_wake: int = 0
    pending: DecisionRequest | None = None
    note: Remark | None = None
    submission: SubmittedDecision | None = msgspec.field(default=None, name="talk")
    """The last submitted decision, as long as it is open or may be corrected."""
    idle: int = 0
    """The number of decisions in a row that led to no order."""
    held: DecisionRequest | None = None
    """The last wake, if the model answered it with a deliberate HOLD of every symbol."""
    undone: tuple[Remark, ...] = ()
    """The rejected parts (other than legs) of the last decision of a model or client, which the next wake shows."""


class DecisionCycle(Stateful[DecisionsState]):
    """Turns wakes into decisions, and decisions into orders."""

    def __init__(self, manager: OrderManager, executor: LegExecutor, settle: Settle) -> None:
        """`settle` takes each decision after its legs are executed."""
        super().__init__(DecisionsState())
        self._config = manager.config
        self._account = manager.account
        self._effects = manager.effects
        self._executor = executor
        self._settle = settle
        self.budget = Budget(self._config.policies.budget)

    @property
    def open_submission(self) -> SubmittedDecision | None:
        """The submitted decision that is still open, if there is one."""
        submission = self._state.submission
        return submission if submission is not None and submission.stays_open else None

    @property
    def open_request(self) -> DecisionRequest | None:
        """The request that awaits a decision, or whose submitted decision is still open."""
        submission = self.open_submission
        return self._state.pending or (submission.request if submission is not None else None)

    def ask(self, snapshot: Snapshot, now: int) -> None:
        """Raise a wake, and ask for a decision. If the budget of a model is spent, the rules decide at once."""
        self._state.last_wake += 1
        self._state.submission = None
        deadline = now + self._config.policies.decision.deadline_s * SECOND
        pending = DecisionRequest(self._state.last_wake, snapshot, deadline, self._account.version, self._state.held)
        self._state.pending = pending
        self._effects.record(events.WakeRaised(self._state.last_wake, snapshot.wake))
        until = self.budget.spent_out(now) if self._config.fallback else None
        if until is None:
            self._effects.set_timer(DEADLINE_TIMER, deadline)
            self._effects.add(Ask(pending))
            return
        self._report_spent(until, now)
        today, this_month = self.budget.spent(now)
        spent = f"{plain(today)} USD spent today, {plain(this_month)} this month; the next from {iso(until)} on"
        self._decide_without_agent(pending, self._config.agent, 0, Cause(CauseKind.BUDGET, spent), now)

    def receive(self, event: DecisionReady | DecisionFailed | DecisionSubmitted, now: int) -> None:
        """Process an event of the decider. The answer to a submission is stored under the key of its request."""
        cost, pending = event.cost_usd, self._state.pending
        self.budget.book(cost, now)
        if isinstance(event, DecisionSubmitted):
            answer = self._submit(event.request, event.thinking_ms, cost, now, stays_open=True)
            self._executor.answers.put(request_key(event.request), answer)
        elif self.open_submission is not None and self.open_submission.request.wake_id == event.wake_id:
            cause = event.cause if isinstance(event, DecisionFailed) else None
            self._end_submission(event.thinking_ms, cause, cost, now)
        elif pending is None or pending.wake_id != event.wake_id:
            why = "this wake is not waiting for an answer any more"
            self._effects.record(events.DecisionDiscarded(event.wake_id, why, cost))
        elif isinstance(event, DecisionFailed):
            self._failed(event, pending, now)
        else:
            if event.decider != RULES:
                self._account.forget_closed_openers()
            # A repeated decision and a failed one were made without reading texts of other authors.
            tainted = event.decision.cause_kind in MODEL_ANSWERED and self._quotes_others(event.decider)
            self._take(events.DecisionMade(**msgspec.structs.asdict(event), tainted=tainted), now)

    def _failed(self, failure: DecisionFailed, pending: DecisionRequest, now: int) -> None:
        cause = failure.cause
        if cause.kind is CauseKind.MALFORMED:
            self._effects.record(events.Incident(f"no decision could be read from an answer on wake {failure.wake_id}"))
        if cause.kind is CauseKind.BUDGET:
            self._report_spent(self.budget.renewed(now), now)
        self._decide_without_agent(pending, failure.decider, failure.thinking_ms, cause, now, failure.cost_usd)

    def submitted(self, request: SubmitRequest, now: int) -> Answer:
        """Execute the decision of an attached client. Return Done with the key of its legs' answers, or a refusal."""
        if self._config.agent != ATTACHED:
            limit = f"an engine that attached clients decide for (--agent {ATTACHED})"
            return Refusal(RefusalCode.NO_WAKE, limit=limit, actual=f"--agent {self._config.agent}")
        pending = self._state.pending
        thought = now - pending.snapshot.at if pending is not None else 0
        return self._submit(request, thought, ZERO, now, stays_open=False)

    def _submit(self, asked: SubmitRequest, thought: int, cost_usd: Decimal, now: int, *, stays_open: bool) -> Answer:
        pending, submission, wake_id, who = self._state.pending, self._state.submission, asked.wake_id, asked.principal
        if pending is not None and pending.wake_id == wake_id:
            if not stays_open:
                self._effects.add(GiveUp())
            self._account.forget_closed_openers()
            # The agent that was asked has read the snapshot, even if its request does not say so.
            tainted = asked.tainted or (stays_open and self._quotes_others(who))
            made = events.DecisionMade(wake_id, who, thought, asked.decision, cost_usd, tainted)
            settled = self._take(made, now)
            key = DecisionKey(wake_id)
            refused = self._refused(key, asked.decision)
            accepted = not refused or _passed(asked.decision, refused)
            correctable = bool(refused or settled.refused)
            legs = [(i, leg) for i, leg in enumerate(asked.decision.legs) if leg.asks and leg.symbol in refused]
            answered = self._executor.answers.get
            carried_out = {i: asks.wordless(leg) for i, leg in legs if not isinstance(answered(key.leg(i)), Refusal)}
            self._state.submission = SubmittedDecision(
                pending, who, refused, correctable, accepted, stays_open, tainted, carried_out
            )
            if stays_open:
                self._effects.set_timer(DEADLINE_TIMER, pending.deadline)
            return Done(key, settled.refused, (*settled.done, *_noted(asked.decision, tainted=tainted)))
        if submission is None or not submission.may_correct(asked, now):
            waits = f"wake {pending.wake_id}" if pending is not None else "no wake waits"
            return Refusal(RefusalCode.NO_WAKE, limit=waits, actual=f"wake {wake_id}")
        others = [leg.symbol for leg in asked.decision.legs if leg.symbol not in submission.refused]
        # A leg on a symbol that the engine does not follow is corrected by a leg on another symbol.
        unknown = [symbol for symbol in submission.refused if symbol not in self._config.symbols]
        wrong = others[len(unknown)] if len(others) > len(unknown) else None
        if wrong is not None:
            limit = f"a correction of {','.join(submission.refused) or 'conditions, next_check_s or note'}"
            return Refusal(RefusalCode.NO_WAKE, limit=limit, actual=f"a leg on {wrong}")
        key = DecisionKey(wake_id, "again")
        for i, leg in enumerate(asked.decision.legs):
            # A leg that was carried out and is repeated has the answer that it had: it is not carried out twice.
            for first in (n for n, each in submission.carried_out.items() if each == asks.wordless(leg)):
                self._executor.answers.copy(DecisionKey(wake_id).leg(first), key.leg(i))
        # The author has still read the texts that tainted the first submission.
        tainted = asked.tainted or submission.tainted
        self._effects.record(events.DecisionCorrected(wake_id, who, asked.decision, thought, cost_usd, tainted))
        if asked.decision.note:
            # It replaces the note of the first submission, even if it is not kept itself.
            self._state.note = None
        decision = self._with_note(asked.decision, who, wake_id, now, tainted=tainted)
        self._carry_out(decision, key, who, now, tainted=tainted)
        settled = self._settle(decision, who, now, correction=True)
        refused = self._refused(key, asked.decision)
        if self._led_to_order(key, asked.decision):
            self._state.idle = 0
        left = {*submission.refused}.difference(leg.symbol for leg in asked.decision.legs).union(refused)
        accepted = submission.accepted or not left or _passed(asked.decision, refused)
        self._state.submission = msgspec.structs.replace(submission, refused=(), correctable=False, accepted=accepted)
        if decision.wake_conditions is not None or decision.next_check_s is not None:
            # The correction has replaced the parts that were refused before.
            self._state.undone = ()
        self._keep_undone(settled.refused, who, now, tainted=tainted)
        return Done(key, settled.refused, (*settled.done, *_noted(asked.decision, tainted=tainted)))

    def takes(self, request: SubmitRequest, now: int) -> bool:
        """Return whether a submission answers the open wake, or corrects the decision on the last wake."""
        pending, submission = self._state.pending, self._state.submission
        answers = pending is not None and pending.wake_id == request.wake_id
        return answers or (submission is not None and submission.may_correct(request, now))

    def _refused(self, key: DecisionKey, decision: Decision) -> tuple[str, ...]:
        answers, legs = self._executor.answers, enumerate(decision.legs)
        return tuple(leg.symbol for i, leg in legs if isinstance(answers.get(key.leg(i)), Refusal))

    def break_off(self, why: Cause, now: int) -> None:
        """End the open decision with a HOLD, because an operator paused the agent."""
        pending, submission = self._state.pending, self.open_submission
        if pending is not None:
            self._effects.add(GiveUp())
            waited, decision = now - pending.snapshot.at, Decision(cause=why)
            self._take(events.DecisionMade(pending.wake_id, self._config.agent, waited, decision), now)
        elif submission is not None:
            self._effects.add(GiveUp())
            self._close_submission(submission, why, ZERO)
        # The last decision cannot be corrected any more, either.
        self._state.submission = None

    def on_deadline(self, now: int) -> None:
        """End the open decision, because its deadline has passed."""
        pending, asked = self._state.pending, self.open_request
        if asked is None:
            return
        waited = now - asked.snapshot.at
        self._effects.add(GiveUp())
        cause = Cause(CauseKind.DEADLINE, f"{waited / SECOND:g} s after the wake")
        if pending is not None:
            self._decide_without_agent(pending, self._config.agent, waited, cause, now)
        else:
            self._end_submission(waited, cause, ZERO, now)

    def _end_submission(self, thought: int, cause: Cause | None, cost_usd: Decimal, now: int) -> None:
        """End the open submission. If its author failed and no leg was accepted, decide without the agent."""
        submission = self.open_submission
        assert submission is not None, "only an open submission can end"
        self._close_submission(submission, cause, cost_usd)
        if cause is not None and not submission.accepted:
            self._decide_without_agent(submission.request, submission.principal, thought, cause, now)

    def _close_submission(self, submission: SubmittedDecision, cause: Cause | None, cost_usd: Decimal) -> None:
        self._state.submission = None
        self._effects.clear_timer(DEADLINE_TIMER)
        self._effects.record(events.DecisionEnded(submission.request.wake_id, cause, cost_usd))

    def _report_spent(self, until: int, now: int) -> None:
        if self.budget.mark_reported(until):
            self._effects.record(events.BudgetSpent(self.budget.spent(now)[1], until))

    def _decide_without_agent(
        self, pending: DecisionRequest, agent: str, thinking_ms: int, why: Cause, now: int, cost_usd: Decimal = ZERO
    ) -> None:
        """Decide in the agent's place: by the rules on the agent's snapshot, or with a HOLD of every symbol.

        The legs of the rules that add risk are dropped if the policy `fallback.rules` is `manage`, or if the snapshot
        is old because the engine was down at the deadline.
        """
        decider, decision = agent, Decision(cause=why)
        if self._config.fallback:
            policies = self._config.policies
            legs = strategy.decide(pending.snapshot, policies).legs
            if policies.fallback.rules == "manage" or now - pending.deadline > policies.data.slack_s * SECOND:
                legs = tuple(leg for leg in legs if not leg.action.adds_risk)
            decider, decision = RULES, Decision(legs, cause=why)
        self._take(events.DecisionMade(pending.wake_id, decider, thinking_ms, decision, cost_usd), now)

    def _with_note(self, decision: Decision, decider: str, wake_id: int, now: int, *, tainted: bool) -> Decision:
        """Keep the note of a decision for the next wake, and return the decision; a tainted one without its texts."""
        if tainted:
            # A text that was written after reading other authors may repeat theirs: only the journal keeps it.
            if self._state.note is not None and self._state.note.by != decider:
                self._state.note = None
            return _without_words(decision)
        if decision.note:
            self._state.note = Remark(decision.note[:NOTE_KEPT], decider, now, wake_id)
        return decision

    def _keep_undone(self, refused: tuple[str, ...], decider: str, now: int, *, tainted: bool) -> None:
        """Keep the rejected parts of a decision for its decider's next wake."""
        if tainted and refused:
            refused = (f"{len(refused)} of its conditions and times were not taken",)
        self._state.undone += tuple(Remark(each, decider, now) for each in refused)

    def _take(self, made: events.DecisionMade, now: int) -> Settled:
        """Journal and execute a decision. Return what its conditions and its check time led to."""
        wake_id, decider, decision, tainted = made.wake_id, made.decider, made.decision, made.tainted
        asked, self._state.pending = self._state.pending, None
        self._effects.clear_timer(DEADLINE_TIMER)
        self._effects.record(made)
        if asked is not None and not decision.holds:
            self._effects.add(Keep(wake_id, asked.snapshot))
        self._remember(asked, decider, decision)
        decision = self._with_note(decision, decider, wake_id, now, tainted=tainted)
        # If the rules decide after a submission that failed, their decision has keys of its own.
        key = DecisionKey(wake_id, "rules" if asked is None else "")
        self._carry_out(decision, key, decider, now, tainted=tainted)
        self._count_idle(key, decision)
        settled = self._settle(decision, decider, now)
        remarks = settled.refused
        if decision.cause_kind is CauseKind.UNSENT:
            remarks += (f"wake {wake_id} was answered in words, not with decisions_submit: nothing was sent",)
            unsent = f"{decider} wrote its decision on wake {wake_id} as text; nothing was sent"
            self._effects.record(events.Incident(unsent))
        # A decision of the rules, a repeated one or a failed one leaves the model's own remarks for its next wake.
        if decider != RULES and decision.answered:
            self._state.undone = ()
            self._keep_undone(remarks, decider, now, tainted=tainted)
        if remarks:
            # A HOLD that relied on a rejected wake condition is not repeated: the model is asked again.
            self._state.held = None
        return settled

    def _quotes_others(self, reader: str) -> bool:
        """Return whether the pending wake shows texts of another author than `reader`."""
        pending = self._state.pending
        return pending is not None and pending.snapshot.quotes_others(reader)

    def _remember(self, asked: DecisionRequest | None, decider: str, decision: Decision) -> None:
        """Keep the wake of a model's deliberate HOLD until a decision other than a repeated HOLD is made."""
        if decision.cause_kind is CauseKind.REMEMBERED:
            return
        self._state.held = None
        by_a_model = self._config.fallback and decider == self._config.agent
        if asked is not None and by_a_model and decision.holds and decision.cause_kind in (None, CauseKind.MODEL_HOLDS):
            self._state.held = msgspec.structs.replace(asked, held=None)

    def _count_idle(self, key: DecisionKey, decision: Decision) -> None:
        """Report an incident if many decisions of a model in a row led to no order, because its calls cost money."""
        if not self._config.fallback:
            return
        most = self._config.policies.decision.idle_wakes
        self._state.idle = 0 if self._led_to_order(key, decision) else self._state.idle + 1
        if self._state.idle and self._state.idle % most == 0:
            self._effects.record(events.Incident(f"nothing was done for {self._state.idle} decisions in a row"))

    def _led_to_order(self, key: DecisionKey, decision: Decision) -> bool:
        """Return whether a leg of a decision sent, changed or cancelled an order."""
        answers = (self._executor.answers.get(key.leg(i)) for i in range(len(decision.legs)))
        return any(isinstance(each, OrderRef | Done) for each in answers)

    def _carry_out(self, decision: Decision, key: DecisionKey, decider: str, now: int, *, tainted: bool) -> None:
        # A stop is moved first: a closing of the same decision would refuse that while its order is under way.
        for index, leg in sorted(enumerate(decision.legs), key=lambda each: each[1].action is not Action.PROTECT):
            self._executor.execute(Instruction(leg, decider, key.leg(index), tainted=tainted), now)


def _passed(decision: Decision, refused: tuple[str, ...]) -> bool:
    """Return whether at least one leg other than a HOLD was executed."""
    return len(refused) < sum(leg.asks for leg in decision.legs)


def _noted(decision: Decision, *, tainted: bool) -> tuple[str, ...]:
    """Return whether the note of a decision is kept, in one clause; nothing for a decision without one."""
    if not decision.note:
        return ()
    # A client's note arrives cut to this length.
    cut = f", its first {NOTE_KEPT} characters" if len(decision.note) >= NOTE_KEPT else ""
    return ("note not kept: you had read text of another author" if tainted else f"note kept{cut}",)


def _without_words(decision: Decision) -> Decision:
    conditions = decision.wake_conditions
    if conditions is not None:
        conditions = tuple(msgspec.structs.replace(each, reason="") for each in conditions)
    return msgspec.structs.replace(decision, note="", wake_conditions=conditions)

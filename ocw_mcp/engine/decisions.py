"""One decision at a time: asks for it, waits for it as long as the policy allows, and carries it out leg by leg.

Where an agent that is a model does not answer, in time or at all, or may not be asked for money, the rules decide.
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from ocw_mcp.core import strategy
from ocw_mcp.core.risk.budget import Budget
from ocw_mcp.domain import events
from ocw_mcp.domain.asks import DecisionKey, Done, SubmitRequest, request_key
from ocw_mcp.domain.causes import MODEL_ANSWERED, Cause, CauseKind
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import ATTACHED, RULES, OrderRef
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.snapshot import DecisionRequest, Remark, Snapshot
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.domain.steps import DecisionFailed, DecisionReady, DecisionSubmitted, Timer, TimerKind
from ocw_mcp.domain.time import SECOND, iso
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.effect_buffer import EffectBuffer
from ocw_mcp.engine.idempotency import Answer
from ocw_mcp.engine.leg_executor import LegExecutor
from ocw_mcp.engine.precheck import Instruction

DEADLINE_TIMER = Timer(TimerKind.DECISION)
NOTE_KEPT = 500
"""Characters of a note that are kept."""


class SubmittedDecision(msgspec.Struct, frozen=True):
    """A decision that was submitted: whoever did so may correct once what was refused of it."""

    request: DecisionRequest
    principal: str
    refused: tuple[str, ...]
    """Symbols whose legs may be corrected."""
    accepted: bool
    """Whether anything of it was done, or nothing was to be; a leg that is HOLD is neither."""
    floor: bool
    """Whether nobody is asked anew before it is over."""
    tainted: bool = False

    def may_correct(self, asked: SubmitRequest, now: int) -> bool:
        """Whether this is from whoever may, about the same wake, and in time."""
        mine = (asked.wake_id, asked.principal) == (self.request.wake_id, self.principal)
        return mine and bool(self.refused) and now <= self.request.deadline


class DecisionsState(msgspec.Struct):
    """The wake that is being decided on, if any, the last wake's number, and the note that was left for the next."""

    last_wake: int = 0
    pending: DecisionRequest | None = None
    note: Remark | None = None
    talk: SubmittedDecision | None = None
    idle: int = 0
    """Decisions in a row of which nothing was done."""
    held: DecisionRequest | None = None
    """The last wake, if a model that was asked about it meant to hold everything."""
    undone: tuple[Remark, ...] = ()
    """What of the last decision of a model or a client came to nothing beside its legs, for its next wake."""


Settle = Callable[[Decision, str, int], tuple[str, ...]]


class DecisionCycle(Stateful[DecisionsState]):
    """From a wake to orders."""

    def __init__(
        self, config: EngineConfig, executor: LegExecutor, account: Account, effects: EffectBuffer, settle: Settle
    ) -> None:
        """`settle` takes each decision and its decider, once its legs are carried out; it returns what it refused."""
        self._config = config
        self._executor = executor
        self._account = account
        self._effects = effects
        self._settle = settle
        self.budget = Budget(config.policies.budget)
        super().__init__(DecisionsState())

    @property
    def under_way(self) -> bool:
        """Whether somebody is thinking."""
        return self._state.pending is not None or self.floor is not None

    @property
    def floor(self) -> SubmittedDecision | None:
        """The decision that was submitted and is not over, if there is one."""
        talk = self._state.talk
        return talk if talk is not None and talk.floor else None

    @property
    def asked(self) -> DecisionRequest | None:
        """What somebody is thinking about, or has the floor for."""
        return self._state.pending or (self.floor.request if self.floor is not None else None)

    @property
    def correctable(self) -> bool:
        """Whether something of what was submitted may be corrected by whoever has the floor."""
        return self.floor is not None and bool(self.floor.refused)

    @property
    def settled(self) -> bool:
        """Whether whoever has the floor has nothing to correct, and something was done or nothing was to be."""
        return self.floor is not None and self.floor.accepted and not self.floor.refused

    def ask(self, snapshot: Snapshot, now: int) -> None:
        """Raise a wake. Where thinking costs money and all of it is spent, the rules decide at once."""
        self._state.last_wake += 1
        self._state.talk = None
        deadline = now + self._config.policies.decision.deadline_s * SECOND
        version, held = self._account.version, self._state.held
        self._state.pending = DecisionRequest(self._state.last_wake, snapshot, deadline, version, held)
        self._effects.record(events.WakeRaised(self._state.last_wake, snapshot.wake))
        until = self.budget.spent_out(now) if self._config.fallback else None
        if until is not None:
            self._spent_out(self._state.pending, until, now)
            return
        self._effects.set_timer(DEADLINE_TIMER, deadline)
        self._effects.ask(self._state.pending)

    def hear(self, event: DecisionReady | DecisionFailed | DecisionSubmitted, now: int) -> None:
        """Take in what whoever was asked has to say; what it submitted is answered under the key of its request."""
        match event:
            case DecisionReady():
                self._ready(event, now)
            case DecisionFailed():
                self._failed(event, now)
            case DecisionSubmitted(request):
                self.budget.book(event.cost_usd, now)
                answer = self._submit(request, event.thinking_ms, event.cost_usd, now, floor=True)
                self._executor.answers.put(request_key(request), answer)

    def _ready(self, answer: DecisionReady, now: int) -> None:
        """Take an answer and carry it out, against the account and the market of this very moment."""
        self.budget.book(answer.cost_usd, now)
        if self._ends(answer.wake_id):
            self._over(answer.thinking_ms, None, answer.cost_usd, now)
        elif self._expected(answer) is not None:
            if answer.decider != RULES:
                self._account.decided_anew()
            decision = answer.decision
            # What is repeated, or could not be made, was made without a look at what others wrote.
            tainted = decision.cause_kind in MODEL_ANSWERED and self._quotes_others(answer.decider)
            self._take(
                answer.wake_id, answer.decider, answer.thinking_ms, decision, now, answer.cost_usd, tainted=tainted
            )

    def submitted(self, request: SubmitRequest, now: int) -> Answer:
        """Take what somebody attached submits; what each leg was answered is under the name that it gives back."""
        if self._config.agent != ATTACHED:
            limit = f"an engine that attached clients decide for (--agent {ATTACHED})"
            return Refusal(RefusalCode.NO_WAKE, limit=limit, actual=f"--agent {self._config.agent}")
        pending = self._state.pending
        thought = now - pending.snapshot.at if pending is not None else 0
        return self._submit(request, thought, ZERO, now, floor=False)

    def _submit(self, asked: SubmitRequest, thought: int, cost_usd: Decimal, now: int, *, floor: bool) -> Answer:
        pending, talk, wake_id, who = self._state.pending, self._state.talk, asked.wake_id, asked.principal
        if pending is not None and pending.wake_id == wake_id:
            if not floor:
                self._effects.give_up()
            self._account.decided_anew()
            # Whoever was asked has the snapshot before it, whatever it says of itself.
            tainted = asked.tainted or (floor and self._quotes_others(who))
            untaken = self._take(wake_id, who, thought, asked.decision, now, cost_usd, tainted=tainted)
            key = DecisionKey(wake_id)
            refused = self._refused(key, asked.decision)
            accepted = not refused or _passed(asked.decision, refused)
            self._state.talk = SubmittedDecision(pending, who, refused, accepted, floor, tainted)
            if floor:
                self._effects.set_timer(DEADLINE_TIMER, pending.deadline)
            return Done(key, untaken)
        if talk is None or not talk.may_correct(asked, now):
            waits = f"wake {pending.wake_id}" if pending is not None else "no wake waits"
            return Refusal(RefusalCode.NO_WAKE, limit=waits, actual=f"wake {wake_id}")
        others = [leg.symbol for leg in asked.decision.legs if leg.symbol not in talk.refused]
        # A leg whose symbol was none of ours is corrected by one that names another.
        unknown = [symbol for symbol in talk.refused if symbol not in self._config.symbols]
        wrong = others[len(unknown)] if len(others) > len(unknown) else None
        if wrong is not None:
            limit = f"corrections of {','.join(talk.refused)}"
            return Refusal(RefusalCode.NO_WAKE, limit=limit, actual=f"a leg on {wrong}")
        key = DecisionKey(wake_id, "again")
        # Whoever has read something once has read it.
        tainted = asked.tainted or talk.tainted
        self._effects.record(events.DecisionCorrected(wake_id, who, asked.decision, thought, cost_usd, tainted))
        self._carry_out(asked.decision, key, who, now, tainted=tainted)
        refused = self._refused(key, asked.decision)
        left = {*talk.refused}.difference(leg.symbol for leg in asked.decision.legs).union(refused)
        accepted = talk.accepted or not left or _passed(asked.decision, refused)
        self._state.talk = msgspec.structs.replace(talk, refused=(), accepted=accepted)
        untaken = _beside_legs(asked.decision)
        self._state.undone += tuple(Remark(each, who, now) for each in untaken)
        return Done(key, untaken)

    def takes(self, request: SubmitRequest, now: int) -> bool:
        """Return whether a submission answers the open wake, or corrects the decision on the last one."""
        pending, talk = self._state.pending, self._state.talk
        answers = pending is not None and pending.wake_id == request.wake_id
        return answers or (talk is not None and talk.may_correct(request, now))

    def _refused(self, key: DecisionKey, decision: Decision) -> tuple[str, ...]:
        answers = self._executor.answers
        legs = enumerate(decision.legs)
        return tuple(leg.symbol for i, leg in legs if isinstance(answers.get(key.leg(i)), Refusal))

    def break_off(self, why: Cause, now: int) -> None:
        """Nobody is to decide any more: what is being decided on is held."""
        pending, talk = self._state.pending, self.floor
        if pending is not None:
            self._effects.give_up()
            waited = now - pending.snapshot.at
            self._take(pending.wake_id, self._config.agent, waited, Decision(cause=why), now, ZERO)
        elif talk is not None:
            self._effects.give_up()
            self._hand_back(talk, why, ZERO)
        # Nothing of it is corrected any more, either.
        self._state.talk = None

    def _failed(self, failure: DecisionFailed, now: int) -> None:
        """Whoever was asked could not answer, and the journal says why."""
        self.budget.book(failure.cost_usd, now)
        if self._ends(failure.wake_id):
            self._over(failure.thinking_ms, failure.cause, failure.cost_usd, now)
        elif (pending := self._expected(failure)) is not None:
            if failure.cause.kind is CauseKind.MALFORMED:
                self._effects.record(
                    events.Incident(f"no decision could be read from an answer on wake {failure.wake_id}")
                )
            if failure.cause.kind is CauseKind.BUDGET:
                self._tell_spent(self.budget.renewed(now), now)
            self._without(pending, failure.decider, failure.thinking_ms, failure.cause, now, failure.cost_usd)

    def on_deadline(self, now: int) -> None:
        """The answer did not come in time."""
        pending, asked = self._state.pending, self.asked
        if asked is None:
            return
        waited = now - asked.snapshot.at
        self._effects.give_up()
        cause = Cause(CauseKind.DEADLINE, f"{waited / SECOND:g} s after the wake")
        if pending is not None:
            self._without(pending, self._config.agent, waited, cause, now)
        else:
            self._over(waited, cause, ZERO, now)

    def _ends(self, wake_id: int) -> bool:
        """Whether this ends a decision that was submitted."""
        return self.floor is not None and self.floor.request.wake_id == wake_id

    def _over(self, thought: int, cause: Cause | None, cost_usd: Decimal, now: int) -> None:
        """Whoever had the floor is through. Where nothing was done of it and something went wrong, the rules decide."""
        talk = self.floor
        assert talk is not None, "whoever has not the floor does not give it back"
        self._hand_back(talk, cause, cost_usd)
        if cause is not None and not talk.accepted:
            self._without(talk.request, talk.principal, thought, cause, now)

    def _hand_back(self, talk: SubmittedDecision, cause: Cause | None, cost_usd: Decimal) -> None:
        self._state.talk = None
        self._effects.clear_timer(DEADLINE_TIMER)
        self._effects.record(events.DecisionEnded(talk.request.wake_id, cause, cost_usd))

    def _spent_out(self, pending: DecisionRequest, until: int, now: int) -> None:
        self._tell_spent(until, now)
        today, this_month = self.budget.spent(now)
        spent = f"{plain(today)} USD spent today, {plain(this_month)} this month; the next from {iso(until)} on"
        self._without(pending, self._config.agent, 0, Cause(CauseKind.BUDGET, spent), now)

    def _tell_spent(self, until: int, now: int) -> None:
        if self.budget.tells(until):
            self._effects.record(events.BudgetSpent(self.budget.spent(now)[1], until))

    def _without(
        self, pending: DecisionRequest, agent: str, thinking_ms: int, why: Cause, now: int, cost_usd: Decimal = ZERO
    ) -> None:
        """Go on without an answer: the rules decide on what the agent was shown, or everything is held.

        They leave out what the policy would not let them enter anyway.
        """
        if not self._config.fallback:
            self._take(pending.wake_id, agent, thinking_ms, Decision(cause=why), now, cost_usd)
            return
        policies = self._config.policies
        legs = strategy.decide(pending.snapshot, policies).legs
        if policies.fallback.rules == "manage":
            legs = tuple(leg for leg in legs if not leg.action.adds_risk)
        self._take(pending.wake_id, RULES, thinking_ms, Decision(legs, cause=why), now, cost_usd)

    def _expected(self, answer: DecisionReady | DecisionFailed) -> DecisionRequest | None:
        pending = self._state.pending
        if pending is not None and pending.wake_id == answer.wake_id:
            return pending
        why = "this wake is not waiting for an answer any more"
        self._effects.record(events.DecisionDiscarded(answer.wake_id, why, answer.cost_usd))
        return None

    def _take(
        self,
        wake_id: int,
        decider: str,
        thinking_ms: int,
        decision: Decision,
        now: int,
        cost_usd: Decimal,
        *,
        tainted: bool = False,
    ) -> tuple[str, ...]:
        """Take a decision and carry it out; what of it was refused beside its legs, one sentence each."""
        asked, self._state.pending = self._state.pending, None
        self._effects.clear_timer(DEADLINE_TIMER)
        self._effects.record(events.DecisionMade(wake_id, decider, thinking_ms, decision, cost_usd, tainted))
        if asked is not None and not decision.holds:
            self._effects.keep(wake_id, asked.snapshot)
        self._remember(asked, decider, decision)
        if tainted:
            # What is written after reading others' words may be theirs again: the journal has it, no later wake does.
            decision = _without_words(decision)
            if self._state.note is not None and self._state.note.by != decider:
                self._state.note = None
        elif decision.note:
            self._state.note = Remark(decision.note[:NOTE_KEPT], decider, now)
        # After a decision that came to nothing, the rules' decision has keys of its own.
        key = DecisionKey(wake_id, "rules" if asked is None else "")
        self._carry_out(decision, key, decider, now, tainted=tainted)
        self._count_idle(key, decision)
        untaken = self._settle(decision, decider, now)
        told = list(untaken)
        if tainted and told:
            told = [f"{len(told)} of its conditions and times were not taken"]
        if decision.cause_kind is CauseKind.UNSENT:
            told.append(f"wake {wake_id} was answered in words, not with decisions_submit: nothing was sent")
            self._effects.record(
                events.Incident(f"{decider} wrote its decision on wake {wake_id} as text; nothing was sent")
            )
        # What the rules, a memory or a failure decided between is no word of the model that is yet to read it.
        if decider != RULES and decision.answered:
            self._state.undone = tuple(Remark(each, decider, now) for each in told)
        if told:
            # Who holds in the belief to be woken is asked again.
            self._state.held = None
        return untaken

    def _quotes_others(self, reader: str) -> bool:
        """Whether the wake that waits shows words of somebody else than `reader`."""
        pending = self._state.pending
        return pending is not None and pending.snapshot.quotes_others(reader)

    def _remember(self, asked: DecisionRequest | None, decider: str, decision: Decision) -> None:
        """Keep the wake of a HOLD that a model meant, until something else is decided than to repeat that."""
        if decision.cause_kind is CauseKind.REMEMBERED:
            return
        self._state.held = None
        by_a_model = self._config.fallback and decider == self._config.agent
        if asked is not None and by_a_model and decision.holds and decision.cause_kind in (None, CauseKind.MODEL_HOLDS):
            self._state.held = msgspec.structs.replace(asked, held=None)

    def _count_idle(self, key: DecisionKey, decision: Decision) -> None:
        """Tell a person where a model has done nothing for long: what only costs is broken, however well it argues."""
        if not self._config.fallback:
            return
        most = self._config.policies.decision.idle_wakes
        done = any(isinstance(self._executor.answers.get(key.leg(i)), OrderRef) for i in range(len(decision.legs)))
        self._state.idle = 0 if done else self._state.idle + 1
        if self._state.idle and self._state.idle % most == 0:
            self._effects.record(events.Incident(f"nothing was done for {self._state.idle} decisions in a row"))

    def _carry_out(self, decision: Decision, key: DecisionKey, decider: str, now: int, *, tainted: bool) -> None:
        for index, leg in enumerate(decision.legs):
            self._executor.execute(Instruction(leg, decider, key.leg(index), tainted=tainted), now)


def _passed(decision: Decision, refused: tuple[str, ...]) -> bool:
    """Whether a leg that wanted something was not refused. HOLD wants nothing, and nobody refuses it."""
    return len(refused) < sum(leg.asks for leg in decision.legs)


def _beside_legs(correction: Decision) -> tuple[str, ...]:
    """Return what of a correction is left out: it is of legs alone, and what else was decided stays."""
    given = {
        "conditions": correction.wake_conditions is not None or correction.unread,
        "next_check_s": correction.next_check_s is not None,
        "note": correction.note,
    }
    return tuple(f"{name} of a correction, which is of legs alone" for name, there in given.items() if there)


def _without_words(decision: Decision) -> Decision:
    conditions = decision.wake_conditions
    if conditions is not None:
        conditions = tuple(msgspec.structs.replace(each, reason="") for each in conditions)
    return msgspec.structs.replace(decision, note="", wake_conditions=conditions)

"""Commands of the operator, and requests of attached clients outside a wake.

Each request is journaled with its caller and answered once: the same key of a caller gets the same answer again. Notes
and refused requests beyond a caller's quota per minute are answered, but not journaled.
"""

from collections import deque
from decimal import Decimal

import msgspec

from ocw_mcp.core.orders.table import TrackedOrder
from ocw_mcp.domain import asks
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.events import CallerAsked, CommandTaken, Incident, RequestRefused
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.domain.steps import WITHIN_DRAWDOWN, Asked, Command, Verb
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.decisions import DecisionCycle
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.idempotency import CALLERS_KEPT, Answer, drop_oldest
from ocw_mcp.engine.leg_executor import LegExecutor, ManualControl
from ocw_mcp.engine.precheck import Instruction
from ocw_mcp.engine.settling import settle
from ocw_mcp.engine.venue_reports import VenueReports

COMMANDS_KEPT = 256


class OperatorCommands(Stateful[list[str]]):
    """Executes each operator command once, even if its file is not deleted. The state is the latest command ids."""

    def __init__(self, guard: Guard, executor: LegExecutor, decisions: DecisionCycle, reports: VenueReports) -> None:
        super().__init__([])
        self._reports = reports
        self._manager = guard.manager
        self._account = guard.manager.account
        self._effects = guard.manager.effects
        self._guard = guard
        self._executor = executor
        self._decisions = decisions

    def take(self, command: Command, now: int) -> None:
        """Execute a command, unless it was executed before."""
        if command.command_id in self._state:
            return
        self._state = [*self._state[1 - COMMANDS_KEPT :], command.command_id]
        by, subject, manual_control = command.by, command.subject, self._executor.manual_control
        self._effects.record(CommandTaken(command.command_id, command.verb, by, command.after_frame, subject))
        match command.verb:
            case Verb.HALT:
                self.halt(by)
            case Verb.FLATTEN:
                self.halt(by)
                self._guard.flatten(by, now)
            case Verb.RESUME:
                self._resume(by, subject, now)
            case Verb.APPROVE:
                self._executor.approvals.grant(subject, by, now)
            case Verb.DENY:
                self._executor.approvals.refuse(subject, "denied", by)
            case Verb.PAUSE:
                manual_control.paused_by = by
                self._decisions.break_off(Cause(CauseKind.PAUSED, f"by {by}"), now)
                self._executor.withdraw(by)
            case Verb.GO_ON if subject:
                manual_control.held.pop(subject, None)
            case Verb.GO_ON:
                self._executor.restore(ManualControl())
            case Verb.TAKE_OVER:
                manual_control.held[subject] = by
                self._executor.withdraw(by, subject)
            case Verb.SETTLE:
                settle(self._manager, self._reports, command, now)

    def _resume(self, by: str, subject: str, now: int) -> None:
        fall, active = self._account.fall(), self._account.trading_state is TradingState.ACTIVE
        if subject == WITHIN_DRAWDOWN and fall.beyond and not active:
            self._effects.record(Incident(f"the resume by {by} was not taken: {fall}; confirm that, and resume again"))
            return
        self._guard.resume(now)
        self._account.resume(by)

    def halt(self, by: str, why: str = "") -> None:
        """Halt the engine: cancel live entries, and refuse the orders that await approval."""
        self._account.halt(by, why)
        self._manager.cancel_entries("halted")
        self._executor.approvals.cancel_all("halted", by)


class Callers:
    """Executes the requests of callers, one at a time."""

    def __init__(
        self, guard: Guard, executor: LegExecutor, decisions: DecisionCycle, operator: OperatorCommands
    ) -> None:
        self._manager = guard.manager
        self._account = guard.manager.account
        self._effects = guard.manager.effects
        self._guard = guard
        self._executor = executor
        self._decisions = decisions
        self._operator = operator
        quotas = guard.manager.config.policies.callers
        self._notes = _Quota(quotas.notes_per_minute, "notes")
        self._refusals = _Quota(quotas.refusals_per_minute, "refused requests")
        self._turned_away: tuple[asks.RequestKey, Answer] | None = None
        """The last request beyond a quota, and its answer; earlier ones are not kept."""

    def answer(self, request: asks.CallerRequest) -> Answer | None:
        """Return the answer to a request; None if no request with its key came, or its answer was dropped."""
        key = asks.request_key(request)
        if self._executor.answers.meaning(key) not in ("", asks.substance(request)):
            return Refusal(RefusalCode.KEY_REUSED, limit="the first request with this key", actual="another request")
        known = self._executor.answers.get(key)
        if known is None and self._turned_away is not None and self._turned_away[0] == key:
            return self._turned_away[1]
        return known

    def take(self, asked: Asked, now: int) -> None:
        """Execute a request, unless its key was used before; the method `answer` then returns the result."""
        request, key = asked.request, asks.request_key(asked.request)
        known = self._executor.answers.get(key)
        if known is not None and not self._may_repeat(request, known):
            return
        token, self._turned_away = key.token, None
        if (answer := self._beyond_quota(request, token, now)) is not None:
            self._turned_away = key, answer
            return
        self._effects.record(CallerAsked(request, asked.after_frame))
        if isinstance(request, asks.NoteRequest) or self._done_before(request) is not None:
            self._notes.count(token, now)
        answer = self._carry_out(request, now)
        if isinstance(answer, Refusal):
            self._refusals.count(token, now)
        legs = asks.LegRequest | asks.CloseRequest | asks.ProtectionRequest
        if isinstance(answer, Refusal) and not isinstance(request, legs):
            # A refused leg is journaled as the order that it would have been.
            self._effects.record(RequestRefused(request.key, answer))
        self._executor.answers.put(key, answer, asks.substance(request))

    def _beyond_quota(self, request: asks.CallerRequest, token: str, now: int) -> Answer | None:
        """Return the answer if a request is beyond its caller's quota; None if it is not, or if it reduces risk."""
        refusal = self._refusals.spent(token, now)
        if (done := self._done_before(request)) is not None:
            return done if refusal or self._notes.spent(token, now) else None
        match request:
            case asks.NoteRequest():
                return refusal or self._notes.spent(token, now)
            case _ if refusal is None:
                return None
            case asks.LegRequest(leg=leg, principal=principal, quantity=quantity):
                turned_away = leg.action.adds_risk or self._is_idle(leg, principal, now, quantity)
            case asks.CloseRequest(symbol=symbol, principal=principal):
                turned_away = self._is_idle(self._closing(symbol), principal, now)
            case asks.ConsentRequest():
                turned_away = not self._executor.approvals.may_consent(request)
            case asks.CancelRequest():
                turned_away = isinstance(self._cancellable(request), Refusal)
            case asks.ProtectionRequest(principal=principal):
                turned_away = self._is_idle(_protecting(request), principal, now)
            case asks.SubmitRequest():
                turned_away = not self._decisions.takes(request, now)
            case _:
                turned_away = False
        return refusal if turned_away else None

    def _done_before(self, request: asks.CallerRequest) -> Answer | None:
        """Return the answer to a request whose effect is already in place; None if the request may change something."""
        match request:
            case asks.HaltRequest() if self._account.trading_state is TradingState.HALTED:
                return asks.Done()
            case asks.CancelRequest(ref=ref):
                tracked = self._cancellable(request)
                return ref if isinstance(tracked, TrackedOrder) and tracked.cancel_requested else None
            case (
                asks.CloseRequest(symbol=symbol)
                | asks.LegRequest(leg=Leg(symbol=symbol, action=Action.SELL | Action.COVER | Action.CANCEL))
            ):
                entries = list(self._manager.orders.live(symbol, Purpose.ENTRY))
                if isinstance(request, asks.LegRequest) and self._executor.precheck.defect(
                    request.leg, request.quantity
                ):
                    return None
                cancels = isinstance(request, asks.LegRequest) and request.leg.action is Action.CANCEL
                closes = bool(self._account.ledger.quantity(symbol)) and not cancels
                waits = closes or not all(each.cancel_requested for each in entries)
                return entries[0].ref if entries and not waits else None
            case _:
                return None

    def _is_idle(self, leg: Leg, principal: str, now: int, quantity: Decimal | None = None) -> bool:
        """Return whether a leg that adds no risk would change nothing: it would cancel no entry and send no order."""
        if self._executor.precheck.defect(leg, quantity) is not None or not leg.asks:
            return True
        if self._executor.cancels(leg):
            return False
        refusal = self._executor.precheck.check(leg, principal, now).refusal
        if refusal is None or refusal.code is not RefusalCode.REDUCTION_RATE or leg.action is Action.PROTECT:
            return refusal is not None
        # A closing cancels the live additions, even if its own order is refused for its pace.
        entries = self._manager.orders.live(leg.symbol, Purpose.ENTRY)
        return leg.action is Action.REDUCE or all(each.cancel_requested for each in entries)

    def _closing(self, symbol: str) -> Leg:
        return Leg(symbol, Action.COVER if self._account.ledger.quantity(symbol) < ZERO else Action.SELL)

    def _may_repeat(self, request: asks.CallerRequest, known: Answer) -> bool:
        """Return whether a used key is executed again: for a halt while not halted, or for a refused decision."""
        if isinstance(request, asks.HaltRequest):
            return self._account.trading_state is not TradingState.HALTED
        # A wake that was not open for an answer before may be open now.
        return isinstance(request, asks.SubmitRequest) and isinstance(known, Refusal)

    def _carry_out(self, request: asks.CallerRequest, now: int) -> Answer:
        who, key = request.principal, asks.request_key(request)
        match request:
            case asks.LegRequest(leg=leg, quantity=quantity, quoted=quoted, side=side):
                answer = self._executor.execute(Instruction(leg, who, key, quantity, quoted, side), now)
                return answer or Refusal(RefusalCode.NO_ORDER, limit="an order", actual=leg.action)
            case asks.CloseRequest(symbol=symbol):
                leg = msgspec.structs.replace(self._closing(symbol), reasoning=request.why)
                answer = self._executor.execute(Instruction(leg, who, key), now)
                assert answer is not None, "a closing leg always has an answer"
                return answer
            case asks.CancelRequest():
                tracked = self._cancellable(request)
                if isinstance(tracked, Refusal):
                    return tracked
                self._manager.cancel(tracked, f"cancelled by {who}")
                return request.ref
            case asks.ProtectionRequest():
                answer = self._executor.execute(Instruction(_protecting(request), who, key), now)
                assert answer is not None, "a PROTECT leg always has an answer"
                return answer
            case asks.SubmitRequest():
                return self._decisions.submitted(request, now)
            case asks.HaltRequest():
                self._operator.halt(who, request.why)
            case asks.ConsentRequest():
                if not self._executor.approvals.consent(request, now):
                    limit = "an order of this caller that waits"
                    return Refusal(RefusalCode.NO_ORDER, limit=limit, actual=request.approval)
        # A note is in the journal already, as the request.
        return asks.Done()

    def _cancellable(self, request: asks.CancelRequest) -> TrackedOrder | Refusal:
        """Return the live entry that a request cancels, or the reason why it cancels none."""
        tracked = self._manager.orders.get(request.ref)
        if tracked is None or not tracked.status.live:
            actual = "none of that name" if tracked is None else tracked.status
            return Refusal(RefusalCode.NO_ORDER, limit="a live order", actual=actual)
        if tracked.purpose is not Purpose.ENTRY:
            return Refusal(RefusalCode.PROTECTIVE, limit="an entry", actual=tracked.purpose.name.lower())
        return tracked


def _protecting(request: asks.ProtectionRequest) -> Leg:
    return Leg(request.symbol, Action.PROTECT, stop=request.stop, target=request.target, trail=request.trail)


class _Quota:
    """Counts the requests of one kind that each caller sent in the last minute of engine time.

    The counts need not survive a restart: a request in the journal was within the quota when it was first taken.
    """

    def __init__(self, most: int, noun: str) -> None:
        self._most = most
        self._noun = noun
        self._times: dict[str, deque[int]] = {}

    def count(self, token: str, now: int) -> None:
        """Count one request of a caller at `now` (ms)."""
        times = self._times[token] = self._times.pop(token, deque(maxlen=self._most))
        times.append(now)
        drop_oldest(self._times, CALLERS_KEPT)

    def spent(self, token: str, now: int) -> Refusal | None:
        """Return a refusal if a caller has used up its quota for the last minute."""
        times = self._times.get(token)
        if times is None or len(times) < self._most or times[0] <= now - MINUTE:
            return None
        return Refusal(RefusalCode.CALLER_RATE, limit=f"{self._most} {self._noun} a minute", actual="more")

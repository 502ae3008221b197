"""What somebody attached asks for, outside any wake: entries and exits, taking an entry off, a tighter stop.

Each request is journaled with whoever asks, and answered once: the same key of a caller gets the same answer again.
"""

import msgspec

from ocw_mcp.core.orders.table import TrackedOrder
from ocw_mcp.domain.asks import (
    CallerRequest,
    CancelRequest,
    CloseRequest,
    ConsentRequest,
    Done,
    HaltRequest,
    LegRequest,
    NoteRequest,
    ProtectionRequest,
    SubmitRequest,
    order_key,
    substance,
)
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.events import CallerAsked, RequestRefused
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Asked
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.carrying import Carrier, LegTerms
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.decisions import DecisionCycle
from ocw_mcp.engine.effect_buffer import EffectBuffer
from ocw_mcp.engine.entries import check
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.idempotency import Answer, Latest, token_of
from ocw_mcp.engine.legs import FLAT
from ocw_mcp.engine.operator_commands import OperatorCommands
from ocw_mcp.engine.order_manager import OrderManager
from ocw_mcp.engine.protection import on_tick
from ocw_mcp.engine.quotas import Quotas


class Callers:
    """Takes requests, one at a time."""

    def __init__(
        self,
        config: EngineConfig,
        manager: OrderManager,
        guard: Guard,
        account: Account,
        carrier: Carrier,
        decisions: DecisionCycle,
        operator: OperatorCommands,
        effects: EffectBuffer,
    ) -> None:
        self._most_a_minute = config.policies.pace.reductions_per_minute
        self._consent_counts = config.mode == "paper"
        self._manager = manager
        self._guard = guard
        self._account = account
        self._carrier = carrier
        self._decisions = decisions
        self._operator = operator
        self._effects = effects
        self.asked_for = Latest[str]()
        """What the latest keys were used for."""
        self._quotas = Quotas(config.policies.callers)
        self._turned_away: tuple[str, Answer] | None = None
        """The request that was last turned away, and what it is answered: neither is kept for longer."""

    def answer(self, request: CallerRequest) -> Answer | None:
        """What a request was answered; None where none with its key ever came, or long ago."""
        key = order_key(request)
        if self.asked_for.get(key) not in (None, substance(request)):
            return Refusal(RefusalCode.KEY_REUSED, limit="what it was first used for", actual="something else")
        known = self._manager.answers.get(key)
        if known is None and self._turned_away is not None and self._turned_away[0] == key:
            return self._turned_away[1]
        return known

    def take(self, asked: Asked, now: int) -> None:
        """Take a request, unless its key was used before. `answer` tells what came of it."""
        request, key = asked.request, order_key(asked.request)
        known = self._manager.answers.get(key)
        if known is not None and not self._counts_again(request, known):
            return
        who, self._turned_away = token_of(request.principal), None
        if (over := self._over(request, who, now)) is not None:
            self._turned_away = key, over
            return
        self.asked_for.put(key, substance(request))
        self._effects.record(CallerAsked(request, asked.after_frame))
        if isinstance(request, NoteRequest) or self._done_before(request) is not None:
            self._quotas.noted(who, now)
        answer = self._answer(request, now)
        if isinstance(answer, Refusal):
            self._quotas.refused(who, now)
        if isinstance(answer, Refusal) and not isinstance(request, LegRequest | CloseRequest):
            # A refused leg is journaled as the order that it would have been.
            self._effects.record(RequestRefused(request.key, answer))
        self._manager.answers.remember(key, answer)

    def _over(self, request: CallerRequest, who: str, now: int) -> Answer | None:
        """What a request is answered that is turned away: its caller spent a quota, and it adds risk or does nothing.

        What was done before is done, whether it is journaled or not.
        """
        over = self._quotas.no_refusal(who, now)
        if (before := self._done_before(request)) is not None:
            return before if over or self._quotas.no_note(who, now) else None
        match request:
            case NoteRequest():
                return over or self._quotas.no_note(who, now)
            case _ if over is None:
                return None
            case LegRequest(leg=leg, principal=principal):
                turned_away = leg.action.adds_risk or self._is_idle(leg, principal, now)
            case CloseRequest(symbol=symbol, principal=principal):
                turned_away = self._is_idle(self._closing(symbol), principal, now)
            case ConsentRequest(approval=approval, principal=principal):
                turned_away = not (self._consent_counts and self._carrier.waits(approval, principal))
            case CancelRequest():
                turned_away = isinstance(self._cancellable(request), Refusal)
            case ProtectionRequest():
                turned_away = self._unprotectable(request, now) is not None
            case SubmitRequest():
                pending, talk = self._decisions.state.pending, self._decisions.state.talk
                awaited = pending is not None and pending.wake_id == request.wake_id
                turned_away = not awaited and not (talk is not None and talk.may_correct(request, now))
            case _:
                turned_away = False
        return over if turned_away else None

    def _done_before(self, request: CallerRequest) -> Answer | None:
        """The answer to a request of which everything was done before, so that it is a note like any other."""
        match request:
            case HaltRequest() if self._account.trading_state is TradingState.HALTED:
                return Done()
            case CancelRequest(ref=ref):
                tracked = self._cancellable(request)
                return ref if isinstance(tracked, TrackedOrder) and tracked.cancel_requested else None
            case CloseRequest(symbol=symbol) | LegRequest(leg=Leg(symbol=symbol, action=Action.SELL | Action.COVER)):
                entries = list(self._manager.orders.live(symbol, Purpose.ENTRY))
                waits = self._account.ledger.quantity(symbol) or not all(each.cancel_requested for each in entries)
                return entries[0].ref if entries and not waits else None
            case _:
                return None

    def _is_idle(self, leg: Leg, principal: str, now: int) -> bool:
        """Whether a leg that adds no risk changes nothing: it takes no entry back, and no exit of it would be sent."""
        if any(not each.cancel_requested for each in self._manager.orders.live(leg.symbol, Purpose.ENTRY)):
            return False
        refused = leg.malformed or check(leg, self._manager, self._guard, principal, now).refusal is not None
        return bool(refused) or not leg.asks

    def _closing(self, symbol: str) -> Leg:
        """The leg that closes whatever is held of a symbol."""
        return Leg(symbol, Action.COVER if self._account.ledger.quantity(symbol) < ZERO else Action.SELL)

    def _counts_again(self, request: CallerRequest, known: Answer) -> bool:
        """Whether a key that was used is heard again: what keeps risk away is never lost on a key."""
        match request:
            case HaltRequest():
                return self._account.trading_state is not TradingState.HALTED
            case SubmitRequest():
                # A wake that did not wait for an answer yesterday may be one that does today.
                return isinstance(known, Refusal)
            case _:
                return False

    def _answer(self, request: CallerRequest, now: int) -> Answer:
        match request:
            case LegRequest(leg=leg, principal=principal):
                terms = LegTerms(request.quantity, request.quoted, request.side)
                answer = self._carrier.carry_out(leg, order_key(request), principal, None, now, terms)
                return answer or Refusal(RefusalCode.NO_ORDER, limit="an order", actual=leg.action)
            case CloseRequest(symbol=symbol):
                # Flat, it takes back an entry that waits; where there is none, too, it is told that nothing is open.
                leg = msgspec.structs.replace(self._closing(symbol), reasoning=request.why)
                answer = self._carrier.carry_out(leg, order_key(request), request.principal, None, now)
                assert answer is not None, "a closing leg is never nothing to do"
                return answer
            case CancelRequest():
                return self._cancel(request)
            case ProtectionRequest():
                return self._protect(request, now)
            case HaltRequest():
                self._operator.halt(request.principal, request.why)
                return Done()
            case NoteRequest():
                # It stands in the journal, and that is all.
                return Done()
            case ConsentRequest(principal=principal, approval=approval, yes=yes):
                if not self._consent_counts or not self._carrier.answered(approval, principal, now, yes=yes):
                    return Refusal(RefusalCode.NO_ORDER, limit="an order of this caller that waits", actual=approval)
                return Done()
            case SubmitRequest():
                return self._decisions.submitted(request, now)

    def _cancel(self, request: CancelRequest) -> Answer:
        tracked = self._cancellable(request)
        if isinstance(tracked, Refusal):
            return tracked
        self._manager.cancel(tracked, f"taken off by {request.principal}")
        return request.ref

    def _cancellable(self, request: CancelRequest) -> TrackedOrder | Refusal:
        """Return the entry that is to be taken off, or why there is none."""
        tracked = self._manager.orders.get(request.ref)
        if tracked is None or not tracked.status.live:
            return Refusal(RefusalCode.NO_ORDER, limit="a live order", actual=_standing(tracked))
        if tracked.purpose is not Purpose.ENTRY:
            return Refusal(RefusalCode.PROTECTIVE, limit="an entry", actual=tracked.purpose.name.lower())
        return tracked

    def _protect(self, request: ProtectionRequest, now: int) -> Answer:
        if (refusal := self._unprotectable(request, now)) is not None:
            return refusal
        self._account.activity.reduced(now)
        return self._guard.tighten(request.symbol, request.stop, request.target, now)

    def _unprotectable(self, request: ProtectionRequest, now: int) -> Refusal | None:
        """Return why a position's stop or target stays as it is, or None."""
        symbol = request.symbol
        view, protection = self._manager.view(symbol, now), self._guard.protections.get(symbol)
        if view is None or protection is None or not view.quantity:
            return FLAT
        way = 1 if view.quantity > 0 else -1
        if self._manager.exit_under_way(symbol):
            return Refusal(RefusalCode.EXIT_PENDING, limit="no exit under way", actual="under way")
        most, asked = self._most_a_minute, view.pace.reductions_last_minute
        if asked >= most:
            # Each is an order at the venue; on spot it takes the stop before it off for a moment.
            return Refusal(RefusalCode.REDUCTION_RATE, limit=f"{most} a minute", actual=str(asked))
        stop, target = on_tick(request.stop, request.target, view.instrument.tick, long=way > 0)
        if stop is not None and not (stop.is_finite() and stop > ZERO and (view.price - stop) * way > ZERO):
            return Refusal(RefusalCode.STOP_REQUIRED, limit=f"a stop before {plain(view.price)}", actual=str(stop))
        if stop is not None and (stop - protection.trigger) * way < ZERO:
            return Refusal(RefusalCode.LOOSER_STOP, limit=plain(protection.trigger), actual=plain(stop))
        if target is not None and not (target.is_finite() and (target - view.price) * way > ZERO):
            return Refusal(RefusalCode.BAD_TARGET, limit=f"beyond {plain(view.price)}", actual=str(target))
        if target is not None and target <= ZERO:
            return Refusal(RefusalCode.BAD_TARGET, limit="a price above 0", actual=str(target))
        return None


def _standing(tracked: TrackedOrder | None) -> str:
    return "none of that name" if tracked is None else tracked.status

"""Executes the legs of decisions and callers: checks them on the present account, sends them by the order manager."""

import msgspec

from ocw_mcp.domain.asks import Done, Taken
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.events import ProtectionSet
from ocw_mcp.domain.money import ONE, ZERO
from ocw_mcp.domain.orders import OrderIntent, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.engine.approvals import Approvals
from ocw_mcp.engine.chase import ChasedEntries
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.idempotency import Answer, Answers
from ocw_mcp.engine.precheck import Instruction, Precheck


class ManualControl(msgspec.Struct):
    """The operator's manual control. The guard still protects all positions, and clients may still send requests."""

    paused_by: str = ""
    """The operator who paused the agent, so that no wake is raised; empty if it is not paused."""
    held: dict[str, str] = {}
    """The symbols that the agent may not trade, each with the operator who took it over."""


class LegExecutor(Stateful[ManualControl]):
    """Turns legs into orders, and remembers the answers. The agent's legs are subject to manual control."""

    def __init__(self, guard: Guard) -> None:
        super().__init__(ManualControl())
        self._guard = guard
        self._manager = guard.manager
        self._effects = guard.manager.effects
        self.precheck = Precheck(guard)
        self.answers = Answers()
        self.chased = ChasedEntries(guard.manager)
        self.approvals = Approvals(guard.manager, self.answers, self._place)

    @property
    def manual_control(self) -> ManualControl:
        """The operator's manual control, which is the saved state of this part."""
        return self._state

    def execute(self, given: Instruction, now: int) -> Answer | None:
        """Execute a leg, once per key. Return its order or the reason for its refusal; None for a HOLD."""
        if not given.leg.asks:
            return None
        known = self.answers.get(given.key)
        if known is not None:
            return known
        taken = None
        if (refusal := self.precheck.defect(given.leg, given.quantity)) is not None:
            answer: Answer = self._manager.refuse(self._unchecked_intent(given), refusal)
        elif given.leg.action.adds_risk:
            return self._place(given, now)
        elif (refusal := self._held_by_operator(given) or self._objection(given.leg, now)) is not None:
            answer = self._manager.refuse(self._refused_change(given), refusal)
        else:
            answer, taken = self._change(given, now)
        self.answers.put(given.key, answer, taken=taken)
        return answer

    def withdraw(self, by: str, symbol: str | None = None) -> None:
        """Cancel the agent's live entries and pending orders, of a symbol or of all, because an operator takes over."""
        for tracked in self._manager.orders.live(symbol, Purpose.ENTRY):
            if tracked.intent.wake_id is not None:
                self._manager.cancel(tracked, f"withdrawn from the agent by {by}")
        for name, chase in list(self._manager.chases.items()):
            if symbol in (None, name) and chase.intent.wake_id is not None:
                self._manager.end_chase(name, f"withdrawn from the agent by {by}")
        self.approvals.cancel_all("withdrawn", by, of_agent=True, symbol=symbol)

    def _place(self, given: Instruction, now: int) -> Answer:
        """Check an entry and send it, or have it approved if only an approval is missing."""
        found = self.precheck.entry(given, now)
        intent = found.intent
        objection = found.barred or self._held_by_operator(given) or found.objection
        if objection is None and given.side not in (None, intent.side):
            # It is an addition to a position that has changed sides since the caller saw it.
            limit, actual = f"a {given.side}, as it was shown", f"a {intent.side}"
            objection = Refusal(RefusalCode.OPPOSITE_POSITION, limit=limit, actual=actual)
        taken = None
        if objection is not None:
            answer: Answer = self._manager.refuse(intent, objection)
        else:
            answer = self.chased.submit(intent, now, found.account)
            if isinstance(answer, OrderRef) and found.account is not None:
                taken = self.precheck.taken(given.leg, intent, found.account)
            if isinstance(answer, Refusal) and answer.code is RefusalCode.APPROVAL_REQUIRED:
                answer = self.approvals.request(given, intent, answer, now)
        self.answers.put(given.key, answer, taken=taken)
        return answer

    def _objection(self, leg: Leg, now: int) -> Refusal | None:
        """Return why a leg that adds no risk changes nothing; None if it can be carried out."""
        if self.cancels(leg):
            return None
        return self.precheck.changes.objection(leg, self._manager.view(leg.symbol, now))

    def cancels(self, leg: Leg) -> bool:
        """Return whether a leg cancels the entry of its symbol: a CANCEL, or a closing of a flat symbol."""
        live = any(self._manager.orders.live(leg.symbol, Purpose.ENTRY)) or leg.symbol in self._manager.chases
        if leg.action is Action.CANCEL:
            return live or bool(self._waiting(leg.symbol))
        closes = leg.action in (Action.SELL, Action.COVER)
        return closes and live and not self._manager.account.ledger.quantity(leg.symbol)

    def _waiting(self, symbol: str) -> list[OrderIntent]:
        return [each.intent for each in self.approvals.pending if each.intent.symbol == symbol]

    def _cancel(self, symbol: str, by: str) -> tuple[Answer, Taken]:
        """Cancel the entries of a symbol, also those that await an approval. Return the first one."""
        live, waiting = next(self._manager.orders.live(symbol, Purpose.ENTRY), None), self._waiting(symbol)
        chased = self._manager.chases.get(symbol)
        self._manager.cancel_entries(f"cancelled by {by}", symbol)
        self.approvals.cancel_all("cancelled", by, symbol=symbol)
        if live is None and chased is not None:
            # It is between two orders.
            return chased.current, Taken(chased.left, changed=("it sends no other order",))
        if live is None:
            intent, changed = waiting[0], ("it does not await an approval any more",)
            return Done(), Taken(intent.quantity, price=intent.limit_price or intent.quoted, changed=changed)
        return live.ref, Taken(live.remaining, price=live.order.limit_price, changed=("its cancel is requested",))

    def _change(self, given: Instruction, now: int) -> tuple[Answer, Taken | None]:
        """Carry out a leg that adds no risk. Return its order, and the leg as it was carried out; None if refused."""
        leg, manager, symbol = given.leg, self._manager, given.leg.symbol
        if self.cancels(leg):
            return self._cancel(symbol, given.principal)
        if leg.action is Action.PROTECT:
            return self._protect(given, now)
        key, wake_id, held = str(given.key), given.wake_id, abs(manager.account.ledger.quantity(symbol))
        if leg.share is None:
            answer = manager.close(symbol, given.principal, now, key=key, wake_id=wake_id)
        else:
            answer = manager.reduce(symbol, held * leg.share, given.principal, now, key=key, wake_id=wake_id)
        sent = manager.orders.get(answer) if isinstance(answer, OrderRef) else None
        if sent is None:
            return answer, None
        closed, more = sent.order.quantity, leg.share is not None and leg.share < ONE and manager.closing(symbol)
        changed = ("the whole position is closed: a smaller rest could not be sold",) if more else ()
        return answer, Taken(closed, closed / held, manager.account.ledger.marks[symbol], changed=changed)

    def _protect(self, given: Instruction, now: int) -> tuple[Answer, Taken | None]:
        """Move the stop and the target of a position. Return the order that does it, and the values now in force."""
        leg = given.leg
        self._manager.account.activity.reduced(now)
        protection = self._guard.protections[leg.symbol]
        before = msgspec.structs.replace(protection)
        answer = self._guard.protect(leg.symbol, leg.stop, leg.target, leg.trail, now)
        stop, target, trail = protection.trigger, protection.target, protection.trail
        moved = [("stop", before.trigger, stop), ("target", before.target, target), ("trail", before.trail, trail)]
        replaced = tuple((name, old) for name, old, new in moved if old != new)
        if replaced:
            event = ProtectionSet(leg.symbol, given.principal, stop, target, trail, given.wake_id)
            self._effects.record(event)
        changed = () if replaced else ("these were in force already",)
        taken = Taken(stop=stop, target=target, trail=trail, replaced=replaced, changed=changed)
        return answer, None if isinstance(answer, Refusal) else taken

    def _refused_change(self, given: Instruction) -> OrderIntent:
        """Return the order that is journaled for a refused leg that adds no risk."""
        action, key = given.leg.action, str(given.key)
        if not action.closes:
            return self._unchecked_intent(given)
        intent = self._manager.reduction(
            given.leg.symbol, Purpose.EXIT, given.principal, key=key, wake_id=given.wake_id
        )
        if action is Action.REDUCE:
            return msgspec.structs.replace(intent, action=action.value)
        return msgspec.structs.replace(intent, side=_named_side(given.leg))

    def _unchecked_intent(self, given: Instruction) -> OrderIntent:
        """Return the order that is journaled for a leg that cannot be checked: it has no quantity."""
        leg, held = given.leg, self._manager.account.ledger.quantity(given.leg.symbol)
        action, closing = leg.action, Side.BUY if held < ZERO else Side.SELL
        named = action.adds_risk or action in (Action.SELL, Action.COVER)
        return OrderIntent(
            idempotency_key=str(given.key),
            principal=given.principal,
            symbol=leg.symbol,
            side=_named_side(leg) if named else closing,
            type=OrderType.MARKET,
            purpose=Purpose.STOP if action is Action.PROTECT else Purpose.EXIT if action.closes else Purpose.ENTRY,
            quantity=ZERO,
            wake_id=given.wake_id,
            action="" if named else action.value,
        )

    def _held_by_operator(self, given: Instruction) -> Refusal | None:
        """Return a refusal if the operator has taken over the symbol of a decision's leg."""
        by = self._state.held.get(given.leg.symbol)
        if by is None or given.wake_id is None:
            return None
        return Refusal(RefusalCode.HELD_BY_PERSON, limit="the agent's symbols", actual=f"held by {by}")


def _named_side(leg: Leg) -> Side:
    """Return the side that a leg names. An ADD names no side, and counts as an addition to a long."""
    return Side.BUY if leg.action in (Action.BUY, Action.ADD, Action.COVER) else Side.SELL

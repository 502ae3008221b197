"""Executes the legs of decisions and callers: checks them on the present account, sends them by the order manager."""

import msgspec

from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import OrderIntent, OrderType, Purpose, Side
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.engine.approvals import Approvals
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.idempotency import Answer, Answers
from ocw_mcp.engine.precheck import Instruction, Precheck, exit_objection


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
        self._manager = guard.manager
        self.precheck = Precheck(guard)
        self.answers = Answers()
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
        if (refusal := self.precheck.unreadable(given.leg)) is not None:
            answer: Answer = self._manager.refuse(_unchecked_intent(given), refusal)
        elif given.leg.action.adds_risk:
            return self._place(given, now)
        else:
            answer = self._exit(given, now)
        self.answers.put(given.key, answer)
        return answer

    def withdraw(self, by: str, symbol: str | None = None) -> None:
        """Cancel the agent's live entries and pending orders, of a symbol or of all, because an operator takes over."""
        for tracked in self._manager.orders.live(symbol, Purpose.ENTRY):
            if tracked.intent.wake_id is not None:
                self._manager.cancel(tracked, f"withdrawn from the agent by {by}")
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
        if objection is not None:
            answer: Answer = self._manager.refuse(intent, objection)
        else:
            answer = self._manager.submit(intent, now, found.account)
            if isinstance(answer, Refusal) and answer.code is RefusalCode.APPROVAL_REQUIRED:
                answer = self.approvals.request(given, intent, answer, now)
        self.answers.put(given.key, answer)
        return answer

    def _exit(self, given: Instruction, now: int) -> Answer:
        """Close a whole position, or cancel the live entry that would open one."""
        leg, manager = given.leg, self._manager
        held, refusal = manager.account.ledger.quantity(leg.symbol), self._held_by_operator(given)
        entries = list(manager.orders.live(leg.symbol, Purpose.ENTRY))
        if refusal is None and not held and entries:
            manager.cancel_entries(f"withdrawn by {given.principal}", leg.symbol)
            return entries[0].ref
        refusal = refusal or exit_objection(leg, held)
        key, wake_id = str(given.key), given.wake_id
        if refusal is None:
            return manager.close(leg.symbol, given.principal, now, key=key, wake_id=wake_id)
        intent = manager.reduction(leg.symbol, Purpose.EXIT, given.principal, key=key, wake_id=wake_id)
        return manager.refuse(msgspec.structs.replace(intent, side=_named_side(leg)), refusal)

    def _held_by_operator(self, given: Instruction) -> Refusal | None:
        """Return a refusal if the operator has taken over the symbol of a decision's leg."""
        by = self._state.held.get(given.leg.symbol)
        if by is None or given.wake_id is None:
            return None
        return Refusal(RefusalCode.HELD_BY_PERSON, limit="the agent's symbols", actual=f"held by {by}")


def _unchecked_intent(given: Instruction) -> OrderIntent:
    """Return the order that is journaled for a leg that cannot be checked: it has no quantity."""
    leg = given.leg
    return OrderIntent(
        idempotency_key=str(given.key),
        principal=given.principal,
        symbol=leg.symbol,
        side=_named_side(leg),
        type=OrderType.MARKET,
        purpose=Purpose.EXIT if leg.action in (Action.SELL, Action.COVER) else Purpose.ENTRY,
        quantity=ZERO,
        wake_id=given.wake_id,
    )


def _named_side(leg: Leg) -> Side:
    """Return the side that a leg names. An ADD names no side, and counts as an addition to a long."""
    return Side.BUY if leg.action in (Action.BUY, Action.ADD, Action.COVER) else Side.SELL

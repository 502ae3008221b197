"""Carries out a leg, whoever decided it: against the account and the market of this very moment, through the desk."""

from collections.abc import Collection
from decimal import Decimal

import msgspec

from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import OrderIntent, OrderType, Purpose, Side
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.approvals import Approvals, not_approved
from ocw_mcp.engine.entries import entering
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.idempotency import Answer
from ocw_mcp.engine.legs import exit_objection
from ocw_mcp.engine.manual_control import ManualControl
from ocw_mcp.engine.order_manager import OrderManager


class LegTerms(msgspec.Struct, frozen=True):
    """What binds an entering leg beside itself. Quantity in the base asset, price in quote currency."""

    quantity: Decimal | None = None
    """In place of the leg's share of equity."""
    quoted: Decimal | None = None
    """The mark price that whoever asks was shown."""
    side: Side | None = None
    """The side that whoever asks was shown."""
    approval: str = ""
    """A person's approval."""
    tainted: bool = False
    """Whether what others wrote was read on the way to it."""


FREE = LegTerms()


class Carrier:
    """From a leg to an order."""

    def __init__(
        self,
        symbols: Collection[str],
        manager: OrderManager,
        guard: Guard,
        account: Account,
        approvals: Approvals,
        manual_control: ManualControl,
    ) -> None:
        self._symbols = symbols
        self._manager = manager
        self._guard = guard
        self._account = account
        self._approvals = approvals
        self._manual_control = manual_control

    def carry_out(
        self, leg: Leg, key: str, principal: str, wake_id: int | None, now: int, terms: LegTerms = FREE
    ) -> Answer | None:
        """The name of the order that came of it, or why none did; None where there was nothing to do."""
        if not leg.asks:
            return None
        if (unfit := self._unfit(leg)) is not None:
            return self._manager.refuse(_as_asked(leg, key, principal, wake_id), unfit)
        if leg.action.adds_risk:
            return self._enter(leg, key, principal, wake_id, now, terms)
        manager, held = self._manager, self._account.ledger.quantity(leg.symbol)
        refusal = self._manual_control.objection(leg.symbol) if wake_id is not None else None
        entries = list(manager.orders.live(leg.symbol, Purpose.ENTRY))
        if refusal is None and not held and entries:
            # There is nothing to close yet, but something on its way: whoever wants out takes it back.
            manager.cancel_entries(f"taken back by {principal}", leg.symbol)
            return manager.answers.remember(key, entries[0].ref)
        refusal = refusal or exit_objection(leg, held)
        if refusal is None:
            return manager.close(leg.symbol, principal, now, key=key, wake_id=wake_id)
        intent = manager.reduction(leg.symbol, Purpose.EXIT, principal, key=key, wake_id=wake_id)
        return manager.refuse(msgspec.structs.replace(intent, side=_side(leg)), refusal)

    def _unfit(self, leg: Leg) -> Refusal | None:
        """Return what is wrong with a leg on any account: it could not be read, or it means no order of ours."""
        if leg.malformed:
            return Refusal(RefusalCode.MALFORMED, limit="a leg as the schema has it", actual=leg.malformed)
        if leg.symbol not in self._symbols:
            known = ",".join(self._symbols)
            return Refusal(RefusalCode.UNKNOWN_SYMBOL, limit=known, actual=repr(leg.symbol[:20]))
        return None

    def answer(self, key: str) -> Answer | None:
        """What a leg was answered; None where it held, or nothing is remembered."""
        return self._manager.answers.get(key)

    def remember(self, key: str, answer: Answer) -> None:
        """Keep an answer under a key."""
        self._manager.answers.remember(key, answer)

    def answered(self, name: str, principal: str, now: int, *, yes: bool) -> bool:
        """Take what the person in front of a client says about an order of that client's; False where none waits."""
        if not self.waits(name, principal):
            return False
        if yes:
            self.cleared(name, principal, now, f"in the client of {principal}")
        else:
            self.not_approved(name, "denied", f"the person in front of {principal}")
        return True

    def waits(self, name: str, principal: str) -> bool:
        """Whether an order of this caller waits for a person under this name."""
        waiting = self._approvals.state.waiting.get(name)
        return waiting is not None and waiting.intent.principal == principal

    def cleared(self, name: str, by: str, now: int, approval: str = "") -> None:
        """A person has approved what waits under this name: hold it against every policy again, and send it."""
        waiting = self._approvals.end(name, "approved", by)
        if waiting is None:
            return
        asked = waiting.intent
        self._manager.answers.forget(asked.idempotency_key)
        terms = LegTerms(asked.quantity, asked.quoted, asked.side, approval or f"{name} by {by}", asked.tainted)
        self._enter(waiting.leg, asked.idempotency_key, asked.principal, asked.wake_id, now, terms)

    def not_approved(self, name: str, outcome: str, by: str) -> None:
        """Nobody approves what waits under this name."""
        waiting = self._approvals.end(name, outcome, by)
        if waiting is not None:
            self._manager.refuse(waiting.intent, not_approved(outcome, by))

    def take_back(self, symbol: str | None, by: str) -> None:
        """Take off what the agent has waiting to enter, of one symbol or of all: a person has laid a hand on it."""
        for tracked in self._manager.orders.live(symbol, Purpose.ENTRY):
            if tracked.intent.wake_id is not None:
                self._manager.cancel(tracked, f"taken out of the agent's hands by {by}")
        for name, waiting in list(self._approvals.state.waiting.items()):
            if waiting.intent.wake_id is not None and symbol in (None, waiting.intent.symbol):
                self.not_approved(name, "taken back", by)

    def nobody_approves(self, by: str) -> None:
        """Whatever waits for a person waits no more: the desk is halted."""
        for name in list(self._approvals.state.waiting):
            self.not_approved(name, "halted", by)

    def _enter(self, leg: Leg, key: str, principal: str, wake_id: int | None, now: int, terms: LegTerms) -> Answer:
        tainted, quantity = terms.tainted, terms.quantity
        met = entering(leg, self._manager, self._guard, key, principal, wake_id, now, quantity, tainted=tainted)
        intent = msgspec.structs.replace(met.intent, quoted=terms.quoted, approval=terms.approval)
        held = self._manual_control.objection(leg.symbol) if wake_id is not None else None
        if (objection := met.barred or held or met.objection or _other_side(intent, terms)) is not None:
            return self._manager.refuse(intent, objection)
        answer = self._manager.submit(intent, now, met.account)
        if isinstance(answer, Refusal) and answer.code is RefusalCode.APPROVAL_REQUIRED:
            return self._await_person(leg, intent, answer, now)
        return answer

    def _await_person(self, leg: Leg, intent: OrderIntent, refusal: Refusal, now: int) -> Answer:
        """Ask a person; what they are shown is the price of this moment, and that binds."""
        account = self._manager.view(leg.symbol, now)
        assert account is not None, "an order that only a person can stop has a price"
        for name in self._approvals.of(intent.principal, leg.symbol):
            self.not_approved(name, "superseded", intent.principal)
        waits = self._approvals.ask(leg, msgspec.structs.replace(intent, quoted=account.price), now)
        return refusal if waits is None else self._manager.answers.remember(intent.idempotency_key, waits)


def _as_asked(leg: Leg, key: str, principal: str, wake_id: int | None) -> OrderIntent:
    """Return the order that is written down for a leg that no account is asked about: it has no quantity."""
    purpose = Purpose.EXIT if leg.action in (Action.SELL, Action.COVER) else Purpose.ENTRY
    return OrderIntent(
        idempotency_key=key,
        principal=principal,
        symbol=leg.symbol,
        side=_side(leg),
        type=OrderType.MARKET,
        purpose=purpose,
        quantity=ZERO,
        wake_id=wake_id,
    )


def _side(leg: Leg) -> Side:
    """Return the side that a leg names. An ADD counts as one to a long, since it names none."""
    return Side.BUY if leg.action in (Action.BUY, Action.ADD, Action.COVER) else Side.SELL


def _other_side(intent: OrderIntent, terms: LegTerms) -> Refusal | None:
    """What speaks against an addition to a position that has turned since it was shown."""
    if terms.side in (None, intent.side):
        return None
    return Refusal(RefusalCode.OPPOSITE_POSITION, limit=f"a {terms.side}, as it was shown", actual=f"a {intent.side}")

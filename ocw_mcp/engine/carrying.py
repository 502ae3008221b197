"""Carries out a leg, whoever decided it: against the account and the market of this very moment, through the desk."""

from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.reasons import Refusal
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.desk import Answer, Desk
from ocw_mcp.engine.entries import entering
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.legs import exit_objection


class Carrier:
    """From a leg to an order."""

    def __init__(self, desk: Desk, guard: Guard, account: Account) -> None:
        self._desk = desk
        self._guard = guard
        self._account = account

    def carry_out(self, leg: Leg, key: str, principal: str, wake_id: int | None, now: int) -> Answer | None:
        """The name of the order that came of it, or why none did; None where there was nothing to do."""
        if leg.action is Action.HOLD:
            return None
        if leg.action.adds_risk:
            return self._enter(leg, key, principal, wake_id, now)
        desk, held = self._desk, self._account.ledger.quantity(leg.symbol)
        entries = list(desk.orders.live(leg.symbol, Purpose.ENTRY))
        if not held and entries:
            # There is nothing to close yet, but something on its way: whoever wants out takes it back.
            desk.cancel_entries(f"taken back by {principal}", leg.symbol)
            return desk.remember(key, entries[0].ref)
        refusal = exit_objection(leg, held)
        if refusal is None:
            return desk.close(leg.symbol, principal, now, key=key, wake_id=wake_id)
        return desk.refuse(desk.reduction(leg.symbol, Purpose.EXIT, principal, key=key, wake_id=wake_id), refusal)

    def _enter(self, leg: Leg, key: str, principal: str, wake_id: int | None, now: int) -> OrderRef | Refusal:
        met = entering(leg, self._desk, self._guard, key, principal, wake_id, now)
        if met.objection is not None:
            return self._desk.refuse(met.intent, met.objection)
        return self._desk.submit(met.intent, now, met.account)

"""Orders that await a person's approval: they passed every limit except the one that requires the approval.

A pending order reserves no budget and is not sent. An approved order is checked against every policy again, and refused
if the mark price has moved too far since the approval request. A pending order without an answer in time is refused.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import AwaitsApproval, ConsentRequest, token_of
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.orders import OrderIntent
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.domain.steps import Timer, TimerKind
from ocw_mcp.domain.time import SECOND
from ocw_mcp.engine.idempotency import Answers
from ocw_mcp.engine.order_manager import OrderManager
from ocw_mcp.engine.precheck import Instruction

MOST = 32
"""The largest number of pending orders; an order beyond this number is refused."""
MOST_OF_ONE = 8
"""The largest number of pending orders of one caller, so that no caller can use up MOST alone."""


class PendingOrder(msgspec.Struct, frozen=True):
    """An order that awaits approval."""

    approval_id: str
    given: Instruction
    intent: OrderIntent
    """The checked order, with its size and the mark price that the person is shown."""
    expires_at: int
    """The time (ms) at which the order is refused."""


class ApprovalsState(msgspec.Struct):
    """The pending orders by approval id, and the number of the last id."""

    last: int = 0
    pending: dict[str, PendingOrder] = {}


class Approvals(Stateful[ApprovalsState]):
    """Keeps the orders that await approval, and carries out the answers to them."""

    def __init__(self, manager: OrderManager, answers: Answers, place: Callable[[Instruction, int], object]) -> None:
        """`place` checks and sends an approved order; its second argument is the time (ms)."""
        super().__init__(ApprovalsState())
        strict = manager.config.strict.approval if manager.config.strict is not None else None
        self._policy = manager.config.policies.approval or strict
        self._by_clients = manager.config.mode is Mode.PAPER
        self._manager = manager
        self._effects = manager.effects
        self._answers = answers
        self._place = place

    def request(self, given: Instruction, intent: OrderIntent, refusal: Refusal, now: int) -> AwaitsApproval | Refusal:
        """Make an order pending at the present mark price; if too many orders are pending, return `refusal` instead.

        The order replaces a pending order of the same caller and symbol.
        """
        assert self._policy is not None, "an approval is only required by a policy"
        account = self._manager.view(intent.symbol, now)
        assert account is not None, "an order that only needs approval has a price"
        asked_at = account.price
        for pending in self.pending:
            if (pending.intent.principal, pending.intent.symbol) == (intent.principal, intent.symbol):
                self.refuse(pending.approval_id, "superseded", intent.principal)
        token = token_of(intent.principal)
        own = sum(token_of(pending.intent.principal) == token for pending in self.pending)
        if len(self._state.pending) >= MOST or own >= MOST_OF_ONE:
            return refusal
        intent = msgspec.structs.replace(intent, quoted=asked_at)
        self._state.last += 1
        name, expires_at = f"a{self._state.last}", now + self._policy.answer_s * SECOND
        self._state.pending[name] = PendingOrder(name, given, intent, expires_at)
        self._effects.record(events.ApprovalAsked(name, intent, asked_at, expires_at))
        self._effects.set_timer(Timer(TimerKind.APPROVAL, name), expires_at)
        return AwaitsApproval(name, expires_at)

    def grant(self, approval_id: str, by: str, now: int, approval: str = "") -> None:
        """Approve a pending order: check it against every policy again, and send it if it passes.

        An unknown id changes nothing. `approval` becomes the approval text in the intent of the sent order.
        """
        pending = self._end(approval_id, "approved", by)
        if pending is None:
            return
        asked, approval = pending.intent, approval or f"{approval_id} by {by}"
        terms = {"quantity": asked.quantity, "quoted": asked.quoted, "side": asked.side, "approval": approval}
        self._place(msgspec.structs.replace(pending.given, **terms), now)

    def refuse(self, approval_id: str, outcome: str, by: str) -> None:
        """Refuse the pending order with that id, if any. `outcome` is the reason in one word, such as `denied`."""
        pending = self._end(approval_id, outcome, by)
        if pending is not None:
            refusal = Refusal(RefusalCode.NOT_APPROVED, limit="a person's yes", actual=f"{outcome} by {by}")
            self._manager.refuse(pending.intent, refusal)
            self._answers.put(pending.given.key, refusal)

    def cancel_all(self, outcome: str, by: str, *, of_agent: bool = False, symbol: str | None = None) -> None:
        """Refuse all pending orders; with `of_agent`, only the agent's; with `symbol`, only those of that symbol."""
        for pending in self.pending:
            if symbol in (None, pending.intent.symbol) and not (of_agent and pending.intent.wake_id is None):
                self.refuse(pending.approval_id, outcome, by)

    def may_consent(self, request: ConsentRequest) -> bool:
        """Return whether a client's user may answer: only in paper mode, and only for an order of that client."""
        pending = self._state.pending.get(request.approval)
        return self._by_clients and pending is not None and pending.intent.principal == request.principal

    def consent(self, request: ConsentRequest, now: int) -> bool:
        """Approve or deny an order for the user of a client. Return False if the user may not answer for this order."""
        if not self.may_consent(request):
            return False
        if request.yes:
            self.grant(request.approval, request.principal, now, f"in the client of {request.principal}")
        else:
            self.refuse(request.approval, "denied", f"the person in front of {request.principal}")
        return True

    @property
    def pending(self) -> list[PendingOrder]:
        """The orders that await approval, oldest first."""
        return list(self._state.pending.values())

    def summary(self) -> list[dict[str, Any]]:
        """Return the pending orders as `ocw status` shows them, ready for JSON. Money is text."""
        return [_shown(each) for each in self.pending]

    def _end(self, approval_id: str, outcome: str, by: str) -> PendingOrder | None:
        pending = self._state.pending.pop(approval_id, None)
        if pending is not None:
            self._effects.clear_timer(Timer(TimerKind.APPROVAL, approval_id))
            self._effects.record(events.ApprovalEnded(approval_id, outcome, by))
        return pending


def _shown(pending: PendingOrder) -> dict[str, Any]:
    intent, leg = pending.intent, pending.given.leg
    return {
        "id": pending.approval_id,
        "symbol": intent.symbol,
        "action": leg.action.value,
        "quantity": plain(intent.quantity),
        "price": _text(intent.quoted),
        "side": intent.side.value,
        "stop": _text(intent.protect_at),
        "target": _text(intent.target_at),
        "limit": _text(intent.limit_price),
        "leverage": None if intent.leverage is None else str(intent.leverage),
        "by": intent.principal,
        "reason": leg.reasoning,
        "until": pending.expires_at,
    }


def _text(price: Decimal | None) -> str | None:
    return None if price is None else plain(price)

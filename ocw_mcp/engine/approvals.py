"""Orders that wait for a person: they passed every limit but the one that asks for a yes.

Nothing is reserved and nothing is sent meanwhile. A yes has every policy asked again, at the price of that moment,
which has to be near the one that the order was asked at. No answer in time is a no.
"""

import msgspec

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import Waits
from ocw_mcp.domain.decision import Leg
from ocw_mcp.domain.orders import OrderIntent
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.steps import Timer, TimerKind
from ocw_mcp.domain.time import SECOND
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.effect_buffer import EffectBuffer
from ocw_mcp.engine.idempotency import token_of

MOST = 32
"""Orders that wait at a time; a further one is refused as if nobody could be asked."""
MOST_OF_ONE = 8
"""Of one caller, so that none takes the place of all others."""


class Waiting(msgspec.Struct, frozen=True):
    """An order that waits. Its intent has the size that was checked, and the mark price that it was asked at."""

    leg: Leg
    intent: OrderIntent
    expires_at: int


class ApprovalsState(msgspec.Struct):
    """What waits, by its id, and the number of the last one."""

    last: int = 0
    waiting: dict[str, Waiting] = {}


class Approvals:
    """Keeps what waits for a person."""

    def __init__(self, config: EngineConfig, effects: EffectBuffer) -> None:
        self._policy = config.policies.approval
        self._effects = effects
        self.state = ApprovalsState()

    def ask(self, leg: Leg, intent: OrderIntent, now: int) -> Waits | None:
        """Let an order wait; None where too many do already."""
        assert self._policy is not None, "an approval is asked for where the policy wants one"
        assert intent.quoted is not None, "whoever approves an order is shown a price"
        theirs = [each for each in self.state.waiting.values() if _caller(each.intent) == _caller(intent)]
        if len(self.state.waiting) >= MOST or len(theirs) >= MOST_OF_ONE:
            return None
        self.state.last += 1
        name, expires_at = f"a{self.state.last}", now + self._policy.answer_s * SECOND
        self.state.waiting[name] = Waiting(leg, intent, expires_at)
        self._effects.record(events.ApprovalAsked(name, intent, intent.quoted, expires_at))
        self._effects.set_timer(Timer(TimerKind.APPROVAL, name), expires_at)
        return Waits(name, expires_at)

    def of(self, principal: str, symbol: str) -> list[str]:
        """The ids of what somebody has waiting for a symbol."""
        return [
            name
            for name, each in self.state.waiting.items()
            if (each.intent.principal, each.intent.symbol) == (principal, symbol)
        ]

    def end(self, name: str, outcome: str, by: str) -> Waiting | None:
        """Let an order wait no more; None where none of that name does."""
        waiting = self.state.waiting.pop(name, None)
        if waiting is not None:
            self._effects.clear_timer(Timer(TimerKind.APPROVAL, name))
            self._effects.record(events.ApprovalEnded(name, outcome, by))
        return waiting


def _caller(intent: OrderIntent) -> str:
    return token_of(intent.principal)


def not_approved(outcome: str, by: str) -> Refusal:
    """What an order is answered that a person did not approve."""
    return Refusal(RefusalCode.NOT_APPROVED, limit="a person's yes", actual=f"{outcome} by {by}")

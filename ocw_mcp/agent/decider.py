"""Claude as the decider of a desk: a wake in, one conversation, and its end as the engine takes it.

What it decides it submits with the desk's tool, within the conversation. Here it is only told that this is over, or why
nothing came of it, so that the rules decide.
"""

import asyncio
import hashlib
from collections.abc import Callable
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.agent.breaker import Breaker
from ocw_mcp.agent.briefing import Briefing
from ocw_mcp.agent.caching import Plan, Rhythm
from ocw_mcp.agent.causes import UNASKED, Cause, Trouble
from ocw_mcp.agent.conversation import Conversation, Failed, Held, Outcome, Submitted, Terms
from ocw_mcp.agent.memory.memory import Memory
from ocw_mcp.agent.messages import Messages
from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.agent.remembered import remembered
from ocw_mcp.agent.thinning import thinned
from ocw_mcp.agent.tools import ToolClient
from ocw_mcp.domain.decision import MEANT, Decision
from ocw_mcp.domain.errors import CannotDecideError
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import CLAUDE
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.protocols import Clock
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.time import SECOND

READS: Final = (
    "market_get_candles",
    "market_get_indicators",
    "derivatives_get_summary",
    "risk_check_order",
    "trades_search",
)
"""The reading tools that are offered: what the context of a wake does not hold already."""
QUICKEST_MS: Final = 4 * SECOND
SLOWEST_MS: Final = 20 * SECOND
CORRECTION_MS: Final = 5 * SECOND
"""What thinking takes on a simulated clock: models, and no measures."""


class Desk(msgspec.Struct, frozen=True):
    """What the decider needs of a running desk: its tools, and what may still be spent (USD)."""

    tools: ToolClient
    allowance_usd: Callable[[], Decimal]
    memory: Memory | None = None


class ClaudeDecider:
    """Asks Claude, one conversation a wake."""

    name = CLAUDE

    def __init__(
        self, messages: Messages | Trouble, prompts: Prompts, policies: Policies, clock: Clock, model: str
    ) -> None:
        """`messages` is whom to ask, or why nobody can be asked."""
        self._messages = messages
        self._briefing = Briefing(prompts, policies, self.name)
        self._policies = policies
        self._clock = clock
        self._model = model
        self._desk: Desk | None = None
        self._breaker = Breaker()
        self._rhythm = Rhythm()
        self._under_way: tuple[int, Conversation] | None = None
        self._spent: tuple[int, Decimal] = (0, ZERO)
        self.outcomes: list[Outcome] = []
        """How the latest conversations ended, for whoever measures."""

    def attach(self, desk: Desk) -> None:
        """Sit down at a desk."""
        self._desk = desk

    def thinking_ms(self, request: DecisionRequest) -> int:
        """Modelled by the wake's number, and within the deadline."""
        draw = int.from_bytes(hashlib.sha256(f"thinking on wake {request.wake_id}".encode()).digest()[:4])
        takes = QUICKEST_MS + draw * (SLOWEST_MS - QUICKEST_MS) // 2**32
        return min(takes, max(0, request.deadline - request.snapshot.at - SECOND))

    def correction_ms(self, request: DecisionRequest) -> int:
        """The same for every wake."""
        return CORRECTION_MS

    def cost_usd(self, wake_id: int) -> Decimal:
        """What was spent on a wake so far."""
        if self._under_way is not None and self._under_way[0] == wake_id:
            return self._under_way[1].cost_usd
        return self._spent[1] if self._spent[0] == wake_id else ZERO

    async def decide(self, request: DecisionRequest) -> Decision:
        """Hold a conversation, or repeat a HOLD that still stands.

        Raises CannotDecideError with the cause where the rules are to decide.
        """
        if isinstance(self._messages, Trouble):
            raise CannotDecideError(str(self._messages))
        if self._desk is None:
            raise CannotDecideError(str(Trouble(Cause.TOOLS, "no desk is there yet")))
        if as_before := remembered(request):
            return Decision(cause=as_before)
        if spare := thinned(request, self._desk.allowance_usd(), self._policies.budget.usd_per_day):
            raise CannotDecideError(str(spare))
        now, wake = self._clock.now(), request.wake_id
        if not self._breaker.lets_ask(now):
            raise CannotDecideError(str(Trouble(Cause.BREAKER)))
        self._rhythm.asks(request.snapshot.at)
        # Prices are read from a table, which takes a third of a second the first time.
        plan = await asyncio.to_thread(self._rhythm.plan, self._model, now)
        conversation = Conversation(self._messages, self._desk.tools, self._clock, self._terms(self._desk, plan))
        self._under_way = (wake, conversation)
        try:
            context = self._briefing.context(request, await self._remembers(request, self._desk))
            tainted = request.snapshot.quotes_others(self.name)
            outcome = await conversation.hold(wake, self._briefing.system, context, tainted=tainted)
        finally:
            self._spent, self._under_way = (wake, conversation.cost_usd), None
        self._rhythm.took(outcome.calls)
        self.outcomes = [*self.outcomes[-255:], outcome]
        return self._judge(outcome)

    async def _remembers(self, request: DecisionRequest, desk: Desk) -> str:
        return "" if desk.memory is None else await desk.memory.at_wake(request.snapshot, desk.allowance_usd())

    def _terms(self, desk: Desk, plan: Plan) -> Terms:
        deadline_s = self._policies.decision.deadline_s
        return Terms(
            model=self._model,
            allowance_usd=desk.allowance_usd(),
            timeout_s=max(1.0, deadline_s * 0.9),
            reads=READS,
            prefix_ttl=plan.prefix,
            turns_cached=plan.turns,
        )

    def _judge(self, outcome: Outcome) -> Decision:
        """Tell the breaker how it went, and the engine what to do."""
        ending = outcome.ending
        trouble = ending.trouble if isinstance(ending, Submitted | Failed) else None
        if trouble is None or trouble.cause is Cause.IMPOSSIBLE:
            self._breaker.succeeded()
        elif trouble.cause in UNASKED:
            self._breaker.left_alone()
        else:
            self._breaker.failed(self._clock.now())
        if trouble is not None:
            raise CannotDecideError(str(trouble))
        return Decision(cause=f"{MEANT}{ending.why}") if isinstance(ending, Held) else Decision()

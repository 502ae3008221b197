"""Claude as the decider of a desk: a wake in, one conversation, and its end as the engine takes it.

What it decides it submits with the desk's tool, within the conversation. Here it is only told that this is over, or why
nothing came of it, so that the rules decide.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.agent.breaker import Breaker
from ocw_mcp.agent.briefing import Briefing
from ocw_mcp.agent.budget_throttle import Spent, throttled
from ocw_mcp.agent.caching import Plan, Rhythm
from ocw_mcp.agent.causes import ANSWERED, UNASKED, Trouble
from ocw_mcp.agent.conversation import (
    MAX_TOKENS,
    Conversation,
    ConversationOutcome,
    ConversationTerms,
    Failed,
    NoDecision,
    Submitted,
)
from ocw_mcp.agent.decision_cache import remembered
from ocw_mcp.agent.memory.memory import Memory
from ocw_mcp.agent.messages import Messages
from ocw_mcp.agent.pricing import priced, worst_cost
from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.agent.spending import SpendingLog
from ocw_mcp.agent.tools import ToolClient
from ocw_mcp.agent.unsent import unsent
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.errors import BookError, CannotDecideError
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


WORST_PROMPT: Final = 12_000
"""Bytes that a request is taken for, where it is not there yet."""


def patience_s(policies: Policies) -> float:
    """How long a conversation may take, by the wall: what is left of the deadline is for the desk."""
    return max(1.0, policies.decision.deadline_s * 0.9)


class EngineAccess(msgspec.Struct, frozen=True):
    """What the decider needs of a running desk."""

    tools: ToolClient
    spent_usd: Callable[[], Spent]
    """What thinking has cost in the UTC day and the UTC month, as far as the engine was told."""
    memory: Memory | None = None
    spending: SpendingLog = msgspec.field(default_factory=SpendingLog)
    breaker: Breaker = msgspec.field(default_factory=Breaker)


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
        self._engine: EngineAccess | None = None
        self._rhythm = Rhythm()
        self._under_way: tuple[int, Conversation] | None = None
        self._spent: tuple[int, Decimal] = (0, ZERO)
        self._foreseen: tuple[int, Decision | Trouble | None] = (0, None)
        """What is said to which wake without asking the model, as it was found when its time was asked for."""
        self.outcomes: list[ConversationOutcome] = []
        """How the latest conversations ended, for whoever measures."""

    def attach(self, engine: EngineAccess) -> None:
        """Sit down at a desk."""
        self._engine = engine

    def thinking_ms(self, request: DecisionRequest) -> int:
        """Modelled by the wake's number, and within the deadline; 0 where the model will not be asked."""
        unasked = self._unasked(request)
        self._foreseen = (request.wake_id, unasked)
        if unasked is not None:
            return 0
        draw = int.from_bytes(hashlib.sha256(f"thinking on wake {request.wake_id}".encode()).digest()[:4])
        takes = QUICKEST_MS + draw * (SLOWEST_MS - QUICKEST_MS) // 2**32
        return min(takes, max(1, request.deadline - request.snapshot.at - SECOND))

    def correction_ms(self, request: DecisionRequest) -> int:
        """The same for every wake."""
        return CORRECTION_MS

    def cost_usd(self, wake_id: int) -> Decimal:
        """What was spent on a wake so far, with what is told along with it."""
        beside = ZERO if self._engine is None else self._engine.spending.told_usd(wake_id)
        if self._under_way is not None and self._under_way[0] == wake_id:
            return self._under_way[1].cost_usd + beside
        return (self._spent[1] if self._spent[0] == wake_id else ZERO) + beside

    async def decide(self, request: DecisionRequest) -> Decision:
        """Hold a conversation, or repeat a HOLD that still stands.

        Raises CannotDecideError with the cause where the rules are to decide.
        """
        # What took no time was promised to be said at once.
        foreseen = self._foreseen[0] == request.wake_id
        unasked = self._foreseen[1] if foreseen else self._unasked(request)
        if isinstance(unasked, Trouble):
            raise CannotDecideError(unasked.cause)
        if unasked is not None:
            return unasked
        engine, messages = self._engine, self._messages
        assert engine is not None
        assert not isinstance(messages, Trouble)
        if not engine.breaker.lets_ask(self._clock.now()):
            raise CannotDecideError(Cause(CauseKind.BREAKER))
        try:
            return self._judge(await self._ask(request, messages, engine), engine)
        finally:
            engine.breaker.left_alone()

    async def _ask(self, request: DecisionRequest, messages: Messages, engine: EngineAccess) -> ConversationOutcome:
        wake = request.wake_id
        self._rhythm.asks(request.snapshot.at)
        plan = self._rhythm.plan(self._model, self._clock.now())
        memory = "" if engine.memory is None else await engine.memory.at_wake(request.snapshot, self._left(engine))
        try:
            await engine.spending.begins(wake)
        except BookError as error:
            raise CannotDecideError(Cause(CauseKind.NOT_KEPT, str(error))) from None
        # What is told with this decision is not booked yet.
        terms = self._terms(max(ZERO, self._left(engine) - engine.spending.told_usd(wake)), plan)
        conversation = Conversation(messages, engine.tools, self._clock, terms, engine.spending.costs)
        try:
            self._under_way = (wake, conversation)
            context = self._briefing.context(request, memory)
            tainted = request.snapshot.quotes_others(self.name)
            outcome = await conversation.hold(wake, self._briefing.system, context, tainted=tainted)
        finally:
            self._spent, self._under_way = (wake, conversation.cost_usd), None
        with suppress(BookError):
            # Where this is not kept, the worst case stands.
            await engine.spending.costs(outcome.cost_usd)
        self._rhythm.took(outcome.calls)
        self.outcomes = [*self.outcomes[-255:], outcome]
        return outcome

    def _spent_usd(self, engine: EngineAccess) -> Spent:
        """In the day and in the month, with what the engine does not know yet and what is set aside."""
        beside = engine.spending.untold_usd + (ZERO if engine.memory is None else engine.memory.set_aside_usd)
        today, this_month = engine.spent_usd()
        return today + beside, this_month + beside

    def _unasked(self, request: DecisionRequest) -> Decision | Trouble | None:
        """What is said without asking the model; None where it is to be asked."""
        if isinstance(self._messages, Trouble):
            return self._messages
        engine, now = self._engine, self._clock.now()
        if engine is None:
            return Trouble(CauseKind.TOOLS, "no desk is there yet")
        if not priced(self._model, now):
            return Trouble(CauseKind.NO_PRICE, self._model)
        if as_before := remembered(request):
            return Decision(cause=as_before)
        worst = worst_cost(WORST_PROMPT, MAX_TOKENS, self._model, now)
        if spare := throttled(request, self._spent_usd(engine), self._policies.budget, worst):
            return spare
        open_until = engine.breaker.open_until
        return Trouble(CauseKind.BREAKER) if open_until is not None and now < open_until else None

    def _left(self, engine: EngineAccess) -> Decimal:
        """What may be spent (USD)."""
        budget, (today, this_month) = self._policies.budget, self._spent_usd(engine)
        return max(ZERO, min(budget.usd_per_day - today, budget.usd_per_month - this_month))

    def _terms(self, left_usd: Decimal, plan: Plan) -> ConversationTerms:
        return ConversationTerms(
            model=self._model,
            allowance_usd=left_usd,
            timeout_s=patience_s(self._policies),
            reads=READS,
            prefix_ttl=plan.prefix,
            turns_cached=plan.turns,
        )

    def _judge(self, outcome: ConversationOutcome, engine: EngineAccess) -> Decision:
        """Tell the breaker how it went, and the engine what to do."""
        ending = outcome.ending
        trouble = ending.trouble if isinstance(ending, Submitted | Failed) else None
        if trouble is None or trouble.kind in ANSWERED:
            engine.breaker.succeeded()
        elif trouble.kind not in UNASKED:
            engine.breaker.failed(self._clock.now())
        if trouble is not None:
            raise CannotDecideError(trouble.cause)
        if isinstance(ending, NoDecision):
            kind = CauseKind.UNSENT if unsent(outcome.words) else CauseKind.MODEL_HOLDS
            return Decision(cause=Cause(kind, ending.why))
        return Decision()

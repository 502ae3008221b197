"""Claude as the decider of an engine: one conversation for each wake.

The model submits its decision to the engine with a tool call within the conversation. After the conversation, the
decider reports its end to the engine, or the cause for which the rules have to decide.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Final

import msgspec

from ocw_mcp.agent.conversation import (
    LEAST_TOKENS,
    LONGEST_EXCERPT,
    Conversation,
    ConversationSummary,
    ConversationTerms,
    NoDecision,
    Submitted,
)
from ocw_mcp.agent.fewer_calls import Breaker, Spent, repeated_hold, throttled
from ocw_mcp.agent.keep_warm import CacheKeeper
from ocw_mcp.agent.memory.memory import Memory
from ocw_mcp.agent.messages import ANSWERED, UNASKED, Messages, Trouble
from ocw_mcp.agent.pricing import CachePlanner, priced, worst_cost
from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.agent.spending import SpendingLog
from ocw_mcp.agent.text_decisions import contains_decision
from ocw_mcp.agent.tools import ToolClient
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.errors import BookError, CannotDecideError
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import CLAUDE
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.protocols import Clock
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.time import SECOND

_MARKET_READS: Final = ("market_get_candles", "market_get_indicators", "derivatives_get_summary")
READS: Final = (*_MARKET_READS, "risk_check_order", "trades_search")
"""The read-only tools offered to the model: they return data that the context of a wake does not have."""
QUICKEST_MS: Final = 4 * SECOND
SLOWEST_MS: Final = 20 * SECOND
CORRECTION_MS: Final = 5 * SECOND
"""Assumed times of the model on a simulated clock: shortest and longest decision, and a correction."""
WORST_PREFIX: Final = 8_000
WORST_CONTEXT: Final = 4_000
"""Assumed sizes (bytes) of tools and system until they are counted, and of a context, from which the throttle computes
the worst-case cost of the next call."""


def conversation_timeout_s(policies: Policies) -> float:
    """Return the longest real time (s) of a conversation: below the deadline, so that the engine has time to answer."""
    return max(1.0, policies.decision.deadline_s * 0.9)


class EngineAccess(msgspec.Struct, frozen=True):
    """The parts of a running engine that the decider uses."""

    tools: ToolClient
    spent_usd: Callable[[], Spent]
    """Returns the LLM cost of the UTC day and the UTC month that the engine has booked."""
    memory: Memory | None = None
    spending: SpendingLog = msgspec.field(default_factory=SpendingLog)
    breaker: Breaker = msgspec.field(default_factory=Breaker)


class ClaudeDecider:
    """A decider that holds one conversation with Claude for each wake."""

    name = CLAUDE

    def __init__(
        self,
        messages: Messages | Trouble,
        prompts: Prompts,
        policies: Policies,
        clock: Clock,
        model: str,
        keeper: CacheKeeper | None = None,
    ) -> None:
        """`messages` answers the requests; if it is a `Trouble`, the rules decide every wake for that cause.

        Without a `keeper` the prompt cache may expire between two decisions.
        """
        self._messages = messages
        self._prompts = prompts
        self._policies = policies
        self._clock = clock
        self._model = model
        self._engine: EngineAccess | None = None
        self._cache_planner = CachePlanner(keep_warm=keeper is not None)
        self._keeper = keeper
        self._latest: tuple[int, Conversation] | None = None
        """The latest wake that the model was asked about, and its conversation."""
        self._prepared: tuple[int, Decision | Trouble | None] = (0, None)
        """The wake of the latest call of `thinking_ms`, and its answer if that needs no call of the model."""
        self.outcomes: list[ConversationSummary] = []
        """Summaries of the latest conversations, for measurements."""

    def attach(self, engine: EngineAccess) -> None:
        """Connect to a running engine."""
        self._engine = engine

    def thinking_ms(self, request: DecisionRequest) -> int:
        """Return the simulated thinking time (ms), which ends before the deadline; 0 if the model is not called."""
        self._prepared = request.wake_id, self._without_call(request)
        if self._prepared[1] is not None:
            return 0
        # The number of the wake seeds the draw.
        draw = int.from_bytes(hashlib.sha256(f"thinking on wake {request.wake_id}".encode()).digest()[:4])
        takes = QUICKEST_MS + draw * (SLOWEST_MS - QUICKEST_MS) // 2**32
        return min(takes, max(1, request.deadline - request.snapshot.at - SECOND))

    def correction_ms(self, request: DecisionRequest) -> int:
        """Return the simulated time (ms) of a correction, the same for every wake."""
        return CORRECTION_MS

    def cost_usd(self, wake_id: int) -> Decimal:
        """Return the cost (USD) of a wake's decision so far, plus the earlier costs that are booked with it."""
        carried = ZERO if self._engine is None else self._engine.spending.carried_usd(wake_id)
        latest = self._latest
        return carried + latest[1].cost_usd if latest is not None and latest[0] == wake_id else carried

    async def decide(self, request: DecisionRequest) -> Decision:
        """Return the model's decision, or its last HOLD again. Raises CannotDecideError if the rules have to decide."""
        # The answer must be the one that the thinking time was given for.
        wake_id, prepared = self._prepared
        answer = prepared if wake_id == request.wake_id else self._without_call(request)
        if isinstance(answer, Trouble):
            raise CannotDecideError(answer.cause)
        if answer is not None:
            return answer
        engine, messages = self._engine, self._messages
        assert engine is not None
        assert not isinstance(messages, Trouble)
        return self._finish(await self._ask(request, messages, engine), engine)

    async def _ask(self, request: DecisionRequest, messages: Messages, engine: EngineAccess) -> ConversationSummary:
        wake = request.wake_id
        await self.close()
        self._cache_planner.record_wake(request.snapshot.at)
        # A replay has to reserve as much for the diary as the run, which knew its lost spending at this time.
        left = max(ZERO, self._left(engine) - engine.spending.recorded_usd(wake))
        memory = "" if engine.memory is None else await engine.memory.at_wake(request.snapshot, left)
        try:
            await engine.spending.start_decision(wake)
        except BookError as error:
            raise CannotDecideError(Cause(CauseKind.NOT_KEPT, str(error))) from None
        # The costs that are reported with this decision are not booked yet.
        terms = ConversationTerms(
            model=self._model,
            allowance_usd=max(ZERO, self._left(engine) - engine.spending.carried_usd(wake)),
            timeout_s=conversation_timeout_s(self._policies),
            reads=READS,
            prefix=engine.spending.prefix,
            cache=self._cache_planner.plan(self._model, self._clock.now()),
        )
        conversation = Conversation(messages, engine.tools, self._clock, terms, engine.spending.record_cost)
        self._latest = (wake, conversation)
        context = self._prompts.context(request, self.name, memory)
        tainted = request.snapshot.quotes_others(self.name)
        outcome = await conversation.run(wake, self._prompts.system, context, tainted=tainted)
        counted = conversation.counted_prefix
        if counted is not None:
            engine.spending.count_prefix(counted)
        with suppress(BookError):
            # If this cannot be stored, the worst case stays recorded.
            await engine.spending.record_cost(outcome.cost_usd)
        self._cache_planner.record_calls(outcome.calls)
        self.outcomes = [*self.outcomes[-255:], outcome]
        cached = outcome.usage.read + outcome.usage.written_1h
        if self._keeper is not None and terms.cache.keep_warm and cached and counted is not None:
            unspent = partial(self._left, engine)
            self._keeper.start(wake, conversation.prefix, counted.tokens, engine.spending, unspent)
        return outcome

    async def close(self) -> None:
        """Stop keeping the prompt cache."""
        if self._keeper is not None:
            await self._keeper.stop()

    def _spent_usd(self, engine: EngineAccess) -> Spent:
        """Return the LLM cost of the day and of the month, with pending costs and the reserve for diary entries."""
        pending = engine.spending.pending_usd + (ZERO if engine.memory is None else engine.memory.reserved_usd)
        today, this_month = engine.spent_usd()
        return today + pending, this_month + pending

    def _without_call(self, request: DecisionRequest) -> Decision | Trouble | None:
        """Return the answer to a wake that needs no call of the model; None if the model has to be called."""
        if isinstance(self._messages, Trouble):
            return self._messages
        engine, now = self._engine, self._clock.now()
        if engine is None:
            return Trouble(CauseKind.TOOLS, "no engine is attached yet")
        if not priced(self._model, now):
            return Trouble(CauseKind.NO_PRICE, self._model)
        if repeated := repeated_hold(request):
            return Decision(cause=repeated)
        prefix = engine.spending.prefix
        size, known = (WORST_PREFIX, 0) if prefix is None else (0, prefix.tokens)
        worst = worst_cost(size, LEAST_TOKENS, self._model, now, known, WORST_CONTEXT)
        # A replay does not know lost spending before the decision that reports it, and must call at the same wakes.
        today, this_month = (spent - engine.spending.lost_usd for spent in self._spent_usd(engine))
        if throttle := throttled(request, (today, this_month), self._policies.budget, worst):
            return throttle
        return None if engine.breaker.allows(now) else Trouble(CauseKind.BREAKER)

    def _left(self, engine: EngineAccess) -> Decimal:
        """Return the unspent LLM budget (USD): that of the day or that of the month, whichever is smaller."""
        budget, (today, this_month) = self._policies.budget, self._spent_usd(engine)
        return max(ZERO, min(budget.usd_per_day - today, budget.usd_per_month - this_month))

    def _finish(self, outcome: ConversationSummary, engine: EngineAccess) -> Decision:
        """Report the result to the breaker, and return the decision for the engine. Raises CannotDecideError."""
        result = outcome.result
        if isinstance(result, NoDecision):
            engine.breaker.succeeded()
            kind = CauseKind.UNSENT if contains_decision(result.words) else CauseKind.MODEL_HOLDS
            return Decision(cause=Cause(kind, result.words[:LONGEST_EXCERPT]))
        trouble = result.trouble if isinstance(result, Submitted) else result
        if trouble is None or trouble.kind in ANSWERED:
            engine.breaker.succeeded()
        elif trouble.kind not in UNASKED:
            engine.breaker.failed(self._clock.now())
        if trouble is not None:
            raise CannotDecideError(trouble.cause)
        return Decision()

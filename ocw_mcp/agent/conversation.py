"""One decision as a conversation: the model calls reading tools, submits a decision, and corrects refused parts once.

A conversation ends with a `ConversationResult`; only a cancellation is raised. The model is called only if the
worst-case cost of the call is at most the rest of the decision's allowance.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec

from ocw_mcp.agent.messages import RETRIED, Messages, Reply, Request, Trouble, trouble_of, without_cache_control
from ocw_mcp.agent.pricing import CachePlan, TokenUsage, Ttl, cost, worst_cost
from ocw_mcp.agent.spending import CountedPrefix
from ocw_mcp.agent.tools import SUBMIT, LegAnswer, ToolAnswer, ToolClient, call_tool, offered_tools
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.protocols import Clock
from ocw_mcp.domain.text import printable

LONGEST_EXCERPT: Final = 500
"""Largest number of characters of a model's text, or of a refusal, in a cause."""
CALLS_PER_TURN: Final = 8
"""Tool calls of one turn that are answered; further ones get an error."""
MAY_BE_BILLED: Final = frozenset({CauseKind.TIMEOUT, CauseKind.CONNECTION, CauseKind.MALFORMED})
"""Causes after which the model may have worked on the call, so that its worst-case cost is counted."""
TOOL_ROUNDS: Final = 2
"""Turns in which the model may call reading tools before it decides."""
MAX_TOKENS: Final = 4_000
LEAST_TOKENS: Final = 1_600
"""Output tokens to which an answer may be limited if the allowance does not suffice for `max_tokens`: twice as many as
a typical answer has."""
MOST_BYTES_A_TOKEN: Final = 12
"""If a gateway counts fewer tokens for a prompt, its count is not used as a bound."""
NEXT: Final = f"next: call {SUBMIT}, or end your turn"
MANY_CALLS: Final = f"at most {CALLS_PER_TURN} tool calls of a turn are answered"
SECOND_DECISION: Final = f"{SUBMIT} was not called, because a turn can submit one decision; put all legs into one call"
RETRY_WAIT_S: Final = 2.0
LONGEST_WAIT_SHARE: Final = 0.25
"""Largest wait before a retry, as a share of `timeout_s`; if the API asks for a longer one, the rules decide."""

RecordCost = Callable[[Decimal], Awaitable[None]]
"""Stores the largest possible cost (USD) of the decision before a call is made. Raises BookError."""
_Answer = TypeVar("_Answer")

log = logging.getLogger(__name__)


class ConversationTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The model of a decision, and its limits in tokens, time and money."""

    model: str
    max_tokens: int = MAX_TOKENS
    """Output tokens of one answer, including thinking; `LEAST_TOKENS` or more if the allowance is small."""
    timeout_s: float = 100
    """Time for the whole conversation, except for the engine's answer to a submitted decision."""
    allowance_usd: Decimal
    """The most that the conversation may cost."""
    cache: CachePlan = CachePlan("1h", turns=True, results=True)
    prefix: CountedPrefix | None = None
    """The beginning of an earlier request, which bounds the size of the same beginning."""
    reads: tuple[str, ...] | None = None
    """Names of the reading tools that are offered; None offers all."""


class Submitted(msgspec.Struct, frozen=True):
    """A decision was submitted and answered. `legs` are the final ones, after a correction if there was one."""

    legs: tuple[LegAnswer, ...]
    trouble: Trouble | None = None
    """The trouble that prevented a correction; the decision stays in force."""


class NoDecision(msgspec.Struct, frozen=True):
    """The model ended its turn without a decision, which is a HOLD; `words` are its whole answer."""

    words: str


ConversationResult = Submitted | NoDecision | Trouble
"""The result of a conversation; a `Trouble` states why there is no decision."""


class ConversationSummary(msgspec.Struct, frozen=True):
    """The result of a conversation, and its cost."""

    result: ConversationResult
    usage: TokenUsage
    cost_usd: Decimal
    calls: int
    """Calls of the model, including failed ones."""
    tools: tuple[str, ...]
    """Names of the called tools, in order."""


class _Ended(Exception):  # noqa: N818
    """Ends the conversation; the exception's argument is the `Trouble`."""


class Conversation:
    """The conversation of one decision; it runs once."""

    def __init__(
        self,
        messages: Messages,
        tools: ToolClient,
        clock: Clock,
        terms: ConversationTerms,
        record_cost: RecordCost | None = None,
    ) -> None:
        self._messages = messages
        self._tools = tools
        self._clock = clock
        self._terms = terms
        self._record_cost = record_cost
        self._usage = TokenUsage()
        self._cost = ZERO
        self._reserved = ZERO
        """The worst-case cost of a call that is not answered yet."""
        self._calls = 0
        self._called: list[str] = []
        self._tainted = False
        """Whether the model has read text by other authors."""
        self._turns: list[dict[str, Any]] = []
        self._cached_turn: int | None = None
        """The place of the last turn that is cached."""
        self._counted = TokenUsage()
        """Usage of the last answered call, which the API has counted."""
        self._prefix_counted = terms.prefix
        self.prefix: dict[str, Any] = {}
        """Model, tools and system of the requests; empty before the first one."""
        self._answers: list[ToolAnswer] = []
        """The answers to the submitted decision and to its correction."""
        self._legs: list[LegAnswer] = []

    @property
    def cost_usd(self) -> Decimal:
        """The cost so far, including the worst case of an unfinished call."""
        return self._cost + self._reserved

    @property
    def counted_prefix(self) -> CountedPrefix | None:
        """The beginning of the requests with the smallest counted prompt; None if no call was answered."""
        return self._prefix_counted

    async def run(self, wake: int, system: str, context: str, *, tainted: bool = False) -> ConversationSummary:
        """Have the model decide on `context`. `system` is the same at every wake.

        `tainted` is whether the context quotes text by other authors.
        """
        self._tainted = tainted
        self._ends = self._clock.wall_ms() + self._terms.timeout_s * 1_000
        try:
            result = await self._converse(wake, system, context)
        except _Ended as ended:
            result = self._fail(ended.args[0])
        except Exception as error:
            log.error("a decision of the model failed with an internal error", exc_info=error)
            result = self._fail(Trouble(CauseKind.INTERNAL, type(error).__name__))
        return ConversationSummary(result, self._usage, self.cost_usd, self._calls, tuple(self._called))

    async def _converse(self, wake: int, system: str, context: str) -> ConversationResult:
        tools = offered_tools(await self._within_time(self._tools.list_tools()), self._terms.reads)
        names = {tool["name"] for tool in tools}
        if SUBMIT not in names:
            return Trouble(CauseKind.TOOLS, f"the server does not offer {SUBMIT}")
        self._turns.append({"role": "user", "content": [{"type": "text", "text": context}]})
        rounds = 0
        while True:
            # After the last reading round and after a submission hardly any turn follows: caching it would not pay.
            last = rounds >= TOOL_ROUNDS or bool(self._answers)
            body = self._request_body(tools, system, last=last)
            reply = await self._ask(wake, body)
            if (trouble := trouble_of(reply)) is not None:
                raise _Ended(trouble)
            calls = reply.calls
            if not calls:
                return self._conclude(reply)
            submits = any(call.get("name") == SUBMIT for call in calls)
            if not submits:
                rounds += 1
                # One round beyond the limit gets errors as results; the next ends the conversation.
                if rounds > TOOL_ROUNDS + 1:
                    raise _Ended(Trouble(CauseKind.TOOL_LOOP, f"{rounds} rounds of calls without a decision"))
            results = await self._results(calls, names, may_read=rounds <= TOOL_ROUNDS)
            # A further turn costs money, so it follows only if there is something to correct; the next wake shows what
            # came of the decision.
            if submits and not (len(self._answers) == 1 and self._answers[0].correctable):
                return self._conclude(reply)
            self._turns.append({"role": "assistant", "content": list(reply.content)})
            self._turns.append({"role": "user", "content": results})

    def _request_body(self, tools: list[dict[str, Any]], system: str, *, last: bool) -> dict[str, Any]:
        """Return the request. Tools and system come first and never change, so that they are cached as one prefix.

        If this is probably the `last` request, its new turn is not cached.
        """
        terms, turns = self._terms, list(self._turns)
        cached = {} if terms.cache.prefix is None else _cache_control(terms.cache.prefix)
        if not last and (terms.cache.turns if len(turns) == 1 else terms.cache.results):
            self._cached_turn = len(turns) - 1
        if (place := self._cached_turn) is not None:
            # At the turn that an earlier call cached, the breakpoint reads it.
            *before, block = turns[place]["content"]
            turns[place] = {**turns[place], "content": [*before, block | _cache_control("5m")]}
        self.prefix = {
            "model": terms.model,
            "tools": tools,
            "system": [{"type": "text", "text": system, **cached}],
        }
        return self.prefix | {"max_tokens": terms.max_tokens, "messages": turns}

    async def _ask(self, wake: int, body: dict[str, Any]) -> Reply:
        """Return the reply of a call, retried once after a cause in `RETRIED`. A failed call ends the conversation."""
        worst, max_tokens = await self._reserve(body)
        body = body | {"max_tokens": max_tokens}
        reply = await self._call(Request(wake, self._calls, body), worst)
        if isinstance(reply, Trouble) and await self._wait_to_retry(reply):
            reply = await self._call(Request(wake, self._calls, body), worst)
        if isinstance(reply, Trouble):
            raise _Ended(reply)
        return reply

    async def _call(self, request: Request, worst: Decimal) -> Reply | Trouble:
        """Make one call and count its cost."""
        self._calls += 1
        self._reserved = worst
        reply: Reply | Trouble = self._timed_out
        with suppress(TimeoutError):
            async with asyncio.timeout(self._remaining_s()):
                reply = await self._messages.create(request)
        if isinstance(reply, Reply):
            self._usage += reply.usage
            self._cost += cost(reply.usage, self._terms.model, self._clock.now())
            self._counted = reply.usage
            self._count_prefix(request.body, reply.usage.prompt)
        elif reply.may_be_billed or reply.kind in MAY_BE_BILLED:
            self._cost += worst
        self._reserved = ZERO
        return reply

    def _count_prefix(self, body: dict[str, Any], tokens: int) -> None:
        """Keep the size of a prompt as a bound on its prefix, unless it is larger than the known one or too small."""
        digest, known = _digest(body), self._prefix_counted
        least = len(msgspec.json.encode(without_cache_control([body["tools"], body["system"]]))) / MOST_BYTES_A_TOKEN
        if tokens >= least and (known is None or digest != known.digest or tokens < known.tokens):
            self._prefix_counted = CountedPrefix(digest, tokens)

    async def _reserve(self, body: dict[str, Any]) -> tuple[Decimal, int]:
        """Record the worst-case cost of the next call, and return it with the largest number of output tokens.

        The conversation ends if even an answer of `LEAST_TOKENS` may exceed the allowance.
        """
        terms, left = self._terms, self._terms.allowance_usd - self._cost
        try:
            worst, max_tokens = self._worst(body, terms.max_tokens), terms.max_tokens
            if worst > left:
                # The price of output is linear, so a part of the tokens costs the same part of the difference.
                least = self._worst(body, 0)
                max_tokens = max(LEAST_TOKENS, int(max_tokens * (left - least) / (worst - least)))
                worst = self._worst(body, max_tokens)
        except LookupError:
            raise _Ended(Trouble(CauseKind.NO_PRICE, terms.model)) from None
        if worst > left:
            detail = f"it costs {plain(round(worst, 4))} USD at most, and {plain(round(left, 4))} USD is left"
            raise _Ended(Trouble(CauseKind.BUDGET, detail))
        if self._record_cost is not None:
            try:
                await self._record_cost(self._cost + worst)
            except BookError as error:
                raise _Ended(Trouble(CauseKind.NOT_KEPT, str(error))) from None
        return worst, max_tokens

    def _worst(self, body: dict[str, Any], max_tokens: int) -> Decimal:
        """Return the worst-case cost (USD) of a call with this body. Raises LookupError for a model without a price."""
        terms = self._terms
        # The API has counted the turns before the last answer, and that answer as output. The cache plan depends on
        # the process, and must not decide whether a call is made.
        known, prefix = self._counted.prompt + self._counted.output, terms.prefix
        turns = body["messages"][-1:] if known else body["messages"]
        parts = [] if known else [body["tools"], body["system"]]
        if parts and prefix is not None and prefix.digest == _digest(body):
            known, parts = prefix.tokens, []
        sizes = [len(msgspec.json.encode(without_cache_control(each))) for each in (parts, turns)]
        return worst_cost(sizes[0], max_tokens, terms.model, self._clock.now(), known, sizes[1])

    async def _wait_to_retry(self, trouble: Trouble) -> bool:
        """Return whether to retry a failed call; if so, wait first (in real time) as long as the API requests."""
        wait_s = RETRY_WAIT_S if trouble.retry_after_s is None else trouble.retry_after_s
        longest_s = min(self._terms.timeout_s * LONGEST_WAIT_SHARE, self._remaining_s())
        if trouble.kind not in RETRIED or trouble.may_be_billed or wait_s > longest_s:
            return False
        await self._clock.pause(wait_s * 1_000)
        return True

    async def _results(
        self, calls: tuple[dict[str, Any], ...], names: Collection[str], *, may_read: bool
    ) -> list[dict[str, Any]]:
        """Return the results of a turn's calls, in order. Only the first decision of a turn is submitted."""
        blocks, submitted = [], False
        for index, call in enumerate(calls):
            name = str(call.get("name"))
            if name == SUBMIT and not submitted:
                submitted = True
                answer = await self._submit(call.get("input"))
            elif name == SUBMIT:
                answer = ToolAnswer(f"BAD_ARGUMENTS: {SECOND_DECISION}", failed=True)
            elif name not in names:
                answer = ToolAnswer(f"UNKNOWN_TOOL: no tool has this name. {NEXT}", failed=True)
            elif not may_read or index >= CALLS_PER_TURN:
                limit = MANY_CALLS if may_read else "no more read tools are answered at this wake"
                answer = ToolAnswer(f"ENOUGH: {limit}. {NEXT}", failed=True)
            else:
                self._called.append(name)
                answer = await self._within_time(call_tool(self._tools, name, call.get("input")))
                self._tainted |= answer.quotes_others
            failed = {"is_error": True} if answer.failed else {}
            id_ = str(call.get("id"))
            blocks.append({"type": "tool_result", "tool_use_id": id_, "content": answer.text, **failed})
        return blocks

    async def _submit(self, arguments: object) -> ToolAnswer:
        """Submit a decision. No timeout applies, since a submitted decision may have been carried out."""
        self._called.append(SUBMIT)
        try:
            answer = await call_tool(self._tools, SUBMIT, arguments, tainted=self._tainted)
        except Exception as error:
            log.error("a decision could not be submitted", exc_info=error)
            unknown = f"{type(error).__name__}; the submitted decision may have been carried out"
            raise _Ended(Trouble(CauseKind.TOOLS, unknown)) from None
        self._tainted |= answer.quotes_others
        self._answers.append(answer)
        again = {leg.symbol for leg in answer.legs}
        self._legs = [leg for leg in self._legs if leg.outcome != "refused" or leg.symbol not in again]
        self._legs += answer.legs
        return answer

    def _conclude(self, reply: Reply) -> ConversationResult:
        """Return the result after the model's last turn."""
        if not self._answers:
            if not printable(reply.text):
                return Trouble(CauseKind.MALFORMED, "it ended its turn without a call and without a word")
            return NoDecision(reply.text)
        if all(answer.failed for answer in self._answers):
            return Trouble(CauseKind.MALFORMED, _excerpt(self._answers[-1].text))
        # As in the engine, a leg with HOLD is neither an action nor a refusal. A refused closing or cancel shows that
        # the account has changed meanwhile: the rules do not decide in its place.
        refused = [leg for leg in self._legs if leg.outcome == "refused"]
        if any(leg.enters for leg in refused) and all(leg.outcome in ("refused", "held") for leg in self._legs):
            return Trouble(CauseKind.IMPOSSIBLE, _excerpt(refused[0].refusal or refused[0].symbol))
        return Submitted(tuple(self._legs))

    def _fail(self, trouble: Trouble) -> ConversationResult:
        """Return the result after a failure. A decision that the engine has accepted stays in force."""
        result = self._conclude(Reply("", (), TokenUsage())) if self._answers else None
        if isinstance(result, Submitted):
            return msgspec.structs.replace(result, trouble=trouble)
        return trouble

    async def _within_time(self, answer: Awaitable[_Answer]) -> _Answer:
        """Return the answer of the tool server. Ends the conversation if the call fails or takes too long."""
        try:
            async with asyncio.timeout(self._remaining_s()):
                return await answer
        except TimeoutError:
            raise _Ended(self._timed_out) from None
        except Exception as error:
            log.error("a tool failed", exc_info=error)
            raise _Ended(Trouble(CauseKind.TOOLS, type(error).__name__)) from None

    @property
    def _timed_out(self) -> Trouble:
        return Trouble(CauseKind.TIMEOUT, f"not within {self._terms.timeout_s:g} s")

    def _remaining_s(self) -> float:
        return max(0.0, (self._ends - self._clock.wall_ms()) / 1_000)


def _cache_control(ttl: Ttl) -> dict[str, dict[str, str]]:
    return {"cache_control": {"type": "ephemeral", "ttl": ttl}}


def _digest(body: dict[str, Any]) -> str:
    """Return the digest of the parts of a request that never change during a run."""
    parts = [without_cache_control(body[name]) for name in ("model", "tools", "system")]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _excerpt(text: str) -> str:
    return " ".join(text.split())[:LONGEST_EXCERPT]

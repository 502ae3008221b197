"""One decision as a conversation: the model looks with the desk's tools, submits, and mends once what was refused.

Each way in which it can end is an `Ending`; nothing is raised but a cancellation. Before a call is made, what it costs
at its worst has to be left of what may be spent on this decision.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec

from ocw_mcp.agent.causes import RETRIED, Trouble
from ocw_mcp.agent.messages import Messages, Reply, Request, unfinished, unmarked
from ocw_mcp.agent.pricing import TokenUsage, Ttl, cost, worst_cost
from ocw_mcp.agent.tools import SUBMIT, LegAnswer, ToolAnswer, ToolClient, called, offered
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.protocols import Clock
from ocw_mcp.domain.text import printable

SAID: Final = 500
"""Characters of the model's own words that an ending keeps."""
CALLS_AT_ONCE: Final = 8
"""Tool calls of one turn that are answered; who asks for more is told."""
MAY_BE_BILLED: Final = frozenset({CauseKind.TIMEOUT, CauseKind.CONNECTION, CauseKind.MALFORMED})
"""Nobody knows whether the model worked on such a call, so it counts at its worst."""
MAX_TOKENS: Final = 4_000
WAIT_S: Final = 2.0
LONGEST_WAIT_SHARE: Final = 0.25
"""Of the time for the decision; where the API asks for more, the rules are quicker."""

WritesDown = Callable[[Decimal], Awaitable[None]]
"""Keeps what the decision may have cost (USD), before a call is made; raises BookError where that cannot be."""

_Answer = TypeVar("_Answer")

log = logging.getLogger(__name__)


class ConversationTerms(msgspec.Struct, frozen=True, kw_only=True):
    """How a decision is asked for, and what it may take."""

    model: str
    max_tokens: int = MAX_TOKENS
    """Of one answer, thinking included."""
    tool_rounds: int = 2
    """How often it may look before it decides."""
    timeout_s: float = 100
    """For all of it, but for the desk's own answer to what was submitted."""
    allowance_usd: Decimal
    """What may be spent."""
    effort: str | None = None
    prefix_ttl: Ttl | None = "1h"
    """How long tools and system are to be cached; None where they would be cold at the next wake anyway."""
    turns_cached: bool = True
    """Whether what was said so far is cached for the next call of the same decision."""
    reads: tuple[str, ...] | None = None
    """The reading tools that are offered; None is all."""


class Submitted(msgspec.Struct, frozen=True):
    """A decision was submitted and answered; `legs` as they stand after a correction, if there was one."""

    legs: tuple[LegAnswer, ...]
    corrected: bool = False
    trouble: Trouble | None = None
    """What kept the model from correcting, where something did. The decision stands."""


class NoDecision(msgspec.Struct, frozen=True):
    """The model ended its turn without a decision, which is HOLD; `why` is what it said, in its own words."""

    why: str


class Failed(msgspec.Struct, frozen=True):
    """No decision came of it."""

    trouble: Trouble
    legs: tuple[LegAnswer, ...] = ()
    """What was refused, where something was submitted."""


Ending = Submitted | NoDecision | Failed


class ConversationOutcome(msgspec.Struct, frozen=True):
    """How a conversation ended, and what it took."""

    ending: Ending
    usage: TokenUsage
    cost_usd: Decimal
    calls: int
    """Of the model, failed ones included."""
    tools: tuple[str, ...]
    """That were called, in order."""
    took_ms: int
    """By the wall."""
    words: str = ""
    """All that the model said in place of a decision."""


class _Over(Exception):  # noqa: N818
    """The conversation is over; carries its ending."""

    def __init__(self, ending: Ending) -> None:
        super().__init__()
        self.ending = ending


class Conversation:
    """One decision. It is held once."""

    def __init__(
        self,
        messages: Messages,
        tools: ToolClient,
        clock: Clock,
        terms: ConversationTerms,
        writes_down: WritesDown | None = None,
    ) -> None:
        self._messages = messages
        self._tools = tools
        self._clock = clock
        self._terms = terms
        self._writes_down = writes_down
        self._usage = TokenUsage()
        self._cost = ZERO
        self._under_way = ZERO
        """What a call that is not answered yet may cost."""
        self._calls = 0
        self._called: list[str] = []
        self._tainted = False
        """Whether it has read what others wrote."""
        self._turns: list[dict[str, Any]] = []
        self._known = TokenUsage()
        """Of the last answered call: what the API has counted already."""
        self._words = ""
        self._answers: list[ToolAnswer] = []
        """To what was submitted: the decision, and its correction."""
        self._legs: list[LegAnswer] = []

    @property
    def cost_usd(self) -> Decimal:
        """What was spent so far, a call that is under way at its worst."""
        return self._cost + self._under_way

    async def hold(self, wake: int, system: str, context: str, *, tainted: bool = False) -> ConversationOutcome:
        """Have the model decide on what `context` shows. `system` stays the same from wake to wake.

        `tainted` is whether the context quotes what others wrote.
        """
        self._tainted = tainted
        began = self._clock.wall_ms()
        self._ends = began + self._terms.timeout_s * 1_000
        try:
            ending = await self._go(wake, system, context)
        except _Over as over:
            ending = over.ending
        except Exception as error:
            log.error("a decision of the model failed inside", exc_info=error)
            ending = self._broken_off(Trouble(CauseKind.INTERNAL, type(error).__name__))
        took = round(self._clock.wall_ms() - began)
        return ConversationOutcome(
            ending, self._usage, self.cost_usd, self._calls, tuple(self._called), took, self._words
        )

    async def _go(self, wake: int, system: str, context: str) -> Ending:
        tools = await self._offered()
        names = {tool["name"] for tool in tools}
        self._turns.append({"role": "user", "content": [{"type": "text", "text": context}]})
        looks = 0
        while True:
            # Once it may look no more, hardly anything follows: what would be cached then is not read again.
            reply = await self._ask(wake, self._body(tools, system, closes=looks == self._terms.tool_rounds))
            if (trouble := unfinished(reply)) is not None:
                raise _Over(self._broken_off(trouble))
            calls = reply.calls
            if not calls:
                return self._ended(reply)
            submits = any(call.get("name") == SUBMIT for call in calls)
            if not submits:
                looks += 1
                # It is told once that it has looked enough; then it is over.
                if looks > self._terms.tool_rounds + 1:
                    return self._broken_off(Trouble(CauseKind.TOOL_LOOP, f"{looks} rounds of calls without a decision"))
            results = await self._results(calls, names, may_look=looks <= self._terms.tool_rounds)
            if submits and (len(self._answers) > 1 or not self._to_correct()):
                return self._ended(reply)
            self._turns.append({"role": "assistant", "content": list(reply.content)})
            self._turns.append({"role": "user", "content": results})

    async def _offered(self) -> list[dict[str, Any]]:
        listed = await self._asked(self._tools.list_tools())
        tools = offered(listed, self._terms.reads)
        if all(tool["name"] != SUBMIT for tool in tools):
            raise _Over(Failed(Trouble(CauseKind.TOOLS, f"the desk does not offer {SUBMIT}")))
        return tools

    def _body(self, tools: list[dict[str, Any]], system: str, *, closes: bool) -> dict[str, Any]:
        """The request. Tools and system come first and never change, so that they are cached as one prefix."""
        terms = self._terms
        kept = {} if terms.prefix_ttl is None else {"cache_control": _control(terms.prefix_ttl)}
        effort = {} if terms.effort is None else {"output_config": {"effort": terms.effort}}
        turns = list(self._turns)
        if terms.turns_cached:
            # The last turn of the desk's, or the one before it.
            place = len(turns) - (3 if closes and len(turns) > 1 else 1)
            *before, last = turns[place]["content"]
            turns[place] = {**turns[place], "content": [*before, last | {"cache_control": _control("5m")}]}
        return {
            "model": terms.model,
            "max_tokens": terms.max_tokens,
            "tools": tools,
            "system": [{"type": "text", "text": system, **kept}],
            "messages": turns,
            **effort,
        }

    async def _ask(self, wake: int, body: dict[str, Any]) -> Reply:
        """One answer, paid for. Ends the conversation where none comes."""
        worst = await self._reserve(body)
        reply = await self._call(Request(wake, self._calls, body), worst)
        if isinstance(reply, Trouble) and await self._worth_waiting(reply):
            reply = await self._call(Request(wake, self._calls, body), worst)
        if isinstance(reply, Trouble):
            raise _Over(self._broken_off(reply))
        return reply

    async def _call(self, request: Request, worst: Decimal) -> Reply | Trouble:
        """One try, and what it cost."""
        self._calls += 1
        self._under_way = worst
        reply: Reply | Trouble
        try:
            async with asyncio.timeout(self._left_s()):
                reply = await self._messages.create(request)
        except TimeoutError:
            reply = self._too_late()
        if isinstance(reply, Reply):
            self._usage += reply.usage
            self._cost += cost(reply.usage, self._terms.model, self._clock.now())
            self._known = reply.usage
        elif reply.may_be_billed or reply.kind in MAY_BE_BILLED:
            self._cost += worst
        self._under_way = ZERO
        return reply

    async def _reserve(self, body: dict[str, Any]) -> Decimal:
        """What the next call costs at its worst, written down. Ends the conversation where more is not left."""
        terms = self._terms
        # What was said before the last answer is counted already, and so is that answer, as output.
        new = body if not self._known.prompt else body["messages"][-1:]
        known = self._known.prompt + self._known.output
        # How it is cached hangs on the process, and must not decide whether a call is made.
        size = len(msgspec.json.encode(unmarked(new)))
        try:
            worst = worst_cost(size, terms.max_tokens, terms.model, self._clock.now(), known)
        except LookupError:
            raise _Over(self._broken_off(Trouble(CauseKind.NO_PRICE, terms.model))) from None
        left = terms.allowance_usd - self._cost
        if worst > left:
            detail = f"it costs {plain(round(worst, 4))} USD at most, and {plain(round(left, 4))} is left"
            raise _Over(self._broken_off(Trouble(CauseKind.BUDGET, detail)))
        if self._writes_down is not None:
            try:
                await self._writes_down(self._cost + worst)
            except BookError as error:
                raise _Over(self._broken_off(Trouble(CauseKind.NOT_KEPT, str(error)))) from None
        return worst

    async def _worth_waiting(self, trouble: Trouble) -> bool:
        """Wait by the wall, by which the API lives, as long as it asks for: if that is short and may help."""
        wait_s = WAIT_S if trouble.retry_after_s is None else trouble.retry_after_s
        longest = min(self._terms.timeout_s * LONGEST_WAIT_SHARE, self._left_s())
        if trouble.kind not in RETRIED or trouble.may_be_billed or wait_s > longest:
            return False
        await self._clock.pause(wait_s * 1_000)
        return True

    async def _results(
        self, calls: tuple[dict[str, Any], ...], names: Collection[str], *, may_look: bool
    ) -> list[dict[str, Any]]:
        """Answer every call of a turn, in order. A decision is taken once a turn."""
        blocks, submitted = [], False
        for index, call in enumerate(calls):
            name = str(call.get("name"))
            if name == SUBMIT and not submitted:
                submitted = True
                answer = await self._submit(call.get("input"))
            elif name == SUBMIT:
                answer = ToolAnswer("BAD_ARGUMENTS: one decision a turn, with all of its legs", failed=True)
            elif name not in names:
                answer = ToolAnswer(
                    f"UNKNOWN_TOOL: there is no such tool. next: {SUBMIT}, or end your turn", failed=True
                )
            elif not may_look or index >= CALLS_AT_ONCE:
                answer = ToolAnswer(f"ENOUGH: no more look-ups now. next: {SUBMIT}, or end your turn", failed=True)
            else:
                self._called.append(name)
                answer = await self._asked(called(self._tools, name, call.get("input")))
                self._tainted |= answer.outside
            blocks.append(answer.block(str(call.get("id"))))
        return blocks

    async def _submit(self, arguments: object) -> ToolAnswer:
        """Hand a decision to the desk. Nothing cuts this short: what was handed over may have been carried out."""
        self._called.append(SUBMIT)
        try:
            answer = await called(self._tools, SUBMIT, arguments, tainted=self._tainted)
        except Exception as error:
            log.error("a decision could not be handed over", exc_info=error)
            unknown = f"{type(error).__name__}; what was submitted may have been carried out"
            raise _Over(self._broken_off(Trouble(CauseKind.TOOLS, unknown))) from None
        self._tainted |= answer.outside
        self._answers.append(answer)
        again = {leg.symbol for leg in answer.legs}
        self._legs = [leg for leg in self._legs if leg.outcome != "refused" or leg.symbol not in again]
        self._legs += answer.legs
        return answer

    def _to_correct(self) -> bool:
        """Whether the desk took the last decision for none, or refused some of its legs."""
        last = self._answers[-1]
        return last.failed or any(leg.outcome == "refused" for leg in last.legs)

    def _ended(self, reply: Reply) -> Ending:
        """The model is done, one way or another."""
        if not self._answers:
            if not printable(reply.text):
                return Failed(Trouble(CauseKind.MALFORMED, "it ended its turn without a call and without a word"))
            self._words = reply.text
            return NoDecision(reply.text[:SAID])
        taken = [answer for answer in self._answers if not answer.failed]
        if not taken:
            return Failed(Trouble(CauseKind.MALFORMED, _first_line(self._answers[-1].text)))
        legs = tuple(self._legs)
        refused = [leg for leg in legs if leg.outcome == "refused"]
        # The engine reckons the same way: a leg that is HOLD is nothing done, and nothing refused.
        if refused and all(leg.outcome in ("refused", "held") for leg in legs):
            return Failed(Trouble(CauseKind.IMPOSSIBLE, _first_line(refused[0].refusal or refused[0].symbol)), legs)
        return Submitted(legs, corrected=len(taken) > 1)

    def _broken_off(self, trouble: Trouble) -> Ending:
        """Something went wrong. A decision that the desk has taken stands all the same."""
        ended = self._ended(Reply("", (), TokenUsage())) if self._answers else None
        if isinstance(ended, Submitted):
            return msgspec.structs.replace(ended, trouble=trouble)
        return Failed(trouble, tuple(self._legs))

    async def _asked(self, answer: Awaitable[_Answer]) -> _Answer:
        """What the desk answers to a look. Ends the conversation where nothing comes, or too late."""
        try:
            async with asyncio.timeout(self._left_s()):
                return await answer
        except TimeoutError:
            raise _Over(self._broken_off(self._too_late())) from None
        except Exception as error:
            log.error("a tool failed", exc_info=error)
            raise _Over(self._broken_off(Trouble(CauseKind.TOOLS, type(error).__name__))) from None

    def _too_late(self) -> Trouble:
        return Trouble(CauseKind.TIMEOUT, f"not within {self._terms.timeout_s:g} s")

    def _left_s(self) -> float:
        return max(0.0, (self._ends - self._clock.wall_ms()) / 1_000)


def _control(ttl: Ttl) -> dict[str, str]:
    return {"type": "ephemeral", "ttl": ttl}


def _first_line(text: str) -> str:
    return " ".join(text.split())[:SAID]

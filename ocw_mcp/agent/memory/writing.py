"""Has the model write a diary entry: one call with no tools, paid for beforehand like any other."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.agent.causes import Trouble
from ocw_mcp.agent.conversation import MAY_BE_BILLED
from ocw_mcp.agent.memory.facts import DayFacts, TradeFacts
from ocw_mcp.agent.messages import Messages, Request, unfinished
from ocw_mcp.agent.pricing import cost, worst_cost
from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.time import DAY, day_begins, utc_day

LESSON: Final = "Lesson:"
"""How the line begins with which a reflection may end."""


class WritingTerms(msgspec.Struct, frozen=True, kw_only=True):
    """How entries are asked for, and what they may cost. A cheap model is good enough."""

    model: str
    max_tokens: int = 1_000
    """Of one entry, thinking included."""
    timeout_s: float = 45
    usd_per_day: Decimal = Decimal("0.05")
    """For all entries of a UTC day; what is left of the desk's own budget holds as well."""


class Draft(msgspec.Struct, frozen=True):
    """An entry to be asked for: its number among requests, the prompt, and what it costs at its worst (USD)."""

    number: int
    prompt: str
    worst_usd: Decimal


class Written(msgspec.Struct, frozen=True):
    """What came of it. Without a text there is trouble; the cost (USD) counts all the same."""

    text: str
    lesson: str
    cost_usd: Decimal
    trouble: Trouble | None = None


class Writer:
    """Drafts entries, and has them written."""

    def __init__(self, messages: Messages, prompts: Prompts, prompts_hash: str, terms: WritingTerms) -> None:
        self._messages = messages
        self._prompts = prompts
        self.prompts_hash = prompts_hash
        self.terms = terms

    def reflection(self, facts: TradeFacts, earlier: Sequence[str], at: int) -> Draft:
        """On a closed trade, at the prices of `at` (ms); `earlier` are lines on lessons of like trades."""
        return self._draft(trade_number(facts.trade.order), self._prompts.on_trade(facts.text(earlier)), at)

    def digest(self, facts: DayFacts, reflections: Sequence[str], at: int) -> Draft:
        """On a day that is over, with lines on what was written of its trades."""
        return self._draft(day_number(facts.day), self._prompts.on_day(facts.text(reflections)), at)

    async def write(self, draft: Draft, at: int) -> Written:
        """Have it written: one call, tried once."""
        terms = self.terms
        request = Request(draft.number, 0, self._body(draft.prompt))
        try:
            async with asyncio.timeout(terms.timeout_s):
                reply = await self._messages.create(request)
        except TimeoutError:
            reply = Trouble(CauseKind.TIMEOUT, f"not within {terms.timeout_s:g} s")
        if isinstance(reply, Trouble):
            return Written(
                "", "", draft.worst_usd if reply.may_be_billed or reply.kind in MAY_BE_BILLED else ZERO, reply
            )
        spent = cost(reply.usage, terms.model, at)
        trouble = unfinished(reply)
        text, lesson = parted(reply.text)
        if trouble is None and (reply.calls or not text):
            trouble = Trouble(CauseKind.MALFORMED, "it wrote nothing")
        return Written("", "", spent, trouble) if trouble is not None else Written(text, lesson, spent)

    def _draft(self, number: int, prompt: str, at: int) -> Draft:
        size = len(msgspec.json.encode(self._body(prompt)))
        return Draft(number, prompt, worst_cost(size, self.terms.max_tokens, self.terms.model, at))

    def _body(self, prompt: str) -> dict[str, object]:
        """No cache: the next entry is too far away, and most of the prompt is its own."""
        return {
            "model": self.terms.model,
            "max_tokens": self.terms.max_tokens,
            "messages": [{"role": "user", "content": [{"type": "text", "text": prompt}]}],
        }


def parted(text: str) -> tuple[str, str]:
    """A reflection and its lesson; a text that is no more than a lesson is a reflection all the same."""
    *before, last = text.strip().splitlines() or [""]
    if last.startswith(LESSON) and any(line.strip() for line in before):
        return "\n".join(before).strip(), last.removeprefix(LESSON).strip()
    return text.strip().removeprefix(LESSON).strip(), ""


def trade_number(order: int) -> int:
    """In whose place of a wake's number a reflection is recorded: below 0, where no wake is, and even."""
    return -2 * order


def day_number(day: str) -> int:
    """The same for a day: odd."""
    return -2 * (day_begins(day) // DAY) - 1


def asked_for(number: int) -> str:
    """What a request under this number was about, for people: `wake 7`, or an entry of the diary."""
    if number >= 0:
        return f"wake {number}"
    if number % 2 == 0:
        return f"the reflection on order {number // -2}"
    return f"the digest of {utc_day((number + 1) // -2 * DAY)}"

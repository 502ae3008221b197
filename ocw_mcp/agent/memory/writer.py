"""Has the model write diary entries: one call without tools each, with its worst-case cost reserved before."""

import asyncio
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.agent.causes import Trouble
from ocw_mcp.agent.conversation import MAY_BE_BILLED
from ocw_mcp.agent.messages import Messages, Request, trouble_of
from ocw_mcp.agent.pricing import cost, worst_cost
from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.money import ZERO

LESSON: Final = "Lesson:"
"""Prefix of the last line of a reflection that has a lesson."""


class WriterTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The model of the entries, and their limits. A cheap model is sufficient."""

    model: str
    max_tokens: int = 1_000
    """Output tokens of one entry, including thinking."""
    timeout_s: float = 45
    usd_per_day: Decimal = Decimal("0.05")
    """For all entries of a UTC day; the budget of the policies applies as well."""


class Draft(msgspec.Struct, frozen=True):
    """A call that is ready to be made, and its worst-case cost (USD)."""

    request: Request
    worst_usd: Decimal


class Written(msgspec.Struct, frozen=True):
    """An entry and its cost (USD). An entry with a trouble has no text, and may cost all the same."""

    text: str
    lesson: str
    cost_usd: Decimal
    trouble: Trouble | None = None


class Writer(msgspec.Struct, frozen=True):
    """Drafts entries, and has the model write them."""

    messages: Messages
    prompts: Prompts
    prompts_hash: str
    terms: WriterTerms

    def draft(self, number: int, template: str, facts: Iterable[str], at: int) -> Draft:
        """Return the draft of an entry on some lines of facts, at the prices of `at` (ms).

        The request is not cached: the cache would expire before the next entry, which has another prompt.
        """
        terms, prompt = self.terms, self.prompts.fill(template, facts="\n".join(facts))
        turn = {"role": "user", "content": [{"type": "text", "text": prompt}]}
        body = {"model": terms.model, "max_tokens": terms.max_tokens, "messages": [turn]}
        worst = worst_cost(len(msgspec.json.encode(body)), terms.max_tokens, terms.model, at)
        return Draft(Request(number, 0, body), worst)

    async def write(self, draft: Draft, at: int) -> Written:
        """Return the written entry: one call, tried once."""
        terms = self.terms
        try:
            async with asyncio.timeout(terms.timeout_s):
                reply = await self.messages.create(draft.request)
        except TimeoutError:
            reply = Trouble(CauseKind.TIMEOUT, f"not within {terms.timeout_s:g} s")
        if isinstance(reply, Trouble):
            billed = reply.may_be_billed or reply.kind in MAY_BE_BILLED
            return Written("", "", draft.worst_usd if billed else ZERO, reply)
        spent = cost(reply.usage, terms.model, at)
        trouble = trouble_of(reply)
        text, lesson = split_lesson(reply.text)
        if trouble is None and (reply.calls or not text):
            trouble = Trouble(CauseKind.MALFORMED, "the model wrote no text")
        return Written("", "", spent, trouble) if trouble is not None else Written(text, lesson, spent)


def split_lesson(text: str) -> tuple[str, str]:
    """Return a reflection and its lesson. A text of only a lesson is returned as the reflection."""
    *before, last = text.strip().splitlines() or [""]
    if last.startswith(LESSON) and any(line.strip() for line in before):
        return "\n".join(before).strip(), last.removeprefix(LESSON).strip()
    return text.strip().removeprefix(LESSON).strip(), ""

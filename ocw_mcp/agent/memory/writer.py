"""Has the model write diary entries: one call without tools each, with its worst-case cost reserved before."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.agent.causes import Trouble
from ocw_mcp.agent.conversation import MAY_BE_BILLED
from ocw_mcp.agent.memory.facts import DayFacts, TradeFacts
from ocw_mcp.agent.messages import Messages, Request, digest_number, reflection_number, trouble_of
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
    """A call that is ready to be made: its request number, the prompt, and its worst-case cost (USD)."""

    number: int
    prompt: str
    worst_usd: Decimal


class Written(msgspec.Struct, frozen=True):
    """An entry and its cost (USD). An entry with a trouble has no text, and may cost all the same."""

    text: str
    lesson: str
    cost_usd: Decimal
    trouble: Trouble | None = None


class Writer:
    """Drafts entries, and has the model write them."""

    def __init__(self, messages: Messages, prompts: Prompts, prompts_hash: str, terms: WriterTerms) -> None:
        self._messages = messages
        self._prompts = prompts
        self.prompts_hash = prompts_hash
        self.terms = terms

    def reflection(self, facts: TradeFacts, earlier: Sequence[str], at: int) -> Draft:
        """Return the draft of a reflection at the prices of `at` (ms); `earlier` are lessons of similar trades."""
        return self._draft(reflection_number(facts.trade.order), "reflect", facts.text(earlier), at)

    def digest(self, facts: DayFacts, reflections: Sequence[str], at: int) -> Draft:
        """Return the draft of a day's digest, with lines on the reflections on its trades."""
        return self._draft(digest_number(facts.day), "daily_digest", facts.text(reflections), at)

    async def write(self, draft: Draft, at: int) -> Written:
        """Return the written entry: one call, tried once."""
        terms = self.terms
        request = Request(draft.number, 0, self._body(draft.prompt))
        try:
            async with asyncio.timeout(terms.timeout_s):
                reply = await self._messages.create(request)
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

    def _draft(self, number: int, template: str, facts: str, at: int) -> Draft:
        prompt = self._prompts.fill(template, facts=facts)
        size = len(msgspec.json.encode(self._body(prompt)))
        return Draft(number, prompt, worst_cost(size, self.terms.max_tokens, self.terms.model, at))

    def _body(self, prompt: str) -> dict[str, object]:
        """Return the request, not cached: the cache would expire before the next entry, which has another prompt."""
        return {
            "model": self.terms.model,
            "max_tokens": self.terms.max_tokens,
            "messages": [{"role": "user", "content": [{"type": "text", "text": prompt}]}],
        }


def split_lesson(text: str) -> tuple[str, str]:
    """Return a reflection and its lesson. A text of only a lesson is returned as the reflection."""
    *before, last = text.strip().splitlines() or [""]
    if last.startswith(LESSON) and any(line.strip() for line in before):
        return "\n".join(before).strip(), last.removeprefix(LESSON).strip()
    return text.strip().removeprefix(LESSON).strip(), ""

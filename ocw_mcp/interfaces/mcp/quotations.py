"""Texts that somebody else wrote, and lists that have to fit: what goes into an answer, and how much of it."""

import json
import re
from typing import Final

from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.domain.text import untrusted
from ocw_mcp.domain.time import iso
from ocw_mcp.engine.event_text import Quote
from ocw_mcp.interfaces.mcp.results import SaidOut

CONCISE: Final = 8_000
DETAILED: Final = 24_000
"""Characters that a text, or the JSON of a result, has at most; clients cut what is much longer by themselves."""


class Quotations:
    """What others wrote, kept apart from an answer's own sentences: where it was, these say `said[0]`, `said[1]`.

    `room` is how many characters all of it may have together.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self.said: list[SaidOut] = []

    def add(self, source: str, at: int | None, text: str) -> str:
        """Keep a text, and how to point to it. The same text of the same source is kept once, with its first time."""
        clean = untrusted(text)
        for place, each in enumerate(self.said):
            if (each.source, each.untrusted_text) == (source, clean):
                return f"said[{place}]"
        if len(clean) > self._room:
            return "(a text left out for length)"
        self._room -= len(clean)
        self.said.append(SaidOut(source=source, at=when(at), untrusted_text=clean))
        return f"said[{len(self.said) - 1}]"

    def quote(self, at: int) -> Quote:
        """How an event of `at` (ms) tells what others wrote: it points to `said`, however short the text is."""
        return lambda source, text: self.add(source, at, text)

    def lines(self) -> list[str]:
        """The same for a text: each as a quotation, with who wrote it and when."""
        return [
            f"said[{place}] untrusted_text by {each.source}, {each.at}: "
            f"{json.dumps(each.untrusted_text, ensure_ascii=False)}"
            for place, each in enumerate(self.said)
        ]


def when(ms: int | None) -> str | None:
    """A time as ISO-8601 in UTC."""
    return None if ms is None else iso(ms)


def cursor(tool: str, place: int | None) -> str | None:
    """Where the next page of a list begins."""
    return None if place is None else f"{tool}:{place}"


def order_ref(text: str) -> OrderRef:
    """The order of a name such as `3-e-0`. Raises RequestError."""
    found = re.fullmatch(r"([0-9]{1,9})-([estx])-([0-9]{1,9})", text.strip(), re.ASCII)
    if found is None:
        raise RequestError(
            RequestCode.BAD_ARGUMENTS,
            limit="an order's id such as 3-e-0",
            actual=repr(text[:40]),
            next_="see orders_get for what is live",
        )
    return OrderRef(int(found[1]), Purpose(found[2]), int(found[3]))


def place(tool: str, text: str | None) -> int | None:
    """What a cursor of this tool says. Raises RequestError for any other text."""
    if text is None:
        return None
    found = re.fullmatch(rf"{tool}:([0-9]{{1,18}})", text)
    if found is None:
        raise RequestError(
            RequestCode.BAD_CURSOR,
            limit=f"a cursor such as {tool}:123",
            actual=repr(text[:40]),
            next_="pass the cursor of the last answer unchanged, or none for the newest",
        )
    return int(found[1])

"""Answers of the history tools: typed results for programs, with compact text for models."""

from typing import TYPE_CHECKING

from mcp.types import CallToolResult

from ocw_mcp.domain.time import iso
from ocw_mcp.interfaces.mcp.access import headline
from ocw_mcp.interfaces.mcp.account_view import refusal_line
from ocw_mcp.interfaces.mcp.paging import CONCISE, DETAILED, cursor
from ocw_mcp.interfaces.mcp.results import (
    JournalResult,
    Meta,
    SaidOut,
    StoryResult,
    TradeOut,
    TradesResult,
    cents,
    from_attributes,
)
from ocw_mcp.interfaces.mcp.tool import respond
from ocw_mcp.render.event_text import cause_text, event_text, leg_text, reason_text
from ocw_mcp.render.quotations import Quotations, name
from ocw_mcp.render.text import funding_text

if TYPE_CHECKING:
    from ocw_mcp.adapters.store.views.days import DayPage, EventRow
    from ocw_mcp.adapters.store.views.story import Step, Story
    from ocw_mcp.adapters.store.views.trades import TradePage

LONGEST_LINE = 200
"""Characters of one event, whose beginning is kept."""
CONCISE_EVENTS = 30
"""Largest number of events in a concise answer."""
MOST = {False: (12, 6, 4), True: (60, 24, 16)}
"""Steps, legs and refusals in a concise (False) and in a detailed (True) answer."""


def trades(meta: Meta, page: "TradePage") -> CallToolResult:
    """Return the answer of `trades_search`."""
    rows = [
        from_attributes(TradeOut, each, id=f"order:{each.order}", entry=each.entry_price, exit=each.exit_price)
        for each in page.trades
    ]
    result = from_attributes(TradesResult, page, meta=meta, trades=rows, cursor=cursor("trades", page.next))
    lines = [
        f"{row.id} {row.symbol} {row.side} {row.quantity}, {row.opened_at[:16]} at {row.entry} to "
        f"{row.closed_at[:16]} at {row.exit}, closed by {row.closed_by}: pnl {row.pnl}, fees {row.fees}, "
        f"{funding_text(each.funding)}"
        for row, each in zip(rows, page.trades, strict=True)
    ]
    sums = f"{page.found} found: {page.won} won, {page.lost} lost, pnl {result.pnl} after fees {cents(page.fees)}"
    older = [f"older: cursor={result.cursor}"] if result.cursor else []
    return respond(result, "\n".join([headline(meta), sums, *lines, *older]))


def story(meta: Meta, seen: "Story", *, detailed: bool) -> CallToolResult:
    """Return the answer of `decisions_explain`; the middle of a long story is left out."""
    most_steps, most_legs, most_refusals = MOST[detailed]
    answer = seen.answer
    legs = [] if answer is None else [leg for leg in answer.decision.legs if seen.symbol in (None, leg.symbol)]
    quotes = Quotations(_room(detailed=detailed))
    decided: list[str] = []
    cause = None
    if answer is not None:
        by, quote = answer.decider, quotes.quote(answer.at)
        decided = [leg_text(leg, quote)[:LONGEST_LINE] for leg in legs[:most_legs]]
        written = [(f"{by} on {name(leg.symbol)}", leg.reasoning) for leg in legs[:most_legs]]
        written.append((f"{by}: note to itself", answer.decision.note))
        if answer.decision.cause is not None:
            cause = cause_text(answer.decision.cause, quote, by=f"{by}: cause")
        for source, text in written:
            if text:
                quotes.add(source, answer.at, text)
    woken, steps = seen.woken_at or 0, sorted([*seen.asks, *seen.after_answer, *seen.steps], key=lambda each: each.seq)
    happened = len(steps)
    if happened > most_steps:
        steps = [*steps[: most_steps * 2 // 3], *steps[-most_steps // 3 :]]
    result = StoryResult(
        meta=meta,
        wake=seen.wake_id,
        woken_at=seen.woken_at,
        reasons=[reason_text(each, quotes.quote(woken))[:LONGEST_LINE] for each in seen.reasons[:most_legs]],
        decider=answer.decider if answer else None,
        cause=cause,
        legs=decided,
        refusals=[f"{each.id} {refusal_line(each, quotes.quote(each.at))}" for each in seen.refusals[:most_refusals]],
        steps=[_line(seen.book, each, quotes) for each in steps],
        left_out=happened - len(steps) + seen.left_out,
        said=_quoted(quotes),
    )
    return respond(result, "\n".join([headline(meta), *_story_lines(result), *quotes.lines()]))


def _story_lines(result: StoryResult) -> list[str]:
    if result.wake is None:
        lines = ["no wake: requested outside the decisions of a wake"]
    else:
        because = f" ({result.cause})" if result.cause else ""
        decided = f"decided by {result.decider}: {'; '.join(result.legs) or 'hold everything'}{because}"
        lines = [
            f"wake {result.wake} at {result.woken_at}",
            *(f"woken by {each}" for each in result.reasons),
            decided if result.decider else "not decided yet",
        ]
    lines += [f"refused: {each}" for each in result.refusals]
    lines += result.steps or ["no order was sent"]
    return [
        *lines,
        *([f"{result.left_out} more step(s) left out; detail=detailed shows more"] if result.left_out else []),
    ]


def journal(meta: Meta, book: str, page: "DayPage") -> CallToolResult:
    """Return the answer of `journal_get`."""
    quotes = Quotations(_room(detailed=len(page.events) > CONCISE_EVENTS))
    lines = [_line(book, each, quotes) for each in page.events]
    result = JournalResult(
        meta=meta,
        day=page.day,
        events=lines,
        said=_quoted(quotes),
        total=page.total,
        cursor=cursor("journal", page.next),
    )
    head = f"{page.day or 'no events yet'}: {page.total} event(s)"
    more = [f"later: cursor={result.cursor}"] if result.cursor else []
    return respond(result, "\n".join([headline(meta), head, *lines, *quotes.lines(), *more]))


def _line(book: str, row: "EventRow | Step", quotes: Quotations) -> str:
    return f"{iso(row.at)} {event_text(book, row.event, quotes.quote(row.at))}"[:LONGEST_LINE]


def _quoted(quotes: Quotations) -> list[SaidOut]:
    return [SaidOut(source=each.source, at=each.at, untrusted_text=each.text) for each in quotes.kept]


def _room(*, detailed: bool) -> int:
    """Return the characters available for texts by other authors."""
    return (DETAILED if detailed else CONCISE) // 4

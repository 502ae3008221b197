"""What is over as tools answer it: typed for programs, and as the compact text that a model reads."""

from typing import TYPE_CHECKING

from mcp.types import CallToolResult

from ocw_mcp.domain.money import plain
from ocw_mcp.doors.mcp.account_view import amount, cents, refusal_line
from ocw_mcp.doors.mcp.looks import headline
from ocw_mcp.doors.mcp.results import JournalResult, Meta, SaidOut, StoryResult, TradeOut, TradesResult
from ocw_mcp.doors.mcp.tool import told
from ocw_mcp.doors.mcp.words import cursor, untrusted, when
from ocw_mcp.engine.event_text import leg_text
from ocw_mcp.engine.event_text import told as event_text

if TYPE_CHECKING:
    from ocw_mcp.adapters.store.views.days import DayPage
    from ocw_mcp.adapters.store.views.story import Story
    from ocw_mcp.adapters.store.views.trades import TradePage

LONGEST_LINE = 240
"""Characters of one event; the beginning says what it was."""
MOST = {False: (12, 6, 4), True: (60, 24, 16)}
"""Steps, legs and refusals of a concise and of a detailed story."""


def trades(meta: Meta, page: "TradePage") -> CallToolResult:
    """A page of closed trades."""
    rows = [
        TradeOut(
            id=f"order:{each.order}",
            symbol=each.symbol,
            side=each.side,
            opened_at=when(each.opened_at) or "",
            closed_at=when(each.closed_at) or "",
            quantity=plain(each.quantity),
            entry=amount(each.entry_price),
            exit=amount(each.exit_price),
            pnl=cents(each.pnl),
            fees=cents(each.fees),
            funding=cents(each.funding),
            closed_by=each.closed_by,
        )
        for each in page.trades
    ]
    result = TradesResult(
        meta=meta, trades=rows, found=page.found, won=page.won, pnl=cents(page.pnl), cursor=cursor("trades", page.next)
    )
    lines = [
        f"{row.id} {row.symbol} {row.side} {row.quantity}, {row.opened_at[:16]} at {row.entry} to "
        f"{row.closed_at[:16]} at {row.exit} by {row.closed_by}: {row.pnl}, fees {row.fees}, funding {row.funding}"
        for row in rows
    ]
    sums = f"{page.found} found: {page.won} won, {page.lost} lost, {result.pnl} after {cents(page.fees)} of fees"
    older = [f"older: cursor={result.cursor}"] if result.cursor else []
    return told(result, "\n".join([headline(meta), sums, *lines, *older]))


def story(meta: Meta, seen: "Story", *, detailed: bool) -> CallToolResult:
    """A decision from its wake to its last fill, from both ends where it is long."""
    most_steps, most_legs, most_refusals = MOST[detailed]
    answer = seen.answer
    legs = [] if answer is None else [leg for leg in answer.decision.legs if seen.symbol in (None, leg.symbol)]
    said = []
    if answer is not None:
        by, at = answer.decider, when(answer.at)
        said = [(f"{by} on {leg.symbol}", leg.reasoning) for leg in legs] + [
            (f"{by}: cause", answer.decision.cause),
            (f"{by}: note to itself", answer.decision.note),
        ]
    events = [f"{when(each.at)} {event_text(seen.book, each.event)}"[:LONGEST_LINE] for each in seen.steps]
    ends = events if len(events) <= most_steps else [*events[: most_steps * 2 // 3], *events[-most_steps // 3 :]]
    result = StoryResult(
        meta=meta,
        wake=seen.wake_id,
        woken_at=when(seen.woken_at),
        reasons=[
            untrusted(f"{each.symbol or 'timer'}: {', '.join(each.reasons)}", LONGEST_LINE) for each in seen.reasons
        ][:most_legs],
        decider=answer.decider if answer else None,
        legs=[untrusted(leg_text(leg), LONGEST_LINE) for leg in legs[:most_legs]],
        said=[
            SaidOut(source=untrusted(source, 60), at=at, untrusted_text=untrusted(text))
            for source, text in said
            if text
        ][: most_legs + 2],
        refusals=[f"{each.id} {refusal_line(each)}" for each in seen.refusals[:most_refusals]],
        steps=ends,
        left_out=len(events) - len(ends) + seen.left_out,
    )
    return told(result, "\n".join([headline(meta), *_story_lines(result)]))


def _story_lines(result: StoryResult) -> list[str]:
    lines = ["no wake led to this" if result.wake is None else f"wake {result.wake} at {result.woken_at}"]
    lines += [f"because {each}" for each in result.reasons]
    if result.wake is not None:
        held = "hold everything" if result.decider and not result.legs else ""
        lines.append(f"decided by {result.decider or 'nobody yet'}: {'; '.join(result.legs) or held}".rstrip(": "))
    lines += [f"untrusted_text ({each.source}): {each.untrusted_text}" for each in result.said]
    lines += [f"refused: {each}" for each in result.refusals]
    lines += result.steps or ["nothing was sent"]
    return [
        *lines,
        *([f"{result.left_out} more step(s) between; detail=detailed shows more"] if result.left_out else []),
    ]


def journal(meta: Meta, book: str, page: "DayPage") -> CallToolResult:
    """A page of a day."""
    lines = [f"{when(each.at)} {untrusted(event_text(book, each.event), LONGEST_LINE)}" for each in page.events]
    result = JournalResult(meta=meta, day=page.day, events=lines, total=page.total, cursor=cursor("journal", page.next))
    head = f"{page.day or 'no day yet'}: {page.total} event(s)"
    more = [f"later: cursor={result.cursor}"] if result.cursor else []
    return told(result, "\n".join([headline(meta), head, *lines, *more]))

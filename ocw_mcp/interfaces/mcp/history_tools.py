"""Tools about the past: closed trades, one decision from its wake to its last fill, a day of the journal."""

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal

from mcp.types import CallToolResult
from pydantic import Field

from ocw_mcp.domain import events
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.requests import day_of
from ocw_mcp.domain.time import DAY, iso
from ocw_mcp.interfaces.mcp import results
from ocw_mcp.interfaces.mcp.account_tools import refusal_line
from ocw_mcp.interfaces.mcp.arguments import ASCII_NUMBER, CONCISE, DETAILED, cursor_of, older_line, place_of
from ocw_mcp.interfaces.mcp.market_tools import Detail
from ocw_mcp.interfaces.mcp.results import Answer, Meta, cents, from_attributes
from ocw_mcp.interfaces.mcp.tool import GetFacade, OcwTool, make, meta, respond
from ocw_mcp.render.event_text import cause_text, event_text, leg_text, part_line, reason_text
from ocw_mcp.render.quotations import Quotations, name
from ocw_mcp.render.text import average, funding_text

if TYPE_CHECKING:
    from ocw_mcp.adapters.store.views.days import DayPage, EventRow
    from ocw_mcp.adapters.store.views.steps import Step
    from ocw_mcp.adapters.store.views.story import Story
    from ocw_mcp.adapters.store.views.trades import OpenTrade, TradePage, TradeRow

LONGEST_LINE = 200
"""Largest number of characters of one event; the end of a longer text is cut."""
CONCISE_EVENTS = 30
"""Largest number of events in a concise answer."""
ROUTINE = (events.OrderAccepted, events.OrderCancelRequested, events.PositionUnprotected)
"""Events that a concise answer leaves out if it has too many."""
MOST_PARTS = 8
"""Largest number of parts of one trade."""
MOST = {False: (12, 6, 4), True: (60, 24, 16)}
"""Largest numbers of steps, legs or reasons, and refusals in a concise (False) and a detailed (True) answer."""
KINDS: dict[str, tuple[str, ...]] = {
    "all": (),
    "decisions": ("wake", "decision", "wake_conditions", "budget", "score"),
    "orders": ("order", "position", "funding", "outside", "transfer", "approval", "request"),
    "desk": ("day", "state", "command", "caller", "policies", "daily_loss", "drawdown", "entries", "incident", "run"),
}
"""Values of `about`, each with the prefixes of its event kinds."""


def history_tools(get_facade: GetFacade) -> list[OcwTool]:
    """Return the tools; each call reads the engine from `get_facade()`."""

    async def trades_search(
        symbol: str | None = None,
        outcome: Literal["won", "lost"] | None = None,
        since: Annotated[str | None, Field(description="first UTC day, 2026-03-09")] = None,
        until: Annotated[str | None, Field(description="last UTC day")] = None,
        limit: Annotated[int, Field(ge=1, le=50), ASCII_NUMBER] = 20,
        cursor: str | None = None,
    ) -> Annotated[CallToolResult, results.TradesResult]:
        """Closed trades, newest first, net of fees and funding."""
        facade = get_facade()
        page = await facade.history.trades(
            limit,
            symbol=facade.known(symbol) if symbol is not None else None,
            outcome=outcome,
            since=None if since is None else day_of(since),
            until=None if until is None else day_of(until) + DAY,
            before=place_of("trades", cursor),
        )
        result = trades_of(meta(facade), page)
        lines = [
            f"{row.id} {row.symbol} {row.side} {row.quantity}, {row.opened_at[:16]} at {_average(each.entry_price)} to "
            f"{row.closed_at[:16]} at {_average(each.exit_price)}, closed by {row.closed_by}: pnl {row.pnl}, "
            f"fees {row.fees}, {funding_text(each.funding)}"
            + (f"; before fees: {'; '.join(row.parts)}" if row.parts else "")
            for row, each in zip(result.trades, page.trades, strict=True)
        ]
        sums = f"{page.found} found: {page.won} won, {page.lost} lost, pnl {result.pnl} after fees {cents(page.fees)}"
        return respond(result, sums, *lines, *older_line(result.cursor))

    async def decisions_explain(
        id: Annotated[  # noqa: A002 - the name that callers use
            str | None,
            Field(description="wake:12, order:3 (a trade), 3-e-0 or refusal:478; none: the newest"),
        ] = None,
        detail: Detail = "concise",
    ) -> Annotated[CallToolResult, results.StoryResult]:
        """One decision from its wake to its last fill: reasons, legs, refusals, orders, fills, outcome."""
        facade = get_facade()
        story = await facade.history.story(id)
        return story_of(meta(facade), story, detailed=detail == "detailed")

    async def journal_get(
        day: Annotated[str | None, Field(description="UTC day, 2026-03-09; none: the last")] = None,
        about: Literal["all", "decisions", "orders", "desk"] = "all",
        limit: Annotated[int, Field(ge=1, le=80), ASCII_NUMBER] = 30,
        cursor: str | None = None,
    ) -> Annotated[CallToolResult, results.JournalResult]:
        """Events of a day, oldest first, one per line; cursor for later ones. said[0] points to a text by others."""
        facade = get_facade()
        page = await facade.history.day(day, KINDS[about], limit, place_of("journal", cursor))
        return journal(meta(facade), facade.book, page)

    return [make(each) for each in (trades_search, decisions_explain, journal_get)]


def trades_of(meta: Meta, page: "TradePage") -> results.TradesResult:
    """Return a page of closed trades as a typed result."""
    rows = [
        from_attributes(
            results.TradeOut,
            each,
            id=f"order:{each.order}",
            entry=each.entry_price,
            exit=each.exit_price,
            parts=_parts(each),
        )
        for each in page.trades
    ]
    return from_attributes(results.TradesResult, page, meta=meta, trades=rows, cursor=cursor_of("trades", page.next))


def story_of(meta: Meta, seen: "Story", *, detailed: bool) -> Answer:
    """Return the answer of `decisions_explain`. Long lists are cut: steps in the middle, other lists at the end."""
    most_steps, most_legs, most_refusals = MOST[detailed]
    answer = seen.answer
    legs = [] if answer is None else [leg for leg in answer.decision.legs if seen.symbol in (None, leg.symbol)]
    quotes = _quotations(detailed=detailed)
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
    count = len(steps)
    if count > most_steps and not detailed:
        # Fills and moved stops are worth more than the venue's answers.
        steps = [each for each in steps if not isinstance(each.event, ROUTINE)]
    most = ((legs, most_legs), (seen.refusals, most_refusals), (seen.reasons, most_legs))
    left_out = seen.left_out + sum(max(0, len(rows) - longest) for rows, longest in most)
    left_out += count - min(len(steps), most_steps)
    if len(steps) > most_steps:
        steps = [*steps[: most_steps * 2 // 3], *steps[-most_steps // 3 :]]
    result = results.StoryResult(
        meta=meta,
        wake=seen.wake_id,
        woken_at=seen.woken_at,
        reasons=[reason_text(each, quotes.quote(woken))[:LONGEST_LINE] for each in seen.reasons[:most_legs]],
        decider=answer.decider if answer else None,
        cause=cause,
        legs=decided,
        refusals=[f"{each.id} {refusal_line(each, quotes.quote(each.at))}" for each in seen.refusals[:most_refusals]],
        steps=[_line(seen.book, each, quotes) for each in steps],
        trades=[_trade(each) for each in seen.trades[:most_legs]],
        left_out=left_out,
        said=_quoted(quotes),
    )
    how = "" if detailed else "; detail=detailed shows more"
    missing = [f"{left_out} more line(s) left out{how}"] if left_out else []
    return respond(result, *_story_lines(result), *missing, *quotes.lines())


def _story_lines(result: results.StoryResult) -> list[str]:
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
    return [*lines, *(result.steps or ["no order was sent"]), *result.trades]


def _average(price: Decimal | None) -> str:
    return "none" if price is None else plain(average(price))


def _parts(trade: "TradeRow | OpenTrade") -> list[str]:
    """Return the parts of a trade with several entries or exits, one line each; of a simple trade none."""
    parts = [each for each in trade.parts if each.traded] if trade.in_parts else []
    lines = [part_line(each) for each in parts[:MOST_PARTS]]
    left = len(parts) - len(lines)
    return [*lines, f"{left} more"] if left else lines


def _trade(trade: "TradeRow | OpenTrade") -> str:
    """Return a trade in one line: its result, and its parts if it has several."""
    result = "still open"
    if (pnl := getattr(trade, "pnl", None)) is not None:
        result = f"pnl {cents(pnl)} after fees and funding"
    return "; ".join([f"trade order:{trade.order} {trade.side} {name(trade.symbol)}: {result}", *_parts(trade)])


def journal(meta: Meta, book: str, page: "DayPage") -> CallToolResult:
    """Return the answer of `journal_get`."""
    quotes = _quotations(detailed=len(page.events) > CONCISE_EVENTS)
    lines = [_line(book, each, quotes) for each in page.events]
    result = from_attributes(
        results.JournalResult,
        page,
        meta=meta,
        events=lines,
        said=_quoted(quotes),
        cursor=cursor_of("journal", page.next),
    )
    head = f"{page.day or 'no events yet'}: {page.total} event(s)"
    more = [f"later: cursor={result.cursor}"] if result.cursor else []
    return respond(result, head, *lines, *quotes.lines(), *more)


def _line(book: str, row: "EventRow | Step", quotes: Quotations) -> str:
    before, moves = getattr(row, "before", None), getattr(row, "moves", 1)
    return f"{iso(row.at)} {event_text(book, row.event, quotes.quote(row.at), before, moves)}"[:LONGEST_LINE]


def _quotations(*, detailed: bool) -> Quotations:
    """Return an empty collection of quotations that may fill at most a quarter of an answer."""
    return Quotations((DETAILED if detailed else CONCISE) // 4)


def _quoted(quotes: Quotations) -> list[results.SaidOut]:
    return [results.SaidOut(source=each.source, at=each.at, untrusted_text=each.text) for each in quotes.kept]

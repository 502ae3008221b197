"""The routes that read the past of a book: decisions, trades, orders, refusals, equity, and the story of a wake."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query

from ocw_mcp.domain.money import plain
from ocw_mcp.domain.reasons import QUOTING, RefusalCode
from ocw_mcp.domain.requests import day_of
from ocw_mcp.domain.time import DAY
from ocw_mcp.interfaces.http import results
from ocw_mcp.interfaces.http.parameters import (
    ERRORS,
    DecisionsCursor,
    EquityCursor,
    Limit,
    OrdersCursor,
    Points,
    RefusalsCursor,
    Symbol,
    TradesCursor,
    Wake,
    only_known_parameters,
)
from ocw_mcp.interfaces.mcp.account_tools import LONGEST_FIGURE
from ocw_mcp.interfaces.mcp.arguments import cursor_of, place_of
from ocw_mcp.interfaces.mcp.history_tools import story_of, trades_of
from ocw_mcp.interfaces.mcp.results import SaidOut, StoryResult, TradesResult, from_attributes
from ocw_mcp.interfaces.mcp.tool import GetFacade, meta
from ocw_mcp.render.event_text import cause_text, reason_text
from ocw_mcp.render.quotations import Quotations, name, untrusted
from ocw_mcp.runtime.facade import DAILY

if TYPE_CHECKING:
    from ocw_mcp.adapters.store.views.decisions import DecisionRow
    from ocw_mcp.adapters.store.views.orders import OrderRow, RefusalRow
    from ocw_mcp.domain.decision import Leg, WakeCondition

ROOM = 4_000
"""Largest number of characters of the texts by other authors in the reasons and the cause of a decision."""


def _day(about: str) -> Any:
    """Return the query parameter for a day. Its format is documented only: `day_of` refuses other texts."""
    return Query(max_length=10, description=about, json_schema_extra={"format": "date"})


def history_routes(get_facade: GetFacade) -> APIRouter:
    """Return the routes. A request queries the store in a thread, which does not delay the engine."""
    routes = APIRouter(dependencies=[Depends(only_known_parameters)], responses=ERRORS, tags=["history"])

    @routes.get("/decisions")
    async def decisions(
        acted: Annotated[bool, Query(description="Only decisions with an action other than HOLD.")] = False,
        limit: Limit = 20,
        cursor: DecisionsCursor = None,
    ) -> results.DecisionsPage:
        """Return the decisions, newest first, each with its reasons, legs and cost."""
        facade = get_facade()
        page = await facade.history.decided(limit, place_of("decisions", cursor), acted=acted)
        rows = [_decision(each) for each in page.rows]
        return results.DecisionsPage(meta=meta(facade), decisions=rows, cursor=cursor_of("decisions", page.next))

    @routes.get("/trades")
    async def trades(
        symbol: Symbol = None,
        outcome: Annotated[Literal["won", "lost"] | None, Query(description="Only won or only lost trades.")] = None,
        since: Annotated[str | None, _day("Only trades closed from this UTC day on, such as 2026-03-09.")] = None,
        until: Annotated[str | None, _day("Only trades closed up to this UTC day, such as 2026-03-09.")] = None,
        limit: Limit = 20,
        cursor: TradesCursor = None,
    ) -> TradesResult:
        """Return closed trades, newest first, net of fees and funding, as `trades_search`; `found`, `won` and `pnl`
        cover all pages."""
        facade = get_facade()
        page = await facade.history.trades(
            limit,
            symbol=None if symbol is None else facade.known(symbol),
            outcome=outcome,
            since=None if since is None else day_of(since),
            until=None if until is None else day_of(until) + DAY,
            before=place_of("trades", cursor),
        )
        return trades_of(meta(facade), page)

    @routes.get("/orders")
    async def orders(
        status: Annotated[
            Literal["all", "live"], Query(description="All orders, or only those that may still fill.")
        ] = "all",
        symbol: Symbol = None,
        limit: Limit = 20,
        cursor: OrdersCursor = None,
    ) -> results.OrdersPage:
        """Return the orders that were sent, newest first, at most a second old."""
        facade = get_facade()
        wanted = None if symbol is None else facade.known(symbol)
        before = place_of("orders", cursor)
        page = await facade.history.orders(limit, before, live=status == "live", symbol=wanted)
        rows = [_order(each) for each in page.rows]
        return results.OrdersPage(meta=meta(facade), orders=rows, cursor=cursor_of("orders", page.next))

    @routes.get("/refusals")
    async def refusals(symbol: Symbol = None, limit: Limit = 20, cursor: RefusalsCursor = None) -> results.RefusalsPage:
        """Return the orders that the policies refused, newest first, with limit, actual value and the largest size
        that passes."""
        facade = get_facade()
        wanted = None if symbol is None else facade.known(symbol)
        page = await facade.history.refusals(limit, place_of("refusals", cursor), symbol=wanted)
        rows = [_refusal(each) for each in page.rows]
        return results.RefusalsPage(meta=meta(facade), refusals=rows, cursor=cursor_of("refusals", page.next))

    @routes.get("/equity")
    async def equity(
        timeframe: Annotated[
            str,
            Query(
                max_length=8,
                description="1d: the start of each UTC day, for the whole book. 1m, 5m, 15m, 1h or 4h: the closes of "
                "the candles in the engine's memory.",
                json_schema_extra={"pattern": "^(1d|1m|5m|15m|1h|4h)$"},
            ),
        ] = DAILY,
        limit: Points = 100,
        cursor: EquityCursor = None,
    ) -> results.EquityPage:
        """Return the equity over time with unrealised results, oldest point first; the first page has the newest
        points."""
        facade = get_facade()
        before = place_of("equity", cursor)
        if timeframe == DAILY:
            page = await facade.history.day_equities(limit, before)
        else:
            page = await facade.history.equity(facade.closes(timeframe), limit, before)
        points = [from_attributes(results.PointOut, each) for each in page.points]
        now, more = facade.portfolio().equity, cursor_of("equity", page.next)
        return results.EquityPage(meta=meta(facade), timeframe=timeframe, equity=now, points=points, cursor=more)

    @routes.get("/wakes/{wake}")
    async def wake(wake: Wake) -> StoryResult:
        """Return one wake from its reasons to its last fill, as `decisions_explain`: reasons, legs, refusals, orders,
        fills and outcome."""
        facade = get_facade()
        story = await facade.history.story(f"wake:{wake}")
        found = story_of(meta(facade), story, detailed=True).result
        assert isinstance(found, StoryResult)
        return found

    return routes


def _decision(row: "DecisionRow") -> results.DecisionOut:
    """Return a decision; texts by other authors are quotations, or are in fields named `untrusted`."""
    made, quotes = row.decision, Quotations(ROOM)
    quote = quotes.quote(row.at)
    conditions = made.wake_conditions
    return results.DecisionOut(
        wake=row.wake_id,
        at=row.at,
        decider=name(row.decider),
        thinking_ms=row.thinking_ms,
        reasons=[reason_text(each, quote) for each in row.reasons],
        cause=None if made.cause is None else cause_text(made.cause, quote, by=row.decider),
        legs=[_leg(each) for each in made.legs],
        wake_conditions=None if conditions is None else [_condition(each) for each in conditions],
        next_check_s=made.next_check_s,
        untrusted_note=untrusted(made.note) or None,
        untrusted_unread=[untrusted(each) for each in made.unread],
        orders=row.orders,
        refusals=row.refusals,
        cost_usd=None if row.cost_usd is None else plain(row.cost_usd),
        said=[SaidOut(source=each.source, at=each.at, untrusted_text=each.text) for each in quotes.kept],
    )


def _leg(leg: "Leg") -> results.LegOut:
    return from_attributes(
        results.LegOut,
        leg,
        symbol=name(leg.symbol),
        untrusted_text=untrusted(leg.reasoning) or None,
        untrusted_signals=[untrusted(each) for each in leg.signals],
        untrusted_fault=untrusted(leg.malformed) or None,
    )


def _condition(condition: "WakeCondition") -> results.ConditionOut:
    return from_attributes(
        results.ConditionOut,
        condition,
        symbol=name(condition.symbol),
        metric=untrusted(condition.metric, LONGEST_FIGURE),
        untrusted_text=untrusted(condition.reason) or None,
    )


def _order(row: "OrderRow") -> results.PastOrderOut:
    return from_attributes(
        results.PastOrderOut,
        row,
        id=row.name,
        client_id=row.id,
        venue_order_ids=[untrusted(each, LONGEST_FIGURE) for each in row.venue_order_ids],
        by=row.principal,
        wake=row.wake_id,
    )


def _refusal(row: "RefusalRow") -> results.RefusalOut:
    quoting = row.code in QUOTING
    return from_attributes(
        results.RefusalOut,
        row,
        symbol=name(row.symbol),
        code=RefusalCode(row.code).value,
        limit=row.limit[:LONGEST_FIGURE],
        actual=None if quoting else row.actual[:LONGEST_FIGURE],
        untrusted_text=untrusted(row.actual) if quoting else None,
        by=row.principal,
        wake=row.wake_id,
    )

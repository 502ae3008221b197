"""Tools about the account: status, portfolio, positions, orders, limits, and a check of an order."""

import json
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

from mcp.types import CallToolResult
from pydantic import Field

from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.reasons import QUOTING, Refusal, RefusalCode
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.domain.state import ITSELF, MARKET_DATA
from ocw_mcp.interfaces.mcp import arguments, results
from ocw_mcp.interfaces.mcp.arguments import ASCII_NUMBER, Amount, cursor_of, older_line, place_of
from ocw_mcp.interfaces.mcp.results import Meta, from_attributes
from ocw_mcp.interfaces.mcp.tool import GetFacade, OcwTool, after_warm_up, make, meta, respond
from ocw_mcp.render.event_text import refusal_text
from ocw_mcp.render.quotations import name, quoted, untrusted
from ocw_mcp.render.text import HASH_SHOWN, day_result, funding_text

if TYPE_CHECKING:
    from ocw_mcp.adapters.store.views.orders import OrderRow, RefusalRow
    from ocw_mcp.core.orders.table import TrackedOrder
    from ocw_mcp.domain.snapshot import PositionView
    from ocw_mcp.engine.precheck import CheckedLeg
    from ocw_mcp.render.quotations import Quote
    from ocw_mcp.runtime.facade import Facade, PolicyView, Status

HYPOTHETICAL = "asked"
"""The principal of an order that is only checked."""
LONGEST_FIGURE = 60
"""Largest number of characters of a limit or of an actual value in a refusal."""
MOST_REASONS = 3
"""The most degraded subjects that the text of a status names; the typed result has all of them."""
SHORT_REASON = 50
"""Largest number of characters of the reason of each."""
_NOTICES = {
    each: f"agent {each} trades this book on its own: positions open and close without a client's request"
    for each in ("rules", "claude", "reckless")
} | {"attached": "the rules decide each wake that no attached client answers in time"}
"""Notices for clients about the engine's own agent, by the agent's name."""
_NO_ORDERS = {"live": "no live orders", "all": "no orders yet", "refused": "no refused orders"}


def account_tools(get_facade: GetFacade) -> list[OcwTool]:
    """Return the tools; each call reads the engine from `get_facade()`."""

    async def ocw_get_status() -> Annotated[CallToolResult, results.StatusResult]:
        """Status: mode, trading state (ACTIVE; REDUCING: no new risk; HALTED: no new risk until a person resumes),
        equity, today's loss, open positions, live orders. Start here."""
        facade = get_facade()
        return _status(meta(facade), facade.status())

    async def portfolio_get() -> Annotated[CallToolResult, results.PortfolioResult]:
        """The account: equity, free margin, exposure, loss of the day, drawdown, fees and funding."""
        facade = get_facade()
        seen = facade.portfolio()
        result = from_attributes(results.PortfolioResult, seen, meta=meta(facade))
        return respond(
            result,
            f"equity {result.equity}: wallet {result.wallet}, free margin {result.free}, unrealised "
            f"{result.unrealised}",
            f"gross exposure {seen.gross_share:.2%} of equity; {day_result(seen.daily_loss)}; drawdown "
            f"{seen.drawdown:.2%}",
            f"since the start fees paid {result.fees}, {funding_text(seen.funding)}; {result.entries_today} entries "
            f"today, {result.losses_in_a_row} losses in a row{_paused(result)}; size limits are scaled by "
            f"{result.scale}",
        )

    async def positions_get(symbol: str | None = None) -> Annotated[CallToolResult, results.PositionsResult]:
        """Open positions: stop and the loss to it in % of equity, target, gain now, best (mfe) and worst (mae) so far.
        A position without a stop is closed at the time shown."""
        facade = get_facade()
        wanted = facade.known(symbol) if symbol is not None else None
        rows = [position_of(facade, each) for each in facade.positions() if wanted in (None, each.symbol)]
        lines = [f"{row.symbol} {position_text(row)}" for row in rows]
        return respond(results.PositionsResult(meta=meta(facade), positions=rows), *(lines or ["no open positions"]))

    async def orders_get(
        status: Literal["live", "all", "refused"] = "live",
        limit: Annotated[int, Field(ge=1, le=50), ASCII_NUMBER] = 20,
        cursor: str | None = None,
    ) -> Annotated[CallToolResult, results.OrdersResult]:
        """Orders, newest first: live ones, all, or those that policies refused, with limit, actual value and the
        largest size that passes."""
        facade = get_facade()
        if status == "live":
            live = facade.orders()[::-1]
            begin = place_of("live", cursor) or 0
            more = cursor_of("live", begin + limit) if len(live) > begin + limit else None
            rows = [_live_order(each) for each in live[begin : begin + limit]]
        elif status == "all":
            page = await facade.history.orders(limit, place_of("orders", cursor))
            rows, more = [past_order(each) for each in page.rows], cursor_of("orders", page.next)
        else:
            refused = await facade.history.refusals(limit, place_of("refusals", cursor))
            rows = [refused_order(each) for each in refused.rows]
            more = cursor_of("refusals", refused.next)
        result = results.OrdersResult(meta=meta(facade), orders=rows, cursor=more)
        return respond(result, *(map(_order_text, rows) if rows else [_NO_ORDERS[status]]), *older_line(more))

    async def policies_get() -> Annotated[CallToolResult, results.PoliciesResult]:
        """All limits in force by name, and how much of each is used."""
        facade = get_facade()
        seen = facade.policy()
        result = policies_of(meta(facade), seen)
        used = [f"{row.name}: {row.used} now, {row.bound} {row.limit}" for row in result.limit_usage]
        limits = "; ".join(f"{name} {text}" for name, text in seen.limits)
        return respond(result, f"policy {seen.name} {seen.hash[:HASH_SHOWN]}", *used, f"limits: {limits}")

    async def risk_check_order(
        symbol: str,
        action: arguments.OrderAction,
        size: arguments.Size = None,
        risk: arguments.Risk = None,
        quantity: arguments.Quantity = None,
        stop: Amount | None = None,
        target: Amount | None = None,
        limit: arguments.LimitPrice = None,
    ) -> Annotated[CallToolResult, results.CheckResult]:
        """Check whether an order would pass now: each limit's verdict and the largest size that would pass. Entries
        need size, risk or quantity, and a stop; SELL and COVER close all."""
        facade = after_warm_up(get_facade)()
        leg = leg_of(facade, symbol, action, quantity, size=size, risk=risk, stop=stop, target=target, limit=limit)
        return _check(facade, leg, facade.check(leg, HYPOTHETICAL, quantity))

    tools = (ocw_get_status, portfolio_get, positions_get, orders_get, policies_get, risk_check_order)
    return [make(each) for each in tools]


def leg_of(facade: "Facade", symbol: str, action: str, quantity: Decimal | None, **terms: Any) -> Leg:
    """Return an order as a leg. Raises RequestError for an entry without one size, or a closing with a size."""
    chosen, size = Action(action), terms["size"]
    unused = {} if chosen.adds_risk else {"quantity": quantity, **terms}
    if beyond := ", ".join(f"{name}={value}" for name, value in unused.items() if value is not None):
        raise RequestError(
            RequestCode.BAD_ARGUMENTS,
            what=f"{action} closes the whole position at the market",
            limit="symbol and action only",
            actual=beyond,
            next_=f"call {action} without it",
        )
    given = [each for each in (size, terms["risk"], quantity) if each is not None]
    if chosen.adds_risk and len(given) != 1:
        raise RequestError(
            RequestCode.BAD_ARGUMENTS,
            limit="one of size, risk and quantity",
            actual=f"{len(given)} of them",
            next_="give the share of equity as size, the loss at the stop as risk, or the base asset as quantity",
        )
    return Leg(facade.known(symbol), chosen, **terms)


def policies_of(meta: Meta, seen: "PolicyView") -> results.PoliciesResult:
    """Return the limits in force and their usage as a typed result."""
    rows = [results.LimitUsageOut(**row) for row in seen.limit_usage]
    limits = dict(seen.limits)
    return results.PoliciesResult(meta=meta, policy=seen.name, hash=seen.hash, limit_usage=rows, limits=limits)


def position_of(facade: "Facade", seen: "PositionView") -> results.PositionOut:
    """Return an open position with its protection and the loss to its stop."""
    way, cost = (1 if seen.quantity > 0 else -1), abs(seen.quantity) * seen.average_price
    equity = facade.portfolio().equity
    away = None if seen.stop is None else (seen.mark - seen.stop) * way
    return from_attributes(
        results.PositionOut,
        seen,
        side="long" if way > 0 else "short",
        quantity=abs(seen.quantity),
        gain=float(seen.unrealised / cost) if cost else None,
        stop_distance=None if away is None or not seen.mark else away / seen.mark,
        risk=None if away is None or equity <= 0 else away * abs(seen.quantity) / equity,
        unprotected_until=facade.unprotected_until(seen.symbol),
    )


def position_text(row: results.PositionOut) -> str:
    """Return an open position without its symbol, on one line."""
    if row.stop is None:
        stop = f"UNPROTECTED, will be closed at {row.unprotected_until}"
    else:
        away, risk = (None if each is None else float(each) for each in (row.stop_distance, row.risk))
        stop = f"stop {row.stop} ({_percent(away, '')} away, {_percent(risk, '')} of equity)"
        stop += "" if row.trail is None else f" trailing {_percent(float(row.trail), '')} behind the best price"
    return (
        f"{row.side} {row.quantity} at {row.average_price}, mark {row.mark}, gain {_percent(row.gain)} "
        f"({row.unrealised}), mfe {_percent(row.mfe)}, mae {_percent(row.mae)}, {stop}, target {row.target or 'none'}, "
        f"leverage {row.leverage}, liquidation {row.liquidation_price or 'none'}, since {row.opened_at[:16]}"
    )


def status_of(meta: Meta, seen: "Status") -> results.StatusResult:
    """Return the status as a typed result."""
    lowered = None
    if (by := seen.lowered) is not None:
        own, why = by.by == ITSELF, untrusted(by.why) or None
        lowered = results.LoweredOut(
            by=untrusted(by.by, LONGEST_FIGURE), at=by.at, why=why if own else None, untrusted_text=None if own else why
        )
    engine = from_attributes(
        results.EngineOut,
        seen,
        notice=_NOTICES.get(seen.agent_name),
        policy=f"{seen.policy} {seen.policy_hash[:HASH_SHOWN]}",
        journal_head=seen.chain_head,
    )
    degraded = degraded_of(seen.degraded)
    return from_attributes(results.StatusResult, seen, meta=meta, engine=engine, lowered=lowered, degraded=degraded)


def degraded_of(seen: dict[str, str]) -> list[results.DegradedOut]:
    """Return the subjects whose market data cannot be relied on, each with the reason."""
    return [results.DegradedOut(subject=subject, untrusted_text=untrusted(why)) for subject, why in seen.items()]


def _degraded_line(rows: list[results.DegradedOut]) -> str:
    """Return the first degraded subjects with short reasons, and the number of the others."""
    shown = [f"{row.subject} {quoted(row.untrusted_text, SHORT_REASON)}" for row in rows[:MOST_REASONS]]
    more = f"; {len(rows) - MOST_REASONS} others" if len(rows) > MOST_REASONS else ""
    return f"market data degraded, entries refused, untrusted_text: {'; '.join(shown)}{more}"


def _status(meta: Meta, seen: "Status") -> CallToolResult:
    result = status_of(meta, seen)
    engine, lowered = result.engine, []
    if (by := result.lowered) is not None:
        why = f": {by.why}" if by.why else ""
        why += f", untrusted_text {json.dumps(by.untrusted_text, ensure_ascii=False)}" if by.untrusted_text else ""
        ends = "it ends when the data return" if by.by == MARKET_DATA else "only a person resumes, outside MCP"
        lowered = [f"{meta.state} by {by.by} at {by.at}{why}; {ends}"]
    reached = ", limit reached: no entries today" if result.daily_loss_reached else ""
    unprotected = f"; UNPROTECTED: {', '.join(result.unprotected)}" if result.unprotected else ""
    return respond(
        result,
        f"market {meta.source}; book {engine.book}; agent {engine.agent}; policy {engine.policy}",
        *([engine.notice] if engine.notice else []),
        f"equity {result.equity}, {day_result(seen.daily_loss)}{reached}{_paused(result)}",
        *lowered,
        *([_degraded_line(result.degraded)] if result.degraded else []),
        f"{result.open_positions} position(s), {result.live_orders} live order(s){unprotected}; "
        f"last wake {engine.last_wake}{', its decision is open' if engine.deciding else ''}",
    )


def _paused(result: results.StatusResult | results.PortfolioResult) -> str:
    return f"; entries paused until {result.paused_until}" if result.paused_until else ""


def _order_text(row: results.OrderOut) -> str:
    """Return an order on one line. A refused change of a stop or a target has no quantity."""
    quantity = "" if row.refusal and row.quantity == "0" else f" {row.quantity}"
    order = f"{row.id} {f'{row.at[:16]} ' if row.at else ''}{row.symbol} {row.purpose} {row.side}{quantity}"
    terms = f"{f' {row.type}' if row.type else ''}{f' at {row.price}' if row.price else ''}"
    outcome = f"by {row.by}; {row.refusal}" if row.refusal else f"filled {row.filled}, by {row.by}"
    return f"{order}{terms}, {row.status}{f' with {row.rejection}' if row.rejection else ''}, {outcome}"


def _shown_status(tracked: "TrackedOrder") -> str:
    if tracked.cancel_requested:
        return "cancel_requested"
    return "triggered" if tracked.triggered and tracked.status == "accepted" else tracked.status


def _live_order(tracked: "TrackedOrder") -> results.OrderOut:
    """Return an order that may still trade."""
    order, intent = tracked.order, tracked.intent
    return from_attributes(
        results.OrderOut,
        order,
        id=str(tracked.ref),
        at=None,
        purpose=intent.purpose.name.lower(),
        type=intent.type,
        price=order.trigger_price if order.trigger_price is not None else order.limit_price,
        status=_shown_status(tracked),
        filled=tracked.filled,
        by=intent.principal,
        refusal=None,
        rejection=None,
    )


def past_order(row: "OrderRow") -> results.OrderOut:
    """Return an order of the journal; its price is the average of its fills, or its trigger price before a fill."""
    price = row.average_price if row.average_price is not None else row.trigger_price
    return from_attributes(results.OrderOut, row, id=row.name, price=price, by=row.principal, refusal=None)


def refused_order(row: "RefusalRow") -> results.OrderOut:
    """Return a refused order."""
    return from_attributes(
        results.OrderOut,
        row,
        symbol=name(row.symbol),
        type=None,
        price=None,
        status="refused",
        filled="0",
        by=row.principal,
        refusal=refusal_line(row),
        rejection=None,
    )


def refusal_line(row: "RefusalRow", quote: "Quote | None" = None) -> str:
    """Return why an order was refused. `quote` renders the caller's text; without `quote` only a name is shown."""
    actual = row.actual if row.code in QUOTING else row.actual[:LONGEST_FIGURE]
    refusal = Refusal(RefusalCode(row.code), row.limit[:LONGEST_FIGURE], actual, row.largest)
    return refusal_text(refusal, quote or (lambda source, text: name(text)), row.principal)


def _check(facade: "Facade", leg: Leg, checked: "CheckedLeg") -> CallToolResult:
    refusal = checked.refusal
    rows = [
        from_attributes(results.VerdictOut, each, room=None if each.room is None else max(ZERO, each.room))
        for each in checked.limits
    ]
    result = from_attributes(
        results.CheckResult,
        checked,
        meta=meta(facade),
        passes=refusal is None,
        refusal=None if refusal is None else str(refusal),
        action=leg.action,
        notional=notional_of(checked),
        largest=largest_of(checked.largest),
        verdicts=rows,
    )
    order = f"{leg.action} {f'{result.quantity} ' if checked.quantity else ''}{leg.symbol}"
    worth = f", counted as {result.notional}" if notional_of(checked) else ""
    failing = [row for row in rows if not row.passes]
    if refusal is None or refusal.code is RefusalCode.APPROVAL_REQUIRED:
        lines = [f"{order}{worth}: {verdict(checked)}", room(checked, facade.portfolio().equity)]
    else:
        lines = [f"{order}{worth}: would not pass. {refusal}"]
        # The refusal has the figures of its own limit.
        said = refusal.code, refusal.limit, refusal.actual
        failing = [row for row in failing if (row.code, row.limit, row.actual) != said]
    lines += [f"FAILS {row.code}: limit {row.limit}, actual {row.actual}" for row in failing]
    passing = sum(row.passes for row in rows)
    return respond(result, *lines, *([f"{passing} limits pass"] if passing else []))


def notional_of(checked: "CheckedLeg") -> Decimal | None:
    """Return the notional of an order at its worst fill price; None if the price is unknown."""
    return None if checked.worst_price is None else checked.quantity * checked.worst_price


def verdict(checked: "CheckedLeg") -> str:
    """Return a text on an order that no limit refuses: it would pass now, or after a person's approval."""
    return "would pass" if checked.refusal is None else "would pass once a person approves it"


def room(checked: "CheckedLeg", equity: Decimal) -> str:
    """Return a text with the largest size that would pass, as a quantity and as a share of equity."""
    largest = plain(checked.largest) if checked.largest else "none"
    if checked.largest and checked.worst_price is not None and equity > 0:
        # Rounded down, so that a size of this share is not refused.
        share = (checked.largest * checked.worst_price / equity).quantize(Decimal("0.0001"), ROUND_DOWN)
        largest += f" (size {plain(share)})"
    return f"largest{' without approval' if checked.needs_approval else ''}: {largest}"


def largest_of(quantity: Decimal) -> str | None:
    """Return the largest quantity that would pass; None if no size would."""
    return plain(quantity) if quantity else None


def _percent(value: float | None, sign: str = "+") -> str:
    return "?" if value is None else f"{value:{sign}.2%}"

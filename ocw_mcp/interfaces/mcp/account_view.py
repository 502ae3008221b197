"""Answers of the account tools: typed results for programs, with compact text for models."""

import json
from decimal import Decimal
from typing import TYPE_CHECKING

from mcp.types import CallToolResult

from ocw_mcp.domain.decision import Leg
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.reasons import QUOTING, Refusal, RefusalCode
from ocw_mcp.domain.snapshot import PositionView
from ocw_mcp.domain.state import ITSELF
from ocw_mcp.domain.time import iso
from ocw_mcp.interfaces.mcp.access import headline
from ocw_mcp.interfaces.mcp.results import (
    CheckResult,
    EngineOut,
    LimitUsageOut,
    LoweredOut,
    Meta,
    OrderOut,
    OrdersResult,
    PoliciesResult,
    PortfolioResult,
    PositionOut,
    PositionsResult,
    StatusResult,
    VerdictOut,
    from_attributes,
)
from ocw_mcp.interfaces.mcp.tool import respond
from ocw_mcp.render.event_text import refusal_text
from ocw_mcp.render.quotations import name, untrusted
from ocw_mcp.render.text import HASH_SHOWN, day_result, funding_text

if TYPE_CHECKING:
    from ocw_mcp.adapters.store.views.orders import OrderRow, RefusalRow
    from ocw_mcp.core.orders.table import TrackedOrder
    from ocw_mcp.domain.state import Lowered
    from ocw_mcp.engine.precheck import CheckedLeg
    from ocw_mcp.render.quotations import Quote
    from ocw_mcp.runtime.facade import Facade, PolicyView, Portfolio, Status


LONGEST_FIGURE = 60
"""Characters of a limit or of an actual value in a refusal."""


def status_of(meta: Meta, seen: "Status") -> StatusResult:
    """Return the status as a typed result."""
    engine = from_attributes(
        EngineOut,
        seen,
        notice=_notice(seen.agent_name),
        policy=f"{seen.policy} {seen.policy_hash[:HASH_SHOWN]}",
        journal_head=seen.chain_head,
    )
    lowered = None if seen.lowered is None else _lowered(seen.lowered)
    return from_attributes(StatusResult, seen, meta=meta, engine=engine, lowered=lowered)


def status(meta: Meta, seen: "Status") -> CallToolResult:
    """Return the answer of `ocw_get_status`."""
    result = status_of(meta, seen)
    reached = ", limit reached: no entries today" if seen.daily_loss_reached else ""
    paused = f"; entries paused until {result.paused_until}" if result.paused_until else ""
    lowered = f"\n{_lowered_text(meta.state, result.lowered)}" if result.lowered else ""
    unprotected = f"; UNPROTECTED: {', '.join(seen.unprotected)}" if seen.unprotected else ""
    deciding = ", its decision is open" if seen.deciding else ""
    notice = f"{result.engine.notice}\n" if result.engine.notice else ""
    return respond(
        result,
        f"{headline(meta)}\n"
        f"book {seen.book}: {seen.product} {', '.join(seen.symbols)}; agent {seen.agent}; "
        f"policy {result.engine.policy}\n{notice}"
        f"equity {result.equity}, {day_result(seen.daily_loss)}{reached}{paused}{lowered}\n"
        f"{seen.open_positions} position(s), {seen.live_orders} live order(s){unprotected}; "
        f"last wake {seen.last_wake}{deciding}",
    )


def _notice(agent: str) -> str | None:
    """Return a notice for clients if the engine's own agent trades this book as well; None if it does not."""
    match agent:
        case "rules" | "claude" | "reckless" as name:
            return f"agent {name} trades this book on its own: positions open and close without a client's request"
        case "attached":
            return "the rules decide each wake that no attached client answers in time"
        case _:
            return None


def _lowered(by: "Lowered") -> LoweredOut:
    own, words = by.by == ITSELF, untrusted(by.why) or None
    return LoweredOut(
        by=untrusted(by.by, LONGEST_FIGURE),
        at=iso(by.at),
        why=words if own else None,
        untrusted_text=None if own else words,
    )


def _lowered_text(state: str, by: LoweredOut) -> str:
    given = f", untrusted_text {json.dumps(by.untrusted_text, ensure_ascii=False)}" if by.untrusted_text else ""
    return f"{state} by {by.by} at {by.at}{f': {by.why}' if by.why else ''}{given}; only a person resumes, outside MCP"


def portfolio(meta: Meta, seen: "Portfolio") -> CallToolResult:
    """Return the answer of `portfolio_get`."""
    result = from_attributes(PortfolioResult, seen, meta=meta)
    paused = f"; entries paused until {result.paused_until}" if result.paused_until else ""
    return respond(
        result,
        f"{headline(meta)}\n"
        f"equity {result.equity}: wallet {result.wallet}, free margin {result.free}, unrealised {result.unrealised}\n"
        f"gross exposure {seen.gross_share:.2%} of equity; {day_result(seen.daily_loss)}; drawdown "
        f"{seen.drawdown:.2%}\n"
        f"since the start fees paid {result.fees}, {funding_text(seen.funding)}; {result.entries_today} entries today, "
        f"{result.losses_in_a_row} losses in a row{paused}; size limits are scaled by {result.scale}",
    )


def positions(meta: Meta, facade: "Facade", held: list[PositionView]) -> CallToolResult:
    """Return the answer of `positions_get`."""
    rows = [
        from_attributes(
            PositionOut,
            each,
            side="long" if each.quantity > 0 else "short",
            quantity=abs(each.quantity),
            target=facade.target(each.symbol),
            unprotected_until=facade.unprotected_until(each.symbol),
        )
        for each in held
    ]
    lines = [
        f"{row.symbol} {row.side} {row.quantity} at {row.average_price}, mark {row.mark}, unrealised {row.unrealised}, "
        f"{f'stop {row.stop}' if row.stop else f'UNPROTECTED, will be closed at {row.unprotected_until}'}"
        f"{f', target {row.target}' if row.target else ''}, since {row.opened_at[:16]}, mfe {_percent(row.mfe)}, "
        f"mae {_percent(row.mae)}, leverage {row.leverage}"
        for row in rows
    ]
    return respond(
        PositionsResult(meta=meta, positions=rows), "\n".join([headline(meta), *(lines or ["no open positions"])])
    )


def live_order(tracked: "TrackedOrder") -> OrderOut:
    """Return an order that may still trade."""
    order, intent = tracked.order, tracked.intent
    return OrderOut(
        id=str(tracked.ref),
        at=None,
        symbol=order.symbol,
        purpose=intent.purpose.name.lower(),
        side=order.side,
        type=intent.type,
        quantity=order.quantity,
        price=order.trigger_price if order.trigger_price is not None else order.limit_price,
        status="cancel_requested" if tracked.cancel_requested else tracked.status,
        filled=tracked.filled,
        by=intent.principal,
        refusal=None,
    )


def past_order(row: "OrderRow") -> OrderOut:
    """Return an order of the journal; its price is the average of its fills, or its trigger price before a fill."""
    price = row.average_price if row.average_price is not None else row.trigger_price
    return from_attributes(OrderOut, row, id=row.name, price=price, by=row.principal, refusal=None)


def refused_order(row: "RefusalRow") -> OrderOut:
    """Return a refused order."""
    return from_attributes(
        OrderOut,
        row,
        symbol=name(row.symbol),
        type=None,
        price=None,
        status="refused",
        filled="0",
        by=row.principal,
        refusal=refusal_line(row),
    )


def refusal_line(row: "RefusalRow", quote: "Quote | None" = None) -> str:
    """Return why an order was refused. Its caller's text passes `quote`; without it only a name is shown."""
    actual = row.actual if row.code in QUOTING else row.actual[:LONGEST_FIGURE]
    refusal = Refusal(RefusalCode(row.code), row.limit[:LONGEST_FIGURE], actual, row.largest)
    return refusal_text(refusal, quote or (lambda source, text: name(text)), row.principal)


def orders(meta: Meta, rows: list[OrderOut], more: str | None, status: str) -> CallToolResult:
    """Return the answer of `orders_get`: a page of orders."""
    lines = [
        f"{row.id} {f'{row.at[:16]} ' if row.at else ''}{row.symbol} {row.purpose} {row.side} {row.quantity}"
        f"{f' {row.type}' if row.type else ''}{f' at {row.price}' if row.price else ''}, {row.status}, "
        f"filled {row.filled}, by {row.by}{f'; {row.refusal}' if row.refusal else ''}"
        for row in rows
    ]
    none = {"live": "no live orders", "all": "no orders yet", "refused": "no refused orders"}[status]
    older = [f"older: cursor={more}"] if more else []
    result = OrdersResult(meta=meta, orders=rows, cursor=more)
    return respond(result, "\n".join([headline(meta), *(lines or [none]), *older]))


def policies(meta: Meta, seen: "PolicyView") -> CallToolResult:
    """Return the answer of `policies_get`."""
    result = PoliciesResult(
        meta=meta,
        policy=seen.name,
        hash=seen.hash,
        limit_usage=[LimitUsageOut(**row) for row in seen.limit_usage],
        limits=dict(seen.limits),
    )
    used = [f"{row.name}: {row.used} now, {row.bound} {row.limit}" for row in result.limit_usage]
    limits = "; ".join(f"{name} {text}" for name, text in seen.limits)
    head = f"policy {seen.name} {seen.hash[:HASH_SHOWN]}"
    return respond(result, "\n".join([headline(meta), head, *used, f"limits: {limits}"]))


def check(meta: Meta, leg: Leg, checked: "CheckedLeg") -> CallToolResult:
    """Return the answer of `risk_check_order`."""
    refusal = checked.refusal
    notional = checked.quantity * checked.worst_price if checked.worst_price is not None else None
    refused = None if refusal is None else str(refusal)
    result = CheckResult(
        meta=meta,
        passes=refusal is None,
        refusal=refused,
        action=leg.action,
        quantity=checked.quantity,
        price=checked.price,
        notional=notional,
        largest=largest_of(checked.largest),
        verdicts=[
            from_attributes(VerdictOut, each, room=None if each.room is None else max(ZERO, each.room))
            for each in checked.limits
        ],
    )
    order = f"{leg.action} {f'{result.quantity} ' if checked.quantity else ''}{leg.symbol}"
    worth = f", {result.notional} at the worst fill" if notional else ""
    passes = refusal is None or refusal.code is RefusalCode.APPROVAL_REQUIRED
    answer = verdict(checked) if passes else f"would not pass. {refused}"
    more = [room(checked)] if passes else []
    failing = [f"FAILS {row.code}: limit {row.limit}, actual {row.actual}" for row in result.verdicts if not row.passes]
    passing = sum(row.passes for row in result.verdicts)
    kept = [f"{passing} limits pass"] if passing else []
    return respond(result, "\n".join([headline(meta), f"{order}{worth}: {answer}", *more, *failing, *kept]))


def verdict(checked: "CheckedLeg") -> str:
    """Return the verdict on an order that no limit refuses: it passes, at once or after a person's approval."""
    return "would pass" if checked.refusal is None else "would pass once a person approves it"


def room(checked: "CheckedLeg") -> str:
    """Return how large such an order may be."""
    if checked.refusal is None:
        return f"largest that would pass: {plain(checked.largest)}"
    return f"largest that would pass without approval: {plain(checked.largest) if checked.largest else 'none'}"


def largest_of(quantity: Decimal) -> str | None:
    """Return the largest quantity that would pass; None if no size would."""
    return plain(quantity) if quantity else None


def _percent(value: float | None) -> str:
    return "?" if value is None else f"{value:+.2%}"

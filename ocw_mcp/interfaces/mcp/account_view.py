"""The account as tools answer it: typed for programs, and as the compact text that a model reads."""

import json
from decimal import Decimal
from typing import TYPE_CHECKING

from mcp.types import CallToolResult

from ocw_mcp.domain.decision import Leg
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.reasons import QUOTING, Refusal, RefusalCode
from ocw_mcp.domain.snapshot import PositionView
from ocw_mcp.domain.text import day_result, is_name, name, untrusted
from ocw_mcp.domain.unknown import Reading, Unknown
from ocw_mcp.engine.account import DESK
from ocw_mcp.interfaces.mcp.access import headline
from ocw_mcp.interfaces.mcp.quotations import when
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
)
from ocw_mcp.interfaces.mcp.tool import told

if TYPE_CHECKING:
    from ocw_mcp.adapters.store.views.orders import OrderRow, RefusalRow
    from ocw_mcp.core.orders.table import TrackedOrder
    from ocw_mcp.domain.state import Lowered
    from ocw_mcp.engine.entries import Checked
    from ocw_mcp.engine.event_text import Quote
    from ocw_mcp.runtime.facade import Facade, PolicyView, Portfolio, Status


LONGEST_FIGURE = 60
"""Characters of a limit, or of what it was held against."""


def status_of(meta: Meta, seen: "Status") -> StatusResult:
    """The engine at a glance, typed."""
    return StatusResult(
        meta=meta,
        engine=EngineOut(
            book=seen.book,
            version=seen.version,
            product=seen.product,
            symbols=list(seen.symbols),
            agent=seen.agent,
            notice=_beside(seen.agent),
            policy=f"{seen.policy} {seen.policy_hash[:12]}",
            last_wake=seen.last_wake,
            deciding=seen.deciding,
            journal_head=seen.chain_head,
        ),
        equity=cents(seen.equity),
        daily_loss=share(seen.daily_loss),
        daily_loss_reached=seen.daily_loss_reached,
        paused_until=when(seen.paused_until),
        lowered=None if seen.lowered is None else _lowered(seen.lowered),
        open_positions=seen.open_positions,
        unprotected=list(seen.unprotected),
        live_orders=seen.live_orders,
    )


def status(meta: Meta, seen: "Status") -> CallToolResult:
    """The engine at a glance."""
    result = status_of(meta, seen)
    reached = ", limit reached: no entries today" if seen.daily_loss_reached else ""
    paused = f"; entries pause until {result.paused_until}" if result.paused_until else ""
    lowered = f"\n{_lowered_text(meta.state, result.lowered)}" if result.lowered else ""
    bare = f"; UNPROTECTED: {', '.join(seen.unprotected)}" if seen.unprotected else ""
    thinking = ", being decided on" if seen.deciding else ""
    beside = f"{result.engine.notice}\n" if result.engine.notice else ""
    return told(
        result,
        f"{headline(meta)}\n"
        f"book {seen.book}: {seen.product} {', '.join(seen.symbols)}; agent {seen.agent}; "
        f"policy {result.engine.policy}\n{beside}"
        f"equity {result.equity}, {day_result(seen.daily_loss)}{reached}{paused}{lowered}\n"
        f"{seen.open_positions} position(s), {seen.live_orders} live order(s){bare}; "
        f"last wake {seen.last_wake}{thinking}",
    )


def _beside(agent: str) -> str | None:
    """Who trades this book without being asked by the client that reads this; None where nobody does."""
    match agent.partition(";")[0]:
        case "rules" | "claude" | "reckless" as name:
            return f"agent {name} trades this book by itself, beside every client: positions open and close unasked"
        case "attached":
            return "rules trade this book where no attached client answers a wake in time"
        case _:
            return None


def _lowered(by: "Lowered") -> LoweredOut:
    own, words = by.by == DESK, untrusted(by.why) or None
    return LoweredOut(
        by=untrusted(by.by, LONGEST_FIGURE),
        at=when(by.at) or "",
        why=words if own else None,
        untrusted_text=None if own else words,
    )


def _lowered_text(state: str, by: LoweredOut) -> str:
    given = f", untrusted_text {json.dumps(by.untrusted_text, ensure_ascii=False)}" if by.untrusted_text else ""
    return f"{state} by {by.by} at {by.at}{f': {by.why}' if by.why else ''}{given}; a person resumes, outside MCP"


def portfolio(meta: Meta, seen: "Portfolio") -> CallToolResult:
    """The account."""
    result = PortfolioResult(
        meta=meta,
        equity=cents(seen.equity),
        wallet=cents(seen.wallet),
        free=cents(seen.free),
        unrealised=cents(seen.unrealised),
        gross_share=share(seen.gross_share),
        daily_loss=share(seen.daily_loss),
        drawdown=share(seen.drawdown),
        fees=cents(seen.fees),
        funding=cents(seen.funding),
        entries_today=seen.entries_today,
        losses_in_a_row=seen.losses_in_a_row,
        paused_until=when(seen.paused_until),
        scale=plain(seen.scale),
    )
    paused = f"; entries pause until {result.paused_until}" if result.paused_until else ""
    return told(
        result,
        f"{headline(meta)}\n"
        f"equity {result.equity}: wallet {result.wallet}, free margin {result.free}, unrealised {result.unrealised}\n"
        f"gross exposure {seen.gross_share:.2%} of equity; {day_result(seen.daily_loss)}; {seen.drawdown:.2%} "
        f"below the peak\n"
        f"fees {result.fees}, funding {result.funding} since the beginning; {result.entries_today} entries today, "
        f"{result.losses_in_a_row} losses in a row{paused}; limits of size are scaled by {result.scale}",
    )


def positions(meta: Meta, facade: "Facade", held: list[PositionView]) -> CallToolResult:
    """The open positions."""
    rows = [
        PositionOut(
            symbol=each.symbol,
            side="long" if each.quantity > 0 else "short",
            quantity=plain(abs(each.quantity)),
            average_price=plain(round(each.average_price, 8)),
            mark=plain(each.mark),
            unrealised=cents(each.unrealised),
            stop=amount(each.stop),
            target=amount(facade.target(each.symbol)),
            unprotected_until=when(facade.unprotected_until(each.symbol)),
            opened_at=when(each.opened_at) or "",
            leverage=each.leverage,
            mfe=_number(each.mfe),
            mae=_number(each.mae),
        )
        for each in held
    ]
    lines = [
        f"{row.symbol} {row.side} {row.quantity} at {row.average_price}, mark {row.mark}, {row.unrealised}, "
        f"{f'stop {row.stop}' if row.stop else f'UNPROTECTED, closed at {row.unprotected_until}'}"
        f"{f', target {row.target}' if row.target else ''}, since {row.opened_at[:16]}, mfe {_percent(row.mfe)}, "
        f"mae {_percent(row.mae)}, leverage {row.leverage}"
        for row in rows
    ]
    return told(
        PositionsResult(meta=meta, positions=rows), "\n".join([headline(meta), *(lines or ["no open position"])])
    )


def live_order(tracked: "TrackedOrder") -> OrderOut:
    """An order as the desk has it."""
    order, intent = tracked.order, tracked.intent
    return OrderOut(
        id=str(tracked.ref),
        at=None,
        symbol=order.symbol,
        purpose=intent.purpose.name.lower(),
        side=order.side,
        type=intent.type,
        quantity=plain(order.quantity),
        price=amount(order.trigger_price if order.trigger_price is not None else order.limit_price),
        status="cancel_requested" if tracked.cancel_requested else tracked.status,
        filled=plain(tracked.filled),
        by=intent.principal,
        refusal=None,
    )


def past_order(row: "OrderRow") -> OrderOut:
    """An order as the journal has it; its price is that of its fills, or where it triggers."""
    return OrderOut(
        id=row.name,
        at=when(row.at),
        symbol=row.symbol,
        purpose=row.purpose,
        side=row.side,
        type=row.type,
        quantity=plain(row.quantity),
        price=amount(row.average_price if row.average_price is not None else row.trigger_price),
        status=row.status,
        filled=plain(row.filled),
        by=row.principal,
        refusal=None,
    )


def refused_order(row: "RefusalRow") -> OrderOut:
    """An order that did not pass."""
    return OrderOut(
        id=row.id,
        at=when(row.at),
        symbol=name(row.symbol),
        purpose=row.purpose,
        side=row.side,
        type=None,
        quantity=plain(row.quantity),
        price=None,
        status="refused",
        filled="0",
        by=row.principal,
        refusal=refusal_line(row),
    )


def refusal_line(row: "RefusalRow", quote: "Quote | None" = None) -> str:
    """Why an order did not pass. Its caller's words are told by `quote`; without it only where they are a name."""
    refusal = Refusal(RefusalCode(row.code), row.limit, row.actual, row.largest)
    actual = row.actual[:LONGEST_FIGURE]
    if refusal.code in QUOTING:
        actual = name(row.actual) if quote is None or is_name(row.actual) else quote(row.principal, row.actual)
    return refusal.told(row.limit[:LONGEST_FIGURE], actual)


def orders(meta: Meta, rows: list[OrderOut], more: str | None, status: str) -> CallToolResult:
    """A page of orders."""
    lines = [
        f"{row.id} {f'{row.at[:16]} ' if row.at else ''}{row.symbol} {row.purpose} {row.side} {row.quantity}"
        f"{f' {row.type}' if row.type else ''}{f' at {row.price}' if row.price else ''}, {row.status}, "
        f"filled {row.filled}, by {row.by}{f'; {row.refusal}' if row.refusal else ''}"
        for row in rows
    ]
    none = {"live": "no order is live", "all": "no order has been sent", "refused": "nothing was refused"}[status]
    older = [f"older: cursor={more}"] if more else []
    result = OrdersResult(meta=meta, orders=rows, cursor=more)
    return told(result, "\n".join([headline(meta), *(lines or [none]), *older]))


def policies(meta: Meta, seen: "PolicyView") -> CallToolResult:
    """The limits in force."""
    result = PoliciesResult(
        meta=meta,
        policy=seen.name,
        hash=seen.hash,
        limit_usage=[LimitUsageOut(**row) for row in seen.limit_usage],
        limits=dict(seen.limits),
    )
    used = [f"{row.name}: {row.used} now, {row.bound} {row.limit}" for row in result.limit_usage]
    limits = "; ".join(f"{name} {text}" for name, text in seen.limits)
    return told(result, "\n".join([headline(meta), f"policy {seen.name} {seen.hash[:12]}", *used, f"limits: {limits}"]))


def check(meta: Meta, leg: Leg, checked: "Checked") -> CallToolResult:
    """Whether an order would pass."""
    refusal = checked.refusal
    notional = checked.quantity * checked.worst_price if checked.worst_price is not None else None
    said = None if refusal is None else str(refusal)
    result = CheckResult(
        meta=meta,
        passes=refusal is None,
        refusal=said,
        action=leg.action,
        quantity=plain(checked.quantity),
        price=amount(checked.price),
        notional=None if notional is None else cents(notional),
        largest=largest_of(checked.largest),
        verdicts=[
            VerdictOut(
                code=each.code,
                passes=each.passes,
                limit=each.limit,
                actual=each.actual,
                room=None if each.room is None else cents(max(ZERO, each.room)),
            )
            for each in checked.limits
        ],
    )
    order = f"{leg.action} {f'{result.quantity} ' if checked.quantity else ''}{leg.symbol}"
    worth = f", {result.notional} at the worst fill" if notional else ""
    passes = refusal is None or refusal.code is RefusalCode.APPROVAL_REQUIRED
    answer = verdict(checked) if passes else f"would not pass. {said}"
    more = [room(checked)] if passes else []
    failing = [f"NO {row.code}: limit {row.limit}, actual {row.actual}" for row in result.verdicts if not row.passes]
    held = sum(row.passes for row in result.verdicts)
    kept = [f"limits kept: {held}"] if held else []
    return told(result, "\n".join([headline(meta), f"{order}{worth}: {answer}", *more, *failing, *kept]))


def verdict(checked: "Checked") -> str:
    """What is told of an order that passes, or that a person alone could stop."""
    return "would pass" if checked.refusal is None else "would pass once a person approves it"


def room(checked: "Checked") -> str:
    """How large such an order may be."""
    if checked.refusal is None:
        return f"largest that would pass: {plain(checked.largest)}"
    return f"without approval {f'up to {plain(checked.largest)}' if checked.largest else 'none'} would pass"


def largest_of(quantity: Decimal) -> str | None:
    """The largest quantity that would pass; None where no size helps."""
    return plain(quantity) if quantity else None


def cents(value: Decimal) -> str:
    """Quote currency to the cent."""
    return plain(round(value, 2)) if value.is_finite() else str(value)


def share(value: Decimal) -> str:
    """A fraction at six places."""
    return plain(round(value, 6))


def amount(value: Decimal | None) -> str | None:
    """A price or quantity at eight places, as exchanges have at most."""
    return None if value is None else plain(round(value, 8))


def _number(value: Reading) -> float | None:
    return None if isinstance(value, Unknown) else round(value, 6)


def _percent(value: float | None) -> str:
    return "?" if value is None else f"{value:+.2%}"

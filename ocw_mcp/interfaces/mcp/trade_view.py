"""Answers of the trading tools: typed results for programs, with compact text for models."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from mcp.types import CallToolResult

from ocw_mcp.domain.asks import PREVIEW_GOOD_FOR_S, AwaitsApproval, Done
from ocw_mcp.domain.decision import Decision, Leg
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.time import iso
from ocw_mcp.interfaces.mcp.access import headline
from ocw_mcp.interfaces.mcp.account_view import largest_of, room, verdict
from ocw_mcp.interfaces.mcp.results import Answered, DoneResult, LegAnswered, Meta, PreviewResult, SubmittedResult
from ocw_mcp.interfaces.mcp.tool import respond
from ocw_mcp.render.quotations import untrusted

if TYPE_CHECKING:
    from ocw_mcp.engine.approvals import PendingOrder
    from ocw_mcp.engine.idempotency import Answer
    from ocw_mcp.runtime.trading import Previewed, Trading

CLOSING: Final = "closing"

_NEXT: Final = {
    RefusalCode.KEY_REUSED: "a key stands for one order; orders_get shows which one",
    RefusalCode.NO_WAKE: "ocw_get_status shows the wake whose decision is open, if any",
    RefusalCode.NO_ORDER: "orders_get shows the live orders",
    RefusalCode.PROTECTIVE: "positions_get shows the position that it protects",
    RefusalCode.NO_POSITION: "positions_get shows the open positions",
    RefusalCode.LOOSER_STOP: "positions_get shows the stop in force",
    RefusalCode.BAD_TARGET: "positions_get shows the mark price",
    RefusalCode.ALREADY_IN_POSITION: "positions_get shows the open positions",
    RefusalCode.OPPOSITE_POSITION: "positions_get shows the open positions",
    RefusalCode.ENTRY_PENDING: "orders_get shows the waiting entry",
    RefusalCode.EXIT_PENDING: "orders_get shows the exit in progress",
    RefusalCode.PRICE_MOVED: "orders_preview shows the order at the current price",
    RefusalCode.STALE_DATA: "ocw_get_status shows how old prices are",
    RefusalCode.NO_PRICE: "ocw_get_status shows how old prices are",
    RefusalCode.NOT_ACTIVE: "ocw_get_status shows who lowered the trading state, and why",
    RefusalCode.HELD_BY_PERSON: "ocw_get_status shows what a person trades by hand",
    RefusalCode.DAILY_LOSS: "portfolio_get shows the loss of the day",
    RefusalCode.FEES: "portfolio_get shows the fees so far",
    RefusalCode.LOSSES_IN_A_ROW: "ocw_get_status shows until when entries are paused",
    RefusalCode.ENTRY_RATE: "policies_get shows the limit and its usage",
    RefusalCode.TURNOVER: "policies_get shows the limit and its usage",
    RefusalCode.REENTRY: "trades_search shows when the last position was closed",
    RefusalCode.OPEN_POSITIONS: "positions_get shows the open positions",
    RefusalCode.STOP_REQUIRED: "risk_check_order shows the limit of an entry, positions_get a position's mark price",
    RefusalCode.NOT_APPROVED: "orders_preview starts again, with another key",
    RefusalCode.CALLER_RATE: "policies_get shows the limit; try again in a minute",
    RefusalCode.REDUCTION_RATE: "policies_get shows the limit per minute",
    RefusalCode.SYMBOL_NOT_ALLOWED: "policies_get shows the symbols of the policy",
    RefusalCode.UNKNOWN_SYMBOL: "ocw_get_status shows the symbols that the engine follows",
}
"""The tool that shows more about a refusal. It never suggests an action: that is the decider's part."""


def preview(meta: Meta, leg: Leg, seen: "Previewed", scale: Decimal) -> CallToolResult:
    """Return the answer of `orders_preview`: the order with all its terms. `scale` multiplies the size limits."""
    checked, kept = seen.checked, seen.preview
    refusal = None if checked.needs_approval else checked.refusal
    notional = None if checked.worst_price is None else checked.quantity * checked.worst_price
    intent = checked.intent
    result = PreviewResult(
        meta=meta,
        preview_id=None if kept is None else kept.preview_id,
        good_for_s=PREVIEW_GOOD_FOR_S if kept else 0,
        needs_approval=checked.needs_approval,
        refusal=None if refusal is None else capped_refusal(refusal),
        action=leg.action,
        quantity=checked.quantity,
        price=checked.price,
        notional=notional,
        largest=largest_of(checked.largest),
        type=intent.type,
        limit=intent.limit_price,
        stop=intent.protect_at,
        target=intent.target_at,
        leverage=None if (leverage := checked.leverage or intent.leverage) is None else str(leverage),
        scale=scale,
    )
    terms = ", ".join(f"{name} {getattr(result, name) or 'none'}" for name in ("limit", "stop", "target", "leverage"))
    bound = f"{result.type} order, {terms}; scale {result.scale} multiplies the size limits"
    order = f"{leg.action} {result.quantity} {leg.symbol} at about {result.price}"
    if refusal is not None:
        return respond(result, f"{headline(meta)}\n{leg.action} {leg.symbol} would not pass. {result.refusal}\n{bound}")
    return respond(
        result,
        f"{headline(meta)}\n{order}, {result.notional} at the worst fill: {verdict(checked)}\n"
        f"{bound}\n"
        f"preview_id {result.preview_id}, valid for {PREVIEW_GOOD_FOR_S} s; {room(checked)}",
    )


def question(pending: "PendingOrder") -> str:
    """Return the question to the person at the client. It stays the same while the order waits."""
    leg, intent = pending.given.leg, pending.intent
    quoted = intent.quoted
    assert quoted is not None, "a waiting order has the price that it was requested at"
    prices = {"stop": intent.protect_at, "target": intent.target_at, "limit": intent.limit_price}
    terms = [f"{name} {plain(price)}" for name, price in prices.items() if price is not None]
    terms += [f"leverage {leg.leverage}"] if leg.leverage is not None else []
    asked = f"{leg.action} ({intent.side}) {plain(intent.quantity)} of {leg.symbol} at about {plain(quoted)}"
    return f"Approve this paper order? {', '.join([asked, *terms])}. Every policy is checked again before it is sent."


def done(meta: Meta, answer: "Answer", what: str) -> CallToolResult:
    """Return the answer to one request. A refusal is an error, so that it cannot be taken for a success."""
    row = answered(answer)
    result = DoneResult(meta=meta, **row)
    match answer:
        case Refusal():
            text = (
                f"{row['refusal']} next: {_NEXT.get(answer.code, 'risk_check_order shows the verdict of every limit')}"
            )
            return respond(result, text, is_error=True)
        case AwaitsApproval():
            return respond(result, f"{headline(meta)}\napproval_required: {_waiting(answer)}")
        case OrderRef(leg=leg):
            happens = "entry canceled" if what == CLOSING and leg is Purpose.ENTRY else what
            return respond(result, f"{headline(meta)}\n{happens}: order {answer}; follow it with orders_get")
        case Done():
            return respond(result, f"{headline(meta)}\n{what}")


def submitted(meta: Meta, wake: int, decision: Decision, answer: "Answer", trading: "Trading") -> CallToolResult:
    """Return the answer of `decisions_submit`, leg by leg."""
    if not isinstance(answer, Done) or answer.decision is None:
        return done(meta, answer, "")
    rows = [
        LegAnswered(symbol=untrusted(leg.symbol, 40), action=leg.action, **answered(each))
        for leg, each in zip(decision.legs, trading.answers(answer.decision, decision), strict=True)
    ]
    lines = [
        f"{row.action} {row.symbol}: {row.outcome}{f' as {row.order}' if row.order else ''}"
        f"{f', {row.refusal}' if row.refusal else ''}{f' {row.approval} until {row.until}' if row.approval else ''}"
        for row in rows
    ]
    refused = [untrusted(each, 200) for each in answer.refused]
    result = SubmittedResult(meta=meta, wake=wake, legs=rows, not_taken=refused)
    lines = (lines or ["every symbol is held"]) + [f"not taken: {each}" for each in refused]
    return respond(result, "\n".join([headline(meta), f"wake {wake} answered", *lines]))


def answered(answer: "Answer | None") -> dict[str, Any]:
    """Return the fields of `Answered` for an answer."""
    row = dict.fromkeys(Answered.model_fields)
    match answer:
        case OrderRef():
            return row | {"outcome": "accepted", "order": str(answer)}
        case Refusal(largest=largest):
            return row | {"outcome": "refused", "refusal": capped_refusal(answer), "largest": largest_of(largest)}
        case AwaitsApproval(name, until):
            return row | {"outcome": "approval_required", "approval": name, "until": until}
        case Done():
            return row | {"outcome": "done"}
        case None:
            return row | {"outcome": "held"}


def capped_refusal(refusal: Refusal) -> str:
    """Return a refusal on one line, with the caller's text in it capped."""
    return refusal.text(untrusted(refusal.limit, 80), untrusted(refusal.actual, 80))


def _waiting(answer: AwaitsApproval) -> str:
    return (
        f"{answer.approval_id} waits until {iso(answer.expires_at)} for a person's approval (ocw approve "
        f"{answer.approval_id}, with the passphrase); without an answer it is denied. Call again with the same key to "
        "see the outcome"
    )

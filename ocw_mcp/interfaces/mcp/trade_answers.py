"""Answers of the tools that act: what was done, or a refusal with the tool that shows more."""

from typing import TYPE_CHECKING, Any, Final

from mcp.types import CallToolResult, TextContent

from ocw_mcp.domain import asks
from ocw_mcp.domain.orders import OrderRef
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.interfaces.mcp import results, trade_results
from ocw_mcp.interfaces.mcp.account_tools import largest_of
from ocw_mcp.interfaces.mcp.results import Meta
from ocw_mcp.interfaces.mcp.tool import respond
from ocw_mcp.interfaces.mcp.trade_results import DoneResult
from ocw_mcp.render.quotations import untrusted

if TYPE_CHECKING:
    from ocw_mcp.engine.idempotency import Answer

_NEXT: Final = {
    RefusalCode.KEY_REUSED: "a key belongs to one order; orders_get shows which one",
    RefusalCode.NO_WAKE: "ocw_get_status shows the wake whose decision is open, if any",
    RefusalCode.NO_ORDER: "orders_get shows the live orders",
    RefusalCode.PROTECTIVE: "positions_get shows the position that it protects",
    RefusalCode.NO_POSITION: "positions_get shows the open positions",
    RefusalCode.LOOSER_STOP: "positions_get shows the stop in force",
    RefusalCode.BAD_TARGET: "positions_get shows the mark price",
    RefusalCode.BAD_TRAIL: "positions_get shows the mark price",
    RefusalCode.BAD_SHARE: "positions_get shows the position",
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
"""By refusal code, which tool shows more. An error never suggests an action: the decider chooses it."""


def done(meta: Meta, answer: "Answer", what: str, details: str = "") -> CallToolResult:
    """Return the answer to one request. A refusal is an error, so that it cannot be taken for a success."""
    result = DoneResult(meta=meta, **answered(answer))
    match answer:
        case Refusal(code=code):
            next_ = _NEXT.get(code, "risk_check_order shows the verdict of every limit")
            text = TextContent(type="text", text=f"{result.refusal} next: {next_}")
            return results.Answer(content=[text], result=result, is_error=True)
        case asks.AwaitsApproval(name):
            return respond(
                result,
                f"approval_required: {name} waits until {result.until} for a person's approval (ocw approve {name}, "
                "with the passphrase); without an answer it is denied. Call again with the same key to see the outcome",
            )
        case OrderRef():
            return respond(result, f"{what}: order {answer}{details and f', {details}'}; follow it with orders_get")
        case asks.Done():
            return respond(result, f"{what}{details and f': {details}'}")


def answered(answer: "Answer | None") -> dict[str, Any]:
    """Return the fields of `Answered` for an answer; None is a leg that changes nothing."""
    row = dict.fromkeys(trade_results.Answered.model_fields)
    match answer:
        case OrderRef():
            return row | {"outcome": "accepted", "order": str(answer)}
        case Refusal(largest=largest):
            return row | {"outcome": "refused", "refusal": capped(answer), "largest": largest_of(largest)}
        case asks.AwaitsApproval(name, until):
            return row | {"outcome": "approval_required", "approval": name, "until": until}
        case asks.Done():
            return row | {"outcome": "done"}
        case None:
            return row | {"outcome": "held"}


def capped(refusal: Refusal) -> str:
    """Return a refusal on one line, with the caller's text in it capped."""
    return refusal.text(untrusted(refusal.limit, 80), untrusted(refusal.actual, 80))

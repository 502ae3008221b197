"""Tools of orders: preview, place and cancel. The token names the caller, never an argument."""

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

from mcp.server.mcpserver import AcceptedElicitation, Context, Elicit, ElicitationResult, Resolve
from mcp.types import CallToolResult
from pydantic import Field

from ocw_mcp.domain import asks
from ocw_mcp.domain.decision import Leg
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.state import Mode
from ocw_mcp.interfaces.mcp import arguments, trade_results
from ocw_mcp.interfaces.mcp.account_tools import largest_of, leg_of, notional_of, room, verdict
from ocw_mcp.interfaces.mcp.arguments import ASCII_NUMBER, Amount, Key, Why
from ocw_mcp.interfaces.mcp.callers import ERA, Consent, NotAsked, ask_within_call, caller_name, supports_forms
from ocw_mcp.interfaces.mcp.results import from_attributes
from ocw_mcp.interfaces.mcp.tool import ACTS, CHECKS, GetFacade, OcwTool, after_warm_up, make, meta, respond
from ocw_mcp.interfaces.mcp.trade_answers import capped, done
from ocw_mcp.interfaces.mcp.trade_results import DoneResult
from ocw_mcp.render.event_text import taken_text

if TYPE_CHECKING:
    from ocw_mcp.engine.approvals import PendingOrder
    from ocw_mcp.runtime.facade import Facade
    from ocw_mcp.runtime.trading import Previewed


def order_tools(get_facade: GetFacade) -> list[OcwTool]:
    """Return the tools; each call reads the engine from `get_facade()`."""

    async def orders_preview(
        ctx: Context[Any, Any],
        symbol: str,
        action: arguments.OrderAction,
        size: arguments.Size = None,
        risk: arguments.Risk = None,
        quantity: arguments.Quantity = None,
        stop: Amount | None = None,
        target: Amount | None = None,
        limit: arguments.LimitPrice = None,
        leverage: Annotated[int | None, Field(ge=1, le=125), ASCII_NUMBER] = None,
    ) -> Annotated[CallToolResult, trade_results.PreviewResult]:
        """Check an order as placing does, and keep it with its price for 60 s as a preview_id; nothing is sent. Entries
        need size, risk or quantity, and a stop; SELL and COVER close all."""
        facade = after_warm_up(get_facade)()
        terms = {"size": size, "risk": risk, "stop": stop, "target": target, "limit": limit, "leverage": leverage}
        leg = leg_of(facade, symbol, action, quantity, **terms)
        return _preview(facade, leg, facade.trading.preview(caller_name(ctx), leg, quantity), quantity)

    async def consent(
        ctx: Context[Any, Any], preview_id: str, key: str, rationale: str
    ) -> Consent | NotAsked | Elicit[Consent]:
        """Ask the person at the client for approval, in paper mode only; in other modes only `ocw approve` can approve.

        The order is pending before the question is sent, so that without an answer it waits for `ocw approve`.
        """
        facade, who = get_facade(), caller_name(ctx)
        trading = facade.trading
        if facade.moment().mode is not Mode.PAPER or not supports_forms(ctx.client_capabilities):
            return NotAsked()
        asked = trading.pending(who, key, preview_id)
        if asked is None and trading.needs_approval(who, key, preview_id):
            await trading.place(who, key, preview_id, rationale)
            asked = trading.pending(who, key, preview_id)
        # A call that carries an answer gets the same question again; any other call gets the state of the order.
        if asked is None or not (trading.first_time(asked.approval_id) or ctx.input_responses):
            return NotAsked()
        question = _question(asked)
        keeps_the_call_open = (ctx.protocol_version or "") < ERA
        return await ask_within_call(ctx, question) if keeps_the_call_open else Elicit(question, Consent)

    async def orders_place(
        ctx: Context[Any, Any],
        preview_id: str,
        key: Key,
        rationale: Annotated[Why, Field(min_length=1, description="why; it is journaled")],
        answer: Annotated[ElicitationResult[Consent], Resolve(consent)],
    ) -> Annotated[CallToolResult, DoneResult]:
        """Place the order of a preview_id. Every policy is checked again at the current price. An order that needs a
        person's approval waits; call again with the same key to see its outcome."""
        facade, who = get_facade(), caller_name(ctx)
        if isinstance(answer, AcceptedElicitation) and isinstance(answer.data, Consent):
            asked = facade.trading.pending(who, key, preview_id)
            if asked is not None:
                await facade.trading.consent(who, asked.approval_id, yes=answer.data.approve)
        placed = await facade.trading.place(who, key, preview_id, rationale)
        taken = facade.trading.taken(asks.RequestKey(who, key))
        return done(meta(facade), placed, "placed", taken_text(taken) if taken else "")

    async def orders_cancel(
        ctx: Context[Any, Any], order: Annotated[str, Field(description="id from orders_get: 3-e-0")], key: Key
    ) -> Annotated[CallToolResult, DoneResult]:
        """Cancel a waiting entry. Stops, targets and exits cannot be cancelled."""
        facade = get_facade()
        answer = await facade.trading.ask(asks.CancelRequest(key, caller_name(ctx), arguments.order_ref(order)))
        return done(meta(facade), answer, "cancel requested")

    return [make(orders_preview, CHECKS), make(orders_place, ACTS), make(orders_cancel, ACTS)]


def _preview(facade: "Facade", leg: Leg, seen: "Previewed", quantity: Decimal | None) -> CallToolResult:
    """Return the answer of `orders_preview`: the order with all its terms, and what the limits measure of it."""
    checked, kept, intent, account = seen.checked, seen.preview, seen.checked.intent, facade.portfolio()
    refusal = None if checked.needs_approval else checked.refusal
    notional, leverage = notional_of(checked), checked.leverage or intent.leverage
    actual = {each.code: each.actual for each in checked.limits}
    asked = "the whole position"
    if leg.action.adds_risk:
        given = {"size": leg.size, "risk": leg.risk} if quantity is None else {"quantity": quantity}
        asked = " ".join(f"{name} {plain(value)}" for name, value in given.items() if value is not None)
    result = from_attributes(
        trade_results.PreviewResult,
        checked,
        meta=meta(facade),
        preview_id=None if kept is None else kept.preview_id,
        good_for_s=asks.PREVIEW_GOOD_FOR_S if kept else 0,
        refusal=None if refusal is None else capped(refusal),
        symbol=leg.symbol,
        action=leg.action,
        # A closing without a position has no side.
        side=intent.side if leg.action.adds_risk or checked.quantity else None,
        asked=asked,
        size=None if notional is None or account.equity <= 0 else notional / account.equity,
        notional=notional,
        largest=largest_of(checked.largest),
        type=intent.type,
        limit=intent.limit_price,
        stop=intent.protect_at,
        stop_distance=actual.get(RefusalCode.STOP_REQUIRED),
        risk=actual.get(RefusalCode.RISK_PER_TRADE),
        target=intent.target_at,
        leverage=None if leverage is None else str(leverage),
        scale=account.scale,
        scale_reason=account.scale_reason,
        expires_at=intent.expires_at,
    )
    share = f"{result.quantity} = {float(result.size or 0):.2%} of equity"
    if refusal is None:
        head = f"preview_id {result.preview_id}, valid for {result.good_for_s} s: {verdict(checked)}"
        size = f"{asked}, taken {share}, counted as {result.notional}"
    else:
        head = f"no preview_id, would not pass: {result.refusal}"
        size = f"{asked}{f', {share}' if checked.quantity else ''}"
    measured = f" ({result.stop_distance} away, risk {result.risk} of equity)" if result.risk and result.stop else ""
    terms, sizes = [f"{result.type} order"], []
    if result.limit is not None:
        terms.append(f"limit {result.limit} until {result.expires_at}")
    if leg.action.adds_risk:
        terms += [f"stop {result.stop or 'none'}{measured}", f"target {result.target or 'none'}"]
        terms += [f"leverage {leverage}"] if leverage is not None else []
        why = "" if account.scale == 1 else f" ({result.scale_reason})"
        scaled = f"size limits x {result.scale}{why}"
        # A refusal has the largest size in the unit that was asked in.
        sizes = [scaled if refusal is not None else f"{room(checked, account.equity)}; {scaled}"]
    return respond(
        result,
        head,
        f"{leg.action} {leg.symbol}{f' ({result.side})' if result.side else ''}: asked {size}; "
        f"mark {result.price or 'unknown'}",
        ", ".join(terms),
        *sizes,
    )


def _question(pending: "PendingOrder") -> str:
    """Return the question to the person at the client. It stays the same while the order waits."""
    leg, intent = pending.given.leg, pending.intent
    quoted = intent.quoted
    assert quoted is not None, "a waiting order has the price that it was requested at"
    prices = {"stop": intent.protect_at, "target": intent.target_at, "limit": intent.limit_price}
    terms = [f"{name} {plain(price)}" for name, price in prices.items() if price is not None]
    terms += [f"leverage {leg.leverage}"] if leg.leverage is not None else []
    asked = f"{leg.action} ({intent.side}) {plain(intent.quantity)} of {leg.symbol} at about {plain(quoted)}"
    return f"Approve this paper order? {', '.join([asked, *terms])}. Every policy is checked again before it is sent."

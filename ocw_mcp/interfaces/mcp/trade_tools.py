"""Tools that act: preview and place an order, cancel, close, tighten a stop, halt, note, decide.

None of them changes a limit, the mode or a credential, raises the trading state, or loosens a stop: no argument exists
for that, and the engine would refuse it. The token names the caller, never an argument.
"""

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from mcp.server.mcpserver import AcceptedElicitation, Context, Elicit, ElicitationResult, Resolve
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import Field, WithJsonSchema

from ocw_mcp.domain import asks
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.domain.state import Mode
from ocw_mcp.interfaces.mcp import arguments, results, trade_results
from ocw_mcp.interfaces.mcp.account_tools import largest_of, leg_of, notional_of, room, verdict
from ocw_mcp.interfaces.mcp.arguments import ASCII_NUMBER, Amount, Why
from ocw_mcp.interfaces.mcp.callers import ERA, Consent, NotAsked, ask_within_call, caller_name, supports_forms
from ocw_mcp.interfaces.mcp.results import Meta, from_attributes
from ocw_mcp.interfaces.mcp.tool import GetFacade, OcwTool, after_warm_up, make, meta, respond
from ocw_mcp.interfaces.mcp.trade_results import DoneResult
from ocw_mcp.render.event_text import taken_text
from ocw_mcp.render.quotations import untrusted

if TYPE_CHECKING:
    from ocw_mcp.engine.approvals import PendingOrder
    from ocw_mcp.engine.idempotency import Answer
    from ocw_mcp.runtime.facade import Facade
    from ocw_mcp.runtime.trading import Previewed, Trading

CHECKS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
ACTS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=True)
WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)

Key = Annotated[
    str,
    Field(min_length=1, max_length=64),
    WithJsonSchema({"type": "string", "description": "new per request, same on retry"}),
]
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


def trade_tools(get_facade: GetFacade) -> list[OcwTool]:
    """Return the tools; each call reads the engine from `get_facade()`."""

    async def orders_preview(
        ctx: Context[Any, Any],
        symbol: str,
        action: Literal["BUY", "SHORT", "ADD", "SELL", "COVER"],
        size: Annotated[Amount | None, Field(description="share of equity, 0.1 is 10%")] = None,
        risk: Annotated[Amount | None, Field(description="share of equity lost at the stop")] = None,
        quantity: Annotated[Amount | None, Field(description="base asset, instead of size")] = None,
        stop: Amount | None = None,
        target: Amount | None = None,
        limit: Annotated[Amount | None, Field(description="limit price")] = None,
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

    async def positions_close(
        ctx: Context[Any, Any], symbol: str, key: Key, rationale: Why = ""
    ) -> Annotated[CallToolResult, DoneResult]:
        """Close a whole position at the market, reduce-only. If none is open yet, cancel its waiting entry."""
        facade = get_facade()
        request = asks.CloseRequest(key, caller_name(ctx), facade.known(symbol), rationale)
        answer = await facade.trading.ask(request)
        canceled = isinstance(answer, OrderRef) and answer.leg is Purpose.ENTRY
        return _carried_out(facade, request, answer, "cancel requested" if canceled else "closing")

    async def positions_reduce(
        ctx: Context[Any, Any],
        symbol: str,
        share: Annotated[Amount, Field(le=1, description="0.5 closes half of the position")],
        key: Key,
        rationale: Why = "",
    ) -> Annotated[CallToolResult, DoneResult]:
        """Close a share of a position at the market, reduce-only. A rest too small to sell is closed, too."""
        facade = get_facade()
        leg = Leg(facade.known(symbol), Action.REDUCE, share=share, reasoning=rationale)
        request = asks.LegRequest(key, caller_name(ctx), leg)
        return _carried_out(facade, request, await facade.trading.ask(request), "reducing")

    async def positions_set_protection(
        ctx: Context[Any, Any],
        symbol: str,
        key: Key,
        stop: Amount | None = None,
        target: Amount | None = None,
        trail: Annotated[Amount | None, Field(description="distance of a trailing stop, 0.01 is 1%")] = None,
    ) -> Annotated[CallToolResult, DoneResult]:
        """Tighten a position's stop, set its target, or let the stop trail the price. A looser stop is refused."""
        facade = get_facade()
        if stop is None and target is None and trail is None:
            raise RequestError(
                RequestCode.BAD_ARGUMENTS, limit="a stop, a target or a trail", actual="none", next_="give one of them"
            )
        request = asks.ProtectionRequest(key, caller_name(ctx), facade.known(symbol), stop, target, trail)
        return _carried_out(facade, request, await facade.trading.ask(request), "protection set")

    async def risk_halt(ctx: Context[Any, Any], key: Key, why: str = "") -> Annotated[CallToolResult, DoneResult]:
        """Halt trading: waiting entries are cancelled, new ones refused. Positions keep their stops and may be closed.
        Only a person resumes, outside MCP."""
        facade = get_facade()
        # A long reason must not prevent a halt.
        answer = await facade.trading.ask(asks.HaltRequest(key, caller_name(ctx), why[: arguments.LONGEST_WHY]))
        return done(meta(facade), answer, "trading is HALTED")

    async def journal_note(
        ctx: Context[Any, Any], text: Annotated[str, Field(min_length=1, max_length=1000)], key: Key
    ) -> Annotated[CallToolResult, DoneResult]:
        """Write a note into the journal. It triggers nothing."""
        facade = get_facade()
        answer = await facade.trading.ask(asks.NoteRequest(key, caller_name(ctx), text))
        return done(meta(facade), answer, "note written")

    async def decisions_submit(
        ctx: Context[Any, Any],
        wake: Annotated[int, Field(ge=1, le=10**9), WithJsonSchema({"type": "integer"}), ASCII_NUMBER],
        legs: arguments.Legs,
        next_check_s: Annotated[Any, WithJsonSchema({"type": "integer"})] = None,
        conditions: arguments.Conditions | None = None,
        note: Why = "",
    ) -> Annotated[CallToolResult, trade_results.SubmittedResult]:
        """Answer a wake once, with one leg per symbol to act on; other symbols stay as they are. BUY and SHORT need
        size or risk, and a stop; ADD size or risk; REDUCE a share. SELL and COVER close all. PROTECT tightens the stop,
        moves the target, sets a trail. CANCEL ends a waiting entry. Unused fields are refused. Refused legs may be
        submitted once more, corrected, with note, conditions and next_check_s if these change."""
        facade = get_facade()
        decision = arguments.decision_of(legs, next_check_s, conditions, note, facade.symbols)
        # A caller that declares itself tainted only gets stricter limits.
        tainted = bool((ctx.request_context.meta or {}).get(asks.TAINTED))
        answer = await facade.trading.submit(caller_name(ctx), wake, decision, tainted=tainted)
        return _submitted(meta(facade), wake, decision, answer, facade.trading, arguments.shortened(legs))

    acting = orders_place, orders_cancel, positions_close, positions_reduce, positions_set_protection, risk_halt
    return [
        make(orders_preview, CHECKS),
        *(make(each, ACTS) for each in acting),
        make(journal_note, WRITES),
        make(decisions_submit, ACTS),
    ]


def _carried_out(facade: "Facade", request: asks.CallerRequest, answer: "Answer", what: str) -> CallToolResult:
    """Return the answer to a request that changes a position, with what was done and the values now in force."""
    taken = facade.trading.taken(asks.request_key(request))
    return done(meta(facade), answer, what, taken_text(taken) if taken else "")


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
        refusal=None if refusal is None else _capped(refusal),
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


def done(meta: Meta, answer: "Answer", what: str, details: str = "") -> CallToolResult:
    """Return the answer to one request. A refusal is an error, so that it cannot be taken for a success."""
    result = DoneResult(meta=meta, **_answered(answer))
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


def _submitted(
    meta: Meta, wake: int, decision: Decision, answer: "Answer", trading: "Trading", shortened: list[str]
) -> CallToolResult:
    """Return the answer of `decisions_submit`, leg by leg; `shortened` are clauses on texts that were cut."""
    if not isinstance(answer, asks.Done) or answer.decision is None:
        return done(meta, answer, "")
    rows = [
        trade_results.LegAnswered(symbol=untrusted(leg.symbol, 40), action=leg.action, **_answered(each))
        for leg, each in zip(decision.legs, trading.answers(answer.decision, decision), strict=True)
    ]
    carried = [trading.taken(answer.decision.leg(index)) for index in range(len(rows))]
    lines = [_leg_line(row, taken) for row, taken in zip(rows, carried, strict=True)]
    refused = [untrusted(each, 200) for each in answer.refused]
    result = trade_results.SubmittedResult(meta=meta, wake=wake, legs=rows, not_taken=refused)
    not_taken = [f"not taken as given: {each}" for each in refused]
    return respond(
        result,
        f"wake {wake} answered",
        *(lines or ["no leg: nothing changes"]),
        *answer.settled,
        *shortened,
        *not_taken,
    )


def _leg_line(row: trade_results.LegAnswered, taken: asks.Taken | None) -> str:
    """Return the answer to one leg."""
    outcome = "nothing changes" if row.outcome == "held" else row.outcome
    parts = [
        f" as {row.order}" if row.order else "",
        f": {taken_text(taken)}" if taken else "",
        f", {row.refusal}" if row.refusal else "",
        f" {row.approval} until {row.until}" if row.approval else "",
    ]
    return f"{row.action} {row.symbol}: {outcome}{''.join(parts)}"


def _answered(answer: "Answer | None") -> dict[str, Any]:
    """Return the fields of `Answered` for an answer."""
    row = dict.fromkeys(trade_results.Answered.model_fields)
    match answer:
        case OrderRef():
            return row | {"outcome": "accepted", "order": str(answer)}
        case Refusal(largest=largest):
            return row | {"outcome": "refused", "refusal": _capped(answer), "largest": largest_of(largest)}
        case asks.AwaitsApproval(name, until):
            return row | {"outcome": "approval_required", "approval": name, "until": until}
        case asks.Done():
            return row | {"outcome": "done"}
        case None:
            return row | {"outcome": "held"}


def _capped(refusal: Refusal) -> str:
    """Return a refusal on one line, with the caller's text in it capped."""
    return refusal.text(untrusted(refusal.limit, 80), untrusted(refusal.actual, 80))

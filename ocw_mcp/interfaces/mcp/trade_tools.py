"""Tools that act: preview and place an order, cancel, close, tighten a stop, halt, note, decide.

None of them changes a limit, the mode or a credential, raises the trading state, or loosens a stop: no argument exists
for that, and the engine would refuse it. The token names the caller, never an argument.
"""

from collections.abc import Collection
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import AcceptedElicitation, Context, Elicit, ElicitationResult, Resolve
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import BaseModel, Field, WithJsonSchema

from ocw_mcp.domain.asks import TAINTED, CancelRequest, CloseRequest, HaltRequest, NoteRequest, ProtectionRequest
from ocw_mcp.domain.decision import Action, Comparison, Decision, Leg, WakeCondition
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.symbols import spelt
from ocw_mcp.interfaces.mcp import trade_view
from ocw_mcp.interfaces.mcp.account_tools import Amount, beyond_closing, leg_of
from ocw_mcp.interfaces.mcp.arguments import ASCII_NUMBER, cut, order_ref, read
from ocw_mcp.interfaces.mcp.callers import ERA, Consent, NotAsked, ask_within_call, caller_name, supports_forms
from ocw_mcp.interfaces.mcp.results import DoneResult, PreviewResult, SubmittedResult
from ocw_mcp.interfaces.mcp.tool import GetFacade, OcwTool, after_warm_up, make, meta

CHECKS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
ACTS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=True)
WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)

Key = Annotated[str, Field(min_length=1, max_length=64, description="same key on a retry, a new one per order")]
LONGEST_WHY = 500
MOST_LEGS = 64
Why = Annotated[str, Field(max_length=LONGEST_WHY), cut(LONGEST_WHY)]
Text = Annotated[str, Field(max_length=200), cut(200)]


class LegIn(BaseModel, extra="forbid"):
    """One leg of a decision."""

    symbol: Annotated[str, Field(max_length=40)]
    action: Literal["BUY", "SELL", "SHORT", "COVER", "ADD", "HOLD"]
    size: Annotated[Amount | None, Field(description="share of equity")] = None
    stop: Amount | None = None
    target: Amount | None = None
    limit: Amount | None = None
    leverage: Annotated[int | None, Field(ge=1, le=125), ASCII_NUMBER] = None
    confidence: Annotated[float | None, Field(ge=0, le=1), ASCII_NUMBER] = None
    thesis: Why = ""
    signals: Annotated[list[Text], Field(max_length=16), cut(16)] = []


class ConditionIn(BaseModel, extra="forbid"):
    """Wakes you once."""

    symbol: Annotated[str, Field(max_length=40)]
    metric: Annotated[Text, Field(description="price, funding_8h or rsi_14@1h")]
    comparison: Literal["gt", "lt", "crosses_above", "crosses_below", "abs_change_pct_gt"]
    threshold: Annotated[float, Field(allow_inf_nan=False), ASCII_NUMBER]
    reason: Text = ""
    expires_s: Annotated[int | None, Field(ge=1, le=604_800), ASCII_NUMBER] = None


Legs = Annotated[
    list[Any],
    Field(max_length=MOST_LEGS),
    WithJsonSchema({"type": "array", "maxItems": 16, "items": LegIn.model_json_schema()}),
]
Conditions = Annotated[
    list[Any],
    Field(max_length=MOST_LEGS),
    WithJsonSchema({"type": "array", "maxItems": 16, "items": ConditionIn.model_json_schema()}),
]
"""Each element is read by itself, so that one malformed element does not invalidate the others."""
LONGEST_CHECK_S = 86_400


class CheckIn(BaseModel):
    """The latest time of the next wake."""

    next_check_s: Annotated[int, ASCII_NUMBER]


def trade_tools(get_facade: GetFacade) -> list[OcwTool]:
    """Return the tools; each call reads the engine of `get_facade`."""

    async def orders_preview(
        ctx: Context[Any, Any],
        symbol: str,
        action: Literal["BUY", "SHORT", "ADD", "SELL", "COVER"],
        size: Annotated[Amount | None, Field(description="share of equity, 0.1 is 10%")] = None,
        quantity: Annotated[Amount | None, Field(description="base asset, instead of size")] = None,
        stop: Amount | None = None,
        target: Amount | None = None,
        limit: Annotated[Amount | None, Field(description="limit price")] = None,
        leverage: Annotated[int | None, Field(ge=1, le=125), ASCII_NUMBER] = None,
    ) -> Annotated[CallToolResult, PreviewResult]:
        """Check an order by the code that places it, and keep it and its price for 60 s as a preview_id. Nothing is
        sent. Entries need size or quantity, and a stop; SELL and COVER close the whole position."""
        facade = after_warm_up(get_facade)()
        leg = leg_of(facade, symbol, action, size, quantity, limit, stop=stop, target=target, leverage=leverage)
        seen = facade.trading.preview(caller_name(ctx), leg, quantity)
        return trade_view.preview(meta(facade), leg, seen, facade.portfolio().scale)

    async def consent(
        ctx: Context[Any, Any], preview_id: str, key: str, rationale: str
    ) -> Consent | NotAsked | Elicit[Consent]:
        """Ask the person at the client for approval, on paper only; in other cases only `ocw approve` can approve.

        The order waits for `ocw approve` before the question goes out, so that it keeps waiting without an answer.
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
        question = trade_view.question(asked)
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
        return trade_view.done(meta(facade), placed, "placed")

    async def orders_cancel(
        ctx: Context[Any, Any], order: Annotated[str, Field(description="id from orders_get: 3-e-0")], key: Key
    ) -> Annotated[CallToolResult, DoneResult]:
        """Cancel a waiting entry. Stops, targets and exits cannot be cancelled."""
        facade = get_facade()
        answer = await facade.trading.ask(CancelRequest(key, caller_name(ctx), order_ref(order)))
        return trade_view.done(meta(facade), answer, "cancel requested")

    async def positions_close(
        ctx: Context[Any, Any], symbol: str, key: Key, rationale: Why = ""
    ) -> Annotated[CallToolResult, DoneResult]:
        """Close a whole position at the market, reduce-only. If none is open yet, cancel its waiting entry."""
        facade = get_facade()
        answer = await facade.trading.ask(CloseRequest(key, caller_name(ctx), facade.known(symbol), rationale))
        canceled = isinstance(answer, OrderRef) and answer.leg is Purpose.ENTRY
        return trade_view.done(meta(facade), answer, "entry canceled" if canceled else "closing")

    async def positions_set_protection(
        ctx: Context[Any, Any], symbol: str, key: Key, stop: Amount | None = None, target: Amount | None = None
    ) -> Annotated[CallToolResult, DoneResult]:
        """Tighten a position's stop, or set its target. A looser stop is refused."""
        facade = get_facade()
        if stop is None and target is None:
            raise RequestError(
                RequestCode.BAD_ARGUMENTS, limit="a stop or a target", actual="neither", next_="give one of them"
            )
        known = facade.known(symbol)
        answer = await facade.trading.ask(ProtectionRequest(key, caller_name(ctx), known, stop, target))
        laid = next((each.stop for each in facade.positions() if each.symbol == known), None)
        # Show the prices in force, rounded to ticks; after the position has closed, show the requested ones.
        wanted = {"stop": stop and (laid or stop), "target": target and (facade.target(known) or target)}
        moved = " and ".join(f"{name} at {value}" for name, value in wanted.items() if value is not None)
        return trade_view.done(meta(facade), answer, f"protection set, {moved}")

    async def risk_halt(ctx: Context[Any, Any], key: Key, why: str = "") -> Annotated[CallToolResult, DoneResult]:
        """Halt trading: waiting entries are cancelled, new ones refused. Positions keep their stops and may be closed.
        Only a person resumes, outside MCP."""
        facade = get_facade()
        # A long reason must not prevent a halt.
        answer = await facade.trading.ask(HaltRequest(key, caller_name(ctx), why[:LONGEST_WHY]))
        return trade_view.done(meta(facade), answer, "trading is HALTED")

    async def journal_note(
        ctx: Context[Any, Any], text: Annotated[str, Field(min_length=1, max_length=1000), cut(1000)], key: Key
    ) -> Annotated[CallToolResult, DoneResult]:
        """Write a note into the journal. It triggers nothing."""
        facade = get_facade()
        answer = await facade.trading.ask(NoteRequest(key, caller_name(ctx), text))
        return trade_view.done(meta(facade), answer, "note written")

    async def decisions_submit(
        ctx: Context[Any, Any],
        wake: Annotated[int, Field(ge=1, le=10**9), ASCII_NUMBER],
        legs: Legs,
        next_check_s: Annotated[
            Any, WithJsonSchema({"type": "integer", "minimum": 1, "maximum": LONGEST_CHECK_S})
        ] = None,
        conditions: Conditions | None = None,
        note: Why = "",
    ) -> Annotated[CallToolResult, SubmittedResult]:
        """Answer a wake once, with all legs. Symbols without a leg are held. Each leg is checked and answered by
        itself; refused ones may be submitted once more, corrected. Attached clients: only while ocw_get_status shows
        deciding."""
        facade = get_facade()
        decision = _decision(legs, next_check_s, conditions, note, facade.symbols)
        # A caller that declares itself tainted only gets stricter limits.
        tainted = bool((ctx.request_context.meta or {}).get(TAINTED))
        answer = await facade.trading.submit(caller_name(ctx), wake, decision, tainted=tainted)
        return trade_view.submitted(meta(facade), wake, decision, answer, facade.trading)

    return [
        make(orders_preview, CHECKS),
        make(orders_place, ACTS),
        make(orders_cancel, ACTS),
        make(positions_close, ACTS),
        make(positions_set_protection, ACTS),
        make(risk_halt, ACTS),
        make(journal_note, WRITES),
        make(decisions_submit, ACTS),
    ]


def _decision(
    legs: list[Any], next_check_s: Any, conditions: list[Any] | None, note: str, symbols: Collection[str]
) -> Decision:
    """Return the decision, with its malformed parts listed apart. Raises RequestError if no part of it can be read."""
    read_legs = [_leg(each, symbols) for each in legs]
    unread: list[str] = []
    armed: list[WakeCondition] = []
    for number, each in enumerate(conditions or (), 1):
        found = read(ConditionIn, each)
        if isinstance(found, str):
            unread.append(f"condition {number} could not be read: {found}")
        else:
            fields = dict(found) | {"symbol": spelt(found.symbol, symbols), "comparison": Comparison(found.comparison)}
            # A condition has a place only if one before it could not be read.
            armed.append(WakeCondition(**fields, place=number if unread else 0))
    check = None if next_check_s is None else read(CheckIn, {"next_check_s": next_check_s})
    if isinstance(check, str):
        unread.append(f"next_check_s could not be read: {check}")
        check = None
    wrong = [*(leg.malformed for leg in read_legs if leg.malformed), *unread]
    if wrong and not armed and all(leg.malformed for leg in read_legs):
        raise RequestError(
            RequestCode.BAD_ARGUMENTS,
            limit=wrong[0],
            actual="nothing that could be read",
            next_="see the input schema of decisions_submit; the decision is still open",
        )
    return Decision(
        legs=tuple(read_legs),
        next_check_s=None if check is None else max(1, min(check.next_check_s, LONGEST_CHECK_S)),
        wake_conditions=None if conditions is None else tuple(armed),
        note=note,
        unread=tuple(unread),
    )


def _leg(given: Any, symbols: Collection[str]) -> Leg:
    found = read(LegIn, given)
    if not isinstance(found, str) and found.action in ("SELL", "COVER"):
        beyond = beyond_closing(found.size, None, found.limit)
        found = f"{beyond}: {found.action} closes the whole position at the market" if beyond else found
    if isinstance(found, str):
        asked = given if isinstance(given, dict) else {}
        action = str(asked.get("action", ""))
        known = Action(action) if action in Action.__members__ else Action.HOLD
        return Leg(spelt(str(asked.get("symbol", ""))[:40], symbols), known, malformed=found)
    fields = dict(found) | {"symbol": spelt(found.symbol, symbols), "action": Action(found.action)}
    return Leg(reasoning=fields.pop("thesis"), **fields | {"signals": tuple(found.signals)})

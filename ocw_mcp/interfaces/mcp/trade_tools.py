"""Tools that act: those of `order_tools`, close or reduce a position, tighten a stop, halt, note, decide.

None of them changes a limit, the mode or a credential, raises the trading state, or loosens a stop: no argument exists
for that, and the engine would refuse it. The token names the caller, never an argument.
"""

from typing import TYPE_CHECKING, Annotated, Any

from mcp.server.mcpserver import Context
from mcp.types import CallToolResult
from pydantic import Field, WithJsonSchema

from ocw_mcp.domain import asks
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.interfaces.mcp import arguments, trade_results
from ocw_mcp.interfaces.mcp.arguments import ASCII_NUMBER, Amount, Key, Why
from ocw_mcp.interfaces.mcp.callers import caller_name
from ocw_mcp.interfaces.mcp.order_tools import order_tools
from ocw_mcp.interfaces.mcp.results import Meta
from ocw_mcp.interfaces.mcp.tool import ACTS, WRITES, GetFacade, OcwTool, make, meta, respond
from ocw_mcp.interfaces.mcp.trade_answers import answered, done
from ocw_mcp.interfaces.mcp.trade_results import DoneResult
from ocw_mcp.render.event_text import taken_text
from ocw_mcp.render.quotations import untrusted

if TYPE_CHECKING:
    from ocw_mcp.engine.idempotency import Answer
    from ocw_mcp.runtime.facade import Facade
    from ocw_mcp.runtime.trading import Trading


def trade_tools(get_facade: GetFacade) -> list[OcwTool]:
    """Return the tools that act; each call reads the engine from `get_facade()`."""
    return [*order_tools(get_facade), *_position_tools(get_facade), *_book_tools(get_facade)]


def _position_tools(get_facade: GetFacade) -> list[OcwTool]:
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

    return [make(each, ACTS) for each in (positions_close, positions_reduce, positions_set_protection)]


def _book_tools(get_facade: GetFacade) -> list[OcwTool]:
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

    return [make(risk_halt, ACTS), make(journal_note, WRITES), make(decisions_submit, ACTS)]


def _carried_out(facade: "Facade", request: asks.CallerRequest, answer: "Answer", what: str) -> CallToolResult:
    """Return the answer to a request that changes a position, with what was done and the values now in force."""
    taken = facade.trading.taken(asks.request_key(request))
    return done(meta(facade), answer, what, taken_text(taken) if taken else "")


def _submitted(
    meta: Meta, wake: int, decision: Decision, answer: "Answer", trading: "Trading", shortened: list[str]
) -> CallToolResult:
    """Return the answer of `decisions_submit`, leg by leg; `shortened` are clauses on texts that were cut."""
    if not isinstance(answer, asks.Done) or answer.decision is None:
        return done(meta, answer, "")
    rows = [
        trade_results.LegAnswered(symbol=untrusted(leg.symbol, 40), action=leg.action, **answered(each))
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

"""The decisions of a book, with the orders, refusals and LLM cost of each."""

from decimal import Decimal

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.figures import count
from ocw_mcp.adapters.store.views.thinking import ThinkingCost, costs_since, find_thinking_cost
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.snapshot import WakeReason


class DecisionRow(msgspec.Struct, frozen=True):
    """The answer to a wake, `thinking_ms` after it. Times are in ms."""

    wake_id: int
    at: int
    decider: str
    thinking_ms: int
    reasons: tuple[WakeReason, ...]
    """The reasons of the wake."""
    decision: Decision
    orders: int
    """Number of orders that it led to."""
    refusals: int
    cost_usd: Decimal | None
    """The LLM cost up to the next decision on the wake, a late answer included.

    None if no engine of this version has opened the book yet.
    """


class DecisionsPage(msgspec.Struct, frozen=True):
    """The newest decisions, newest last, and the number of older ones."""

    decisions: list[DecisionRow]
    more: int
    thinking: ThinkingCost | None
    """The LLM cost of all decisions; None if it is unknown."""


_ACTS = """EXISTS (SELECT 1 FROM json_each(decision, '$.legs') AS leg
    WHERE json_extract(leg.value, '$.action') <> 'HOLD')"""
_NEWEST = """SELECT seq, wake_id, at, decider, thinking_ms,
    (SELECT reasons FROM wakes WHERE wakes.wake_id = decisions.wake_id LIMIT 1), decision,
    (SELECT count(*) FROM orders WHERE orders.wake_id = decisions.wake_id),
    (SELECT count(*) FROM refusals WHERE refusals.wake_id = decisions.wake_id)
    FROM decisions WHERE {which} ORDER BY seq DESC LIMIT ?"""

_Row = tuple[int, int, int, str, int, str | None, str, int, int]
_decode_reasons = msgspec.json.Decoder(tuple[WakeReason, ...]).decode
_decode_decision = msgspec.json.Decoder(Decision).decode


def find_decisions(db: Database, limit: int, *, acted: bool = False) -> DecisionsPage:
    """Return the newest `limit` decisions; `acted` leaves out those with HOLD alone."""
    which = _ACTS if acted else "1"
    newest = msgspec.convert(db.execute(_NEWEST.format(which=which), (limit,)).fetchall(), list[_Row])
    costs = costs_since(db, min((row[1] for row in newest), default=0))
    return DecisionsPage(
        decisions=[_row(row, _cost(db, row, costs)) for row in reversed(newest)],
        more=count(db, f"SELECT count(*) FROM decisions WHERE {which}") - len(newest),
        thinking=find_thinking_cost(db),
    )


def _cost(db: Database, row: _Row, costs: dict[int, list[tuple[int, Decimal]]] | None) -> Decimal | None:
    """Return the cost from this decision to the next one on the same wake, which is that of the strategy."""
    if costs is None:
        return None
    since, wake_id = row[:2]
    of_wake = costs.get(wake_id)
    if not of_wake:
        return ZERO
    next_ = "SELECT min(seq) FROM decisions WHERE wake_id = ? AND seq > ?"
    until = db.execute(next_, (wake_id, since)).fetchone()[0] or of_wake[-1][0] + 1
    return sum((usd for seq, usd in of_wake if since <= seq < until), ZERO)


def _row(row: _Row, cost_usd: Decimal | None) -> DecisionRow:
    _, wake_id, at, decider, thinking_ms, reasons, decision, orders, refused = row
    return DecisionRow(
        wake_id=wake_id,
        at=at,
        decider=decider,
        thinking_ms=thinking_ms,
        reasons=_decode_reasons(reasons or "[]"),
        decision=_decode_decision(decision),
        orders=orders,
        refusals=refused,
        cost_usd=cost_usd,
    )

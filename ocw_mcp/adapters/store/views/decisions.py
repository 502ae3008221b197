"""The decisions of a book, and what came of each."""

from decimal import Decimal
from pathlib import Path

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.book import StoredBook
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.spent import Spent, costs_since, find_spent
from ocw_mcp.adapters.store.totals import count
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.snapshot import WakeReason


class DecisionRow(msgspec.Struct, frozen=True):
    """An answer to a wake, `thinking_ms` after it. Times in ms."""

    wake_id: int
    at: int
    decider: str
    thinking_ms: int
    reasons: tuple[WakeReason, ...]
    """Why the gate woke."""
    decision: Decision
    orders: int
    """How many orders it led to."""
    refusals: int
    cost_usd: Decimal | None
    """What its thinking cost until another decision on the wake took its place, a late answer included.

    None where no engine of this version has opened the book yet.
    """


class DecisionsPage(msgspec.Struct, frozen=True):
    """The newest decisions, newest last, and how many older ones there are."""

    decisions: list[DecisionRow]
    more: int
    thinking: Spent | None
    """What all of them cost; None where nobody can tell yet."""


_ACTS = """EXISTS (SELECT 1 FROM json_each(decision, '$.legs') AS leg
    WHERE json_extract(leg.value, '$.action') <> 'HOLD')"""
# Joined and not asked for row by row: no table has an index by wake, and a book may have many.
_NEWEST = """SELECT seq, wake_id, at, decider, thinking_ms, reasons, decision, coalesce(sent, 0), coalesce(refused, 0)
    FROM decisions
    LEFT JOIN (SELECT wake_id, reasons, min(seq) FROM wakes GROUP BY wake_id) USING (wake_id)
    LEFT JOIN (SELECT wake_id, count(*) AS sent FROM orders GROUP BY wake_id) USING (wake_id)
    LEFT JOIN (SELECT wake_id, count(*) AS refused FROM refusals GROUP BY wake_id) USING (wake_id)
    WHERE {which} ORDER BY seq DESC LIMIT ?"""

_Row = tuple[int, int, int, str, int, str | None, str, int, int]
_decode_reasons = msgspec.json.Decoder(tuple[WakeReason, ...]).decode
_decode_decision = msgspec.json.Decoder(Decision).decode


def read_decisions(state: Path, limit: int, *, acted: bool = False) -> DecisionsPage:
    """The newest `limit` decisions; `acted` leaves out those that only held.

    Raises BookError where the book cannot be read.
    """
    return ask_book(state, lambda db, book: find_decisions(db, book, limit, acted=acted))


def find_decisions(db: Database, book: StoredBook, limit: int, *, acted: bool = False) -> DecisionsPage:
    """The same within a look at the book."""
    which = _ACTS if acted else "1"
    newest = msgspec.convert(db.execute(_NEWEST.format(which=which), (limit,)).fetchall(), list[_Row])
    paid = costs_since(db, min((row[1] for row in newest), default=0))
    return DecisionsPage(
        decisions=[_row(row, _cost(db, row, paid)) for row in reversed(newest)],
        more=count(db, f"SELECT count(*) FROM decisions WHERE {which}") - len(newest),
        thinking=find_spent(db),
    )


def _cost(db: Database, row: _Row, paid: dict[int, list[tuple[int, Decimal]]] | None) -> Decimal | None:
    """What was paid from this decision on until the next one on the same wake, which is that of the rules."""
    if paid is None:
        return None
    since, wake_id = row[:2]
    costs = paid.get(wake_id)
    if not costs:
        return ZERO
    next_ = "SELECT min(seq) FROM decisions WHERE wake_id = ? AND seq > ?"
    until = db.execute(next_, (wake_id, since)).fetchone()[0] or costs[-1][0] + 1
    return sum((usd for seq, usd in costs if since <= seq < until), ZERO)


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

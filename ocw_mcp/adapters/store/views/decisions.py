"""The decisions of a book, and what came of each."""

from pathlib import Path

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.book import Book
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.totals import count
from ocw_mcp.domain.decision import Decision
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


class Decisions(msgspec.Struct, frozen=True):
    """The newest decisions, newest last, and how many older ones there are."""

    decisions: list[DecisionRow]
    more: int


_ACTS = """EXISTS (SELECT 1 FROM json_each(decision, '$.legs') AS leg
    WHERE json_extract(leg.value, '$.action') <> 'HOLD')"""
_NEWEST = """SELECT wake_id, at, decider, thinking_ms,
    (SELECT reasons FROM wakes WHERE wakes.wake_id = decisions.wake_id LIMIT 1), decision,
    (SELECT count(*) FROM orders WHERE orders.wake_id = decisions.wake_id),
    (SELECT count(*) FROM refusals WHERE refusals.wake_id = decisions.wake_id)
    FROM decisions WHERE {which} ORDER BY seq DESC LIMIT ?"""

_Row = tuple[int, int, str, int, str | None, str, int, int]
_decode_reasons = msgspec.json.Decoder(tuple[WakeReason, ...]).decode
_decode_decision = msgspec.json.Decoder(Decision).decode


def read_decisions(state: Path, limit: int, *, acted: bool = False) -> Decisions:
    """The newest `limit` decisions; `acted` leaves out those that only held.

    Raises BookError where the book cannot be read.
    """
    return ask_book(state, lambda db, book: find_decisions(db, book, limit, acted=acted))


def find_decisions(db: Database, book: Book, limit: int, *, acted: bool = False) -> Decisions:
    """The same within a look at the book."""
    which = _ACTS if acted else "1"
    newest = msgspec.convert(db.execute(_NEWEST.format(which=which), (limit,)).fetchall(), list[_Row])
    return Decisions(
        decisions=[_row(*row) for row in reversed(newest)],
        more=count(db, f"SELECT count(*) FROM decisions WHERE {which}") - len(newest),
    )


def _row(
    wake_id: int, at: int, decider: str, thinking_ms: int, reasons: str | None, decision: str, orders: int, refused: int
) -> DecisionRow:
    return DecisionRow(
        wake_id=wake_id,
        at=at,
        decider=decider,
        thinking_ms=thinking_ms,
        reasons=_decode_reasons(reasons or "[]"),
        decision=_decode_decision(decision),
        orders=orders,
        refusals=refused,
    )

"""The decisions of a book, and what came of each."""

from decimal import Decimal
from pathlib import Path

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.book import StoredBook
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.rows import read_payload
from ocw_mcp.adapters.store.spent import Spent, costs_since, find_spent
from ocw_mcp.adapters.store.totals import count
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.snapshot import SymbolWake


class DecisionRow(msgspec.Struct, frozen=True):
    """An answer to a wake, `thinking_ms` after it. Times in ms."""

    wake_id: int
    at: int
    decider: str
    thinking_ms: int
    reasons: tuple[SymbolWake, ...]
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
_NEWEST = """SELECT seq, wake_id, at, decider, thinking_ms, decision FROM decisions WHERE {which}
    ORDER BY seq DESC LIMIT ?"""

_Row = tuple[int, int, int, str, int, str]
_reasons = msgspec.json.Decoder(tuple[SymbolWake, ...])
_decision = msgspec.json.Decoder(Decision)


def read_decisions(state: Path, limit: int, *, acted: bool = False) -> DecisionsPage:
    """The newest `limit` decisions; `acted` leaves out those that only held.

    Raises BookError where the book cannot be read.
    """
    return ask_book(state, lambda db, book: find_decisions(db, book, limit, acted=acted))


def find_decisions(db: Database, book: StoredBook, limit: int, *, acted: bool = False) -> DecisionsPage:
    """The same within a look at the book."""
    which = _ACTS if acted else "1"
    newest = msgspec.convert(db.execute(_NEWEST.format(which=which), (limit,)).fetchall(), list[_Row])
    beside = _Beside(db, min((row[0] for row in newest), default=0), min((row[1] for row in newest), default=0))
    return DecisionsPage(
        decisions=[_row(row, beside) for row in reversed(newest)],
        more=count(db, f"SELECT count(*) FROM decisions WHERE {which}") - len(newest),
        thinking=find_spent(db),
    )


class _Beside:
    """What other tables hold about decisions from a sequence and a wake on, each read once."""

    def __init__(self, db: Database, since: int, wake_id: int) -> None:
        self.reasons: dict[int, str] = {}
        for wake, reasons in db.execute(
            "SELECT wake_id, reasons FROM wakes WHERE wake_id >= ? ORDER BY seq", (wake_id,)
        ):
            self.reasons.setdefault(wake, reasons)
        self.orders = _counts(db, "orders", wake_id)
        self.refusals = _counts(db, "refusals", wake_id)
        self._next: dict[int, int] = {}
        last: dict[int, int] = {}
        for seq, wake in db.execute("SELECT seq, wake_id FROM decisions WHERE seq >= ? ORDER BY seq", (since,)):
            if wake in last:
                self._next[last[wake]] = seq
            last[wake] = seq
        self._paid = costs_since(db, wake_id)

    def cost(self, seq: int, wake_id: int) -> Decimal | None:
        """What was paid from a decision on until the next one on the same wake, which is that of the rules."""
        if self._paid is None:
            return None
        until = self._next.get(seq)
        costs = self._paid.get(wake_id, ())
        return sum((usd for at, usd in costs if seq <= at and (until is None or at < until)), ZERO)


def _counts(db: Database, table: str, wake_id: int) -> dict[int, int]:
    return dict(
        db.execute(f"SELECT wake_id, count(*) FROM {table} WHERE wake_id >= ? GROUP BY wake_id", (wake_id,)).fetchall()
    )


def _row(row: _Row, beside: _Beside) -> DecisionRow:
    seq, wake_id, at, decider, thinking_ms, decision = row
    return DecisionRow(
        wake_id=wake_id,
        at=at,
        decider=decider,
        thinking_ms=thinking_ms,
        reasons=read_payload(_reasons, beside.reasons.get(wake_id, "[]")),
        decision=read_payload(_decision, decision),
        orders=beside.orders.get(wake_id, 0),
        refusals=beside.refusals.get(wake_id, 0),
        cost_usd=beside.cost(seq, wake_id),
    )

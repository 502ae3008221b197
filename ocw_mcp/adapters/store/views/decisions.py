"""The decisions of a book, with the orders, refusals and LLM cost of each."""

from decimal import Decimal

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.figures import count
from ocw_mcp.adapters.store.schema import read_payload
from ocw_mcp.adapters.store.views.thinking import ThinkingCost, costs_since, find_thinking_cost
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.snapshot import SymbolWake


class DecisionRow(msgspec.Struct, frozen=True):
    """The answer to a wake, `thinking_ms` after it. Times are in ms."""

    wake_id: int
    at: int
    decider: str
    thinking_ms: int
    reasons: tuple[SymbolWake, ...]
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
_NEWEST = """SELECT seq, wake_id, at, decider, thinking_ms, decision FROM decisions WHERE {which}
    ORDER BY seq DESC LIMIT ?"""

_Row = tuple[int, int, int, str, int, str]
_reasons = msgspec.json.Decoder(tuple[SymbolWake, ...])
_decision = msgspec.json.Decoder(Decision)


def find_decisions(db: Database, limit: int, *, acted: bool = False) -> DecisionsPage:
    """Return the newest `limit` decisions; `acted` leaves out those with HOLD alone."""
    which = _ACTS if acted else "1"
    newest = msgspec.convert(db.execute(_NEWEST.format(which=which), (limit,)).fetchall(), list[_Row])
    beside = _Beside(db, min((row[0] for row in newest), default=0), min((row[1] for row in newest), default=0))
    return DecisionsPage(
        decisions=[_row(row, beside) for row in reversed(newest)],
        more=count(db, f"SELECT count(*) FROM decisions WHERE {which}") - len(newest),
        thinking=find_thinking_cost(db),
    )


class _Beside:
    """The rows of other tables about decisions from a sequence and a wake on, each table read once."""

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
        """The cost (USD) from a decision until the next one on the same wake, which is the decision of the rules."""
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

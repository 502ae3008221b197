"""The decisions of a book, with the orders, refusals and LLM cost of each."""

from collections import defaultdict
from decimal import Decimal

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.figures import count
from ocw_mcp.adapters.store.schema import read_payload
from ocw_mcp.adapters.store.views.thinking import ThinkingCost, find_thinking_cost, has_costs
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.snapshot import SymbolWake


class DecisionRow(msgspec.Struct, frozen=True):
    """The answer to a wake, `thinking_ms` after it. Times are in ms."""

    wake_id: int
    at: int
    decider: str
    thinking_ms: int
    reasons: tuple[SymbolWake, ...]
    decision: Decision
    orders: int
    refusals: int
    cost_usd: Decimal | None
    """The LLM cost up to the next decision on the wake, such as that of the rules, a late answer included.

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

# A cost belongs to the latest decision on its wake; at one sequence, the decision (NULL) comes before its cost.
_COSTS = """SELECT seq, wake_id, NULL AS cost_usd FROM decisions WHERE seq >= ?
    UNION ALL SELECT seq, wake_id, cost_usd FROM thinking WHERE wake_id >= ? ORDER BY seq, cost_usd"""

_Row = tuple[int, int, int, str, int, str]
_reasons = msgspec.json.Decoder(tuple[SymbolWake, ...])
_decision = msgspec.json.Decoder(Decision)


def find_decisions(db: Database, limit: int, *, acted: bool = False) -> DecisionsPage:
    """Return the newest `limit` decisions; `acted` leaves out those with HOLD alone."""
    which = _ACTS if acted else "1"
    newest = msgspec.convert(db.execute(_NEWEST.format(which=which), (limit,)).fetchall(), list[_Row])
    since, first = min((row[0] for row in newest), default=0), min((row[1] for row in newest), default=0)
    # Each table is read once. Of several wakes with one id, the first counts.
    reasons = dict(db.execute("SELECT wake_id, reasons FROM wakes WHERE wake_id >= ? ORDER BY seq DESC", (first,)))
    orders, refusals = _counts(db, "orders", first), _counts(db, "refusals", first)
    costs = _costs(db, since, first) if has_costs(db) else None
    return DecisionsPage(
        decisions=[
            DecisionRow(
                wake_id=wake_id,
                at=at,
                decider=decider,
                thinking_ms=thinking_ms,
                reasons=read_payload(_reasons, reasons.get(wake_id, "[]")),
                decision=read_payload(_decision, decision),
                orders=orders.get(wake_id, 0),
                refusals=refusals.get(wake_id, 0),
                cost_usd=None if costs is None else costs[seq],
            )
            for seq, wake_id, at, decider, thinking_ms, decision in reversed(newest)
        ],
        more=count(db, f"SELECT count(*) FROM decisions WHERE {which}") - len(newest),
        thinking=find_thinking_cost(db),
    )


def _costs(db: Database, since: int, wake_id: int) -> defaultdict[int, Decimal]:
    """Return the LLM costs (USD) of decisions from a sequence and a wake on, by the sequence of the decision."""
    costs, decided = defaultdict[int, Decimal](Decimal), dict[int, int]()
    for seq, wake, usd in db.execute(_COSTS, (since, wake_id)):
        if usd is None:
            decided[wake] = seq
        elif wake in decided:
            costs[decided[wake]] += Decimal(usd)
    return costs


def _counts(db: Database, table: str, wake_id: int) -> dict[int, int]:
    return dict(db.execute(f"SELECT wake_id, count(*) FROM {table} WHERE wake_id >= ? GROUP BY wake_id", (wake_id,)))

"""The LLM cost of decisions, and the cause of each: from the answers, corrections and ends in the journal."""

from decimal import Decimal

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.figures import total
from ocw_mcp.adapters.store.schema import journal_event
from ocw_mcp.domain.causes import Cause
from ocw_mcp.domain.events import DecisionCorrected, DecisionDiscarded, DecisionEnded, DecisionMade
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.time import day_begins, utc_day

_HAS_TABLE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'thinking'"
_NEWEST = """SELECT row, at, payload FROM events WHERE kind IN
    ('decision.made', 'decision.corrected', 'decision.ended', 'decision.discarded') ORDER BY row DESC LIMIT ?"""


class ThinkingCost(msgspec.Struct, frozen=True):
    """The LLM cost of decisions in USD: of the UTC day and month of the book's last event, and in total."""

    day: str
    today_usd: Decimal
    this_month_usd: Decimal
    total_usd: Decimal


class DecisionCost(msgspec.Struct, frozen=True):
    """The journal's record of one wake's decision; `at` (ms) is when it took effect."""

    wake_id: int
    at: int
    thinking_ms: int
    cause: Cause | None
    """Why the decision is not the model's own, or its HOLD; None if submitted legs are in force."""
    cost_usd: Decimal


def find_thinking_cost(db: Database) -> ThinkingCost | None:
    """Return the LLM cost; None in a new book, or if no engine of this version has opened it yet."""
    last = db.execute("SELECT at FROM events WHERE seq = (SELECT max(seq) FROM events)").fetchone()
    if last is None or not _has_costs(db):
        return None
    day = utc_day(msgspec.convert(last[0], int))
    of_day, of_month = (
        total(db, f"SELECT cost_usd FROM thinking WHERE at >= {day_begins(since)}") for since in (day, f"{day[:7]}-01")
    )
    return ThinkingCost(day, of_day, of_month, total(db, "SELECT cost_usd FROM thinking"))


def costs_since(db: Database, wake_id: int) -> dict[int, list[tuple[int, Decimal]]] | None:
    """Return the costs of a wake and of later ones, each as sequence and USD; None as for `find_thinking_cost`."""
    if not _has_costs(db):
        return None
    costs: dict[int, list[tuple[int, Decimal]]] = {}
    rows = db.execute("SELECT wake_id, seq, cost_usd FROM thinking WHERE wake_id >= ? ORDER BY seq", (wake_id,))
    for wake, seq, usd in rows:
        costs.setdefault(wake, []).append((seq, Decimal(usd)))
    return costs


def cost_of(db: Database, wake_id: int) -> Decimal | None:
    """Return the total LLM cost of a wake (USD); None as for `find_thinking_cost`."""
    costs = costs_since(db, wake_id)
    return None if costs is None else sum((usd for _, usd in costs.get(wake_id, ())), ZERO)


def find_thoughts(db: Database, limit: int) -> list[DecisionCost]:
    """Return the decisions of the newest `limit` events about decisions, newest last."""
    found: dict[int, DecisionCost] = {}
    for row, at, payload in reversed(db.execute(_NEWEST, (limit,)).fetchall()):
        event = journal_event(row, payload)
        assert isinstance(event, DecisionMade | DecisionCorrected | DecisionEnded | DecisionDiscarded)
        known = found.get(event.wake_id, DecisionCost(event.wake_id, at, 0, None, ZERO))
        known = msgspec.structs.replace(known, cost_usd=known.cost_usd + event.cost_usd)
        match event:
            case DecisionMade():
                cause = known.cause or event.decision.cause
                known = msgspec.structs.replace(known, thinking_ms=event.thinking_ms, cause=cause)
            case DecisionEnded():
                known = msgspec.structs.replace(known, cause=known.cause or event.cause)
        found[event.wake_id] = known
    return list(found.values())


def _has_costs(db: Database) -> bool:
    return db.execute(_HAS_TABLE).fetchone() is not None

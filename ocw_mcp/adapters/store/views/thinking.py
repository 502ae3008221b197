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

_NEWEST = """SELECT row, at, payload FROM events WHERE kind IN
    ('decision.made', 'decision.corrected', 'decision.ended', 'decision.discarded') ORDER BY row DESC LIMIT ?"""


class ThinkingCost(msgspec.Struct, frozen=True):
    """The LLM cost in USD: of the UTC day and month of the book's last event, and in total."""

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
    if last is None or not has_costs(db):
        return None
    day = utc_day(msgspec.convert(last[0], int))
    of_day, of_month = (
        total(db, f"SELECT cost_usd FROM thinking WHERE at >= {day_begins(since)}") for since in (day, f"{day[:7]}-01")
    )
    return ThinkingCost(day, of_day, of_month, total(db, "SELECT cost_usd FROM thinking"))


def has_costs(db: Database) -> bool:
    """Return whether a book has a table of LLM costs; it gets one when an engine of this version opens it."""
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'thinking'"
    return db.execute(query).fetchone() is not None


def find_thoughts(db: Database, limit: int) -> list[DecisionCost]:
    """Return the decisions of the newest `limit` events about decisions, newest last."""
    found: dict[int, DecisionCost] = {}
    for row, at, payload in reversed(db.execute(_NEWEST, (limit,)).fetchall()):
        event = journal_event(row, payload)
        assert isinstance(event, DecisionMade | DecisionCorrected | DecisionEnded | DecisionDiscarded)
        known = found.get(event.wake_id, DecisionCost(event.wake_id, at, 0, None, ZERO))
        cause, thinking_ms = known.cause, known.thinking_ms
        match event:
            case DecisionMade():
                cause, thinking_ms = cause or event.decision.cause, event.thinking_ms
            case DecisionEnded():
                cause = cause or event.cause
        cost = known.cost_usd + event.cost_usd
        found[event.wake_id] = DecisionCost(event.wake_id, known.at, thinking_ms, cause, cost)
    return list(found.values())

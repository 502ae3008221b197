"""The decisions of a book, with the orders, refusals and LLM cost of each."""

from collections import defaultdict
from decimal import Decimal

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.database import journal_event, read_payload
from ocw_mcp.adapters.store.figures import count, total
from ocw_mcp.adapters.store.views.orders import Page
from ocw_mcp.domain.causes import Cause
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.events import DecisionCorrected, DecisionDiscarded, DecisionEnded, DecisionMade
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.snapshot import SymbolWake
from ocw_mcp.domain.time import day_begins, utc_day


class ThinkingCost(msgspec.Struct, frozen=True):
    """The LLM cost in USD: of the UTC day and month of the book's last event, and in total."""

    day: str
    today_usd: Decimal
    this_month_usd: Decimal
    total_usd: Decimal


class DecisionCost(msgspec.Struct, frozen=True):
    """The cause and the LLM cost of one decision; `at` (ms) is when it took effect."""

    wake_id: int
    at: int
    thinking_ms: int
    cause: Cause | None
    """Why the model decided nothing or only HOLD; None if the legs that it submitted are in force."""
    cost_usd: Decimal


class DecisionRow(msgspec.Struct, frozen=True):
    """A decision for a wake, made `thinking_ms` after the wake. Times are in ms."""

    wake_id: int
    at: int
    decider: str
    thinking_ms: int
    reasons: tuple[SymbolWake, ...]
    decision: Decision
    orders: int
    refusals: int
    cost_usd: Decimal | None
    """The LLM cost from this decision to the next one on the same wake; None if unknown."""


class DecisionsPage(msgspec.Struct, frozen=True):
    """The newest decisions, newest last, and the number of older ones."""

    decisions: list[DecisionRow]
    more: int
    thinking: ThinkingCost | None
    """The LLM cost of all decisions; None if no engine of this version has opened the book yet."""


_ACTS = """EXISTS (SELECT 1 FROM json_each(decision, '$.legs') AS leg
    WHERE json_extract(leg.value, '$.action') <> 'HOLD')"""
_NEWEST = """SELECT seq, wake_id, at, decider, thinking_ms, decision FROM decisions WHERE seq < ? AND {which}
    ORDER BY seq DESC LIMIT ?"""
_LATEST = 1 << 62

_NEWEST_EVENTS = """SELECT row, at, payload FROM events WHERE kind IN
    ('decision.made', 'decision.corrected', 'decision.ended', 'decision.discarded') ORDER BY row DESC LIMIT ?"""
# A cost belongs to the latest decision on its wake; at one sequence, the decision (NULL) comes before its cost.
_COSTS = """SELECT seq, wake_id, NULL AS cost_usd FROM decisions WHERE seq >= ?
    UNION ALL SELECT seq, wake_id, cost_usd FROM thinking WHERE wake_id >= ? ORDER BY seq, cost_usd"""

_Row = tuple[int, int, int, str, int, str]
_reasons = msgspec.json.Decoder(tuple[SymbolWake, ...])
_decision = msgspec.json.Decoder(Decision)


def find_decisions(db: Database, limit: int, *, acted: bool = False) -> DecisionsPage:
    """Return the newest `limit` decisions; with `acted`, only decisions with a leg other than HOLD."""
    which = _ACTS if acted else "1"
    newest = msgspec.convert(db.execute(_NEWEST.format(which=which), (_LATEST, limit)).fetchall(), list[_Row])
    return DecisionsPage(
        decisions=_decisions(db, newest[::-1]),
        more=count(db, f"SELECT count(*) FROM decisions WHERE {which}") - len(newest),
        thinking=find_thinking_cost(db),
    )


def page_decisions(db: Database, limit: int, before: int | None, *, acted: bool = False) -> Page[DecisionRow]:
    """Return `limit` decisions, newest first, from before sequence `before`."""
    query = _NEWEST.format(which=_ACTS if acted else "1")
    found = db.execute(query, (_LATEST if before is None else before, limit + 1)).fetchall()
    newest = msgspec.convert(found[:limit], list[_Row])
    return Page(_decisions(db, newest), newest[-1][0] if len(found) > limit else None)


def _decisions(db: Database, rows: list[_Row]) -> list[DecisionRow]:
    """Return rows of the table as decisions, in the same order."""
    since, first = min((row[0] for row in rows), default=0), min((row[1] for row in rows), default=0)
    # Each table is read once. Of several wakes with one id, the first counts.
    reasons = dict(db.execute("SELECT wake_id, reasons FROM wakes WHERE wake_id >= ? ORDER BY seq DESC", (first,)))
    orders, refusals = _counts(db, "orders", first), _counts(db, "refusals", first)
    costs = _costs(db, since, first) if has_costs(db) else None
    return [
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
        for seq, wake_id, at, decider, thinking_ms, decision in rows
    ]


def _costs(db: Database, since: int, wake_id: int) -> defaultdict[int, Decimal]:
    """Return the LLM cost (USD) of each decision, by its sequence; from sequence `since` and wake `wake_id` on."""
    costs, decided = defaultdict[int, Decimal](Decimal), dict[int, int]()
    for seq, wake, usd in db.execute(_COSTS, (since, wake_id)):
        if usd is None:
            decided[wake] = seq
        elif wake in decided:
            costs[decided[wake]] += Decimal(usd)
    return costs


def _counts(db: Database, table: str, wake_id: int) -> dict[int, int]:
    return dict(db.execute(f"SELECT wake_id, count(*) FROM {table} WHERE wake_id >= ? GROUP BY wake_id", (wake_id,)))


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
    """Return the decisions that the newest `limit` decision events belong to, newest last."""
    found: dict[int, DecisionCost] = {}
    for row, at, payload in reversed(db.execute(_NEWEST_EVENTS, (limit,)).fetchall()):
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

"""What thinking cost, as the journal tells it: each answer, correction and end of a decision with its own USD."""

from decimal import Decimal

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.totals import total
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.time import day_begins, utc_day

_HAS_TABLE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'thinking'"


class Spent(msgspec.Struct, frozen=True):
    """USD for thinking on decisions: in the UTC day and month of the book's last event, and in all."""

    day: str
    today_usd: Decimal
    this_month_usd: Decimal
    total_usd: Decimal


def find_spent(db: Database) -> Spent | None:
    """What was spent; None where nothing has happened yet, or no engine of this version has opened the book."""
    last = db.execute("SELECT at FROM events WHERE seq = (SELECT max(seq) FROM events)").fetchone()
    if last is None or not _counted(db):
        return None
    day = utc_day(msgspec.convert(last[0], int))
    of_day, of_month = (
        total(db, f"SELECT cost_usd FROM thinking WHERE at >= {day_begins(since)}") for since in (day, f"{day[:7]}-01")
    )
    return Spent(day, of_day, of_month, total(db, "SELECT cost_usd FROM thinking"))


def costs_since(db: Database, wake_id: int) -> dict[int, list[tuple[int, Decimal]]] | None:
    """What was paid for a wake and those after it: sequence in the journal and USD. None as with `find_spent`."""
    if not _counted(db):
        return None
    paid: dict[int, list[tuple[int, Decimal]]] = {}
    rows = db.execute("SELECT wake_id, seq, cost_usd FROM thinking WHERE wake_id >= ? ORDER BY seq", (wake_id,))
    for wake, seq, usd in rows:
        paid.setdefault(wake, []).append((seq, Decimal(usd)))
    return paid


def cost_of(db: Database, wake_id: int) -> Decimal | None:
    """What all thinking on a wake cost (USD). None as with `find_spent`."""
    paid = costs_since(db, wake_id)
    return None if paid is None else sum((usd for _, usd in paid.get(wake_id, ())), ZERO)


def _counted(db: Database) -> bool:
    return db.execute(_HAS_TABLE).fetchone() is not None

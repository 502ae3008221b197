"""The journal of one UTC day, event by event."""

from bisect import bisect_left

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.database import journal_event
from ocw_mcp.domain.events import JournalEvent
from ocw_mcp.domain.time import DAY, day_begins, utc_day


class EventRow(msgspec.Struct, frozen=True):
    """A stored event; `at` is in ms."""

    row: int
    at: int
    event: JournalEvent


class DayPage(msgspec.Struct, frozen=True):
    """Some events of a day, the number of all its events, and the row after which the next page begins."""

    day: str | None
    events: list[EventRow]
    total: int
    next: int | None


def read_day(db: Database, day: str | None, kinds: tuple[str, ...], limit: int, after: int | None) -> DayPage:
    """Return `limit` events of a day after row `after`; by default of the day of the last event, and of all kinds.

    `kinds` are whole (`order.filled`), or the part before the dot (`order`). Raises ValueError for an invalid day.
    """
    if day is None:
        last = db.execute("SELECT at FROM events ORDER BY row DESC LIMIT 1").fetchone()
        if last is None:
            return DayPage(None, [], 0, None)
        day = utc_day(last[0])
    begins = day_begins(day)
    first, end = _first_from(db, begins), _first_from(db, begins + DAY)
    kind = " OR ".join("kind = ? OR kind LIKE ? || '.%'" for _ in kinds) or "1"
    which = f"FROM events WHERE row >= ? AND row < ? AND ({kind})"
    names = [name for kind in kinds for name in (kind, kind)]
    total = db.execute(f"SELECT count(*) {which}", (first, end, *names))
    start = max(first, (after or 0) + 1)
    page = db.execute(f"SELECT row, at, payload {which} ORDER BY row LIMIT ?", (start, end, *names, limit + 1))
    rows = page.fetchall()
    events = [EventRow(row, at, journal_event(row, payload)) for row, at, payload in rows[:limit]]
    return DayPage(day, events, total.fetchone()[0], events[-1].row if len(rows) > limit else None)


def _first_from(db: Database, time: int) -> int:
    """Return the number of the first row at `time` (ms) or later, found by bisection; one past the last if none."""
    last_row, last_seq = db.execute("SELECT max(row), max(seq) FROM events").fetchone()
    query = "SELECT row, at FROM events WHERE seq = ?"
    earlier = bisect_left(range(last_seq or 0), time, key=lambda each: db.execute(query, (each + 1,)).fetchone()[1])
    found = db.execute(query, (earlier + 1,)).fetchone()
    return 1 if earlier == 0 else int(found[0] if found else last_row + 1)

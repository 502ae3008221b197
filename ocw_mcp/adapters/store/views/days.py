"""The journal of one UTC day, event by event."""

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.schema import journal_event
from ocw_mcp.domain.events import JournalEvent
from ocw_mcp.domain.time import DAY, day_begins, utc_day


class EventRow(msgspec.Struct, frozen=True):
    """A stored event; `at` is in ms."""

    row: int
    at: int
    event: JournalEvent


class DayPage(msgspec.Struct, frozen=True):
    """Some events of a day, oldest first, and the row after which the next page begins."""

    day: str | None
    """None if nothing is journaled yet."""
    events: list[EventRow]
    total: int
    """Number of the day's events of the requested kinds."""
    next: int | None


def read_day(db: Database, day: str | None, kinds: tuple[str, ...], limit: int, after: int | None) -> DayPage:
    """Return `limit` events of a day after row `after`; without a day of the last one, without kinds of all kinds.

    A kind is a whole one, `order.filled`, or the part before the dot, `order`. Raises ValueError for an invalid day.
    """
    last = db.execute("SELECT max(row) FROM events").fetchone()[0] or 0
    if day is None:
        if not last:
            return DayPage(None, [], 0, None)
        day = utc_day(db.execute("SELECT at FROM events WHERE row = ?", (last,)).fetchone()[0])
    begins = day_begins(day)
    first, end = _first_from(db, begins), _first_from(db, begins + DAY)
    which = " OR ".join("kind = ? OR kind LIKE ? || '.%'" for _ in kinds) or "1"
    names = [name for kind in kinds for name in (kind, kind)]
    total = db.execute(f"SELECT count(*) FROM events WHERE row >= ? AND row < ? AND ({which})", (first, end, *names))
    rows = db.execute(
        f"SELECT row, at, payload FROM events WHERE row >= ? AND row < ? AND ({which}) ORDER BY row LIMIT ?",
        (max(first, (after or 0) + 1), end, *names, limit + 1),
    ).fetchall()
    events = [EventRow(row, at, journal_event(row, payload)) for row, at, payload in rows[:limit]]
    return DayPage(day, events, total.fetchone()[0], events[-1].row if len(rows) > limit else None)


def _first_from(db: Database, time: int) -> int:
    """Return the first row at `time` (ms) or later; one past the last if there is none.

    Domain events are in time order. Events about processes are not, after a crash, and stay with their neighbours.
    """
    last_row, last_seq = db.execute("SELECT max(row), max(seq) FROM events").fetchone()
    low, high = 1, (last_seq or 0) + 1
    while low < high:
        middle = (low + high) // 2
        if db.execute("SELECT at FROM events WHERE seq = ?", (middle,)).fetchone()[0] < time:
            low = middle + 1
        else:
            high = middle
    if low == 1:
        return 1
    if low > last_seq:
        return int(last_row) + 1
    return int(db.execute("SELECT row FROM events WHERE seq = ?", (low,)).fetchone()[0])

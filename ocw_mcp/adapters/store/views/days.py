"""The journal of one UTC day, event by event."""

from datetime import UTC, date, datetime
from typing import Any

import msgspec
from sqlite_utils import Database

from ocw_mcp.domain.time import DAY, utc_day


class EventRow(msgspec.Struct, frozen=True):
    """An event as it was stored; `at` in ms."""

    row: int
    at: int
    kind: str
    payload: dict[str, Any]


class DayPage(msgspec.Struct, frozen=True):
    """Some events of a day, oldest first, and the row after which the next page begins."""

    day: str | None
    """None where nothing is journaled yet."""
    events: list[EventRow]
    total: int
    """Events of the day, of the kinds that were asked for."""
    next: int | None


_decode = msgspec.json.Decoder(dict[str, Any]).decode


def parse_day(text: str) -> int:
    """The first moment (ms) of a day such as `2026-03-09`. Raises ValueError."""
    found = date.fromisoformat(text)
    return int(datetime(found.year, found.month, found.day, tzinfo=UTC).timestamp()) * 1_000


def read_day(db: Database, day: str | None, kinds: tuple[str, ...], limit: int, after: int | None) -> DayPage:
    """`limit` events of a day, from after row `after`; of the last day where none is named, of all kinds without one.

    A kind is a whole one, `order.filled`, or what comes before the point, `order`. Raises ValueError for no day.
    """
    last = db.execute("SELECT max(row) FROM events").fetchone()[0] or 0
    if day is None:
        if not last:
            return DayPage(None, [], 0, None)
        day = utc_day(db.execute("SELECT at FROM events WHERE row = ?", (last,)).fetchone()[0])
    begins = parse_day(day)
    first, end = _first_from(db, begins), _first_from(db, begins + DAY)
    which = " OR ".join("kind = ? OR kind LIKE ? || '.%'" for _ in kinds) or "1"
    names = [name for kind in kinds for name in (kind, kind)]
    total = db.execute(f"SELECT count(*) FROM events WHERE row >= ? AND row < ? AND ({which})", (first, end, *names))
    rows = db.execute(
        f"SELECT row, at, kind, payload FROM events WHERE row >= ? AND row < ? AND ({which}) ORDER BY row LIMIT ?",
        (max(first, (after or 0) + 1), end, *names, limit + 1),
    ).fetchall()
    events = [EventRow(*msgspec.convert(row[:3], tuple[int, int, str]), _payload(row[3])) for row in rows[:limit]]
    return DayPage(day, events, total.fetchone()[0], events[-1].row if len(rows) > limit else None)


def _payload(text: str) -> dict[str, Any]:
    payload = _decode(text)
    payload.pop("kind", None)
    return payload


def _first_from(db: Database, moment: int) -> int:
    """The first row at `moment` (ms) or later; one past the last where there is none.

    Domain events are in order of time. What tells of processes is not, after a crash, and goes with its neighbours.
    """
    last_row, last_seq = db.execute("SELECT max(row), max(seq) FROM events").fetchone()
    low, high = 1, (last_seq or 0) + 1
    while low < high:
        middle = (low + high) // 2
        if db.execute("SELECT at FROM events WHERE seq = ?", (middle,)).fetchone()[0] < moment:
            low = middle + 1
        else:
            high = middle
    if low == 1:
        return 1
    if low > last_seq:
        return int(last_row) + 1
    return int(db.execute("SELECT row FROM events WHERE seq = ?", (low,)).fetchone()[0])

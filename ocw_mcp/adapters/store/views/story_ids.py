"""The ids that name a part of a book: a wake, an order or a refusal, and the wake that each belongs to."""

import re
from typing import NamedTuple

from sqlite_utils import Database

from ocw_mcp.adapters.store.book import StoredBook
from ocw_mcp.adapters.store.figures import count
from ocw_mcp.domain.errors import SettingsError

_NUMBER = "[0-9]{1,18}"
_WAKE = re.compile(f"(?:wake:|decision:)?({_NUMBER})(?::{_NUMBER})?")
_ORDER = re.compile(f"(?:ocw-([a-z0-9]{{6}})-|order:)?({_NUMBER})-([estx])-({_NUMBER})")
_GROUP = re.compile(f"(?:order:)?({_NUMBER})")
_REFUSAL = re.compile(f"refusal:({_NUMBER})")


class UnknownIdError(SettingsError):
    """A book has nothing with an id: `what` says so, and `exists` which ids there are."""

    def __init__(self, what: str, exists: str, hint: str = "") -> None:
        self.what = what
        self.exists = exists
        super().__init__("; ".join(filter(None, (what, exists, hint))))


class StoryId(NamedTuple):
    """The wake of a named id, and the order, refusal or symbol to restrict the story to; without a wake, one of these
    alone.
    """

    wake_id: int | None
    symbol: str | None = None
    order: tuple[int, str, int] | None = None
    """Counter, leg and revision."""
    refusal: int | None = None
    """Its sequence in the journal."""


def resolve(db: Database, book: StoredBook, text: str) -> StoryId:
    """Return the part of a book with an id: `12`, `wake:12`, `decision:12`, `order:3`, `3-e-0`, `ocw-<book>-3-e-0` or
    `refusal:478`.

    A bare number is a wake, and the counter of an order only if there is no such wake. Raises SettingsError if the book
    has nothing with that id.
    """
    text = text.strip()
    if (found := _WAKE.fullmatch(text)) and _has(db, "wakes", "wake_id", int(found[1])):
        return StoryId(int(found[1]))
    if (found := _ORDER.fullmatch(text)) and found[1] in (None, book.book):
        found_id = _order(db, "n = ? AND leg = ? AND revision = ?", int(found[2]), found[3], int(found[4]))
    elif found := _GROUP.fullmatch(text):
        found_id = _order(db, "n = ?", int(found[1]))
    elif found := _REFUSAL.fullmatch(text):
        row = db.execute("SELECT wake_id, symbol FROM refusals WHERE seq = ?", (int(found[1]),)).fetchone()
        found_id = StoryId(row[0], row[1], refusal=int(found[1])) if row else None
    else:
        found_id = None
    if found_id is None:
        raise UnknownIdError(f"{_shown(text)} is nothing in this book", *_what_exists(db, book))
    return found_id


def _order(db: Database, which: str, *values: int | str) -> StoryId | None:
    """Return an order with its wake: for an order of the position guard, the wake of the entry that it protects."""
    row = db.execute(
        f"SELECT wake_id, symbol, n, leg, revision FROM orders WHERE {which} ORDER BY rowid LIMIT 1", values
    ).fetchone()
    if row is None:
        return None
    wake_id, symbol, *name = row
    if wake_id is None:
        entry = db.execute(
            "SELECT wake_id FROM orders WHERE n = ? AND wake_id IS NOT NULL ORDER BY rowid LIMIT 1", (name[0],)
        ).fetchone()
        wake_id = entry[0] if entry else None
    return StoryId(wake_id, symbol, order=(name[0], name[1], name[2]))


def _has(db: Database, table: str, column: str, value: int) -> bool:
    return db.execute(f"SELECT 1 FROM {table} WHERE {column} = ? LIMIT 1", (value,)).fetchone() is not None


def _what_exists(db: Database, book: StoredBook) -> tuple[str, ...]:
    wakes = db.execute("SELECT min(wake_id), max(wake_id) FROM wakes").fetchone()
    orders = db.execute("SELECT min(n), max(n) FROM orders").fetchone()
    refused = db.execute("SELECT max(seq) FROM refusals").fetchone()[0]
    offers = [
        f"wake:{wakes[0]} to wake:{wakes[1]}" if wakes[0] is not None else "",
        f"order:{orders[0]} to order:{orders[1]} (ocw-{book.book}-...)" if orders[0] is not None else "",
        f"{count(db, 'SELECT count(*) FROM refusals')} refusals up to refusal:{refused}" if refused is not None else "",
    ]
    there = ", ".join(filter(None, offers))
    return (
        (f"it has {there}", "ocw decisions and ocw orders list them")
        if there
        else ("it holds no wake and no order yet",)
    )


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 40 else f"a text of {len(text)} characters"

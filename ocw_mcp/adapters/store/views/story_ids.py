"""The ids that name a part of a book: a wake, an order or a refusal, and the wake that each belongs to."""

import re
from typing import NamedTuple

from sqlite_utils import Database

from ocw_mcp.adapters.store.book import StoredBook
from ocw_mcp.adapters.store.figures import count
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.orders import OrderRef, Purpose

_NUMBER = "[0-9]{1,18}"
_WAKE = re.compile(f"(?:wake:|decision:)?({_NUMBER})(?::{_NUMBER})?")
_ORDER = re.compile(f"(?:ocw-([a-z0-9]{{6}})-|order:)?({_NUMBER})-([estx])-({_NUMBER})")
_GROUP = re.compile(f"(?:order:)?({_NUMBER})")
_REFUSAL = re.compile(f"refusal:({_NUMBER})")
_ORDER_QUERY = """SELECT coalesce(wake_id, (SELECT wake_id FROM orders AS entry
    WHERE entry.n = orders.n AND wake_id IS NOT NULL ORDER BY rowid LIMIT 1)), symbol, n, leg, revision FROM orders"""


class UnknownIdError(SettingsError):
    """A book has nothing with an id: `what` says so, and `exists` which ids there are."""

    def __init__(self, what: str, exists: str, hint: str = "") -> None:
        self.what = what
        self.exists = exists
        super().__init__("; ".join(filter(None, (what, exists, hint))))


class StoryId(NamedTuple):
    """The wake of a story, and the symbol, order or refusal to which the story is restricted.

    Without a wake, the story is that of the order or refusal alone. `refusal` is its sequence in the journal.
    """

    wake_id: int | None
    symbol: str | None = None
    order: OrderRef | None = None
    refusal: int | None = None


def resolve(db: Database, book: StoredBook, text: str) -> StoryId:
    """Return the part of a book with an id: `wake:12`, `decision:12`, `order:3`, `3-e-0`, `ocw-<book>-3-e-0`,
    `refusal:478`, or `12`, which is a wake, or the counter of an order if there is no such wake.

    Raises SettingsError if the book has nothing with that id.
    """
    text = text.strip()
    if (found := _WAKE.fullmatch(text)) and count(db, "SELECT count(*) FROM wakes WHERE wake_id = ?", found[1]):
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
        shown = repr(text) if len(text) <= 40 else f"a text of {len(text)} characters"
        raise UnknownIdError(f"{shown} is nothing in this book", *_what_exists(db, book))
    return found_id


def _order(db: Database, which: str, *values: int | str) -> StoryId | None:
    """Return an order with its wake: for an order of the position guard, the wake of the entry that it protects."""
    row = db.execute(f"{_ORDER_QUERY} WHERE {which} ORDER BY rowid LIMIT 1", values).fetchone()
    return StoryId(row[0], row[1], OrderRef(row[2], Purpose(row[3]), row[4])) if row else None


def _what_exists(db: Database, book: StoredBook) -> tuple[str, ...]:
    first_wake, last_wake = db.execute("SELECT min(wake_id), max(wake_id) FROM wakes").fetchone()
    first_order, last_order = db.execute("SELECT min(n), max(n) FROM orders").fetchone()
    refusals, refused = db.execute("SELECT count(*), max(seq) FROM refusals").fetchone()
    there = [f"wake:{first_wake} to wake:{last_wake}"] if first_wake is not None else []
    there += [f"order:{first_order} to order:{last_order} (ocw-{book.book}-...)"] if first_order is not None else []
    there += [f"{refusals} refusals up to refusal:{refused}"] if refusals else []
    if not there:
        return ("it holds no wake and no order yet",)
    return f"it has {', '.join(there)}", "ocw decisions and ocw orders list them"

"""The orders of a book, and those that were refused."""

from decimal import Decimal
from pathlib import Path

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.book import StoredBook
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.totals import count
from ocw_mcp.adapters.store.views.approvals import ApprovalRow, find_approvals
from ocw_mcp.domain.events import OrderRefused

LIVE = ("intended", "accepted", "partially_filled", "cancel_requested", "unknown")
"""The states of an order that may still trade."""


class OrderRow(msgspec.Struct, frozen=True):
    """An order and what became of it. Quantities in the base asset, prices and fees in quote currency, times in ms."""

    id: str
    """Its client id."""
    name: str
    """Its name inside the book: counter, leg, revision."""
    at: int
    updated_at: int
    symbol: str
    purpose: str
    side: str
    type: str
    quantity: Decimal
    trigger_price: Decimal | None
    status: str
    filled: Decimal
    average_price: Decimal | None
    fees: Decimal
    principal: str
    """Who asked."""
    wake_id: int | None
    policy_hash: str
    venue_order_id: str | None


class RefusalRow(msgspec.Struct, frozen=True):
    """An order that did not pass, and was not sent. `largest` in the base asset: what would have passed; 0: no size."""

    id: str
    at: int
    symbol: str
    purpose: str
    side: str
    quantity: Decimal
    stop: Decimal | None
    """The stop that an entry brought along, in quote currency."""
    code: str
    limit: str
    actual: str
    largest: Decimal
    principal: str
    wake_id: int | None
    policy_hash: str


class Orders(msgspec.Struct, frozen=True):
    """The newest orders and refusals, newest last, and how many older ones there are of each."""

    orders: list[OrderRow]
    more_orders: int
    finished_left_out: int
    """Orders that are through and were not asked for."""
    refusals: list[RefusalRow]
    more_refusals: int
    approvals: list[ApprovalRow] = []
    """The newest that waited for a person, newest last; only where all of it is asked for."""


class OrderPage(msgspec.Struct, frozen=True):
    """Some orders, newest first, and the row before which the next page begins."""

    orders: list[OrderRow]
    next: int | None


class RefusalPage(msgspec.Struct, frozen=True):
    """Some refusals, newest first, and the sequence before which the next page begins."""

    refusals: list[RefusalRow]
    next: int | None


_COLUMNS = """client_id, n || '-' || leg || '-' || revision, intended_at, updated_at, symbol, purpose, side, type,
    quantity, trigger_price, state, filled, average_price, fees, principal, wake_id, policy_hash, venue_order_id"""
_LIVE = f"state IN ({', '.join(repr(state) for state in LIVE)})"
_REFUSED = "SELECT refusals.seq, refusals.at, payload FROM refusals JOIN events USING (seq)"

_NO_ROW = 1 << 62
"""Above every row."""

_decode = msgspec.json.Decoder(OrderRefused).decode


def read_orders(state: Path, limit: int, *, finished: bool = False) -> Orders:
    """The newest `limit` orders and as many refusals and approvals; orders that are through only when asked for.

    Raises BookError where the book cannot be read.
    """

    def look(db: Database, book: StoredBook) -> Orders:
        found = find_orders(db, book, limit, finished=finished)
        return msgspec.structs.replace(found, approvals=find_approvals(db, limit))

    return ask_book(state, look)


def find_orders(db: Database, book: StoredBook, limit: int, *, finished: bool = False) -> Orders:
    """The same within a look at the book."""
    all_orders = count(db, "SELECT count(*) FROM orders")
    live = count(db, f"SELECT count(*) FROM orders WHERE {_LIVE}")
    which = "1" if finished else _LIVE
    # Rows are in the order of the intents, which is not that of the names.
    newest = db.execute(f"SELECT {_COLUMNS} FROM orders WHERE {which} ORDER BY rowid DESC LIMIT ?", (limit,)).fetchall()
    refused = db.execute(f"{_REFUSED} ORDER BY refusals.seq DESC LIMIT ?", (limit,)).fetchall()
    return Orders(
        orders=[order_row(row) for row in reversed(newest)],
        more_orders=(all_orders if finished else live) - len(newest),
        finished_left_out=0 if finished else all_orders - live,
        refusals=[refusal_row(*row) for row in reversed(refused)],
        more_refusals=count(db, "SELECT count(*) FROM refusals") - len(refused),
    )


def page_orders(db: Database, limit: int, before: int | None) -> OrderPage:
    """`limit` orders of any state, newest first, from before row `before`."""
    rows = db.execute(
        f"SELECT rowid, {_COLUMNS} FROM orders WHERE rowid < ? ORDER BY rowid DESC LIMIT ?",
        (_NO_ROW if before is None else before, limit + 1),
    ).fetchall()
    return OrderPage([order_row(row[1:]) for row in rows[:limit]], rows[limit - 1][0] if len(rows) > limit else None)


def page_refusals(db: Database, limit: int, before: int | None) -> RefusalPage:
    """`limit` refusals, newest first, from before sequence `before`."""
    rows = db.execute(
        f"{_REFUSED} WHERE refusals.seq < ? ORDER BY refusals.seq DESC LIMIT ?",
        (_NO_ROW if before is None else before, limit + 1),
    ).fetchall()
    return RefusalPage([refusal_row(*row) for row in rows[:limit]], rows[limit - 1][0] if len(rows) > limit else None)


def order_row(row: tuple[object, ...]) -> OrderRow:
    """A row of the projection as a value. Raises msgspec.ValidationError for one that makes no sense."""
    return msgspec.convert(dict(zip(OrderRow.__struct_fields__, row, strict=True)), OrderRow)


def refusal_row(seq: int, at: int, payload: str) -> RefusalRow:
    """A refusal from its event. Raises msgspec.MsgspecError for one that cannot be read."""
    at, refused = msgspec.convert(at, int), _decode(payload)
    intent, refusal = refused.intent, refused.refusal
    return RefusalRow(
        id=f"refusal:{seq}",
        at=at,
        symbol=intent.symbol,
        purpose=intent.purpose.name.lower(),
        side=intent.side.value,
        quantity=intent.quantity,
        stop=intent.protect_at,
        code=refusal.code.value,
        limit=refusal.limit,
        actual=refusal.actual,
        largest=refusal.largest,
        principal=intent.principal,
        wake_id=intent.wake_id,
        policy_hash=refused.policy_hash,
    )

"""The open positions of a book, its orders, its refused orders, and the orders that waited for approval."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Generic, TypeVar

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.database import GET_SUMMARY
from ocw_mcp.adapters.store.figures import count
from ocw_mcp.domain.events import ApprovalAsked, ApprovalEnded, OrderIntended, OrderRefused
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.snapshot import OpenPosition

LIVE = ("intended", "accepted", "triggered", "partially_filled", "cancel_requested", "unknown")
"""The states of an order that may still trade."""
WAITS = "waits"
_T = TypeVar("_T")


class OrderRow(msgspec.Struct, frozen=True):
    """An order and its state. Quantities in the base asset, prices and fees in quote currency, times in ms."""

    id: str
    """The client order id."""
    name: str
    """The reference inside the book: counter, leg, revision."""
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
    wake_id: int | None
    policy_hash: str
    rejection: str | None
    """The reason of a rejection: a `RejectReason`."""
    venue_order_ids: list[str]
    """The ids under which the venue knows the order: an OCO and a triggered order have several."""


class RefusalRow(msgspec.Struct, frozen=True):
    """A refused order, which was not sent. `largest` (base asset) is the largest size that passes; 0 if none does."""

    id: str
    at: int
    symbol: str
    purpose: str
    side: str
    quantity: Decimal
    stop: Decimal | None
    code: str
    limit: str
    actual: str
    largest: Decimal
    principal: str
    wake_id: int | None
    policy_hash: str


class ApprovalRow(msgspec.Struct, frozen=True):
    """An order that waited for approval. Quantity in the base asset, mark price in quote currency, time in ms."""

    id: str
    at: int
    symbol: str
    purpose: str
    side: str
    quantity: Decimal
    price: Decimal
    principal: str
    refusal: str | None
    """The id of the refusal after which the order waited."""
    outcome: str = WAITS
    """`waits`, or how the wait ended: approved, denied, unanswered, superseded."""
    by: str = ""
    order: str | None = None
    status: str | None = None
    """The state of the `order` that was sent after the approval, or the code of the refusal after it."""


class Orders(msgspec.Struct, frozen=True):
    """The newest orders, refusals and approvals, newest last, and how many are left out."""

    orders: list[OrderRow]
    more_orders: int
    finished_left_out: int
    refusals: list[RefusalRow]
    more_refusals: int
    approvals: list[ApprovalRow] = []


class Page(msgspec.Struct, Generic[_T], frozen=True):
    """Some orders or refusals, newest first, and the row or sequence before which the next page begins."""

    rows: list[_T]
    next: int | None


class PositionRow(OpenPosition, frozen=True):
    """An open position in the last summary of a book. Without a stop, it is closed at `unprotected_until` (ms)."""

    stop: Decimal | None
    protected: bool
    target: Decimal | None = None
    trail: Decimal | None = None
    """The distance at which the stop follows the best price, as a share of that price; None if it does not."""
    opened_at: int | None = None
    unprotected_until: int | None = None


class Positions(msgspec.Struct, frozen=True):
    """All open positions at `at` (ms), which is None if no engine has written a summary yet."""

    at: int | None
    positions: list[PositionRow]


_COLUMNS = """client_id, n || '-' || leg || '-' || revision, intended_at, updated_at, symbol, purpose, side, type,
    quantity, trigger_price, state, filled, average_price, fees, principal, wake_id, policy_hash, rejection,
    venue_order_ids"""
_LIVE = f"state IN ({', '.join(repr(state) for state in LIVE)})"
REFUSED = "SELECT refusals.seq, refusals.at, payload FROM refusals JOIN events USING (seq)"
_ASKED = "SELECT seq, at, payload FROM events WHERE kind = 'approval.asked' ORDER BY seq DESC LIMIT ?"
_FIRST_REFUSAL = "SELECT max(seq) FROM refusals WHERE seq < ? AND code = ? AND symbol = ? AND principal = ?"
_ENDED = """SELECT seq, payload FROM events WHERE seq > ? AND kind = 'approval.ended'
    AND json_extract(payload, '$.approval_id') = ? ORDER BY seq LIMIT 1"""
_OUTCOME = """SELECT payload FROM events WHERE seq > ? AND kind IN ('order.intended', 'order.refused')
    AND json_extract(payload, '$.intent.idempotency_key') = ? ORDER BY seq LIMIT 1"""
# `position.closed` directly follows its fill. If that fill reversed the position, it also opened the next one.
_OPENED = """SELECT min(at) FROM fills WHERE symbol = :symbol AND position <> '0' AND seq >=
    coalesce((SELECT max(seq) FROM trades WHERE symbol = :symbol), 1) - 1"""
_UNPROTECTED = """SELECT json_extract(payload, '$.deadline') FROM events WHERE kind = 'position.unprotected'
    AND json_extract(payload, '$.symbol') = :symbol ORDER BY seq DESC LIMIT 1"""

_decode_refused = msgspec.json.Decoder(OrderRefused).decode


def find_orders(db: Database, limit: int, *, finished: bool = False, approvals: bool = False) -> Orders:
    """Return the newest `limit` orders and refusals, newest last; finished orders and approvals only if requested."""
    all_orders = count(db, "SELECT count(*) FROM orders")
    live = count(db, f"SELECT count(*) FROM orders WHERE {_LIVE}")
    which = "1" if finished else _LIVE
    # The order of the rows is that of the intents, and not that of the references.
    newest = db.execute(f"SELECT {_COLUMNS} FROM orders WHERE {which} ORDER BY rowid DESC LIMIT ?", (limit,)).fetchall()
    refused = db.execute(f"{REFUSED} ORDER BY refusals.seq DESC LIMIT ?", (limit,)).fetchall()
    return Orders(
        orders=[_order_row(*row) for row in reversed(newest)],
        more_orders=(all_orders if finished else live) - len(newest),
        finished_left_out=0 if finished else all_orders - live,
        refusals=[refusal_row(*row) for row in reversed(refused)],
        more_refusals=count(db, "SELECT count(*) FROM refusals") - len(refused),
        approvals=_approvals(db, limit) if approvals else [],
    )


def page_orders(
    db: Database, limit: int, before: int | None, *, live: bool = False, symbol: str | None = None
) -> Page[OrderRow]:
    """Return `limit` orders, newest first, from before row `before`; `live` ones, or of any state; of all symbols."""
    which = f"{_LIVE if live else '1'} AND (?2 IS NULL OR symbol = ?2)"
    query = f"SELECT rowid, {_COLUMNS} FROM orders WHERE rowid < ?1 AND {which} ORDER BY rowid DESC LIMIT ?3"
    return _page(db, query, limit, before, symbol, lambda rowid, *values: _order_row(*values))


def page_refusals(db: Database, limit: int, before: int | None, *, symbol: str | None = None) -> Page[RefusalRow]:
    """Return `limit` refusals, newest first, from before sequence `before`; of one symbol, or of all."""
    which = "refusals.seq < ?1 AND (?2 IS NULL OR refusals.symbol = ?2)"
    return _page(db, f"{REFUSED} WHERE {which} ORDER BY refusals.seq DESC LIMIT ?3", limit, before, symbol, refusal_row)


def _page(
    db: Database, query: str, limit: int, before: int | None, symbol: str | None, read: Callable[..., _T]
) -> Page[_T]:
    first = 1 << 62 if before is None else before
    rows = db.execute(query, (first, symbol, limit + 1)).fetchall()
    return Page([read(*row) for row in rows[:limit]], rows[limit - 1][0] if len(rows) > limit else None)


def _approvals(db: Database, limit: int) -> list[ApprovalRow]:
    """Return the newest `limit` orders that waited for approval, newest last. Reads the whole journal."""
    rows = msgspec.convert(db.execute(_ASKED, (limit,)).fetchall(), list[tuple[int, int, str]])
    return [_approval(db, seq, at, payload) for seq, at, payload in reversed(rows)]


def _order_row(*values: Any) -> OrderRow:
    *terms, venue_ids = values
    fields = (*terms, msgspec.json.decode(venue_ids))
    return msgspec.convert(dict(zip(OrderRow.__struct_fields__, fields, strict=True)), OrderRow)


def refusal_row(seq: int, at: int, payload: str) -> RefusalRow:
    """Return a refusal from its event. Raises msgspec.MsgspecError for an unreadable event."""
    at, refused = msgspec.convert(at, int), _decode_refused(payload)
    intent, refusal = refused.intent, refused.refusal
    return RefusalRow(
        id=f"refusal:{seq}",
        at=at,
        symbol=intent.symbol,
        purpose=intent.wanted,
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


def _approval(db: Database, seq: int, at: int, payload: str) -> ApprovalRow:
    asked = msgspec.json.decode(payload, type=ApprovalAsked)
    intent = asked.intent
    asked_for = (seq, RefusalCode.APPROVAL_REQUIRED.value, intent.symbol, intent.principal)
    refusal = db.execute(_FIRST_REFUSAL, asked_for).fetchone()[0]
    row = ApprovalRow(
        id=asked.approval_id,
        at=at,
        symbol=intent.symbol,
        purpose=intent.purpose.name.lower(),
        side=intent.side.value,
        quantity=intent.quantity,
        price=asked.price,
        principal=intent.principal,
        refusal=None if refusal is None else f"refusal:{refusal}",
    )
    found = db.execute(_ENDED, (seq, row.id)).fetchone()
    if found is None:
        return row
    ended = msgspec.json.decode(found[1], type=ApprovalEnded)
    row = msgspec.structs.replace(row, outcome=ended.outcome, by=ended.by)
    key = (found[0], intent.idempotency_key)
    outcome = db.execute(_OUTCOME, key).fetchone() if ended.outcome == "approved" else None
    if outcome is None:
        return row
    event: OrderIntended | OrderRefused = msgspec.json.decode(outcome[0], type=OrderIntended | OrderRefused)
    if isinstance(event, OrderRefused):
        return msgspec.structs.replace(row, status=event.refusal.code.value)
    which = (event.ref.n, event.ref.leg.value, event.ref.revision)
    state = db.execute("SELECT state FROM orders WHERE n = ? AND leg = ? AND revision = ?", which).fetchone()
    return msgspec.structs.replace(row, order=str(event.ref), status=state[0] if state else None)


def find_positions(db: Database) -> Positions:
    """Return the open positions, by symbol."""
    found = db.execute(GET_SUMMARY).fetchone()
    if found is None:
        return Positions(None, [])
    summary = msgspec.json.decode(found[0], type=Positions)
    positions = []
    for row in summary.positions:
        which = {"symbol": row.symbol}
        (opened_at,) = msgspec.convert(db.execute(_OPENED, which).fetchone(), tuple[int | None])
        unprotected = None if row.protected else db.execute(_UNPROTECTED, which).fetchone()
        (deadline,) = msgspec.convert(unprotected or (None,), tuple[int | None])
        positions.append(msgspec.structs.replace(row, opened_at=opened_at, unprotected_until=deadline))
    return Positions(summary.at, positions)

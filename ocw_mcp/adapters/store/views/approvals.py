"""The orders of a book that waited for a person, what each was answered, and what came of it."""

from decimal import Decimal

import msgspec
from sqlite_utils import Database

from ocw_mcp.domain.events import ApprovalAsked, ApprovalEnded, OrderIntended, OrderRefused
from ocw_mcp.domain.reasons import RefusalCode

WAITS = "waits"


class ApprovalRow(msgspec.Struct, frozen=True):
    """An order that waited for a person. Quantity in the base asset, price in quote currency, time in ms."""

    id: str
    at: int
    symbol: str
    purpose: str
    side: str
    quantity: Decimal
    price: Decimal
    """The mark price that the person is shown."""
    principal: str
    """Who asked."""
    refusal: str | None
    """The refusal with which it began to wait."""
    outcome: str = WAITS
    """`waits`, or how that ended: approved, denied, unanswered, superseded."""
    by: str = ""
    order: str | None = None
    """The order that came of a yes, by its name."""
    status: str | None = None
    """What has become of that order, or the code with which it was refused after the yes."""


_ASKED = "SELECT seq, at, payload FROM events WHERE kind = 'approval.asked' ORDER BY seq DESC LIMIT ?"
_BEGAN = """SELECT max(seq) FROM refusals WHERE seq < ? AND code = ? AND symbol = ? AND principal = ?"""
_ENDED = """SELECT seq, payload FROM events WHERE seq > ? AND kind = 'approval.ended'
    AND json_extract(payload, '$.approval_id') = ? ORDER BY seq LIMIT 1"""
_CAME_OF_IT = """SELECT payload FROM events WHERE seq > ? AND kind IN ('order.intended', 'order.refused')
    AND json_extract(payload, '$.intent.idempotency_key') = ? ORDER BY seq LIMIT 1"""
_STATE = "SELECT state FROM orders WHERE n = ? AND leg = ? AND revision = ?"

_decode_asked = msgspec.json.Decoder(ApprovalAsked).decode
_decode_ended = msgspec.json.Decoder(ApprovalEnded).decode
_decode_order = msgspec.json.Decoder(OrderIntended | OrderRefused).decode


def find_approvals(db: Database, limit: int) -> list[ApprovalRow]:
    """The newest `limit` orders that waited for a person, newest last. Goes through the whole journal."""
    rows = msgspec.convert(db.execute(_ASKED, (limit,)).fetchall(), list[tuple[int, int, str]])
    return [_ended(db, seq, _asked(db, seq, at, _decode_asked(payload))) for seq, at, payload in reversed(rows)]


def _asked(db: Database, seq: int, at: int, asked: ApprovalAsked) -> tuple[ApprovalRow, str]:
    intent = asked.intent
    which = (seq, RefusalCode.APPROVAL_REQUIRED.value, intent.symbol, intent.principal)
    began = db.execute(_BEGAN, which).fetchone()[0]
    row = ApprovalRow(
        id=asked.approval_id,
        at=at,
        symbol=intent.symbol,
        purpose=intent.purpose.name.lower(),
        side=intent.side.value,
        quantity=intent.quantity,
        price=asked.price,
        principal=intent.principal,
        refusal=None if began is None else f"refusal:{began}",
    )
    return row, intent.idempotency_key


def _ended(db: Database, seq: int, asked: tuple[ApprovalRow, str]) -> ApprovalRow:
    row, key = asked
    found = db.execute(_ENDED, (seq, row.id)).fetchone()
    if found is None:
        return row
    ended = _decode_ended(found[1])
    row = msgspec.structs.replace(row, outcome=ended.outcome, by=ended.by)
    came = db.execute(_CAME_OF_IT, (found[0], key)).fetchone() if ended.outcome == "approved" else None
    if came is None:
        return row
    event = _decode_order(came[0])
    if isinstance(event, OrderRefused):
        return msgspec.structs.replace(row, status=event.refusal.code.value)
    ref = event.ref
    state = db.execute(_STATE, (ref.n, ref.leg.value, ref.revision)).fetchone()
    return msgspec.structs.replace(row, order=str(ref), status=state[0] if state else None)

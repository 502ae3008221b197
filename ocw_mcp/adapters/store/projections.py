"""Projections: tables for queries and reports, made from events alone.

An order's state comes from its latest event, with two exceptions: a filled order stays filled, and a late fill of a
canceled or rejected order does not change its state, unless the order is then complete. Quantities are in the base
asset, prices and money in quote currency, as text of Decimals; times are in ms.
"""

import re
from collections.abc import Callable
from decimal import Context, Decimal
from functools import partial

import msgspec
from sqlite_utils import Database

from ocw_mcp.domain import events
from ocw_mcp.domain.events import DomainEvent, kind_of
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.orders import OrderRef

OUTSIDE = "o"
"""The leg of a fill without an order of OCW."""

PROJECTIONS_VERSION = 9
"""Raise this number when a table or its content changes: older books are then rebuilt when they are opened."""

TABLES: dict[str, str] = {
    "orders": """n INTEGER, leg TEXT, revision INTEGER, client_id TEXT, symbol TEXT, side TEXT, type TEXT, purpose TEXT,
           quantity TEXT, trigger_price TEXT, limit_price TEXT, principal TEXT, wake_id INTEGER, idempotency_key TEXT,
           policy_hash TEXT,
           state TEXT, filled TEXT, turnover TEXT, average_price TEXT, fees TEXT, venue_order_ids TEXT,
           triggered INTEGER, rejection TEXT, intended_at INTEGER, updated_at INTEGER, close_position INTEGER,
           PRIMARY KEY (n, leg, revision)""",
    "fills": """seq INTEGER PRIMARY KEY, at INTEGER, n INTEGER, leg TEXT, revision INTEGER, fill_id TEXT, symbol TEXT,
           side TEXT, quantity TEXT, price TEXT, fee TEXT, traded_at INTEGER, maker INTEGER, realised TEXT,
           position TEXT, base_fee TEXT, fee_asset TEXT, fee_amount TEXT""",
    "wakes": "seq INTEGER PRIMARY KEY, at INTEGER, wake_id INTEGER, reasons TEXT",
    "decisions": (
        """seq INTEGER PRIMARY KEY, at INTEGER, wake_id INTEGER, decider TEXT, thinking_ms INTEGER, legs INTEGER,
           cause TEXT, decision TEXT"""
    ),
    "thinking": "seq INTEGER PRIMARY KEY, at INTEGER, wake_id INTEGER, cost_usd TEXT",
    "refusals": """seq INTEGER PRIMARY KEY, at INTEGER, code TEXT, symbol TEXT, "limit" TEXT, actual TEXT, largest TEXT,
           principal TEXT, wake_id INTEGER, policy_hash TEXT""",
    "trades": (
        "seq INTEGER PRIMARY KEY, symbol TEXT, opened_at INTEGER, closed_at INTEGER, pnl TEXT, fees TEXT, funding TEXT"
    ),
    "funding": """seq INTEGER PRIMARY KEY, at INTEGER, symbol TEXT, amount TEXT, rate TEXT, quantity TEXT, mark TEXT,
           settled_at INTEGER, assumed INTEGER""",
    "days": "seq INTEGER PRIMARY KEY, at INTEGER, day TEXT, equity TEXT",
}
"""The columns of each table. The key of `orders` is the reference of the order; `venue_order_ids` is a JSON array."""

_COLUMN = r'"?(\w+)"? (?:INTEGER|TEXT)'

Value = str | int | None
Change = tuple[str, dict[str, Value]]
"""A statement of SQL and its parameters."""

# An order reference is used once. If one were used again, the latest intent would replace it, and the journal goes on.
_ADD_ORDER = """INSERT OR REPLACE INTO orders VALUES (:n, :leg, :revision, :client_id, :symbol, :side, :type, :purpose,
    :quantity, :trigger_price, :limit_price, :principal, :wake_id, :idempotency_key, :policy_hash, 'intended', '0', '0',
    NULL, '0', '[]', 0, NULL, :at, :at, :close_position)"""
_INSERTS = {
    table: f"INSERT INTO {table} VALUES ({', '.join(':' + name for name in re.findall(_COLUMN, columns))})"
    for table, columns in TABLES.items()
    if table != "orders"
}

_THIS_ORDER = "WHERE n = :n AND leg = :leg AND revision = :revision"
_ADD_ID = "venue_order_ids = json_insert(venue_order_ids, '$[#]', :venue_order_id), updated_at = :at"
_ACCEPT = f"""UPDATE orders SET {_ADD_ID},
    state = CASE WHEN state IN ('intended', 'unknown') THEN 'accepted' ELSE state END {_THIS_ORDER}"""
_TRIGGER = f"""UPDATE orders SET {_ADD_ID}, triggered = 1,
    state = CASE WHEN state IN ('intended', 'unknown', 'accepted') THEN 'triggered' ELSE state END {_THIS_ORDER}"""
_KEEP = f"""UPDATE orders SET updated_at = :at,
    state = CASE WHEN filled <> '0' THEN 'partially_filled' WHEN triggered THEN 'triggered'
                 WHEN venue_order_ids = '[]' THEN 'intended' ELSE 'accepted' END
    {_THIS_ORDER} AND state = 'cancel_requested'"""
_MOVE_ON = f"""UPDATE orders SET state = :state, updated_at = :at, rejection = coalesce(:rejection, rejection)
    {_THIS_ORDER} AND state <> 'filled'"""
_SIZE = f"UPDATE orders SET quantity = :before {_THIS_ORDER} AND close_position AND filled = '0'"
_FILL = f"""UPDATE orders SET updated_at = :at,
    filled = dec_add(filled, :quantity),
    turnover = dec_add(turnover, dec_mul(:quantity, :price)),
    average_price = dec_div(dec_add(turnover, dec_mul(:quantity, :price)), dec_add(filled, :quantity)),
    fees = dec_add(fees, :fee),
    state = CASE WHEN dec_compare(dec_add(filled, :quantity), quantity) IN ('0', '1') THEN 'filled'
                 WHEN state IN ('canceled', 'rejected') THEN state ELSE 'partially_filled' END {_THIS_ORDER}"""

# Without traps: an absurd number ends as NaN in a table that can be rebuilt, and never stops the journal.
_money = Context(prec=28, traps=[])
_ARITHMETIC: dict[str, Callable[[Decimal, Decimal], Decimal]] = {
    "dec_add": _money.add,
    "dec_mul": _money.multiply,
    "dec_div": _money.divide,
    "dec_compare": _money.compare,
}
"""Decimal functions for SQL statements; `dec_compare` returns -1, 0 or 1."""


def _in_sql(calculate: Callable[[Decimal, Decimal], Decimal], a: str, b: str) -> str:
    return plain(calculate(Decimal(a), Decimal(b)))


def register_functions(db: Database) -> None:
    """Register Decimal arithmetic on a connection, for the statements that use it."""
    for name, calculate in _ARITHMETIC.items():
        db.conn.create_function(name, 2, partial(_in_sql, calculate), deterministic=True)


def remake_tables(db: Database) -> None:
    """Drop all projections and create them empty; the caller holds the transaction."""
    for name, columns in TABLES.items():
        db.execute(f"DROP TABLE IF EXISTS {name}")
        db.execute(f"CREATE TABLE {name} ({columns})")
    db.execute(f"PRAGMA user_version = {PROJECTIONS_VERSION}")


def is_current(db: Database) -> bool:
    """Return whether the projections have PROJECTIONS_VERSION. Raises sqlite3.Error."""
    return bool(db.execute("PRAGMA user_version").fetchone()[0] == PROJECTIONS_VERSION)


def apply(db: Database, book: str, seq: int, at: int, event: DomainEvent) -> None:
    """Apply an event to the projections of a book; the caller holds the transaction."""
    execute = db.conn.execute
    for statement, parameters in _changes(book, seq, at, event):
        execute(statement, parameters)


def _changes(book: str, seq: int, at: int, event: DomainEvent) -> list[Change]:
    match event:
        case events.OrderIntended(ref, intent, policy_hash):
            order = _values(intent, *_TERMS, "principal", "idempotency_key") | {"at": at, "policy_hash": policy_hash}
            order |= {**_name(ref), "client_id": ref.client_id(book), "purpose": intent.purpose.name.lower()}
            return [(_ADD_ORDER, order)]
        case events.OrderAccepted(ref, venue_order_id):
            return [(_ACCEPT, {"at": at, **_name(ref), "venue_order_id": venue_order_id})]
        case events.OrderTriggered(ref, venue_order_id):
            return [(_TRIGGER, {"at": at, **_name(ref), "venue_order_id": venue_order_id})]
        case events.OrderCancelRefused(ref):
            return [(_KEEP, {"at": at, **_name(ref)})]
        case (
            events.OrderRejected(ref)
            | events.OrderUnknown(ref)
            | events.OrderCancelRequested(ref)
            | events.OrderCanceled(ref)
        ):
            reason = event.reason.value if isinstance(event, events.OrderRejected) else None
            state = kind_of(event).removeprefix("order.")
            return [(_MOVE_ON, {"at": at, **_name(ref), "state": state, "rejection": reason})]
        case events.OrderFilled(ref=ref):
            insert, row = _row("fills", seq, at, event, *_TRADE, "maker", **_name(ref))
            return [(insert, row), (_SIZE, {**_name(event.ref), "before": plain(position_before(event))}), (_FILL, row)]
        case events.OutsideFilled():
            return [_row("fills", seq, at, event, *_TRADE, n=0, leg=OUTSIDE, revision=0, maker=0)]
        case events.OrderRefused(intent, refusal, policy_hash):
            asked = _values(intent, "symbol", "principal", "wake_id")
            why = ("code", "limit", "actual", "largest")
            return [_row("refusals", seq, at, refusal, *why, policy_hash=policy_hash, **asked)]
        case events.WakeRaised(reasons=reasons):
            return [_row("wakes", seq, at, event, "wake_id", reasons=_json(reasons))]
        case events.DecisionMade(decision=decision):
            made = {"legs": len(decision.legs), "cause": decision.cause_kind, "decision": _json(decision)}
            changes = [_row("decisions", seq, at, event, "wake_id", "decider", "thinking_ms", **made)]
            return changes + ([_row("thinking", seq, at, event, *_COST)] if event.cost_usd else [])
        case events.DecisionCorrected() | events.DecisionEnded() | events.DecisionDiscarded():
            return [_row("thinking", seq, at, event, *_COST)] if event.cost_usd else []
        case events.PositionClosed():
            return [_row("trades", seq, at, event, "symbol", "opened_at", "pnl", "fees", "funding", closed_at=at)]
        case events.FundingBooked():
            return [_row("funding", seq, at, event, *_FUNDING)]
        case events.DayOpened():
            return [_row("days", seq, at, event, "day", "equity")]
        case _:
            return []


_TERMS = ("symbol", "side", "type", "quantity", "trigger_price", "limit_price", "wake_id", "close_position")
_TRADE = (
    *("fill_id", "symbol", "side", "quantity", "price", "fee", "traded_at", "realised", "position"),
    *("base_fee", "fee_asset", "fee_amount"),
)
_COST = ("wake_id", "cost_usd")
_FUNDING = ("symbol", "amount", "rate", "quantity", "mark", "settled_at", "assumed")


def position_before(fill: events.OrderFilled) -> Decimal:
    """Return the unsigned position before a fill: the quantity of a stop that closes the whole position."""
    return abs(fill.position - fill.quantity * (1 if fill.side == "buy" else -1))


def _row(table: str, seq: int, at: int, source: msgspec.Struct, *fields: str, **more: Value) -> Change:
    """Return the INSERT of a row from fields of a struct and other values."""
    return _INSERTS[table], {"seq": seq, "at": at, **_values(source, *fields), **more}


def _values(source: msgspec.Struct, *fields: str) -> dict[str, Value]:
    """Return fields of a struct as values of SQL: Decimals as plain text."""
    values = ((field, getattr(source, field)) for field in fields)
    return {field: plain(value) if isinstance(value, Decimal) else value for field, value in values}


def _name(ref: OrderRef) -> dict[str, Value]:
    return {"n": ref.n, "leg": ref.leg.value, "revision": ref.revision}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()

"""Tables for people and queries, made from events alone: each event changes a row or two, and all can be remade.

An order's state is the word of its latest event, except that nothing un-fills an order and a late fill of a canceled
or rejected one leaves it so until it is complete. Quantities in the base asset, prices and money in quote currency, as
text of Decimals; times in ms.
"""

from collections.abc import Iterable
from decimal import Context, Decimal

import msgspec
from sqlite_utils import Database

from ocw_mcp.domain import events
from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.orders import OrderRef

OUTSIDE = "o"
"""In place of a leg: a fill that no order of ours made."""

PROJECTIONS_VERSION = 7
"""Raise it when a table or what fills it changes: older books are then rebuilt when they are opened."""

TABLES: dict[str, tuple[str, str]] = {
    "orders": (
        """n INTEGER, leg TEXT, revision INTEGER, client_id TEXT, symbol TEXT, side TEXT, type TEXT, purpose TEXT,
           quantity TEXT, trigger_price TEXT, limit_price TEXT, principal TEXT, wake_id INTEGER, idempotency_key TEXT,
           policy_hash TEXT,
           state TEXT, filled TEXT, turnover TEXT, average_price TEXT, fees TEXT, venue_order_id TEXT,
           intended_at INTEGER, updated_at INTEGER, PRIMARY KEY (n, leg, revision)""",
        "n, leg, revision",
    ),
    "fills": (
        """seq INTEGER PRIMARY KEY, at INTEGER, n INTEGER, leg TEXT, revision INTEGER, fill_id TEXT, symbol TEXT,
           side TEXT, quantity TEXT, price TEXT, fee TEXT, traded_at INTEGER, maker INTEGER, realised TEXT,
           position TEXT, base_fee TEXT""",
        "seq",
    ),
    "wakes": ("seq INTEGER PRIMARY KEY, at INTEGER, wake_id INTEGER, reasons TEXT", "seq"),
    "decisions": (
        """seq INTEGER PRIMARY KEY, at INTEGER, wake_id INTEGER, decider TEXT, thinking_ms INTEGER, legs INTEGER,
           cause TEXT, decision TEXT""",
        "seq",
    ),
    "thinking": ("seq INTEGER PRIMARY KEY, at INTEGER, wake_id INTEGER, cost_usd TEXT", "seq"),
    "refusals": (
        """seq INTEGER PRIMARY KEY, at INTEGER, code TEXT, symbol TEXT, "limit" TEXT, actual TEXT, largest TEXT,
           principal TEXT, wake_id INTEGER, policy_hash TEXT""",
        "seq",
    ),
    "trades": (
        "seq INTEGER PRIMARY KEY, symbol TEXT, opened_at INTEGER, closed_at INTEGER, pnl TEXT, fees TEXT, funding TEXT",
        "seq",
    ),
    "funding": (
        """seq INTEGER PRIMARY KEY, at INTEGER, symbol TEXT, amount TEXT, rate TEXT, quantity TEXT, mark TEXT,
           settled_at INTEGER, assumed INTEGER""",
        "seq",
    ),
    "days": ("seq INTEGER PRIMARY KEY, at INTEGER, day TEXT, equity TEXT", "seq"),
}
"""Columns of each table, and its order."""

Value = str | int | None
Change = tuple[str, dict[str, Value]]
"""A statement and its parameters."""

# An order's name is used once; were it used again, the latest intent would have it, and the journal would go on.
_ADD_ORDER = """INSERT OR REPLACE INTO orders VALUES (:n, :leg, :revision, :client_id, :symbol, :side, :type, :purpose,
    :quantity, :trigger_price, :limit_price, :principal, :wake_id, :idempotency_key, :policy_hash, 'intended', '0', '0',
    NULL, '0', NULL, :at, :at)"""
_ADD_FILL = """INSERT INTO fills VALUES (:seq, :at, :n, :leg, :revision, :fill_id, :symbol, :side, :quantity, :price,
    :fee, :traded_at, :maker, :realised, :position, :base_fee)"""
_ADD_WAKE = "INSERT INTO wakes VALUES (:seq, :at, :wake_id, :reasons)"
_ADD_DECISION = """INSERT INTO decisions VALUES (:seq, :at, :wake_id, :decider, :thinking_ms, :legs, :cause,
    :decision)"""
_ADD_COST = "INSERT INTO thinking VALUES (:seq, :at, :wake_id, :cost_usd)"
_ADD_REFUSAL = """INSERT INTO refusals VALUES (:seq, :at, :code, :symbol, :limit, :actual, :largest, :principal,
    :wake_id, :policy_hash)"""
_ADD_TRADE = "INSERT INTO trades VALUES (:seq, :symbol, :opened_at, :at, :pnl, :fees, :funding)"
_ADD_FUNDING = """INSERT INTO funding VALUES (:seq, :at, :symbol, :amount, :rate, :quantity, :mark, :settled_at,
    :assumed)"""
_ADD_DAY = "INSERT INTO days VALUES (:seq, :at, :day, :equity)"

_THIS_ORDER = "WHERE n = :n AND leg = :leg AND revision = :revision"
_ACCEPT = f"""UPDATE orders SET venue_order_id = :venue_order_id, updated_at = :at,
    state = CASE WHEN state IN ('intended', 'unknown') THEN 'accepted' ELSE state END {_THIS_ORDER}"""
_MOVE_ON = f"UPDATE orders SET state = :state, updated_at = :at {_THIS_ORDER} AND state <> 'filled'"
_FILL = f"""UPDATE orders SET updated_at = :at,
    filled = dec_add(filled, :quantity),
    turnover = dec_add(turnover, dec_mul(:quantity, :price)),
    average_price = dec_div(dec_add(turnover, dec_mul(:quantity, :price)), dec_add(filled, :quantity)),
    fees = dec_add(fees, :fee),
    state = CASE WHEN dec_reaches(dec_add(filled, :quantity), quantity) THEN 'filled'
                 WHEN state IN ('canceled', 'rejected') THEN state ELSE 'partially_filled' END {_THIS_ORDER}"""

# Without traps: an absurd number ends as NaN in a table that can be remade, and never keeps the journal from writing.
_money = Context(prec=28, traps=[])


def dec_add(a: str, b: str) -> str:
    """SQL: a + b."""
    return plain(_money.add(Decimal(a), Decimal(b)))


def dec_mul(a: str, b: str) -> str:
    """SQL: a · b."""
    return plain(_money.multiply(Decimal(a), Decimal(b)))


def dec_div(a: str, b: str) -> str:
    """SQL: a / b."""
    return plain(_money.divide(Decimal(a), Decimal(b)))


def dec_reaches(a: str, b: str) -> bool:
    """SQL: a ≥ b."""
    return _money.compare(Decimal(a), Decimal(b)) in (0, 1)


def register_functions(db: Database) -> None:
    """Teach a connection the arithmetic of Decimals, which the statements use."""
    for function in (dec_add, dec_mul, dec_div, dec_reaches):
        db.register_function(function, deterministic=True)


def remake_tables(db: Database) -> None:
    """Drop all projections and make them empty; the caller holds the transaction."""
    for name, (columns, _) in TABLES.items():
        db.execute(f"DROP TABLE IF EXISTS {name}")
        db.execute(f"CREATE TABLE {name} ({columns})")
    db.execute(f"PRAGMA user_version = {PROJECTIONS_VERSION}")


def apply(db: Database, changes: Iterable[Change]) -> None:
    """Carry out changes; the caller holds the transaction."""
    execute = db.conn.execute
    for statement, parameters in changes:
        execute(statement, parameters)


def changes_of(book: str, seq: int, at: int, event: DomainEvent) -> list[Change]:
    """What an event changes in the projections of a book."""
    match event:
        case events.OrderIntended(ref, intent, policy_hash):
            order: dict[str, Value] = {
                "at": at,
                **_name(ref),
                "client_id": ref.client_id(book),
                "symbol": intent.symbol,
                "side": intent.side.value,
                "type": intent.type.value,
                "purpose": intent.purpose.name.lower(),
                "quantity": plain(intent.quantity),
                "trigger_price": None if intent.trigger_price is None else plain(intent.trigger_price),
                "limit_price": None if intent.limit_price is None else plain(intent.limit_price),
                "principal": intent.principal,
                "wake_id": intent.wake_id,
                "idempotency_key": intent.idempotency_key,
                "policy_hash": policy_hash,
            }
            return [(_ADD_ORDER, order)]
        case events.OrderAccepted(ref, venue_order_id):
            return [(_ACCEPT, {"at": at, **_name(ref), "venue_order_id": venue_order_id})]
        case events.OrderRejected(ref):
            return [_move(ref, at, "rejected")]
        case events.OrderUnknown(ref):
            return [_move(ref, at, "unknown")]
        case events.OrderCancelRequested(ref):
            return [_move(ref, at, "cancel_requested")]
        case events.OrderCanceled(ref):
            return [_move(ref, at, "canceled")]
        case events.OrderFilled():
            return _of_fill(seq, at, event)
        case events.OutsideFilled():
            return _of_outside_fill(seq, at, event)
        case events.OrderRefused(intent, refusal, policy_hash):
            refused: dict[str, Value] = {
                "seq": seq,
                "at": at,
                "code": refusal.code.value,
                "symbol": intent.symbol,
                "limit": refusal.limit,
                "actual": refusal.actual,
                "largest": plain(refusal.largest),
                "principal": intent.principal,
                "wake_id": intent.wake_id,
                "policy_hash": policy_hash,
            }
            return [(_ADD_REFUSAL, refused)]
        case events.WakeRaised(wake_id, reasons):
            return [(_ADD_WAKE, {"seq": seq, "at": at, "wake_id": wake_id, "reasons": _json(reasons)})]
        case events.DecisionMade(wake_id, decider, thinking_ms, decision, cost_usd):
            made: dict[str, Value] = {
                "seq": seq,
                "at": at,
                "wake_id": wake_id,
                "decider": decider,
                "thinking_ms": thinking_ms,
                "legs": len(decision.legs),
                "cause": decision.cause_kind,
                "decision": _json(decision),
            }
            return [(_ADD_DECISION, made), *_paid(seq, at, wake_id, cost_usd)]
        case (
            events.DecisionCorrected(wake_id=wake_id, cost_usd=cost_usd)
            | events.DecisionEnded(wake_id=wake_id, cost_usd=cost_usd)
            | events.DecisionDiscarded(wake_id=wake_id, cost_usd=cost_usd)
        ):
            return _paid(seq, at, wake_id, cost_usd)
        case events.PositionClosed(symbol, opened_at, pnl, fees, funding):
            closed: dict[str, Value] = {"seq": seq, "at": at, "symbol": symbol, "opened_at": opened_at}
            money = {"pnl": plain(pnl), "fees": plain(fees), "funding": plain(funding)}
            return [(_ADD_TRADE, closed | money)]
        case events.FundingBooked(symbol, amount, rate, quantity, mark, settled_at, assumed):
            settled: dict[str, Value] = {
                "seq": seq,
                "at": at,
                "symbol": symbol,
                "amount": plain(amount),
                "rate": plain(rate),
                "quantity": plain(quantity),
                "mark": plain(mark),
                "settled_at": settled_at,
                "assumed": int(assumed),
            }
            return [(_ADD_FUNDING, settled)]
        case events.DayOpened(day, equity):
            return [(_ADD_DAY, {"seq": seq, "at": at, "day": day, "equity": plain(equity)})]
        case _:
            return []


def _paid(seq: int, at: int, wake_id: int, cost_usd: Decimal) -> list[Change]:
    return [(_ADD_COST, {"seq": seq, "at": at, "wake_id": wake_id, "cost_usd": plain(cost_usd)})] if cost_usd else []


def _of_fill(seq: int, at: int, fill: events.OrderFilled) -> list[Change]:
    named = {**_name(fill.ref), "maker": int(fill.maker), "base_fee": plain(fill.base_fee)}
    told = _of_trade(seq, at, fill) | named
    return [(_ADD_FILL, told), (_FILL, told)]


def _of_outside_fill(seq: int, at: int, fill: events.OutsideFilled) -> list[Change]:
    nameless: dict[str, Value] = {"n": 0, "leg": OUTSIDE, "revision": 0, "maker": 0, "base_fee": "0"}
    return [(_ADD_FILL, _of_trade(seq, at, fill) | nameless)]


def _of_trade(seq: int, at: int, fill: events.OrderFilled | events.OutsideFilled) -> dict[str, Value]:
    return {
        "seq": seq,
        "at": at,
        "fill_id": fill.fill_id,
        "symbol": fill.symbol,
        "side": fill.side,
        "quantity": plain(fill.quantity),
        "price": plain(fill.price),
        "fee": plain(fill.fee),
        "traded_at": fill.traded_at,
        "realised": plain(fill.realised),
        "position": plain(fill.position),
    }


def _move(ref: OrderRef, at: int, state: str) -> Change:
    return _MOVE_ON, {"at": at, **_name(ref), "state": state}


def _name(ref: OrderRef) -> dict[str, Value]:
    return {"n": ref.n, "leg": ref.leg.value, "revision": ref.revision}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()

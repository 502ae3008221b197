"""A book at a glance: its state, what it holds, what is under way, and the last of each kind."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.control.commands import count_waiting
from ocw_mcp.adapters.store.book import BookStamp, StoredBook
from ocw_mcp.adapters.store.figures import count
from ocw_mcp.adapters.store.lock import is_locked
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.schema import GET_SUMMARY
from ocw_mcp.adapters.store.views.decisions import DecisionsPage, find_decisions
from ocw_mcp.adapters.store.views.orders import Orders, find_orders
from ocw_mcp.adapters.store.views.positions import PositionRow, find_positions
from ocw_mcp.domain.state import Lowered


class EngineWord(msgspec.Struct, frozen=True):
    """What the engine last said of itself, at `at` (ms). Money in quote currency; the loss is a share of the day's
    first equity."""

    at: int
    state: str
    equity: Decimal
    day: str
    daily_loss: Decimal
    daily_loss_reached: bool
    candles: int
    evaluations: int
    """Looks of the gate."""
    skips: dict[str, int]
    prices: dict[str, Decimal] = {}
    """The last close of each symbol; none in books of before it was told."""
    approvals: list[dict[str, Any]] = []
    """What waits for a person."""
    lowered: Lowered | None = None
    """Who took the desk out of ACTIVE; None where it is, and in books of before it was told."""


class FillRow(msgspec.Struct, frozen=True):
    """A fill, and the signed position it led to. Price and fee in quote currency, times in ms."""

    at: int
    name: str
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    realised: Decimal
    position: Decimal


class LiveSummary(msgspec.Struct, frozen=True):
    """All of it as of one moment."""

    book: str
    stamp: BookStamp
    running: bool
    waiting_commands: int | None
    engine: EngineWord | None
    """None where no engine has said anything yet."""
    positions: list[PositionRow]
    orders: Orders
    decisions: DecisionsPage
    fills: list[FillRow]
    wakes: int


_FILLS = """SELECT at, n || '-' || leg || '-' || revision, symbol, side, quantity, price, fee, realised, position
    FROM fills ORDER BY seq DESC LIMIT ?"""

_decode_word = msgspec.json.Decoder(EngineWord).decode


def read_glance(state: Path, rows: int) -> LiveSummary:
    """Look at the book in a state directory, with the newest `rows` of each list. Raises BookError."""
    seen = ask_book(state, lambda db, book: _look(db, book, rows))
    return msgspec.structs.replace(seen, running=is_locked(state), waiting_commands=count_waiting(state))


def _look(db: Database, book: StoredBook, rows: int) -> LiveSummary:
    told = db.execute(GET_SUMMARY).fetchone()
    fills = db.execute(_FILLS, (rows,)).fetchall()
    return LiveSummary(
        book=book.book,
        stamp=book.stamp,
        running=False,
        waiting_commands=None,
        engine=_decode_word(told[0]) if told else None,
        positions=find_positions(db).positions,
        orders=find_orders(db, rows),
        decisions=find_decisions(db, rows),
        fills=[_fill(row) for row in reversed(fills)],
        wakes=count(db, "SELECT count(*) FROM wakes"),
    )


def _fill(row: tuple[object, ...]) -> FillRow:
    return msgspec.convert(dict(zip(FillRow.__struct_fields__, row, strict=True)), FillRow)

"""A summary of a book for `ocw watch`: its state, open positions, live orders, and the last decisions and fills."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.control.commands import count_waiting
from ocw_mcp.adapters.store.book import BookStamp, StoredBook
from ocw_mcp.adapters.store.database import GET_SUMMARY
from ocw_mcp.adapters.store.directory import is_locked
from ocw_mcp.adapters.store.figures import count
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.views.decisions import DecisionsPage, find_decisions
from ocw_mcp.adapters.store.views.orders import Orders, PositionRow, find_orders, find_positions
from ocw_mcp.domain.state import Lowered


class OutlookSummary(msgspec.Struct, frozen=True):
    """Why the size limits have their scale, and the extreme derivatives readings by symbol."""

    scale_reason: str
    unknown: dict[str, str] = {}
    """Why a regime is unknown, under `regime` and `macro`."""
    extremes: dict[str, list[str]] = {}


class EngineSummary(msgspec.Struct, frozen=True):
    """The last summary of the engine, written at `at` (ms). Money is in quote currency; the daily loss is a fraction
    of the equity at the start of the day."""

    at: int
    state: str
    equity: Decimal
    day: str
    daily_loss: Decimal
    daily_loss_reached: bool
    candles: int
    evaluations: int
    skips: dict[str, int]
    prices: dict[str, Decimal] = {}
    """The last close of each symbol; empty in books of versions that did not store it."""
    approvals: list[dict[str, Any]] = []
    lowered: Lowered | None = None
    """Who lowered the state from ACTIVE; None in state ACTIVE, and in books of versions that did not store it."""
    scale: Decimal | None = None
    """The factor on size limits."""
    outlook: OutlookSummary | None = None
    """None in books of versions that did not store it, as is `scale`."""


class FillRow(msgspec.Struct, frozen=True):
    """A fill, and the signed position after it. Price and fee in quote currency, times in ms."""

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
    """The state of a book at one time."""

    book: str
    stamp: BookStamp
    running: bool
    waiting_commands: int | None
    engine: EngineSummary | None
    """None if no engine has written a summary yet."""
    positions: list[PositionRow]
    orders: Orders
    decisions: DecisionsPage
    fills: list[FillRow]
    wakes: int


_FILLS = """SELECT at, n || '-' || leg || '-' || revision, symbol, side, quantity, price, fee, realised, position
    FROM fills ORDER BY seq DESC LIMIT ?"""


def read_live_summary(state: Path, rows: int) -> LiveSummary:
    """Read the book of a state directory, with the newest `rows` of each list. Raises BookError."""

    def read(db: Database, book: StoredBook) -> LiveSummary:
        summary = db.execute(GET_SUMMARY).fetchone()
        names, fills = FillRow.__struct_fields__, db.execute(_FILLS, (rows,)).fetchall()
        return LiveSummary(
            book=book.book,
            stamp=book.stamp,
            running=is_locked(state),
            waiting_commands=count_waiting(state),
            engine=msgspec.json.decode(summary[0], type=EngineSummary) if summary else None,
            positions=find_positions(db).positions,
            orders=find_orders(db, rows),
            decisions=find_decisions(db, rows),
            fills=[msgspec.convert(dict(zip(names, row, strict=True)), FillRow) for row in reversed(fills)],
            wakes=count(db, "SELECT count(*) FROM wakes"),
        )

    return ask_book(state, read)

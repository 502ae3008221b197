"""The closed trades of a book, each put together from its fills."""

from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.book import StoredBook
from ocw_mcp.adapters.store.projections import OUTSIDE
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Purpose


class TradeRow(msgspec.Struct, frozen=True):
    """A position from flat to flat. Quantity in the base asset, prices and money in quote currency, times in ms."""

    symbol: str
    side: str
    """`long` or `short`."""
    opened_at: int
    closed_at: int
    quantity: Decimal
    """All that was entered."""
    entry_price: Decimal | None
    exit_price: Decimal | None
    fees: Decimal
    funding: Decimal
    """Above 0 received, below 0 paid."""
    pnl: Decimal
    """Net of fees and funding."""
    closed_by: str
    """What the order that made it flat was for: stop, target, exit."""
    order: int
    """The counter of the order that opened it: `ocw explain order:N`."""


class Trades(msgspec.Struct, frozen=True):
    """The newest trades, newest last, and sums over all of them in quote currency."""

    trades: list[TradeRow]
    more: int
    won: int
    lost: int
    pnl: Decimal
    fees: Decimal
    funding: Decimal


class TradeSearch(msgspec.Struct, frozen=True):
    """Which trades: all where nothing is given. Times (ms) are those of closing."""

    symbol: str | None = None
    outcome: Literal["won", "lost"] | None = None
    since: int | None = None
    until: int | None = None
    before: int | None = None
    """The sequence before which a page begins."""


class TradePage(msgspec.Struct, frozen=True):
    """Some of the trades that were searched for, newest first, and sums over all of them in quote currency."""

    trades: list[TradeRow]
    found: int
    won: int
    lost: int
    pnl: Decimal
    fees: Decimal
    funding: Decimal
    next: int | None
    """The sequence before which the next page begins."""


_NEWEST = "SELECT seq, symbol, opened_at, closed_at, pnl, fees, funding FROM trades ORDER BY seq DESC LIMIT ?"
# The event of a closing follows its fill directly; where that very fill turned the position round, it opened the next.
_FILLS = """SELECT n, leg, side, quantity, base_fee, price, position FROM fills WHERE symbol = :symbol AND seq < :seq
    AND seq >= coalesce((SELECT max(seq) FROM trades WHERE symbol = :symbol AND seq < :seq), 1) - 1 ORDER BY seq"""


def read_trades(state: Path, limit: int) -> Trades:
    """The newest `limit` trades of the book in a state directory. Raises BookError where it cannot be read."""
    return ask_book(state, lambda db, book: find_trades(db, book, limit))


def find_trades(db: Database, book: StoredBook, limit: int) -> Trades:
    """The same within a look at the book."""
    newest = msgspec.convert(db.execute(_NEWEST, (limit,)).fetchall(), list[tuple[int, str, int, int, str, str, str]])
    sums = [tuple(map(Decimal, row)) for row in db.execute("SELECT pnl, fees, funding FROM trades")]
    return Trades(
        trades=[_trade(db, *row) for row in reversed(newest)],
        more=len(sums) - len(newest),
        won=sum(pnl > 0 for pnl, _, _ in sums),
        lost=sum(pnl < 0 for pnl, _, _ in sums),
        pnl=sum((pnl for pnl, _, _ in sums), ZERO),
        fees=sum((fees for _, fees, _ in sums), ZERO),
        funding=sum((funding for _, _, funding in sums), ZERO),
    )


def search_trades(db: Database, wanted: TradeSearch, limit: int) -> TradePage:
    """`limit` trades, newest first."""
    conditions = {
        "symbol = :symbol": wanted.symbol,
        "CAST(pnl AS REAL) > 0": wanted.outcome == "won" or None,
        "CAST(pnl AS REAL) < 0": wanted.outcome == "lost" or None,
        "closed_at >= :since": wanted.since,
        "closed_at < :until": wanted.until,
    }
    which = " AND ".join(text for text, value in conditions.items() if value is not None) or "1"
    values = msgspec.structs.asdict(wanted) | {"limit": limit + 1}
    sums = [
        tuple(map(Decimal, row)) for row in db.execute(f"SELECT pnl, fees, funding FROM trades WHERE {which}", values)
    ]
    page = "AND seq < :before" if wanted.before is not None else ""
    rows = db.execute(
        f"""SELECT seq, symbol, opened_at, closed_at, pnl, fees, funding FROM trades WHERE {which} {page}
            ORDER BY seq DESC LIMIT :limit""",
        values,
    ).fetchall()
    newest = msgspec.convert(rows[:limit], list[tuple[int, str, int, int, str, str, str]])
    return TradePage(
        trades=[_trade(db, *row) for row in newest],
        found=len(sums),
        won=sum(pnl > 0 for pnl, _, _ in sums),
        lost=sum(pnl < 0 for pnl, _, _ in sums),
        pnl=sum((pnl for pnl, _, _ in sums), ZERO),
        fees=sum((fees for _, fees, _ in sums), ZERO),
        funding=sum((funding for _, _, funding in sums), ZERO),
        next=newest[-1][0] if len(rows) > limit else None,
    )


def _trade(
    db: Database, seq: int, symbol: str, opened_at: int, closed_at: int, pnl: str, fees: str, funding: str
) -> TradeRow:
    entered = left = paid = got = ZERO
    side, closed_by, order = "", "", 0
    fills = db.execute(_FILLS, {"symbol": symbol, "seq": seq}).fetchall()
    for number, (n, leg, way, quantity, base_fee, price, position) in enumerate(fills, 1):
        after = Decimal(position)
        before = after - (Decimal(quantity) - Decimal(base_fee) if way == "buy" else -Decimal(quantity))
        turned = before * after < 0
        if turned:
            # One fill closed a position and opened another: here counts the part that belongs to this trade.
            opens, closes = (ZERO, abs(before)) if number == len(fills) else (abs(after), ZERO)
        else:
            grew = abs(after) - abs(before)
            opens, closes = max(ZERO, grew), max(ZERO, -grew)
        if opens and not entered:
            side, order = ("long" if after > 0 else "short"), n
        entered, paid = entered + opens, paid + opens * Decimal(price)
        # The fill that ended the trade before this one is only looked at for what it opened.
        if entered:
            left, got = left + closes, got + closes * Decimal(price)
            closed_by = "outside" if leg == OUTSIDE else Purpose(leg).name.lower()
    return TradeRow(
        symbol=symbol,
        side=side,
        opened_at=opened_at,
        closed_at=closed_at,
        quantity=entered,
        entry_price=round(paid / entered, 8) if entered else None,
        exit_price=round(got / left, 8) if left else None,
        fees=Decimal(fees),
        funding=Decimal(funding),
        pnl=Decimal(pnl),
        closed_by=closed_by,
        order=order,
    )

"""The closed trades of a book, each assembled from its fills."""

from decimal import Decimal
from typing import Literal

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.figures import closed_by
from ocw_mcp.domain.money import ZERO


class TradeRow(msgspec.Struct, frozen=True):
    """A closed trade. Quantity in the base asset, prices and money in quote currency, times in ms."""

    symbol: str
    side: str
    """`long` or `short`."""
    opened_at: int
    closed_at: int
    quantity: Decimal
    """The total quantity of the entries."""
    entry_price: Decimal | None
    exit_price: Decimal | None
    fees: Decimal
    funding: Decimal
    """Funding received; paid if below 0."""
    pnl: Decimal
    """Net of fees and funding."""
    closed_by: str
    """`stop`, `target` or `exit`; `entry` if another entry closed it, `outside` if no order of OCW did."""
    order: int
    """The counter of the order that opened the position, for `ocw explain order:N`."""


class Trades(msgspec.Struct, frozen=True):
    """The newest trades, newest last, the number of older ones, and sums over all of them in quote currency."""

    trades: list[TradeRow]
    more: int
    won: int
    lost: int
    pnl: Decimal
    fees: Decimal
    funding: Decimal


class TradeSearch(msgspec.Struct, frozen=True):
    """Conditions that a trade must meet. `since` and `until` (ms) limit its closing time, `before` its sequence."""

    symbol: str | None = None
    outcome: Literal["won", "lost"] | None = None
    since: int | None = None
    until: int | None = None
    before: int | None = None


class TradePage(msgspec.Struct, frozen=True):
    """Some matching trades, newest first, and sums over all of them (quote). The next page begins before `next`."""

    trades: list[TradeRow]
    found: int
    won: int
    lost: int
    pnl: Decimal
    fees: Decimal
    funding: Decimal
    next: int | None


# `position.closed` directly follows its fill. If that fill reversed the position, it also opened the next trade.
_FILLS = """SELECT n, leg, maker, side, quantity, base_fee, price, position FROM fills
    WHERE symbol = :symbol AND seq < :seq
    AND seq >= coalesce((SELECT max(seq) FROM trades WHERE symbol = :symbol AND seq < :seq), 1) - 1 ORDER BY seq"""


def find_trades(db: Database, limit: int) -> Trades:
    """Return the newest `limit` trades, newest last."""
    page = search_trades(db, TradeSearch(), limit)
    sums = (page.won, page.lost, page.pnl, page.fees, page.funding)
    return Trades(page.trades[::-1], page.found - len(page.trades), *sums)


def search_trades(db: Database, wanted: TradeSearch, limit: int) -> TradePage:
    """Return the newest `limit` matching trades, newest first."""
    conditions = {
        "symbol = :symbol": wanted.symbol,
        "CAST(pnl AS REAL) > 0": wanted.outcome == "won" or None,
        "CAST(pnl AS REAL) < 0": wanted.outcome == "lost" or None,
        "closed_at >= :since": wanted.since,
        "closed_at < :until": wanted.until,
    }
    which = " AND ".join(text for text, value in conditions.items() if value is not None) or "1"
    values = msgspec.structs.asdict(wanted) | {"limit": limit + 1}
    money = db.execute(f"SELECT pnl, fees, funding FROM trades WHERE {which}", values)
    sums = [tuple(map(Decimal, row)) for row in money]
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
    entered = exited = paid = received = ZERO
    side, closing, order = "", "", 0
    fills = db.execute(_FILLS, {"symbol": symbol, "seq": seq}).fetchall()
    for number, (n, leg, maker, way, quantity, base_fee, price, position) in enumerate(fills, 1):
        after = Decimal(position)
        before = after - (Decimal(quantity) - Decimal(base_fee) if way == "buy" else -Decimal(quantity))
        if before * after < 0:
            # The fill closed one position and opened another; only the part of this trade counts here.
            opens, closes = (ZERO, abs(before)) if number == len(fills) else (abs(after), ZERO)
        else:
            grew = abs(after) - abs(before)
            opens, closes = max(ZERO, grew), max(ZERO, -grew)
        if opens and not entered:
            side, order = ("long" if after > 0 else "short"), n
        entered, paid = entered + opens, paid + opens * Decimal(price)
        # Of the fill that closed the previous trade, only the part that opened this one counts.
        if entered:
            exited, received = exited + closes, received + closes * Decimal(price)
            closing = closed_by(leg, bool(maker))
    return TradeRow(
        symbol=symbol,
        side=side,
        opened_at=opened_at,
        closed_at=closed_at,
        quantity=entered,
        entry_price=round(paid / entered, 8) if entered else None,
        exit_price=round(received / exited, 8) if exited else None,
        fees=Decimal(fees),
        funding=Decimal(funding),
        pnl=Decimal(pnl),
        closed_by=closing,
        order=order,
    )

"""The closed trades of a book, each assembled from its fills."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.views.parts import LATEST, PartsReader
from ocw_mcp.domain.figures import TradePart
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
    parts: tuple[TradePart, ...] = ()
    """Its entries and exits, oldest first; their results, less `fees` and plus `funding`, add up to `pnl`."""

    @property
    def realised(self) -> Decimal:
        """The result before fees and funding."""
        return self.pnl + self.fees - self.funding

    @property
    def in_parts(self) -> bool:
        """Whether the trade has more than one entry or more than one exit."""
        return sum(part.traded for part in self.parts) > 2


class OpenTrade(msgspec.Struct, frozen=True):
    """A position that is still open, with its entries and exits so far. Times in ms."""

    symbol: str
    side: str
    opened_at: int
    order: int
    parts: tuple[TradePart, ...]

    @property
    def in_parts(self) -> bool:
        """Whether the position has more than one entry, or an exit."""
        return len(self.parts) > 1


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


_COLUMNS = "seq, symbol, opened_at, closed_at, pnl, fees, funding"
_Row = tuple[int, str, int, int, str, str, str]


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
        f"SELECT {_COLUMNS} FROM trades WHERE {which} {page} ORDER BY seq DESC LIMIT :limit", values
    ).fetchall()
    newest = msgspec.convert(rows[:limit], list[_Row])
    reader = PartsReader(db)
    return TradePage(
        trades=[_trade(reader, *row) for row in newest],
        found=len(sums),
        won=sum(pnl > 0 for pnl, _, _ in sums),
        lost=sum(pnl < 0 for pnl, _, _ in sums),
        pnl=sum((pnl for pnl, _, _ in sums), ZERO),
        fees=sum((fees for _, fees, _ in sums), ZERO),
        funding=sum((funding for _, _, funding in sums), ZERO),
        next=newest[-1][0] if len(rows) > limit else None,
    )


def find_trades_of(db: Database, symbol: str, seqs: Iterable[int]) -> list[TradeRow | OpenTrade]:
    """Return the trades of a symbol to which these events of its fills or its protection belong, oldest first."""
    found: list[TradeRow | OpenTrade] = []
    reader, reached = PartsReader(db), 0
    for seq in sorted(seqs):
        if seq <= reached:
            continue
        query = f"SELECT {_COLUMNS} FROM trades WHERE symbol = ? AND seq > ? ORDER BY seq LIMIT 1"
        row = db.execute(query, (symbol, seq)).fetchone()
        if row is not None:
            reached = row[0]
            found.append(_trade(reader, *msgspec.convert(row, _Row)))
            continue
        reached = LATEST
        read = reader.read(symbol, LATEST)
        if read.parts:
            found.append(OpenTrade(symbol, read.side, read.opened_at, read.order, read.parts))
    return found


def _trade(
    reader: PartsReader, seq: int, symbol: str, opened_at: int, closed_at: int, pnl: str, fees: str, funding: str
) -> TradeRow:
    net, paid, received = Decimal(pnl), Decimal(fees), Decimal(funding)
    read = reader.read(symbol, seq, net + paid - received)
    return TradeRow(
        symbol=symbol,
        side=read.side,
        opened_at=opened_at,
        closed_at=closed_at,
        quantity=read.quantity,
        entry_price=read.entry_price,
        exit_price=read.exit_price,
        fees=paid,
        funding=received,
        pnl=net,
        closed_by=read.closing,
        order=read.order,
        parts=read.parts,
    )

"""The open positions of a book, as its engine last told, with what the journal adds."""

from decimal import Decimal
from pathlib import Path

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.book import StoredBook
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.schema import GET_SUMMARY
from ocw_mcp.domain.events import PositionUnprotected
from ocw_mcp.domain.snapshot import OpenPosition


class PositionRow(OpenPosition, frozen=True):
    """An open position as the last summary of a book has it. Times in ms."""

    stop: Decimal | None
    protected: bool
    opened_at: int | None = None
    unprotected_until: int | None = None
    """While it has no stop: when it is closed."""


class Positions(msgspec.Struct, frozen=True):
    """All open positions at `at` (ms); None where no engine has told yet."""

    at: int | None
    positions: list[PositionRow]


class _Summary(msgspec.Struct, frozen=True):
    at: int
    positions: list[PositionRow]


# The event of a closing follows its fill directly; where that very fill turned the position round, it opened the next.
_OPENED = """SELECT min(at) FROM fills WHERE symbol = :symbol AND position <> '0' AND seq >=
    coalesce((SELECT max(seq) FROM trades WHERE symbol = :symbol), 1) - 1"""
_UNPROTECTED = """SELECT payload FROM events WHERE kind = 'position.unprotected'
    AND json_extract(payload, '$.symbol') = :symbol ORDER BY seq DESC LIMIT 1"""

_decode_summary = msgspec.json.Decoder(_Summary).decode
_decode_unprotected = msgspec.json.Decoder(PositionUnprotected).decode


def read_positions(state: Path) -> Positions:
    """The open positions of the book in a state directory, by symbol. Raises BookError where it cannot be read."""
    return ask_book(state, find_positions)


def find_positions(db: Database, book: StoredBook) -> Positions:
    """The same within a look at the book."""
    found = db.execute(GET_SUMMARY).fetchone()
    if found is None:
        return Positions(None, [])
    told = _decode_summary(found[0])
    return Positions(told.at, [_complete(db, row) for row in told.positions])


def _complete(db: Database, row: PositionRow) -> PositionRow:
    which = {"symbol": row.symbol}
    opened_at = msgspec.convert(db.execute(_OPENED, which).fetchone()[0], int | None)
    unprotected = None if row.protected else db.execute(_UNPROTECTED, which).fetchone()
    deadline = _decode_unprotected(unprotected[0]).deadline if unprotected else None
    return msgspec.structs.replace(row, opened_at=opened_at, unprotected_until=deadline)

"""The open positions of a book: from the engine's last summary, with details from the journal."""

from decimal import Decimal

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.schema import GET_SUMMARY
from ocw_mcp.domain.snapshot import OpenPosition


class PositionRow(OpenPosition, frozen=True):
    """An open position in the last summary of a book. One without a stop is closed at `unprotected_until` (ms)."""

    stop: Decimal | None
    protected: bool
    opened_at: int | None = None
    unprotected_until: int | None = None


class Positions(msgspec.Struct, frozen=True):
    """All open positions at `at` (ms), which is None if there is no summary of an engine yet."""

    at: int | None
    positions: list[PositionRow]


class _Summary(msgspec.Struct, frozen=True):
    at: int
    positions: list[PositionRow]


# The event of a closing follows its fill directly. If that fill reversed the position, it also opened the next one.
_OPENED = """SELECT min(at) FROM fills WHERE symbol = :symbol AND position <> '0' AND seq >=
    coalesce((SELECT max(seq) FROM trades WHERE symbol = :symbol), 1) - 1"""
_UNPROTECTED = """SELECT json_extract(payload, '$.deadline') FROM events WHERE kind = 'position.unprotected'
    AND json_extract(payload, '$.symbol') = :symbol ORDER BY seq DESC LIMIT 1"""


def find_positions(db: Database) -> Positions:
    """Return the open positions, by symbol."""
    found = db.execute(GET_SUMMARY).fetchone()
    if found is None:
        return Positions(None, [])
    summary = msgspec.json.decode(found[0], type=_Summary)
    positions = []
    for row in summary.positions:
        which = {"symbol": row.symbol}
        (opened_at,) = msgspec.convert(db.execute(_OPENED, which).fetchone(), tuple[int | None])
        unprotected = None if row.protected else db.execute(_UNPROTECTED, which).fetchone()
        (deadline,) = msgspec.convert(unprotected or (None,), tuple[int | None])
        positions.append(msgspec.structs.replace(row, opened_at=opened_at, unprotected_until=deadline))
    return Positions(summary.at, positions)

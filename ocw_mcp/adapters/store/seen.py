"""What wakes were shown, for `ocw explain`: beside the journal, outside its chain, and only of the newest wakes."""

import zlib

import msgspec
from sqlite_utils import Database

from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.unknown import Unknown

MOST_KEPT = 2_000
"""Wakes."""
_FASTEST = 1

SEEN_TABLE = "CREATE TABLE IF NOT EXISTS seen (wake_id INTEGER PRIMARY KEY, snapshot BLOB NOT NULL)"
_HAS_TABLE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'seen'"
_ALL = "SELECT wake_id FROM seen ORDER BY wake_id"
_GET = "SELECT snapshot FROM seen WHERE wake_id = ?"
_PUT = "INSERT OR REPLACE INTO seen (wake_id, snapshot) VALUES (?, ?)"
_DROP = "DELETE FROM seen WHERE wake_id = ?"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Snapshot).decode


class Seen:
    """The snapshots of a book, as its writer keeps them. A book from before they were kept gets the table here."""

    def __init__(self, db: Database) -> None:
        self._db = db
        if db.execute(_HAS_TABLE).fetchone() is None:
            with db.atomic():
                db.conn.execute(SEEN_TABLE)
        self._kept: list[int] = [wake_id for (wake_id,) in db.execute(_ALL)]
        self._waiting: dict[int, bytes] = {}

    def keep(self, wake_id: int, snapshot: Snapshot) -> None:
        """Keep a snapshot with the next transaction."""
        self._waiting[wake_id] = zlib.compress(_encode(snapshot), _FASTEST)

    def write(self) -> None:
        """Write what waits, and drop what is too old, within the caller's transaction. Raises sqlite3.Error."""
        if self._waiting:
            self._db.conn.executemany(_PUT, self._waiting.items())
            self._db.conn.executemany(_DROP, [(wake_id,) for wake_id in self._with_waiting()[:-MOST_KEPT]])

    def written(self) -> None:
        """The transaction is durable."""
        if self._waiting:
            self._kept = self._with_waiting()[-MOST_KEPT:]
            self._waiting.clear()

    def _with_waiting(self) -> list[int]:
        last = self._kept[-1] if self._kept else 0
        # Wakes count up; one that is done again after a crash is the last.
        return [*self._kept, *(wake_id for wake_id in self._waiting if wake_id > last)]


def find_seen(db: Database, wake_id: int) -> Snapshot | Unknown:
    """What a wake was shown, or why nobody knows any more. Raises sqlite3.Error."""
    if db.execute(_HAS_TABLE).fetchone() is None:
        return Unknown("this book was written by a version that kept no snapshots")
    found = db.execute(_GET, (wake_id,)).fetchone()
    if found is None:
        return Unknown(f"snapshots are kept of the newest {MOST_KEPT:,} wakes that did more than hold")
    try:
        return _decode(zlib.decompress(found[0]))
    except (zlib.error, msgspec.MsgspecError, TypeError):
        return Unknown("the snapshot was kept by another version, and this one cannot read it")

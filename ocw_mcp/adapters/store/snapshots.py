"""Keeps the snapshots of the newest wakes for `ocw explain`, beside the journal and outside its chain."""

import zlib

import msgspec
from sqlite_utils import Database

from ocw_mcp.domain.snapshot import Snapshot, encode_sizes
from ocw_mcp.domain.unknown import Unknown

MOST_KEPT = 2_000
"""Number of wakes whose snapshots are kept."""

SNAPSHOTS = "CREATE TABLE IF NOT EXISTS seen (wake_id INTEGER PRIMARY KEY, snapshot BLOB NOT NULL)"
_HAS_TABLE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'seen'"
_PUT = "INSERT OR REPLACE INTO seen (wake_id, snapshot) VALUES (?, ?)"
_DROP = "DELETE FROM seen WHERE wake_id = ?"

_encode = msgspec.msgpack.Encoder(enc_hook=encode_sizes).encode
_decode = msgspec.msgpack.Decoder(Snapshot).decode


class SnapshotWriter:
    """Writes the snapshots of a book, and creates their table in a book of an earlier version."""

    def __init__(self, db: Database) -> None:
        self._db = db
        if db.execute(_HAS_TABLE).fetchone() is None:
            with db.atomic():
                db.conn.execute(SNAPSHOTS)
        self._kept = [wake_id for (wake_id,) in db.execute("SELECT wake_id FROM seen ORDER BY wake_id")]
        self._waiting: dict[int, bytes] = {}

    def keep(self, wake_id: int, snapshot: Snapshot) -> None:
        """Store the snapshot of a wake with the next transaction."""
        self._waiting[wake_id] = zlib.compress(_encode(snapshot), level=1)

    def write(self) -> None:
        """Write the waiting snapshots and drop the oldest, in the caller's transaction. Raises sqlite3.Error."""
        if self._waiting:
            # Wake ids count up; a wake may be repeated after a crash, and written again after a failed transaction.
            last = self._kept[-1] if self._kept else 0
            self._kept += [wake_id for wake_id in self._waiting if wake_id > last]
            self._db.conn.executemany(_PUT, self._waiting.items())
            self._db.conn.executemany(_DROP, [(wake_id,) for wake_id in self._kept[:-MOST_KEPT]])

    def on_committed(self) -> None:
        """Forget the written snapshots, because the transaction is durable."""
        del self._kept[:-MOST_KEPT]
        self._waiting.clear()


def find_snapshot(db: Database, wake_id: int) -> Snapshot | Unknown:
    """Return the snapshot of a wake, or why there is none. Raises sqlite3.Error."""
    if db.execute(_HAS_TABLE).fetchone() is None:
        return Unknown("this book was written by a version that kept no snapshots")
    found = db.execute("SELECT snapshot FROM seen WHERE wake_id = ?", (wake_id,)).fetchone()
    if found is None:
        return Unknown(f"snapshots are kept for the newest {MOST_KEPT:,} wakes whose decision was not only HOLD")
    try:
        return _decode(zlib.decompress(found[0]))
    except (zlib.error, msgspec.MsgspecError, TypeError):
        return Unknown("the snapshot was kept by another version, and this one cannot read it")

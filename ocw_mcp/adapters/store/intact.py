"""Whether a journal's file is as ocw made it: its tables and triggers, and the checkpoint whose digest was journaled.

The digest stands in a row of the chain, written in one transaction with the checkpoint. It shows a checkpoint that was
edited; an editor who also recomputes the chain shows only against a head that was noted outside, as in the log.
"""

import hashlib
from typing import Any

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.database import connect_to_memory
from ocw_mcp.adapters.store.projections import PROJECTIONS_VERSION, register_functions, remake_tables
from ocw_mcp.adapters.store.projections import TABLES as PROJECTIONS
from ocw_mcp.adapters.store.rows import CHAIN_GENESIS, link
from ocw_mcp.adapters.store.schema import DIGESTS_SINCE, GET_CHECKPOINT, TABLES
from ocw_mcp.adapters.store.seen import SEEN_TABLE
from ocw_mcp.domain.events import CheckpointSaved

_OBJECTS = "SELECT type || ' ' || name, sql FROM sqlite_master WHERE name NOT GLOB 'sqlite_*' ORDER BY 1"
_MAY_BE_ABSENT = frozenset({"table seen"})
"""A book of an earlier version gets it when it is next opened."""
_KIND = str(CheckpointSaved.__struct_config__.tag)
_LAST_DIGEST = "SELECT row, payload FROM events WHERE kind = ? ORDER BY row DESC LIMIT 1"
_FROM_ROW = "SELECT row, seq, at, kind, version, payload, digest, chain FROM events WHERE row >= ? ORDER BY row"

_decode = msgspec.json.Decoder(CheckpointSaved).decode


def digest_of(values: tuple[Any, ...]) -> str:
    """Return the SHA-256 of a checkpoint's row as it is stored."""
    return hashlib.sha256(msgspec.msgpack.encode(values)).hexdigest()


def schema_of(db: Database) -> int:
    """Return the schema version of a book. Raises sqlite3.Error."""
    found = db.execute("SELECT schema FROM book WHERE id = 1").fetchone()
    return 0 if found is None else int(found[0])


def structure_problems(db: Database) -> list[str]:
    """Return a clause on each table or trigger that is missing, changed or not ours. Raises sqlite3.Error."""
    expected, found = _expected(), _objects(db)
    if db.execute("PRAGMA user_version").fetchone()[0] != PROJECTIONS_VERSION:
        # Projections of another version are made again when the book is opened.
        for name in PROJECTIONS:
            expected.pop(f"table {name}", None)
            found.pop(f"table {name}", None)
    problems = [f"{name} is missing" for name in expected if name not in found and name not in _MAY_BE_ABSENT]
    problems += [f"{name} was changed" for name, sql in found.items() if name in expected and sql != expected[name]]
    return problems + [f"{name} is none of ocw's" for name in found if name not in expected]


def _objects(db: Database) -> dict[str, str | None]:
    return dict(db.execute(_OBJECTS).fetchall())


def _expected() -> dict[str, str | None]:
    remade = connect_to_memory()
    try:
        register_functions(remade)
        for statement in (*TABLES, SEEN_TABLE):
            remade.execute(statement)
        remake_tables(remade)
        return _objects(remade)
    finally:
        remade.close()


def checkpoint_problem(db: Database) -> str:
    """Return a clause on a checkpoint that is not the one that was journaled last, or nothing.

    The rows from its digest on are held to the chain, too. Raises sqlite3.Error.
    """
    saved = db.execute(GET_CHECKPOINT).fetchone()
    noted = db.execute(_LAST_DIGEST, (_KIND,)).fetchone()
    if noted is None:
        return compared(saved, None, schema_of(db))
    try:
        digest = _decode(noted[1]).digest
    except (msgspec.MsgspecError, UnicodeError, TypeError):
        return f"row {noted[0]}, which holds the checkpoint's digest, cannot be read"
    return compared(saved, digest, schema_of(db)) or _chain_problem(db, noted[0])


def compared(saved: tuple[Any, ...] | None, digest: str | None, schema: int) -> str:
    """Return a clause where the stored checkpoint and the digest in the journal do not go together, or nothing."""
    if saved is None:
        return "" if digest is None else "the checkpoint that was journaled is missing"
    if digest is None:
        return "" if schema < DIGESTS_SINCE else "the journal has no digest of the checkpoint"
    if digest_of(tuple(saved)) != digest:
        return "the checkpoint is not the one whose digest was journaled: it was changed from outside"
    return ""


def _chain_problem(db: Database, first: int) -> str:
    previous, due = (CHAIN_GENESIS, 1) if first == 1 else ("", first - 1)
    for row, seq, at, kind, version, payload, digest, head in db.execute(_FROM_ROW, (first - 1,)):
        if row != due:
            return f"row {due} is missing"
        if previous and link(previous, row, seq, at, kind, version, payload, digest) != head:
            return f"row {row} does not continue the chain"
        previous, due = head, row + 1
    return ""

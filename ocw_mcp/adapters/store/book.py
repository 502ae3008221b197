"""A book: its id of six characters, and its stamp: mode, venue, account, product and market."""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from ocw_mcp.adapters.files import FileRefused, require_own_directory, require_own_file, sync_directory
from ocw_mcp.adapters.store import database
from ocw_mcp.adapters.store.projections import register_functions, remake_tables
from ocw_mcp.domain.errors import BookError, InvariantError
from ocw_mcp.domain.market import MarketIdentity, Product
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import span_name

UNFINISHED = f"{database.JOURNAL}.new"
"""The file in which a book is created, before it is renamed, so that `journal.db` is never incomplete."""


class BookStamp(msgspec.Struct, frozen=True):
    """The mode, venue, account, product and market of a book. It never changes; a run with another stamp is refused."""

    mode: Mode
    venue: str
    account: str
    product: Product
    market: MarketIdentity


class StoredBook(msgspec.Struct, frozen=True):
    """The id, the stamp and the creation time (ms) of a book."""

    book: str
    stamp: BookStamp
    created_at: int


def peek_book(directory: Path) -> StoredBook:
    """Return the book of a directory, without changing a file. Raises BookError if this user has no book there."""
    require_own_directory(directory)
    path = directory / database.JOURNAL
    if not path.exists():
        raise BookError(
            f"the state directory {directory} holds no book; expected a {path.name} in it; give the directory of an "
            "earlier run with --state or OCW_STATE"
        )
    try:
        for each in database.database_files(directory):
            require_own_file(each)
    except FileRefused as error:
        raise BookError(str(error)) from None
    try:
        found = database.look_at(path, lambda db: db.execute(database.GET_BOOK).fetchone())
    except (sqlite3.Error, OSError) as error:
        raise _foreign(directory, str(error)) from None
    if found is None:
        raise _foreign(directory, "its table book is empty")
    schema, book, stamp, created_at = found
    if not isinstance(schema, int) or schema > database.SCHEMA_VERSION:
        raise BookError(
            f"the book in {directory} has schema version {schema}, and this version of ocw knows up to "
            f"{database.SCHEMA_VERSION}; upgrade ocw or use another --state directory"
        )
    try:
        return StoredBook(book, msgspec.json.decode(stamp, type=BookStamp), created_at)
    except (msgspec.MsgspecError, UnicodeError, TypeError) as error:
        raise _foreign(directory, f"its stamp is unreadable: {error}") from None


def create_book(directory: Path, book: StoredBook) -> None:
    """Create an empty book in a directory, completely or not at all. Raises sqlite3.Error and OSError."""
    if not re.fullmatch("[a-z0-9]{6}", book.book):
        raise InvariantError(f"the id of a book is six lower-case letters and digits, not {book.book!r}")
    unfinished = directory / UNFINISHED
    for leftover in directory.glob(f"{UNFINISHED}*"):
        leftover.unlink()
    # SQLite gives the files beside a database the mode of the database.
    unfinished.touch(0o600, exist_ok=False)
    unfinished.chmod(0o600)
    row = (database.SCHEMA_VERSION, book.book, msgspec.json.encode(book.stamp).decode(), book.created_at)
    with closing(database.connect_to_write(unfinished, create=True)) as db:
        register_functions(db)
        with db.atomic():
            for statement in database.TABLES:
                db.execute(statement)
            remake_tables(db)
            db.execute("INSERT INTO book (id, schema, book, stamp, created_at) VALUES (1, ?, ?, ?, ?)", row)
        db.execute("PRAGMA journal_mode=WAL").fetchall()
    os.replace(unfinished, directory / database.JOURNAL)
    sync_directory(directory)


def remove_book(directory: Path) -> None:
    """Delete the files of a book that this process has created, and in which nothing was journaled. Raises OSError."""
    # The journal goes last: a log without it would be read into the next one.
    for each in reversed(database.database_files(directory)):
        each.unlink(missing_ok=True)
    sync_directory(directory)


def require_same(directory: Path, stamped: BookStamp, asked: BookStamp) -> None:
    """Refuse a start that does not match the book's stamp. Raises BookError, which names every difference."""
    before, after = _parts(stamped), _parts(asked)
    different = [name for name in before if before[name] != after[name]]
    if different:
        of_seed = "market content" in different and before["market kind"] == after["market kind"] == "sim"
        was, now = (", ".join(_text(name, each[name], of_seed) for name in different) for each in (before, after))
        seed = "give the --seed it was made with, or " if of_seed else ""
        raise BookError(
            f"the book in {directory} was made for {was}, and this run has {now}; {seed}use another --state directory"
        )


def _parts(stamp: BookStamp) -> dict[str, Any]:
    parts = msgspec.structs.asdict(stamp)
    market = msgspec.structs.asdict(parts.pop("market"))
    return parts | {f"market {name}": value for name, value in market.items()}


def _text(name: str, value: Any, of_seed: bool) -> str:
    """Return a field of a stamp as text; with `of_seed`, the market content is a digest of seed and model."""
    if name == "market content":
        return f"{'simulated market (its seed and model)' if of_seed else name} {value[:12]}"
    if name == "market interval":
        return f"{name} {span_name(value)}"
    return f"{name} {','.join(value) if isinstance(value, tuple) else value}"


def _foreign(directory: Path, why: str) -> BookError:
    return BookError(
        f"{database.JOURNAL} in {directory} is not a journal of ocw ({why}); nothing was changed; use another --state "
        "directory"
    )

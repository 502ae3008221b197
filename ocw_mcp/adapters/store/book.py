"""What a book is: six characters that name it, and the stamp that says which trading it belongs to."""

import os
import re
import sqlite3
from pathlib import Path

import msgspec

from ocw_mcp.adapters.files import FileRefused, make_private, require_own_directory, require_own_file
from ocw_mcp.adapters.store.database import JOURNAL, connect_to_write, look_at, sync_directory
from ocw_mcp.adapters.store.projections import register_functions, remake_tables
from ocw_mcp.adapters.store.schema import GET_BOOK, SCHEMA_VERSION, TABLES
from ocw_mcp.domain.errors import BookError, InvariantError
from ocw_mcp.domain.market import MarketIdentity, Product
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import span_name

UNFINISHED = f"{JOURNAL}.new"
"""A book is made under this name and then renamed, so that `journal.db` is always a whole book."""


class BookStamp(msgspec.Struct, frozen=True):
    """Which trading a book belongs to. It never changes, and nothing else may use the book."""

    mode: Mode
    venue: str
    account: str
    product: Product
    market: MarketIdentity


class StoredBook(msgspec.Struct, frozen=True):
    """A book as it was made. `created_at` in ms, by the clock of whoever made it."""

    book: str
    stamp: BookStamp
    created_at: int


def peek_book(directory: Path) -> StoredBook:
    """Read whose book a directory holds, without making or changing any file in it.

    Raises BookError when there is no journal, or one that is not ours, and for a directory or file of another user.
    """
    require_own_directory(directory)
    path = directory / JOURNAL
    if not path.exists():
        raise BookError(
            f"the state directory {directory} holds no book; expected a {JOURNAL} in it; give the directory of "
            "an earlier run with --state or OCW_STATE"
        )
    try:
        for each in (path, path.with_name(f"{JOURNAL}-wal"), path.with_name(f"{JOURNAL}-shm")):
            require_own_file(each)
    except FileRefused as error:
        raise BookError(str(error)) from None
    try:
        found = look_at(path, lambda db: db.execute(GET_BOOK).fetchone())
    except (sqlite3.Error, OSError) as error:
        raise _foreign(directory, str(error)) from None
    if found is None:
        raise _foreign(directory, "it has no stamp")
    schema, book, stamp, created_at = found
    if not isinstance(schema, int) or schema > SCHEMA_VERSION:
        raise BookError(
            f"the book in {directory} has schema version {schema}, and this version of ocw knows up to "
            f"{SCHEMA_VERSION}; upgrade ocw or use another --state directory"
        )
    try:
        return StoredBook(book, msgspec.json.decode(stamp, type=BookStamp), created_at)
    except (msgspec.MsgspecError, UnicodeError, TypeError) as error:
        raise _foreign(directory, f"its stamp is unreadable: {error}") from None


def create_book(directory: Path, book: StoredBook) -> None:
    """Make an empty book in a directory that may hold one, wholly or not at all. Raises sqlite3.Error and OSError."""
    if not re.fullmatch("[a-z0-9]{6}", book.book):
        raise InvariantError(f"a book is named by six lower-case letters and digits, not by {book.book!r}")
    unfinished = directory / UNFINISHED
    for leftover in directory.glob(f"{UNFINISHED}*"):
        leftover.unlink()
    # SQLite gives the files beside a database the mode of the database.
    make_private(unfinished)
    db = connect_to_write(unfinished, create=True)
    try:
        register_functions(db)
        with db.atomic():
            for statement in TABLES:
                db.execute(statement)
            remake_tables(db)
            db.execute(
                "INSERT INTO book (id, schema, book, stamp, created_at) VALUES (1, ?, ?, ?, ?)",
                (SCHEMA_VERSION, book.book, msgspec.json.encode(book.stamp).decode(), book.created_at),
            )
        db.execute("PRAGMA journal_mode=WAL").fetchall()
    finally:
        db.close()
    os.replace(unfinished, directory / JOURNAL)
    sync_directory(directory)


def require_same(directory: Path, stamped: BookStamp, asked: BookStamp) -> None:
    """Refuse a start that does not fit the book. Raises BookError, which names every difference."""
    differences = list(_differences("", stamped, asked))
    if differences:
        was = ", ".join(f"{name} {before}" for name, before, _ in differences)
        now = ", ".join(f"{name} {after}" for name, _, after in differences)
        seed = "give the --seed it was made with, or " if any(name == _SIMULATION for name, *_ in differences) else ""
        raise BookError(
            f"the book in {directory} was made for {was}, and this start asks for {now}; {seed}use another --state "
            "directory"
        )


_SIMULATION = "simulated market (its seed and model)"
"""What the content of a market means where nothing but a seed and a model of ours makes it."""
_CONTENT_SHOWN = 12


def _differences(prefix: str, stamped: msgspec.Struct, asked: msgspec.Struct) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for name in stamped.__struct_fields__:
        before, after = getattr(stamped, name), getattr(asked, name)
        if isinstance(before, msgspec.Struct):
            found += _differences(f"{name} ", before, after)
        elif before != after:
            simulated = name == "content" and {getattr(each, "kind", "") for each in (stamped, asked)} == {"sim"}
            found.append((_SIMULATION if simulated else prefix + name, _text(name, before), _text(name, after)))
    return found


def _text(name: str, value: object) -> str:
    if name == "interval" and isinstance(value, int):
        return span_name(value)
    if name == "content":
        return str(value)[:_CONTENT_SHOWN]
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _foreign(directory: Path, why: str) -> BookError:
    return BookError(
        f"{JOURNAL} in {directory} is not a journal of ocw ({why}); nothing was changed; use another --state directory"
    )

"""Reads a book from outside, beside a running engine or without one, and leaves nothing behind."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.book import BookStamp, StoredBook, peek_book
from ocw_mcp.adapters.store.database import JOURNAL, look_at
from ocw_mcp.adapters.store.rows import CHAIN_GENESIS
from ocw_mcp.adapters.store.schema import GET_SUMMARY, LAST_DOMAIN_EVENT, LAST_ROW
from ocw_mcp.adapters.store.spent import Spent, find_spent
from ocw_mcp.adapters.store.totals import count
from ocw_mcp.adapters.store.verify import Verification, verify_journal
from ocw_mcp.domain.canonical import GENESIS
from ocw_mcp.domain.errors import BookError, JournalError

_T = TypeVar("_T")


class BookView(msgspec.Struct, frozen=True):
    """A book at one moment, as far as it is committed. `events` counts all rows; times in ms."""

    book: str
    stamp: BookStamp
    created_at: int
    summary: dict[str, Any] | None
    """What the engine last said of itself; None when it never did."""
    events: int
    orders: int
    fills: int
    thinking: Spent | None
    """What deciders were paid; None where nobody can tell yet."""
    chain_head: str
    fingerprint: str
    last_event_at: int | None


def read_book(directory: Path) -> BookView:
    """Look at a book. Raises BookError when there is none, or one that cannot be read."""
    made = peek_book(directory)

    def look(db: Database) -> BookView:
        with db.atomic():
            last = db.execute(LAST_ROW).fetchone()
            domain = db.execute(LAST_DOMAIN_EVENT).fetchone()
            summary = db.execute(GET_SUMMARY).fetchone()
            return BookView(
                book=made.book,
                stamp=made.stamp,
                created_at=made.created_at,
                summary=msgspec.json.decode(summary[0]) if summary else None,
                events=last[0] if last else 0,
                orders=count(db, "SELECT count(*) FROM orders"),
                fills=count(db, "SELECT count(*) FROM fills"),
                thinking=find_spent(db),
                chain_head=last[2] if last else CHAIN_GENESIS,
                fingerprint=domain[1] if domain else GENESIS,
                last_event_at=last[1] if last else None,
            )

    return _read(directory, look)


def verify_book(
    directory: Path, expected_head: str | None = None, tell: Callable[[int], None] = lambda rows: None
) -> Verification:
    """Walk the journal of a book from outside; see `verify_journal`. Raises BookError when there is none."""
    made = peek_book(directory)
    return _read(directory, lambda db: verify_journal(db, made.book, expected_head, tell))


def ask_book(directory: Path, question: Callable[[Database, StoredBook], _T]) -> _T:
    """Ask a book something by query, as of one moment; `question` gets the database and whose it is.

    Raises BookError when there is none, or one that cannot be read.
    """
    try:
        made = peek_book(directory)
    except OSError as error:
        raise BookError(
            f"the state directory {directory} cannot be looked into: {error.strerror}; check the path, or ask as the "
            "user who runs the engine"
        ) from None

    def look(db: Database) -> _T:
        try:
            with db.atomic():
                return question(db, made)
        except (msgspec.MsgspecError, JournalError, ArithmeticError, ValueError, TypeError) as error:
            # Where somebody began to write meanwhile, rows may make no sense: `look_at` then looks again.
            raise sqlite3.DatabaseError(str(error)) from None

    return _read(directory, look)


def _read(directory: Path, look: Callable[[Database], _T]) -> _T:
    try:
        return look_at(directory / JOURNAL, look)
    except (sqlite3.Error, OSError, msgspec.MsgspecError) as error:
        raise BookError(
            f"the book in {directory} cannot be read: {error}; ask as the user who runs the engine, or verify the book"
        ) from None

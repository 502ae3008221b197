"""Reads a book, beside a running engine or without one, and leaves no file behind."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.book import BookStamp, StoredBook, peek_book
from ocw_mcp.adapters.store.database import CHAIN_GENESIS, GET_SUMMARY, JOURNAL, LAST_DOMAIN_EVENT, LAST_ROW, look_at
from ocw_mcp.adapters.store.figures import count
from ocw_mcp.adapters.store.verify import Verification, verify_journal
from ocw_mcp.adapters.store.views.decisions import ThinkingCost, find_thinking_cost
from ocw_mcp.domain.canonical import GENESIS
from ocw_mcp.domain.errors import BookError, JournalError

_T = TypeVar("_T")


class BookView(msgspec.Struct, frozen=True):
    """The committed state of a book. `events` counts all rows; times are in ms."""

    book: str
    stamp: BookStamp
    created_at: int
    summary: dict[str, Any] | None
    events: int
    orders: int
    fills: int
    thinking: ThinkingCost | None
    chain_head: str
    fingerprint: str
    last_event_at: int | None


def read_book(directory: Path) -> BookView:
    """Return the state of a book. Raises BookError if there is no book, or if it cannot be read."""
    return ask_book(directory, _view)


def _view(db: Database, book: StoredBook) -> BookView:
    events, last_event_at, chain_head, _ = db.execute(LAST_ROW).fetchone() or (0, None, CHAIN_GENESIS, 0)
    _, fingerprint = db.execute(LAST_DOMAIN_EVENT).fetchone() or (0, GENESIS)
    summary = db.execute(GET_SUMMARY).fetchone()
    return BookView(
        book=book.book,
        stamp=book.stamp,
        created_at=book.created_at,
        summary=msgspec.json.decode(summary[0]) if summary else None,
        events=events,
        orders=count(db, "SELECT count(*) FROM orders"),
        fills=count(db, "SELECT count(*) FROM fills"),
        thinking=find_thinking_cost(db),
        chain_head=chain_head,
        fingerprint=fingerprint,
        last_event_at=last_event_at,
    )


def verify_book(
    directory: Path, expected_head: str | None = None, report: Callable[[int], None] = lambda rows: None
) -> Verification:
    """Verify the journal of a book as `verify_journal` does. Raises BookError if there is no book."""
    made = peek_book(directory)
    return _read(directory, lambda db: verify_journal(db, made.book, expected_head, report))


def ask_book(directory: Path, question: Callable[[Database, StoredBook], _T]) -> _T:
    """Return the result of `question` on the database of a book, in one read transaction. Raises BookError."""
    try:
        made = peek_book(directory)
    except OSError as error:
        raise BookError(
            f"the state directory {directory} cannot be read: {error.strerror}; check the path, or run as the "
            "user who runs the engine"
        ) from None

    def look(db: Database) -> _T:
        try:
            with db.atomic():
                return question(db, made)
        except (msgspec.MsgspecError, JournalError, ArithmeticError, ValueError, TypeError) as error:
            # If a writer started meanwhile, rows may be inconsistent: `look_at` then reads again.
            raise sqlite3.DatabaseError(str(error)) from None

    return _read(directory, look)


def _read(directory: Path, look: Callable[[Database], _T]) -> _T:
    try:
        return look_at(directory / JOURNAL, look)
    except (sqlite3.Error, OSError, msgspec.MsgspecError) as error:
        raise BookError(
            f"the book in {directory} cannot be read: {error}; run as the user who runs the engine, or verify the book"
        ) from None

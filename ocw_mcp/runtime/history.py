"""What is over, asked of a book's store by query: trades, orders, refusals, decisions, whole days.

Each question is put in a thread, on a connection of its own that only reads: neither a long look nor a client that
goes away keeps the engine waiting.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from sqlite_utils import Database

from ocw_mcp.adapters.store.book import StoredBook
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.views.days import DayPage, read_day
from ocw_mcp.adapters.store.views.decisions import DecisionsPage, find_decisions
from ocw_mcp.adapters.store.views.orders import OrderPage, RefusalPage, page_orders, page_refusals
from ocw_mcp.adapters.store.views.story import Story, find_story, newest_story
from ocw_mcp.adapters.store.views.story_ids import UnknownIdError
from ocw_mcp.adapters.store.views.thinking import DecisionCost, find_thoughts
from ocw_mcp.adapters.store.views.trades import TradePage, TradeSearch, search_trades
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.requests import RequestCode, RequestError, day_of

AT_ONCE = 4
"""Questions under way; further ones wait."""

_T = TypeVar("_T")


class History:
    """The past of one book, of its state directory. Every answer is of what was committed at its moment."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def trades(
        self,
        limit: int,
        *,
        symbol: str | None = None,
        outcome: Literal["won", "lost"] | None = None,
        since: int | None = None,
        until: int | None = None,
        before: int | None = None,
    ) -> TradePage:
        """Closed trades, newest first, those closed within [since, until) in ms. Raises RequestError."""
        wanted = TradeSearch(symbol, outcome, since, until, before)
        return await self._ask(lambda db, book: search_trades(db, wanted, limit))

    async def orders(self, limit: int, before: int | None = None) -> OrderPage:
        """Orders of any state, newest first, from before the row of a cursor. Raises RequestError."""
        return await self._ask(lambda db, book: page_orders(db, limit, before))

    async def refusals(self, limit: int, before: int | None = None) -> RefusalPage:
        """Orders that did not pass, newest first. Raises RequestError."""
        return await self._ask(lambda db, book: page_refusals(db, limit, before))

    async def decisions(self, limit: int, *, acted: bool = False) -> DecisionsPage:
        """The newest decisions, newest last. Raises RequestError."""
        return await self._ask(lambda db, book: find_decisions(db, limit, acted=acted))

    async def thoughts(self, limit: int) -> list[DecisionCost]:
        """How the latest decisions were come to, by so many events about them, newest last. Raises RequestError."""
        return await self._ask(lambda db, book: find_thoughts(db, limit))

    async def story(self, id_: str | None) -> Story:
        """One wake from its reasons to its last fill; without an id, of the newest decision that acted.

        Raises RequestError where the book has nothing of that name.
        """
        try:
            return await self._ask(lambda db, book: find_story(db, book, id_) if id_ else newest_story(db, book))
        except UnknownIdError as error:
            raise RequestError(
                RequestCode.UNKNOWN_ID,
                what=error.what,
                limit=error.exists,
                actual=repr((id_ or "")[:40]),
                next_="name one of these",
            ) from None

    async def day(self, day: str | None, kinds: tuple[str, ...], limit: int, after: int | None = None) -> DayPage:
        """The events of a UTC day, of the last one where none is named, oldest first. Raises RequestError."""
        if day is not None:
            day_of(day)
        return await self._ask(lambda db, book: read_day(db, day, kinds, limit, after))

    async def _ask(self, question: Callable[[Database, StoredBook], _T]) -> _T:
        async with self._turn:
            try:
                return await asyncio.to_thread(ask_book, self._directory, question)
            except BookError as error:
                raise RequestError(
                    RequestCode.UNREADABLE,
                    what=str(error),
                    limit="a readable book",
                    actual="none",
                    next_="try again; if it stays so, a person runs ocw doctor",
                ) from None

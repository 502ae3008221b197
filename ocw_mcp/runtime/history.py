"""Queries a book's store for its past: trades, orders, refusals, decisions, and the events of a day.

Each query runs in a thread, on its own read-only connection, so that it does not delay the engine. Every method raises
RequestError for a request that the book cannot answer.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from sqlite_utils import Database

from ocw_mcp.adapters.store.book import StoredBook
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.views.days import DayPage, read_day
from ocw_mcp.adapters.store.views.decisions import (
    DecisionCost,
    DecisionRow,
    DecisionsPage,
    find_decisions,
    find_thoughts,
    page_decisions,
)
from ocw_mcp.adapters.store.views.equity import Account, Closes, EquityPage, page_day_equities, page_equity
from ocw_mcp.adapters.store.views.orders import OrderRow, Page, RefusalRow, page_orders, page_refusals
from ocw_mcp.adapters.store.views.story import Story, UnknownIdError, find_story, newest_story
from ocw_mcp.adapters.store.views.trades import TradePage, TradeSearch, search_trades
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.requests import RequestCode, RequestError, day_of

MOST_QUERIES = 4
"""The largest number of simultaneous queries; further queries wait."""

_T = TypeVar("_T")


class History:
    """The past of one book, from its state directory. A query covers the events committed when it runs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._slots = asyncio.Semaphore(MOST_QUERIES)
        self._account: Account | None = None
        """The account at the first point of the last curve, from which the next one begins if it is not earlier."""

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
        """Return the trades that closed within [since, until) in ms, newest first."""
        wanted = TradeSearch(symbol, outcome, since, until, before)
        return await self._query(lambda db, book: search_trades(db, wanted, limit))

    async def orders(
        self, limit: int, before: int | None = None, *, live: bool = False, symbol: str | None = None
    ) -> Page[OrderRow]:
        """Return `limit` orders of any state, or `live` ones, newest first, older than the row id `before`."""
        return await self._query(lambda db, book: page_orders(db, limit, before, live=live, symbol=symbol))

    async def refusals(self, limit: int, before: int | None = None, *, symbol: str | None = None) -> Page[RefusalRow]:
        """Return refused orders, newest first."""
        return await self._query(lambda db, book: page_refusals(db, limit, before, symbol=symbol))

    async def decided(self, limit: int, before: int | None = None, *, acted: bool = False) -> Page[DecisionRow]:
        """Return decisions, newest first, older than the sequence `before`; `acted` as in `decisions`."""
        return await self._query(lambda db, book: page_decisions(db, limit, before, acted=acted))

    async def day_equities(self, limit: int, before: int | None = None) -> EquityPage:
        """Return the equity at the starts of the newest `limit` UTC days before the time `before` (ms)."""
        return await self._query(lambda db, book: page_day_equities(db, limit, before))

    async def equity(self, closes: Closes, limit: int, before: int | None = None) -> EquityPage:
        """Return the equity at the newest `limit` closes of candles before the time `before` (ms)."""
        known = self._account
        page, self._account = await self._query(lambda db, book: page_equity(db, closes, limit, before, known))
        return page

    async def decisions(self, limit: int, *, acted: bool = False) -> DecisionsPage:
        """Return the latest decisions, newest last; with `acted`, only decisions with an action other than HOLD."""
        return await self._query(lambda db, book: find_decisions(db, limit, acted=acted))

    async def thoughts(self, limit: int) -> list[DecisionCost]:
        """Return the cost of each decision among the newest `limit` decision events, newest last."""
        return await self._query(lambda db, book: find_thoughts(db, limit))

    async def story(self, id_: str | None) -> Story:
        """Return a wake from its reasons to its last fill; without an id, the last wake that led to an order."""
        try:
            return await self._query(lambda db, book: find_story(db, book, id_) if id_ else newest_story(db, book))
        except UnknownIdError as error:
            what, exists, actual = error.what, error.exists, repr((id_ or "")[:40])
            raise RequestError(
                RequestCode.UNKNOWN_ID, what=what, limit=exists, actual=actual, next_="name one of these"
            ) from None

    async def day(self, day: str | None, kinds: tuple[str, ...], limit: int, after: int | None = None) -> DayPage:
        """Return the events of a UTC day, by default the last one, oldest first."""
        if day is not None:
            day_of(day)
        return await self._query(lambda db, book: read_day(db, day, kinds, limit, after))

    async def _query(self, query: Callable[[Database, StoredBook], _T]) -> _T:
        async with self._slots:
            try:
                return await asyncio.to_thread(ask_book, self._directory, query)
            except BookError as error:
                again = "try again; if it fails again, the operator runs ocw doctor"
                raise RequestError(
                    RequestCode.UNREADABLE, what=str(error), limit="a readable book", actual="none", next_=again
                ) from None

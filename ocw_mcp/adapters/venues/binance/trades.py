"""The account's trades, read by REST: all trades of a symbol from the last known one on, each with its order."""

from typing import Final

from ocw_mcp.adapters.venues.binance.identities import CONDITIONAL, Identities, Identity
from ocw_mcp.adapters.venues.binance.live_orders import LiveOrders
from ocw_mcp.adapters.venues.binance.queries import AccountQueries, NotShown, together
from ocw_mcp.adapters.venues.binance.reports import Reports
from ocw_mcp.adapters.venues.binance.rest_wire import TradeRow
from ocw_mcp.adapters.venues.binance.translation import actual_id
from ocw_mcp.domain.orders import Triggered
from ocw_mcp.domain.time import MINUTE, SECOND

HIDDEN_MS: Final = 120 * SECOND
"""The age (ms) of a trade up to which its order may not be shown by the exchange yet."""

SHOWN_AFTER_MS: Final = 10 * MINUTE
"""The age (ms) from which the exchange shows every trade."""


class TradeReader:
    """Reads trades and finds out whose they are."""

    def __init__(self, queries: AccountQueries, identities: Identities, live: LiveOrders, reports: Reports) -> None:
        self._queries, self._identities, self._live, self._reports = queries, identities, live, reports
        self._last: dict[str, int] = {}
        """By symbol, the id of the last trade that was read."""
        self.since = 0
        """The time (ms) from which the trades of a symbol are read at first."""
        self._none_until: dict[str, int] = {}
        """By symbol without any trade yet: the time (ms) until which there certainly was none."""

    async def read(self, symbol: str) -> list[TradeRow]:
        """Report the trades of a symbol since the last call; return those that were not known. Raises QueryFailed."""
        last = self._last.get(symbol)
        if last is None:
            began = self._queries.now_ms()
            rows = await self._queries.trades_since(symbol, max(self.since, self._none_until.get(symbol, 0)))
            if not rows:
                self._none_until[symbol] = began - SHOWN_AFTER_MS
        else:
            rows = await self._queries.trades_from(symbol, last + 1)
        news = await self._report(rows)
        if rows:
            self._last[symbol] = max(self._last.get(symbol, 0), rows[-1].id)
        return news

    async def read_order(self, symbol: str, order_id: int) -> list[TradeRow]:
        """Report the trades of an order whose identity is known; return those that were not known."""
        return await self._report(sorted(await self._queries.trades_of(symbol, order_id), key=lambda row: row.id))

    async def _report(self, rows: list[TradeRow]) -> list[TradeRow]:
        unknown = {row.order_id: row for row in rows if not self._reports.knows_trade(row.symbol, row.id)}
        await together(*(self.identify(row) for row in unknown.values()))
        news = []
        for row in rows:
            identity = self._identities.get(row.symbol, row.order_id)
            if identity is not None and self._reports.add_trade(identity, row):
                news.append(row)
        return news

    async def identify(self, trade: TradeRow) -> Identity:
        """Return what the order of a trade is. Raises NotShown while the exchange does not show the order."""
        known = self._identities.get(trade.symbol, trade.order_id)
        if known is not None:
            return known
        row = await self._queries.order(trade.symbol, order_id=trade.order_id)
        if row is not None:
            return await self.triggered(row.id, row.client_id, row.original_type, row.symbol, row.side)
        if self._queries.now_ms() - trade.at < HIDDEN_MS:
            raise NotShown(f"the exchange does not show order {trade.order_id} of trade {trade.id} yet")
        return self._identities.add(trade.symbol, trade.order_id, "")

    def may_be_triggered(self, client_id: str, original_type: str, symbol: str, side: str) -> bool:
        """Return whether an order with a foreign client id may be what an algo order of this book became."""
        foreign = self._identities.ref(client_id) is None and original_type in CONDITIONAL
        return foreign and bool(self._live.waiting_algos(symbol, side.lower()))

    async def triggered(self, order_id: int, client_id: str, original_type: str, symbol: str, side: str) -> Identity:
        """Return what an order is: perhaps one that an algo order became, perhaps under another client id."""
        if self.may_be_triggered(client_id, original_type, symbol, side):
            for live in self._live.waiting_algos(symbol, side.lower()):
                row = await self._queries.algo(self._identities.client_id(live.order.ref))
                if row is not None and actual_id(row.order_id) == order_id:
                    self._identities.bind(symbol, order_id, live.order.ref)
        found = self._identities.add(symbol, order_id, client_id)
        if found.ref is not None and original_type in CONDITIONAL:
            self._reports.add(Triggered(found.ref, str(order_id)))
        return found

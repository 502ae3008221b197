"""The queries of the account on spot, with what each costs.

A reading of the account costs, with S symbols, a weight of 40 for the balances before and after, and 26 S for their
open orders and trades; the open orders of the whole account cost 80 in place of 6 S. With 5 symbols that is 170 of the
exchange's 6,000 a minute. Trades are the most expensive part, but only their list proves that none was missed.
"""

from collections.abc import Sequence
from typing import Final

from ocw_mcp.adapters.venues.binance.queries import (
    MOST_ROWS,
    RIGHTS,
    Caller,
    Holdings,
    QueryClient,
    ReadingBudget,
    in_spans,
)
from ocw_mcp.adapters.venues.binance.rest_wire import (
    AlgoRow,
    IncomeRow,
    KeyRights,
    OrderRow,
    PositionRow,
    SymbolConfig,
    TradeRow,
)
from ocw_mcp.adapters.venues.binance.spot.wire import OrderListRow, SpotAccountRow, SpotTradeRow, spot_order
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.symbols import assets_of
from ocw_mcp.domain.time import DAY

LONGEST_SPAN: Final = DAY
"""The longest time (ms) from startTime to endTime."""
OLDEST: Final = 365 * DAY
"""How far back (ms) trades are read after a long pause."""
NO_LIST: Final = -2018
"""The code of `Order list does not exist.`"""
ARCHIVED: Final = -2026
"""The code for an order that ended without a fill more than 90 days ago. On futures it has another meaning."""
_RECENT: Final = 500
"""The number of orders of a symbol that are searched for one that no other query shows."""


class SpotQueries(QueryClient):
    """Queries of one account on spot."""

    budget = ReadingBudget(
        a_second=10, asked_at_once=600, asked_a_second=20, holdings=40, trades=20, lists=6, all_lists=80
    )
    shows_positions = False

    def __init__(self, client: Caller, symbols: Sequence[str]) -> None:
        """`symbols` are those that the book trades: their base assets are its positions."""
        super().__init__(client)
        self._bases = {symbol: assets_of(symbol)[0] for symbol in symbols}

    def follows(self, symbol: str) -> bool:
        """Return whether the trades and the position of a symbol are read: those of the book's symbols are.

        What the owner trades elsewhere changes only balances.
        """
        return symbol in self._bases

    async def account(self) -> SpotAccountRow:
        """Return balances and permissions (weight 20)."""
        return await self._get("/api/v3/account", {"omitZeroBalances": "true"}, SpotAccountRow, weight=20)

    async def holdings(self) -> Holdings:
        """Return the balances, and as positions those of the base assets."""
        balances = [each.row() for each in (await self.account()).balances]
        totals = {each.asset: each.total for each in balances}
        held = {symbol: totals.get(base, ZERO) for symbol, base in self._bases.items()}
        return Holdings([PositionRow(symbol, total) for symbol, total in held.items() if total], balances)

    async def order(self, symbol: str, *, client_id: str = "", order_id: int = 0) -> OrderRow | None:
        """Return the latest order with an id, or None if the exchange does not know one (-2013), or no longer."""
        named: dict[str, str | int] = {"orderId": order_id} if order_id else {"origClientOrderId": client_id}
        found = await self._found("/api/v3/order", {"symbol": symbol, **named}, OrderRow, weight=4, absent=(ARCHIVED,))
        return None if found is None else spot_order(found)

    async def order_list(self, client_id: str) -> OrderListRow | None:
        """Return the latest order list with a client id, or None if the exchange does not know one."""
        params = {"origClientOrderId": client_id}
        return await self._found("/api/v3/orderList", params, OrderListRow, weight=4, absent=(NO_LIST,))

    async def algo(self, client_id: str) -> AlgoRow | None:
        """Return None: a stop on spot is an order like others."""
        return None

    async def open_orders(self, symbol: str | None = None) -> list[OrderRow]:
        """Return the open orders of a symbol (weight 6) or of the account (weight 80)."""
        params: dict[str, str | int] = {} if symbol is None else {"symbol": symbol}
        rows = await self._get("/api/v3/openOrders", params, list[OrderRow], weight=6 if symbol else 80)
        return [spot_order(each) for each in rows]

    async def open_algos(self, symbol: str | None = None) -> list[AlgoRow]:
        """Return nothing: a stop on spot is an order like others."""
        return []

    async def recent_orders(self, symbol: str) -> list[OrderRow]:
        """Return the last orders of a symbol, open or not (weight 20)."""
        params: dict[str, str | int] = {"symbol": symbol, "limit": _RECENT}
        return [spot_order(each) for each in await self._get("/api/v3/allOrders", params, list[OrderRow], weight=20)]

    async def trades_of(self, symbol: str, order_id: int) -> list[TradeRow]:
        """Return the trades of an order (weight 5)."""
        return await self._trades(symbol, weight=5, orderId=order_id)

    async def trades_from(self, symbol: str, first: int) -> list[TradeRow]:
        """Return the trades of a symbol from an id on, in order."""
        found: list[TradeRow] = []
        while True:
            rows = await self._trades(symbol, fromId=first)
            found += rows
            if len(rows) < MOST_ROWS:
                return found
            first = rows[-1].id + 1

    async def trades_since(self, symbol: str, since: int) -> list[TradeRow]:
        """Return the trades of a symbol since a time (ms), in order.

        Usually the last ones reach far enough. If not, those before are read in spans of a day.
        """
        last = await self._trades(symbol)
        if len(last) < MOST_ROWS or last[0].at < since:
            return [each for each in last if each.at >= since]

        async def read(start: int, end: int) -> list[TradeRow]:
            return await self._trades(symbol, startTime=start, endTime=end)

        earlier = await in_spans(read, max(since, self.now_ms() - OLDEST), last[0].at, LONGEST_SPAN)
        return sorted({row.id: row for row in [*earlier, *last]}.values(), key=lambda row: row.id)

    async def _trades(self, symbol: str, *, weight: int = 20, **params: int) -> list[TradeRow]:
        query: dict[str, str | int] = {"symbol": symbol, "limit": MOST_ROWS, **params}
        rows = await self._get("/api/v3/myTrades", query, list[SpotTradeRow], weight=weight)
        return [each.row() for each in sorted(rows, key=lambda row: row.id)]

    async def income(self, since: int) -> list[IncomeRow]:
        """Return nothing: the interface of spot has no list of deposits; the account's events report them."""
        return []

    async def symbol_configs(self) -> list[SymbolConfig]:
        """Return nothing: spot has neither leverage nor margin."""
        return []

    async def key_rights(self) -> KeyRights:
        """Return the rights of the API key, which only the live exchange reports."""
        return await self._get(RIGHTS, {}, KeyRights, weight=1)

"""What became of one order: it is asked for by its client id at each endpoint that may know it."""

import asyncio
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.adapters.venues.binance.identities import Identities
from ocw_mcp.adapters.venues.binance.live_orders import LiveOrder, LiveOrders
from ocw_mcp.adapters.venues.binance.queries import AccountQueries, NotShown, QueryFailed
from ocw_mcp.adapters.venues.binance.reports import Reports
from ocw_mcp.adapters.venues.binance.rest_wire import AlgoRow, OrderRow
from ocw_mcp.adapters.venues.binance.trades import TradeReader
from ocw_mcp.adapters.venues.binance.translation import OPEN, WAITING, actual_id, algo_reports, row_reports
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Canceled, OrderRef
from ocw_mcp.domain.time import SECOND

_FRESH_MS: Final = 3 * SECOND
"""The age (ms) up to which the second witness of a symbol is used again, for another order."""


class Witness(msgspec.Struct, frozen=True):
    """What the lists of the account show of a symbol at a time (ms): the second witness of an absence."""

    at: int
    refs: frozenset[OrderRef]
    """The orders of the book among its open orders, its waiting algo orders, and its recent orders."""
    unexplained: Decimal
    """The position less all reported trades: it changes only with a trade that was not reported."""


class OrderLook:
    """Looks orders up, and reports what is found."""

    def __init__(
        self, queries: AccountQueries, identities: Identities, live: LiveOrders, trades: TradeReader, reports: Reports
    ) -> None:
        self._queries, self._identities, self._live = queries, identities, live
        self._trades, self._reports = trades, reports
        self._witnesses: dict[str, Witness] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def found(self, live: LiveOrder) -> bool:
        """Report what became of an order; return False if no endpoint knows it. Raises QueryFailed."""
        ref, symbol = live.order.ref, live.order.symbol
        client_id = self._identities.client_id(ref)
        if live.is_algo:
            algo = await self._queries.algo(client_id)
            if algo is not None:
                await self._report_algo(algo, live)
                return True
            # The order that an algo order becomes may have the same client id.
        row = await self._queries.order(symbol, client_id=client_id)
        if row is None:
            return False
        await self._report_order(row, live)
        return True

    def in_part(self, orders: Iterable[OrderRow]) -> set[OrderRef]:
        """Return the orders of the book of which only a part is among open orders: none on futures."""
        return set()

    async def _report_algo(self, algo: AlgoRow, live: LiveOrder) -> None:
        ref, order_id = live.order.ref, actual_id(algo.order_id)
        reports, over = algo_reports(algo, ref), algo.status not in WAITING
        if order_id is not None:
            self._identities.bind(algo.symbol, order_id, ref)
            self._reports.add(reports.pop(0))
            row = await self._queries.order(algo.symbol, order_id=order_id)
            if row is not None:
                over = False
                await self._report_order(row, live)
            elif algo.executed or algo.status != "FINISHED":
                raise NotShown(f"the exchange does not show order {order_id}, which {ref} has become, yet")
            else:
                # The exchange forgets orders that ended without a fill after days.
                reports.append(Canceled(ref, "it triggered, and its order ended without a fill"))
        for report in reports:
            self._reports.add(report)
        if over:
            # Its reports may have come before, so that they change nothing now.
            self._live.remove(ref)

    async def _report_order(self, row: OrderRow, live: LiveOrder) -> None:
        """Report the fills of an order first, and then its state."""
        ref = live.order.ref
        self._identities.bind(row.symbol, row.id, ref)
        await self._report_fills(row)
        for report in row_reports(row, ref):
            self._reports.add(report)
        if row.status not in OPEN:
            self._live.remove(ref)

    async def _report_fills(self, row: OrderRow) -> None:
        if row.executed > self._reports.filled(row.symbol, row.id):
            await self._trades.read_order(row.symbol, row.id)
            if row.executed > self._reports.filled(row.symbol, row.id):
                raise NotShown(f"the exchange does not show all trades of order {row.id} yet")

    async def witness(self, symbol: str) -> Witness:
        """Return what the lists show of a symbol, after its trades were reported. Raises QueryFailed."""
        async with self._locks.setdefault(symbol, asyncio.Lock()):
            known = self._witnesses.get(symbol)
            if known is None or self._queries.now_ms() - known.at > _FRESH_MS:
                known = self._witnesses[symbol] = await self._read(symbol)
            return known

    async def _read(self, symbol: str) -> Witness:
        for _ in range(3):
            at = self._queries.now_ms()
            before = await self._position(symbol), self._reports.net(symbol)
            orders = await self._queries.open_orders(symbol)
            algos = await self._queries.open_algos(symbol)
            recent = await self._queries.recent_orders(symbol)
            await self._trades.read(symbol)
            after = await self._position(symbol), self._reports.net(symbol)
            if before == after:
                names = [each.client_id for each in [*orders, *recent]] + [each.client_id for each in algos]
                refs = map(self._identities.ref, names)
                return Witness(at, frozenset(ref for ref in refs if ref is not None), after[0] - after[1])
        raise QueryFailed(f"the position of {symbol} changed while the account was read")

    async def _position(self, symbol: str) -> Decimal:
        rows = (await self._queries.holdings()).positions
        return sum((row.quantity for row in rows if row.symbol == symbol), ZERO)

"""What became of one order on spot: a single order, or a list of two under one reference."""

from collections.abc import Iterable

from ocw_mcp.adapters.venues.binance.live_orders import LiveOrder
from ocw_mcp.adapters.venues.binance.looking import OrderLook
from ocw_mcp.adapters.venues.binance.product import Ties
from ocw_mcp.adapters.venues.binance.queries import NotShown
from ocw_mcp.adapters.venues.binance.rest_wire import OrderRow
from ocw_mcp.adapters.venues.binance.spot.legs import Legs
from ocw_mcp.adapters.venues.binance.spot.names import Leg, leg_id, leg_of
from ocw_mcp.adapters.venues.binance.spot.orders import is_list
from ocw_mcp.adapters.venues.binance.spot.queries import SpotQueries
from ocw_mcp.adapters.venues.binance.translation import OPEN, ended, rejected
from ocw_mcp.domain.orders import Accepted, OrderRef


class SpotLook(OrderLook):
    """Looks orders of spot up, and reports what is found."""

    def __init__(self, queries: SpotQueries, ties: Ties, legs: Legs) -> None:
        super().__init__(queries, ties.identities, ties.live, ties.trades, ties.reports)
        self._spot, self._legs = queries, legs

    async def found(self, live: LiveOrder) -> bool:
        """Report what became of an order; return False if no endpoint knows it. Raises QueryFailed."""
        if not is_list(live.order):
            return await super().found(live)
        ref, symbol = live.order.ref, live.order.symbol
        name = self._identities.client_id(ref)
        whole = await self._spot.order_list(name)
        # The exchange may show an order of a list before the list.
        rows = [await self._spot.order(symbol, client_id=leg_id(name, leg)) for leg in Leg]
        found = [row for row in rows if row is not None]
        if whole is None and not found:
            return False
        if whole is not None:
            self._reports.add(Accepted(ref, str(whole.id)))
        for row in found:
            self._identities.add(row.symbol, row.id, row.client_id)
            await self._report_fills(row)
        for row in found:
            self._report_leg(row, ref)
        if len(found) < len(Leg):
            raise NotShown(f"the exchange does not show both orders of the list {ref} yet")
        return True

    def _report_leg(self, row: OrderRow, ref: OrderRef) -> None:
        leg = leg_of(row.client_id)
        if row.status in OPEN:
            self._reports.add(Accepted(ref, str(row.id)))
        elif row.status == "REJECTED":
            self._reports.add(rejected(ref, ""))
        elif leg is not None:
            self._legs.ended(ref, leg, ended(row.status, ""))

    def in_part(self, orders: Iterable[OrderRow]) -> set[OrderRef]:
        """Return the lists of the book of which one order is among open orders, and the other is not."""
        shown: dict[OrderRef, set[Leg]] = {}
        for row in orders:
            leg, ref = leg_of(row.client_id), self._identities.ref(row.client_id)
            if leg is not None and ref is not None:
                shown.setdefault(ref, set()).add(leg)
        return {ref for ref, legs in shown.items() if len(legs) < len(Leg)}

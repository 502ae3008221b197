"""The order lists of the book: when both of their orders are over, and when a target is left without its stop.

A target that fills in part ends the stop of its list at the exchange, and its own rest stays in the order book: then
nothing protects the position any more, and the rest of the target locks what another stop would need. So the rest is
cancelled after a moment, in which it may fill; the engine then protects what is left.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ocw_mcp.adapters.binance.transport import pause
from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.errors import CallFailed
from ocw_mcp.adapters.venues.binance.live_orders import LiveOrders
from ocw_mcp.adapters.venues.binance.product import Spawn
from ocw_mcp.adapters.venues.binance.reports import Reports
from ocw_mcp.adapters.venues.binance.spot.names import Leg
from ocw_mcp.adapters.venues.binance.spot.orders import ORDER_LIST
from ocw_mcp.domain.orders import Canceled, OrderRef

PATIENCE_S: Final = 2.0
"""The time (s) for which the rest of a target without a stop may still fill."""
MOST: Final = 2_000
"""The number of lists that are remembered."""


class Legs:
    """Which orders of which lists are over."""

    def __init__(
        self,
        client: SignedClient,
        live: LiveOrders,
        reports: Reports,
        client_id: Callable[[OrderRef], str],
        spawn: Spawn,
        demand: Callable[[str], None],
    ) -> None:
        """`client_id` returns the client id of a list; `spawn` runs a task; `demand` asks for a reading."""
        self._client, self._live, self._reports = client, live, reports
        self._client_id, self._spawn, self._demand = client_id, spawn, demand
        self._over: OrderedDict[OrderRef, set[Leg]] = OrderedDict()
        self._watched: set[OrderRef] = set()

    def ended(self, ref: OrderRef, leg: Leg, why: str) -> None:
        """Note that an order of a list is over, after its fills were reported.

        If both are, and not all has filled, the list is reported as cancelled.
        """
        over = self._over.setdefault(ref, set())
        over.add(leg)
        if len(self._over) > MOST:
            self._over.popitem(last=False)
        if len(over) == len(Leg):
            if ref in self._live:
                self._reports.add(Canceled(ref, why))
        elif leg is Leg.STOP and ref in self._live and ref not in self._watched:
            self._watched.add(ref)
            self._spawn(self._end_target(ref))

    async def _end_target(self, ref: OrderRef) -> None:
        """Cancel a target that is left without its stop, unless it fills first."""
        try:
            await pause(PATIENCE_S)
            live = self._live.get(ref)
            if live is None or Leg.TARGET in self._over.get(ref, ()):
                return
            params = {"symbol": live.order.symbol, "listClientOrderId": self._client_id(ref)}
            self._reports.incident(f"the target of {ref} is left without its stop; it is cancelled")
            try:
                await self._client.call("DELETE", ORDER_LIST, params, weight=1, reduces=True)
            except CallFailed as error:
                self._reports.incident(f"the target of {ref} without a stop was not cancelled: {error}")
        finally:
            self._watched.discard(ref)
            self._demand(f"the stop of {ref} has ended before its target")

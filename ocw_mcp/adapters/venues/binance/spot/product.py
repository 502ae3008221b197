"""Spot as a product of the venue."""

from collections.abc import Sequence

from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.fees import SpotFees
from ocw_mcp.adapters.venues.binance.orders import OrderForms, OrderRequest
from ocw_mcp.adapters.venues.binance.product import Ties
from ocw_mcp.adapters.venues.binance.rest_wire import SymbolConfig
from ocw_mcp.adapters.venues.binance.spot import orders
from ocw_mcp.adapters.venues.binance.spot.channel import SubscriptionChannel
from ocw_mcp.adapters.venues.binance.spot.events import SpotEvents
from ocw_mcp.adapters.venues.binance.spot.legs import Legs
from ocw_mcp.adapters.venues.binance.spot.looking import SpotLook
from ocw_mcp.adapters.venues.binance.spot.names import SpotIdentities
from ocw_mcp.adapters.venues.binance.spot.queries import SpotQueries
from ocw_mcp.adapters.venues.binance.spot.settings import check_spot
from ocw_mcp.domain.orders import OrderSeen


class SpotProduct:
    """Spot, for one account. The position of a symbol is what the account has of its base asset."""

    price_path = "/api/v3/ticker/price"

    def __init__(self, client: SignedClient, symbols: Sequence[str]) -> None:
        self._client, self._symbols = client, symbols
        self.forms: OrderForms = orders
        self.queries = SpotQueries(client, symbols)
        self.fees = SpotFees(symbols)
        self.channel = SubscriptionChannel(client)
        self._legs: Legs | None = None

    def identities(self, book: str) -> SpotIdentities:
        """Return the identities of orders."""
        return SpotIdentities(book)

    def look(self, ties: Ties) -> SpotLook:
        """Return what looks orders up."""
        return SpotLook(self.queries, ties, self._legs_of(ties))

    def events(self, ties: Ties) -> SpotEvents:
        """Return what takes the events of the account."""
        return SpotEvents(ties, self.queries, self._legs_of(ties), self._symbols)

    def _legs_of(self, ties: Ties) -> Legs:
        """Return the order lists, which look-ups and events share."""
        if self._legs is None:
            client_id = ties.identities.client_id
            self._legs = Legs(self._client, ties.live, ties.reports, client_id, ties.spawn, ties.demand)
        return self._legs

    def cancel_foreign(self, order: OrderSeen) -> OrderRequest:
        """Return the request that cancels an order that is not of the book, with the list that it belongs to."""
        params = {"symbol": order.symbol, "orderId": order.venue_order_id}
        return OrderRequest("DELETE", orders.ORDER, params, weight=1, orders=0)

    async def check(self) -> list[SymbolConfig]:
        """Return nothing, if the account can be traded with; see `check_spot`."""
        await check_spot(self._client, self.queries, self._symbols)
        return []

    async def check_again(self) -> None:
        """Check account and key again; a symbol that does not trade now is no wrong setting."""
        await check_spot(self._client, self.queries, ())

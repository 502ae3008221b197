"""USD-M futures as a product of the venue."""

from collections.abc import Awaitable, Sequence

from ocw_mcp.adapters.venues.binance import orders
from ocw_mcp.adapters.venues.binance.account import check_account
from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.fees import FeeValues
from ocw_mcp.adapters.venues.binance.identities import CONDITIONAL, Identities
from ocw_mcp.adapters.venues.binance.listen_key import ListenKeyChannel
from ocw_mcp.adapters.venues.binance.looking import OrderLook
from ocw_mcp.adapters.venues.binance.orders import OrderForms, OrderRequest
from ocw_mcp.adapters.venues.binance.product import Ties
from ocw_mcp.adapters.venues.binance.queries import Queries
from ocw_mcp.adapters.venues.binance.rest_wire import SymbolConfig
from ocw_mcp.adapters.venues.binance.user_events import UserEvents
from ocw_mcp.domain.orders import OrderSeen


class FuturesProduct:
    """USD-M futures, for one account."""

    price_path = "/fapi/v1/ticker/price"

    def __init__(self, client: SignedClient, symbols: Sequence[str], rights: SignedClient | None = None) -> None:
        """`rights` is a client of the host that knows the rights of the key; None if that of `client` does."""
        self._client, self._symbols = client, symbols
        self._keys = Queries(rights or client)
        self.forms: OrderForms = orders
        self.queries = Queries(client)
        self.fees = FeeValues()
        self.channel = ListenKeyChannel(self.queries, client.transport.connect)

    def identities(self, book: str) -> Identities:
        """Return the identities of orders."""
        return Identities(book)

    def look(self, ties: Ties) -> OrderLook:
        """Return what looks orders up."""
        return OrderLook(self.queries, ties.identities, ties.live, ties.trades, ties.reports)

    def events(self, ties: Ties) -> UserEvents:
        """Return what takes the events of the account."""
        return UserEvents(ties.identities, ties.reports, ties.trades, ties.terms, ties.demand, ties.spawn)

    def cancel_foreign(self, order: OrderSeen) -> OrderRequest:
        """Return the request that cancels an order that is not of the book."""
        if order.type in CONDITIONAL:
            return OrderRequest("DELETE", orders.ALGO_ORDER, {"algoId": order.venue_order_id}, weight=1, orders=0)
        params = {"symbol": order.symbol, "orderId": order.venue_order_id}
        return OrderRequest("DELETE", orders.ORDER, params, weight=1, orders=0)

    def check(self) -> Awaitable[list[SymbolConfig]]:
        """Return leverage and margin type of all symbols; see `check_account`."""
        return check_account(self.queries, self._client.mode, self._symbols, self._keys)

    async def check_again(self) -> None:
        """Check account and key again; a symbol that is no longer listed is no wrong setting."""
        listed = {row.symbol for row in await self.queries.symbol_configs()}
        symbols = [symbol for symbol in self._symbols if symbol in listed]
        await check_account(self.queries, self._client.mode, symbols, self._keys)

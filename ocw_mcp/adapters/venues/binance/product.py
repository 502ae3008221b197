"""What the venue needs of a product: how it states orders, queries, events, and the settings that trading needs."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NamedTuple, Protocol

from ocw_mcp.adapters.binance.transport import Connection
from ocw_mcp.adapters.venues.binance.fees import FeeValues
from ocw_mcp.adapters.venues.binance.identities import Identities
from ocw_mcp.adapters.venues.binance.live_orders import LiveOrders
from ocw_mcp.adapters.venues.binance.looking import OrderLook
from ocw_mcp.adapters.venues.binance.orders import OrderForms, OrderRequest
from ocw_mcp.adapters.venues.binance.queries import AccountQueries
from ocw_mcp.adapters.venues.binance.reports import Reports
from ocw_mcp.adapters.venues.binance.rest_wire import SymbolConfig
from ocw_mcp.adapters.venues.binance.terms import Terms
from ocw_mcp.adapters.venues.binance.trades import TradeReader
from ocw_mcp.domain.orders import OrderSeen

Spawn = Callable[[Coroutine[Any, Any, None]], None]
"""Runs a task of the venue."""


class AccountEvents(Protocol):
    """Takes the messages of the user data stream."""

    terms: Terms
    count: int
    """The number of events on the account so far."""
    symbols: set[str]
    """The symbols of all events so far."""
    income_due: bool
    """True after an event of income other than from trades, until the income has been read."""
    stream_over: Callable[[str], None]
    """Is called with the reason when the stream says that it has ended, or will soon."""

    def take(self, messages: Sequence[bytes | str]) -> None:
        """Take messages in their order."""


class Channel(Protocol):
    """How the user data stream of a product is opened and kept open."""

    async def connect(self) -> Connection:
        """Return a connection that delivers events. Raises QueryFailed or MarketUnreachable."""

    async def keep(self) -> str:
        """Keep the stream open; return why a new connection is needed, if that ever happens."""


class Ties(NamedTuple):
    """The parts of the venue that the parts of a product work with."""

    identities: Identities
    live: LiveOrders
    reports: Reports
    trades: TradeReader
    terms: Terms
    demand: Callable[[str], None]
    """Asks for a reading of the account."""
    spawn: Spawn


class VenueProduct(Protocol):
    """One product of the exchange, for one account."""

    @property
    def forms(self) -> OrderForms: ...

    @property
    def queries(self) -> AccountQueries: ...

    @property
    def fees(self) -> FeeValues: ...

    @property
    def channel(self) -> Channel: ...

    @property
    def price_path(self) -> str:
        """The path of the last price of a symbol; the request is not signed."""

    def identities(self, book: str) -> Identities: ...

    def look(self, ties: Ties) -> OrderLook: ...

    def events(self, ties: Ties) -> AccountEvents: ...

    def cancel_foreign(self, order: OrderSeen) -> OrderRequest:
        """Return the request that cancels an order that is not of the book."""

    def check(self) -> Awaitable[list[SymbolConfig]]:
        """Return leverage and margin type of all symbols, if the account can be traded with; nothing is changed.

        Raises VenueRefused if key or settings are wrong, and QueryFailed.
        """

    async def check_again(self) -> None:
        """Check account and key of a running book, but not whether its symbols are still listed.

        Raises VenueRefused if key or settings are wrong, and QueryFailed.
        """

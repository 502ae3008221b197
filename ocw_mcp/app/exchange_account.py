"""Opens the account of a demo or live book at Binance, or at a sandbox exchange. It imports the network and ccxt."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from random import Random  # noqa: TID251 - spreads repeated requests over time; it never enters the engine

import msgspec

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.adapters.binance.network import NetworkTransport
from ocw_mcp.adapters.binance.weights import Weights
from ocw_mcp.adapters.feeds.binance.exchange_info import fetch_info
from ocw_mcp.adapters.feeds.binance.rest import RestClient
from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.hosts import venue_hosts
from ocw_mcp.adapters.venues.binance.venue import BinanceVenue
from ocw_mcp.adapters.venues.instruments import paper_brackets
from ocw_mcp.app.connecting import AccountCalls, read_fingerprint
from ocw_mcp.app.live_market import sandbox_clock
from ocw_mcp.app.proving import Proof, ProvingOrder, ProvingTerms
from ocw_mcp.domain.errors import FeedError, VenueRefused
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.protocols import ExchangeVenue, KnownOrder
from ocw_mcp.domain.state import Mode
from ocw_mcp.runtime.clock import LiveClock

_PRICES = {Product.UM: ("/fapi/v1/premiumIndex", "markPrice"), Product.SPOT: ("/api/v3/ticker/price", "price")}
"""The path that answers the present price of a symbol, and the name of that price."""


def machine_clock(product: Product, loopback: str | None) -> LiveClock:
    """Return the clock of this machine, or one with the time of the sandbox exchange at `loopback`.

    Raises MarketUnreachable if there is none.
    """
    return LiveClock() if loopback is None else sandbox_clock(venue_hosts(Mode.DEMO, product, loopback).rest)


def binance_venue(
    mode: Mode,
    product: Product,
    key: ApiKey,
    loopback: str | None,
    book: str,
    symbols: tuple[str, ...],
    machine: LiveClock,
    account: str | None = None,
    weights: Weights | None = None,
) -> ExchangeVenue:
    """Return the venue of a book; `book` are the six characters of its client ids. Raises VenueRefused.

    `account` is the fingerprint of the only account on which it opens; None opens it on that of the key. `weights` is
    the budget of the venue's host if others use it as well.
    """
    client = _client(mode, product, key, loopback, machine, weights)
    rights = rights_client(mode, product, key, loopback, machine)
    venue = _BoundVenue(client, book, symbols, rights=rights, jitter=Random().random)
    if account is not None:
        venue.bind(_calls(mode, product, client, rights, loopback, machine), account)
    return venue


class _BoundVenue(BinanceVenue):
    """A venue that can be bound to an account, so that it opens on no other."""

    _calls: AccountCalls | None = None
    _account = ""

    def bind(self, calls: AccountCalls, account: str) -> None:
        """Let the venue open only on the account with a fingerprint, which `calls` read."""
        self._calls, self._account = calls, account

    async def open(self, orders: Sequence[KnownOrder], since: int | None) -> None:
        """Open the venue. Raises VenueRefused if the key belongs to another account; see `BinanceVenue.open`."""
        if self._calls is not None and (found := await read_fingerprint(self._calls)) != self._account:
            raise VenueRefused(
                f"the key belongs to account {found}, and the key and the book were checked for account "
                f"{self._account}; expected the same account; run ocw connect --new-key with a key of that account, or "
                "use another --state directory"
            )
        await super().open(orders, since)


def rights_client(
    mode: Mode, product: Product, key: ApiKey, loopback: str | None, machine: LiveClock
) -> SignedClient | None:
    """Return a client that can ask for the rights of a live key of futures: only the host of spot knows them.

    It returns None if the host of the account knows the rights, as a sandbox does, or if no host does, as in demo mode.
    """
    if mode is not Mode.LIVE or product is Product.SPOT or loopback is not None:
        return None
    return _client(mode, Product.SPOT, key, None, machine)


def _client(
    mode: Mode,
    product: Product,
    key: ApiKey,
    loopback: str | None,
    machine: LiveClock,
    weights: Weights | None = None,
) -> SignedClient:
    transport = NetworkTransport(venue_hosts(mode, product, loopback), machine.present, machine.speed)
    return SignedClient(transport, key, mode, product, loopback=loopback, weights=weights)


@asynccontextmanager
async def open_calls(
    mode: Mode, product: Product, key: ApiKey, loopback: str | None, machine: LiveClock
) -> AsyncIterator[AccountCalls]:
    """Yield the signed calls of an account; the connections are closed after the block. Raises VenueRefused."""
    client, rights = (
        _client(mode, product, key, loopback, machine),
        rights_client(mode, product, key, loopback, machine),
    )
    try:
        yield _calls(mode, product, client, rights, loopback, machine)
    finally:
        for each in (client, rights):
            if each is not None:
                await each.transport.close()


def _calls(
    mode: Mode,
    product: Product,
    client: SignedClient,
    rights: SignedClient | None,
    loopback: str | None,
    machine: LiveClock,
) -> AccountCalls:
    permissions = (rights or client) if mode is Mode.LIVE or loopback is not None else None
    address = client.transport.rest.split("//", 1)[1]
    where = address if loopback is None else f"the sandbox exchange at {loopback}"
    return AccountCalls(mode, product, client, permissions, machine.present, where, loopback is not None)


def prove(
    mode: Mode,
    product: Product,
    key: ApiKey,
    loopback: str | None,
    book: str,
    symbol: str,
    policies: Policies,
    say: Callable[[str], None],
    *,
    account: str,
) -> Proof:
    """Trade the proving order of a mandate, and return its proof; `book` are the six characters of its client ids.

    `account` is the fingerprint of the account that the mandate is for. Raises VenueRefused, also if the key belongs
    to another account, FeedError and MarketUnreachable.
    """
    machine = machine_clock(product, loopback)

    async def trade() -> Proof:
        transport = NetworkTransport(venue_hosts(mode, product, loopback), machine.present, machine.speed)
        try:
            weights = Weights(product)
            rest = RestClient(transport, product, Random().random, weights)
            info = await fetch_info(rest, product, (symbol,), paper_brackets)
            if info.status.get(symbol) != "TRADING":
                status = info.status.get(symbol, "not listed")
                raise FeedError(f"{symbol} does not trade ({status}); expected a symbol that trades; name another")
            venue = binance_venue(mode, product, key, loopback, book, (symbol,), machine, account, weights)
            venue.set_instruments([info.instruments[symbol]])

            async def mark() -> Decimal:
                path, name = _PRICES[product]
                body = await rest.get(path, {"symbol": symbol}, weight=2)
                return Decimal(str(msgspec.json.decode(body)[name]))

            quote = next(each for each in ("USDT", "USDC", "FDUSD", "BUSD", "") if symbol.endswith(each))
            terms = ProvingTerms(book, mode, info.instruments[symbol], quote, policies, mark, machine.now, say)
            return await ProvingOrder(venue, terms).run()
        finally:
            await transport.close()

    with asyncio.Runner(loop_factory=machine.new_loop) as runner:
        return runner.run(trade())

"""Opens the account of a demo or live book at Binance, or at a sandbox exchange. It imports the network and ccxt."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ocw_mcp.adapters.binance.network import NetworkTransport
from ocw_mcp.adapters.control.keys import ApiKey
from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.hosts import venue_hosts
from ocw_mcp.adapters.venues.binance.signing import Credentials
from ocw_mcp.app.connecting import AccountCalls
from ocw_mcp.app.live_market import sandbox_clock
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.state import Mode
from ocw_mcp.runtime.clock import LiveClock


def machine_clock(product: Product, loopback: str | None) -> LiveClock:
    """Return the clock of this machine, or one with the time of the sandbox exchange at `loopback`.

    Raises MarketUnreachable if there is none.
    """
    return LiveClock() if loopback is None else sandbox_clock(venue_hosts(Mode.DEMO, product, loopback).rest)


@asynccontextmanager
async def open_calls(
    mode: Mode, product: Product, key: ApiKey, loopback: str | None, machine: LiveClock
) -> AsyncIterator[AccountCalls]:
    """Yield the signed calls of an account; the connections are closed after the block. Raises VenueRefused."""
    credentials = Credentials(key.key, key.secret)
    hosts = venue_hosts(mode, product, loopback)
    transport = NetworkTransport(hosts, machine.present, machine.speed)
    client = SignedClient(transport, credentials, mode, product, loopback=loopback)
    permissions, other = (client if loopback is not None else None), None
    if mode is Mode.LIVE and loopback is None:
        if product is Product.SPOT:
            permissions = client
        else:
            # The permissions of a key are known only at the host of spot.
            other = NetworkTransport(venue_hosts(mode, Product.SPOT), machine.present, machine.speed)
            permissions = SignedClient(other, credentials, mode, Product.SPOT)
    where = hosts.rest.split("//", 1)[1] if loopback is None else f"the sandbox exchange at {loopback}"
    try:
        yield AccountCalls(mode, product, client, permissions, machine.present, where, loopback is not None)
    finally:
        for each in (transport, other):
            if each is not None:
                await each.close()

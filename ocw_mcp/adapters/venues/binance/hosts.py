"""The hosts of signed calls, by mode and product. A mode never reaches a host of another mode."""

from typing import Final

from ocw_mcp.adapters.binance.hosts import Hosts, hosts_of
from ocw_mcp.domain.errors import FeedError, VenueRefused
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.state import Mode

_EXCHANGE: Final = {
    (Mode.DEMO, Product.UM): Hosts("https://demo-fapi.binance.com", "wss://demo-fstream.binance.com", "exchange"),
    (Mode.DEMO, Product.SPOT): Hosts("https://demo-api.binance.com", "wss://demo-ws-api.binance.com:443", "exchange"),
    (Mode.LIVE, Product.UM): Hosts("https://fapi.binance.com", "wss://fstream.binance.com", "exchange"),
    (Mode.LIVE, Product.SPOT): Hosts("https://api.binance.com", "wss://ws-api.binance.com:443", "exchange"),
}
"""REST, and user data: streams on futures, the WebSocket API on spot."""


def venue_hosts(mode: Mode, product: Product, loopback: str | None = None) -> Hosts:
    """Return the hosts of an account: the exchange's for the mode, or the sandbox at a named address of this machine.

    Raises VenueRefused on paper, and for an address that is not one of this machine.
    """
    if (mode, product) not in _EXCHANGE:
        raise VenueRefused(
            f"a book in {mode} mode makes no signed calls; expected the mode demo or live; start a book of that mode "
            "to trade an account"
        )
    if loopback is None:
        return _EXCHANGE[mode, product]
    try:
        return hosts_of(product, loopback)
    except FeedError as error:
        raise VenueRefused(f"no key is sent there: {error}") from None


def check_host(mode: Mode, product: Product, address: str, loopback: str | None = None) -> None:
    """Raise VenueRefused unless signed calls of a mode may go to an address such as `https://fapi.binance.com`.

    An address of this machine is allowed only if `loopback` names it.
    """
    expected = venue_hosts(mode, product, loopback).rest
    if address != expected:
        raise VenueRefused(
            f"signed calls would go to {address[:80]!r}; in {mode} mode they go to {expected} only; no call was made: "
            "correct the mode, or the setting BINANCE_LOOPBACK"
        )

"""The hosts of the market: the exchange's own, fixed here, or an address of this machine for the sandbox."""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import msgspec

from ocw_mcp.domain.errors import FeedError
from ocw_mcp.domain.market import Product


class Hosts(msgspec.Struct, frozen=True):
    """Where the requests and streams of one product go: addresses without a path."""

    rest: str
    streams: str
    host_class: str
    """`exchange`, or `loopback`."""


_EXCHANGE: Final = {
    Product.UM: Hosts("https://fapi.binance.com", "wss://fstream.binance.com", "exchange"),
    Product.SPOT: Hosts("https://api.binance.com", "wss://stream.binance.com:9443", "exchange"),
}


def hosts_of(product: Product, address: str | None = None) -> Hosts:
    """Return the exchange's hosts, or those of a sandbox at a loopback address such as `127.0.0.1:8080`.

    Raises FeedError for any other address: nothing but the exchange itself and this machine may give prices.
    """
    if address is None:
        return _EXCHANGE[product]
    authority = re.sub("^http://", "", address.strip()).removesuffix("/")
    try:
        parts = urlsplit(f"http://{authority}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    plain = re.fullmatch(r"[a-z0-9.]+(:\d+)?|\[[0-9a-f:]+\](:\d+)?", authority) is not None
    if not plain or not _is_loopback(host) or port is None or port == 0:
        raise FeedError(
            f"the market's host is {address[:80]!r}; expected an address of this machine with a port, such as "
            "127.0.0.1:8080, or none for the exchange itself; correct the setting or remove it"
        )
    return Hosts(f"http://{authority}", f"ws://{authority}", "loopback")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

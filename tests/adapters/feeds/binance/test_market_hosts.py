"""The market's host is the exchange's own, or an address of this machine."""

import pytest

from ocw_mcp.adapters.binance.hosts import hosts_of
from ocw_mcp.domain.errors import FeedError
from ocw_mcp.domain.market import Product


def test_hosts_of_the_exchange_are_fixed() -> None:
    futures, spot = hosts_of(Product.UM), hosts_of(Product.SPOT)
    assert (futures.rest, futures.streams) == ("https://fapi.binance.com", "wss://fstream.binance.com")
    assert (spot.rest, spot.streams) == ("https://api.binance.com", "wss://stream.binance.com:9443")
    assert futures.host_class == spot.host_class == "exchange"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:8080", "localhost:1", "[::1]:9000", "http://127.0.0.1:8080", "http://127.0.0.1:8080/", "127.9.9.9:5"],
)
def test_loopback_address_with_a_port_is_accepted(address: str) -> None:
    hosts = hosts_of(Product.UM, address)
    authority = address.removeprefix("http://").removesuffix("/")
    assert (hosts.rest, hosts.streams, hosts.host_class) == (f"http://{authority}", f"ws://{authority}", "loopback")


@pytest.mark.parametrize(
    "address",
    [
        *("", "127.0.0.1", "example.com:80", "https://127.0.0.1:80", "127.0.0.1.example.com:80", "10.0.0.1:80"),
        *("127.0.0.1:0", "127.0.0.1:99999", "user@127.0.0.1:80", "127.0.0.1:80@example.com", "127.0.0.1:80/path"),
        *("0.0.0.0:80", "127.0.0.1:80?x=1", "127.0.0.1:80#x", "localhost.:80", "[::]:80", "fapi.binance.com:443"),
        "http://http://127.0.0.1:80",
    ],
)
def test_any_other_address_is_refused_by_name(address: str) -> None:
    with pytest.raises(FeedError, match="expected an address of this machine"):
        hosts_of(Product.UM, address)

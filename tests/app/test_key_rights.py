"""Where the rights of a live key are asked for."""

import pytest

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.app.exchange_account import rights_client
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.state import Mode
from ocw_mcp.runtime.clock import LiveClock

KEY = ApiKey("k" * 16, "s" * 16)


def test_rights_of_a_live_futures_key_are_asked_at_the_host_of_spot() -> None:
    client = rights_client(Mode.LIVE, Product.UM, KEY, None, LiveClock())
    assert client is not None
    assert (client.transport.rest, client.mode) == ("https://api.binance.com", Mode.LIVE)


@pytest.mark.parametrize(
    ("mode", "product", "loopback"),
    [
        (Mode.DEMO, Product.UM, None),
        (Mode.LIVE, Product.SPOT, None),
        (Mode.LIVE, Product.UM, "127.0.0.1:1"),
    ],
)
def test_no_other_host_is_asked_for_the_rights_of_other_keys(
    mode: Mode, product: Product, loopback: str | None
) -> None:
    assert rights_client(mode, product, KEY, loopback, LiveClock()) is None

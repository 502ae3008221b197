"""A demo or live run trades only on the account that its key and its book were checked for."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.adapters.binance.weights import Weights
from ocw_mcp.adapters.control.keys import Connection, HostClass, Kept, account_fingerprint, keep_key
from ocw_mcp.app.connecting import AccountCalls, read_fingerprint
from ocw_mcp.app.exchange_access import open_access
from ocw_mcp.app.exchange_account import machine_clock, prove
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.app.settings import load_settings
from ocw_mcp.domain.errors import MarketUnreachable, VenueRefused
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.state import Mode
from ocw_mcp.sandbox.binance.account.keys import made_key
from tests.support.exchange import served_aside

KEY = ApiKey(made_key("1").key, made_key("1").secret)
ALIASES = {Product.UM: "sBxS", Product.SPOT: "1"}
"""The names that the sandbox gives its accounts."""


def start(directory: Path, product: Product, account: str, address: str) -> None:
    """Open the venue of a run whose key was checked for an account, and close it."""
    keep_key(directory, Connection(Mode.DEMO, product, HostClass.LOOPBACK, Kept.FILE, KEY.fingerprint, account, 7), KEY)
    settings = load_settings(None, None, {"BINANCE_LOOPBACK": f"http://{address}"})
    weights = Weights(product)
    access, _ = open_access(Mode.DEMO, product, directory, settings, load_policies(None), lambda text: None, weights)
    assert access.account == account
    machine = machine_clock(product, settings.binance_loopback)

    async def use() -> None:
        venue = access.make_venue("aaaaaa", ("BTCUSDT",), machine)
        try:
            await venue.open((), None)
        finally:
            await venue.close()
            assert weights.used_weight > 0, "the venue and the feed of a run have one budget"

    with asyncio.Runner(loop_factory=machine.new_loop) as runner:
        runner.run(use())


@pytest.mark.parametrize("product", Product)
def test_key_that_belongs_to_another_account_is_refused_at_the_start(tmp_path: Path, product: Product) -> None:
    own = account_fingerprint(Mode.DEMO, product, ALIASES[product])
    with served_aside(product=product) as address:
        with pytest.raises(VenueRefused, match=f"belongs to account {own}, .* were checked for account acc0"):
            start(tmp_path, product, "acc0", address)
        if product is Product.SPOT:
            start(tmp_path, product, own, address)
        else:
            # The account is the right one, and its settings are checked next.
            with pytest.raises(VenueRefused, match="margin type of BTCUSDT"):
                start(tmp_path, product, own, address)


def test_proving_order_of_a_key_of_another_account_is_not_sent() -> None:
    with served_aside() as address, pytest.raises(VenueRefused, match=r"were checked for account acc0"):
        prove(
            Mode.DEMO,
            Product.UM,
            KEY,
            f"http://{address}",
            "aaaaaa",
            "ETHUSDT",
            load_policies(None).policies,
            lambda text: None,
            account="acc0",
        )


def test_account_that_cannot_be_read_for_now_is_tried_again(tmp_path: Path) -> None:
    fault = {"kind": "error", "at": "0s", "for": "1h", "path": "/fapi/v3/balance", "status": 400, "code": -1021}
    with served_aside(fault) as address, pytest.raises(MarketUnreachable, match="refused /fapi/v3/balance for now"):
        start(tmp_path, Product.UM, "acc0", address)


class Unreadable:
    """Calls to an account behind a proxy that answers with a page of its own."""

    async def call(self, *given: Any, **more: Any) -> bytes:
        return b"<html>"

    def now_ms(self) -> int:
        return 0


def test_unreadable_answer_proves_nothing_about_the_account() -> None:
    calls = AccountCalls(Mode.LIVE, Product.UM, Unreadable(), None, lambda: 0, "the exchange")
    with pytest.raises(MarketUnreachable, match="answered with other fields than expected"):
        asyncio.run(read_fingerprint(calls))

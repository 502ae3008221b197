"""Clients of the real exchange read the sandbox: ccxt and python-binance, unchanged but for their addresses."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import HOUR
from tests.support.exchange import NOW, served
from tests.support.node import REQUIRED, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PYTHON = ROOT / ".clients" / "bin" / "python"
SPEED = 20
"""A minute of the market takes three seconds, so that each stream soon says something."""


async def read_by_strangers(product: Product, home: Path) -> dict[str, Any]:
    """Return what each client reads from a sandbox."""
    if not PYTHON.exists():
        missing = "the clients of the exchange are not installed; make validators does that"
        if os.environ.get(REQUIRED):
            pytest.fail(missing)
        pytest.skip(missing)
    async with served(product=product, speed=SPEED) as address:
        process = await asyncio.create_subprocess_exec(
            PYTHON,
            Path(__file__).with_name("strangers.py"),
            product,
            address,
            env={"PATH": os.environ["PATH"], "HOME": str(home)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    assert process.returncode == 0, err.decode()
    found: dict[str, Any] = json.loads(out)
    return found


def assert_prices_are_near(found: dict[str, Any], *names: str) -> None:
    """Check that the prices of different sources differ by less than a tenth."""
    prices = [float(found[name]) for name in names]
    assert max(prices) < 1.1 * min(prices)


def assert_candles_are_sound(found: dict[str, Any]) -> None:
    opened = [row[0] for row in found["candles"]]
    assert opened == list(range(opened[0], opened[0] + 5 * 60_000, 60_000))
    assert all(
        low <= min(open_, close) <= max(open_, close) <= high for _, open_, high, low, close, _ in found["candles"]
    )


async def test_ccxt_and_python_binance_read_the_futures_market(tmp_path: Path) -> None:
    found = await read_by_strangers(Product.UM, tmp_path)
    rest, pro, other = found["ccxt"], found["ccxt.pro"], found["python-binance"]
    assert rest["markets"] == ["BTC/USDT:USDT", "ETH/USDT:USDT"]
    assert NOW <= rest["time"] < NOW + HOUR
    assert_candles_are_sound(rest)
    assert_prices_are_near(rest, "last", "bid", "trade")
    assert abs(rest["funding"]) < 0.01
    assert rest["fundings"] == 3
    assert rest["open_interest"] > 0
    assert rest["long_short"] > 0
    assert_prices_are_near(pro, "trade", "ticker", "bid", "book", "mark")
    assert pro["candle"][0] % 60_000 == 0
    assert (other["candles"], other["info"], other["kline"], other["quote"]) == (5, "BTCUSDT", "1m", "BTCUSDT")
    assert other["multiplex"].startswith("btcusdt@")
    # The path of before April 2026 accepts the connection, and says nothing of the market streams.
    assert other["old path"] == "mute"


async def test_ccxt_and_python_binance_read_the_spot_market(tmp_path: Path) -> None:
    found = await read_by_strangers(Product.SPOT, tmp_path)
    rest, pro, other = found["ccxt"], found["ccxt.pro"], found["python-binance"]
    assert rest["markets"] == ["BTC/USDT", "ETH/USDT"]
    assert_candles_are_sound(rest)
    assert_prices_are_near(rest, "last", "bid", "trade")
    assert_prices_are_near(pro, "trade", "ticker", "bid", "book")
    assert other["kline"] == other["multiplex"] == other["info"] == "BTCUSDT"
    assert other["candles"] == 5

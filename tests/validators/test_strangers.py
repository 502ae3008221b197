"""Clients of the real exchange use the sandbox: ccxt and python-binance, unchanged but for their addresses."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import HOUR
from ocw_mcp.sandbox.binance.account.keys import made_key
from tests.support.exchange import NOW, served
from tests.support.node import REQUIRED, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PYTHON = ROOT / ".clients" / "bin" / "python"
SPEED = 20
"""A minute of the market takes three seconds, so that each stream soon says something."""


async def read_by_strangers(product: Product, home: Path) -> dict[str, Any]:
    """Return what each client reads from a sandbox."""
    async with served(product=product, speed=SPEED) as address:
        return await run("strangers.py", home, product, address)


async def run(script: str, home: Path, *arguments: str) -> dict[str, Any]:
    """Return what a script prints under the environment of the clients."""
    if not PYTHON.exists():
        missing = "the clients of the exchange are not installed; make validators does that"
        if os.environ.get(REQUIRED):
            pytest.fail(missing)
        pytest.skip(missing)
    process = await asyncio.create_subprocess_exec(
        PYTHON,
        Path(__file__).with_name(script),
        *arguments,
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


async def test_ccxt_and_python_binance_trade_on_the_futures_account(tmp_path: Path) -> None:
    key = made_key("1")
    async with served() as address:
        found = await run("trading_strangers.py", tmp_path, Product.UM, address, key.key, key.secret)
    rest, pro, other = found["ccxt"], found["ccxt.pro"], found["python-binance"]
    assert (rest["resting"], rest["opened"]) == ("resting", True)
    assert rest["cancelled"] == rest["cancel answer"] == "canceled"
    assert rest["filled"] == ["closed", 0.02, True]
    assert rest["stop"] == ["market", True]
    assert rest["position"][:3] == ["long", 0.02, "isolated"]
    assert rest["trades"] == [0.02]
    assert 9_990 < rest["total"] < 10_000
    assert "Margin is insufficient." in rest["too much"]
    assert rest["after"] == []
    assert rest["income"] == ["COMMISSION", "REALIZED_PNL", "TRANSFER"]
    assert pro == {"order": True, "status": "closed", "trade": [0.01, "USDT", "taker"]}
    trade = ["ORDER_TRADE_UPDATE", "TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE"]
    assert (other["events"], other["order"], other["queried"]) == (trade, True, "FILLED")
    assert (other["stop"], other["cancelled"], other["balance"]) == ("NEW", "200", True)


async def test_ccxt_and_python_binance_trade_on_the_spot_account(tmp_path: Path) -> None:
    key = made_key("1")
    async with served(product=Product.SPOT) as address:
        found = await run("trading_strangers.py", tmp_path, Product.SPOT, address, key.key, key.secret)
    rest = found["ccxt"]
    assert rest["bought"] == ["closed", 0.02, "BTC"]
    assert (rest["opened"], rest["cancelled"]) == (True, "canceled")
    assert (rest["locked"], rest["held"], rest["trades"]) == (0.019, 0.01998, [0.02])
    assert rest["too much"] == "InsufficientFunds"
    assert found["ccxt.pro"] == {"order": True, "filled": 0.01}
    other = found["python-binance"]
    assert (other["events"][0], other["events"][-1]) == ("NEW", "FILLED")
    assert (other["order"], other["queried"], other["kept"]) == (True, "FILLED", 0.00999)
    assert (other["opened"], other["cancelled"], other["left"]) == (True, "CANCELED", [])
    assert (other["list"], other["sold"], other["trades"]) == ([["OCO", 2]], "FILLED", True)

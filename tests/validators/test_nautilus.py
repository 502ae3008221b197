"""nautilus_trader, unchanged but for its addresses, trades on the futures of the sandbox, and reconciles."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.support.node import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PYTHON = ROOT / ".nautilus" / "bin" / "python"
SCRIPT = Path(__file__).with_name("nautilus.py")
STAYS = ["LIMIT", "STOP_LIMIT", "STOP_MARKET", "TRAILING_STOP_MARKET"]
PIPES: dict[str, Any] = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}


@asynccontextmanager
async def sandbox(home: Path) -> AsyncIterator[str]:
    """Run `ocw sandbox binance`, which has the time of this machine as nautilus_trader has; yield HOST:PORT."""
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ocw_mcp", "sandbox", "binance", cwd=home, **PIPES
    )
    assert server.stdout is not None
    try:
        yield (await server.stdout.readline()).decode().strip().removeprefix("http://")
    finally:
        server.send_signal(signal.SIGINT)
        _, said = await server.communicate()
        assert "Traceback" not in said.decode(), said.decode()


async def run(address: str, steps: str, home: Path) -> dict[str, Any]:
    """Return what the script prints under the environment of nautilus_trader."""
    (key,) = read(address, "keys")
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, SCRIPT, address, key["key"], key["secret"], steps),
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        cwd=home,
        **PIPES,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, err.decode()
    found: dict[str, Any] = json.loads(out.decode().splitlines()[-1])
    assert found["done"], (found, out.decode()[-2_000:], err.decode()[-2_000:])
    return found


def read(address: str, name: str) -> Any:
    with urlopen(f"http://{address}/sandbox/{name}") as answer:
        return json.load(answer)


async def test_nautilus_trader_trades_and_reconciles_after_a_restart(tmp_path: Path) -> None:
    if not PYTHON.exists():
        pytest.skip("nautilus_trader is not installed; make validators does that where a Python 3.12 is installed")
    async with sandbox(tmp_path) as address:
        first = await run(address, "trade", tmp_path)
        left = read(address, "account")
        second = await run(address, "restart", tmp_path)
        last = read(address, "account")
    happened = [(name, what) for name, what, _ in first["events"]]
    for name in ("market", "stop", "mark", "stop limit", "trailing", "limit", "second", "third"):
        assert (name, "Accepted") in happened
    for expected in [("market", "Filled"), ("limit", "Updated"), *((each, "Canceled") for each in ("stop", "second"))]:
        assert expected in happened
    assert first["triggered"] == 1
    assert sorted(first["streams"]) == ["depth", "marks", "quotes", "trades"]
    # What the first run left is what the exchange has, and what the second run finds there.
    assert [row[0] for row in first["left"]] == STAYS
    assert second["left"] == first["left"]
    assert sorted(each["orderType"] for each in left["algoOrders"]) == ["STOP", "STOP_MARKET", "TRAILING_STOP_MARKET"]
    assert [each["price"] for each in left["orders"]] == [first["left"][0][3]]
    assert (second["position"], left["positions"][0]["positionAmt"]) == ("0.010", "0.010")
    assert (last["positions"], last["orders"], last["algoOrders"]) == ([], [], [])
    assert Decimal(second["balance"]) == Decimal(last["balances"][0]["balance"])

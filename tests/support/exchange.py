"""The sandbox exchange for tests: a simulated market that is read once, and its connections."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import HOUR
from ocw_mcp.interfaces.serving import listen
from ocw_mcp.sandbox.binance.exchange import Exchange
from ocw_mcp.sandbox.binance.faults import Fault, parse_fault
from ocw_mcp.sandbox.binance.faulty import FaultyConnection, FaultyExchange
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.binance.server import MarketClock, SandboxServer
from ocw_mcp.sandbox.binance.streams import Outgoing, StreamConnection, StreamHub

FIXTURES = Path(__file__).resolve().parents[2].parent / "shared" / "fixtures"


@cache
def market(product: Product = Product.UM) -> SandboxMarket:
    """Return a simulated market of two symbols."""
    return SandboxMarket.simulated(1, ("BTCUSDT", "ETHUSDT"), product)


NOW = 1_767_225_600_000 + HOUR
"""An hour after the market's start."""


def connected(path: str, product: Product = Product.UM) -> StreamConnection:
    """Return a connection that is opened at `NOW`."""
    connection = StreamHub(market(product)).open(path, NOW)
    assert connection is not None
    return connection


def exchange(*faults: dict[str, Any] | Fault, product: Product = Product.UM, thin: int = 1) -> FaultyExchange:
    """Return an exchange that starts at `NOW`, with faults as a script has them."""
    parsed = [each if isinstance(each, Fault) else parse_fault(each) for each in faults]
    return FaultyExchange(Exchange(market(product)), NOW, parsed, thin)


def opened(faulty: FaultyExchange, path: str, at: int = NOW) -> FaultyConnection:
    connection = faulty.connect(path, at)
    assert connection is not None
    return connection


@asynccontextmanager
async def served(
    *faults: dict[str, Any], speed: float = 1, product: Product = Product.UM, news: list[str] | None = None
) -> AsyncIterator[str]:
    """Serve an exchange, and yield its address without the scheme."""
    lines = news if news is not None else []
    server = SandboxServer(
        exchange(*faults, product=product), MarketClock(NOW, speed), lambda at, line: lines.append(line)
    )
    with listen("127.0.0.1", 0) as bound:
        async with server.serving(bound):
            yield f"127.0.0.1:{bound.getsockname()[1]}"


@contextmanager
def served_aside(*faults: dict[str, Any], product: Product = Product.UM) -> Iterator[str]:
    """Serve an exchange in another thread, and yield its address without the scheme."""
    began: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        ended = asyncio.Event()
        async with served(*faults, product=product) as address:
            began.set_result((address, asyncio.get_running_loop(), ended))
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    address, loop, ended = began.result(timeout=20)
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(timeout=20)


def payloads(said: list[Outgoing]) -> list[Any]:
    """Return the data of messages, without the name of their stream."""
    found = [json.loads(each.text) for each in said if each.code is None]
    return [each["data"] if isinstance(each, dict) and "stream" in each else each for each in found]


def recorded(name: str) -> Any:
    """Return the payload of a documented message, or skip the test if the fixtures are not beside the checkout."""
    path = FIXTURES / name
    if not path.is_file():
        pytest.skip("the fixtures are not beside this checkout (expected ../shared/fixtures)")
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".txt":
        text = text.partition("\n=")[2].strip()
    found = json.loads(text)
    return found["data"] if isinstance(found, dict) and "stream" in found else found

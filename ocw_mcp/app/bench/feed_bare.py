"""The reference of `ocw bench feed`: a loop that decodes the same messages with `websockets` and `msgspec`."""

import asyncio
import time
from typing import Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from ocw_mcp.app.bench.feed_generator import Generator
from ocw_mcp.app.bench.feed_traffic import MARKET, PUBLIC
from ocw_mcp.domain.time import MINUTE


class _Event(msgspec.Struct, tag_field="e", gc=False):
    at: int = msgspec.field(name="E")


class _Kline(msgspec.Struct, gc=False):
    open_time: int = msgspec.field(name="t")
    open: float = msgspec.field(name="o")
    high: float = msgspec.field(name="h")
    low: float = msgspec.field(name="l")
    close: float = msgspec.field(name="c")
    volume: float = msgspec.field(name="v")
    closed: bool = msgspec.field(name="x")


class _KlineEvent(_Event, tag="kline", gc=False):
    symbol: str = msgspec.field(name="s")
    bar: _Kline = msgspec.field(name="k")


class _Trade(_Event, tag="aggTrade", gc=False):
    symbol: str = msgspec.field(name="s")
    price: float = msgspec.field(name="p")
    quantity: float = msgspec.field(name="q")


class _Mark(_Event, tag="markPriceUpdate", gc=False):
    symbol: str = msgspec.field(name="s")
    price: float = msgspec.field(name="p")


class _Quote(_Event, tag="bookTicker", gc=False):
    symbol: str = msgspec.field(name="s")
    bid: float = msgspec.field(name="b")
    ask: float = msgspec.field(name="a")


class _Liquidation(_Event, tag="forceOrder", gc=False):
    order: dict[str, Any] = msgspec.field(name="o")


class _Frame(msgspec.Struct, gc=False):
    stream: str
    data: _KlineEvent | _Trade | _Mark | _Quote | _Liquidation


_DECODER: Final = msgspec.json.Decoder(_Frame, strict=False)


class BareRun(msgspec.Struct, frozen=True):
    """A run of the bare loop."""

    messages: int
    cpu_s: float
    """The CPU time of this process from the first message on."""
    wall_s: float
    taken: dict[int, float]
    """By close time (ms), when the closed candles of all symbols were decoded: `time.perf_counter` (s)."""


def run_bare(generator: Generator, messages: int, rate: int) -> BareRun:
    """Read `messages` messages, also malformed ones, with two tasks, one a connection, which decode each of them."""
    return asyncio.run(_run(generator, messages, rate))


async def _run(generator: Generator, messages: int, rate: int) -> BareRun:
    read, taken = 0, dict[int, float]()
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def loop(connection: ClientConnection) -> None:
        nonlocal read
        receive, decode = connection.recv, _DECODER.decode
        while True:
            raw = await receive(decode=False)
            try:
                message = decode(raw).data
                if isinstance(message, _KlineEvent) and message.bar.closed:
                    taken[message.bar.open_time + MINUTE] = _real_s()
            except msgspec.DecodeError:
                pass
            read += 1
            if read == messages:
                ended.set_result(None)

    async with _connected(generator, MARKET) as market, _connected(generator, PUBLIC) as public:
        tasks = [asyncio.ensure_future(loop(each)) for each in (market, public)]
        began, cpu = _real_s(), _cpu_s()
        generator.send(rate)
        await asyncio.wait({ended, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        wall_s, cpu_s = _real_s() - began, _cpu_s() - cpu
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()
    return BareRun(read, cpu_s, wall_s, taken)


def _connected(generator: Generator, path: str) -> connect:
    uri = f"ws://{generator.address}{path}/stream"
    return connect(uri, compression=None, ping_interval=None, proxy=None, close_timeout=1)


def _real_s() -> float:
    return time.perf_counter()  # noqa: TID251 - the real time of a benchmark


def _cpu_s() -> float:
    return time.process_time()

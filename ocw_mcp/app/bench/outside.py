"""The delays of the event loop while outside sources hang, flood and answer with hostile texts, and without any."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from ocw_mcp.adapters.outside.cache import CachedSource
from ocw_mcp.adapters.outside.headlines import LARGEST, Headlines
from ocw_mcp.adapters.outside.http import OutsideHttp
from ocw_mcp.adapters.outside.values import FearGreed, Stablecoins
from ocw_mcp.app.bench.loop import Tick, figures, ticks
from ocw_mcp.domain.protocols import OutsideFound, OutsideReader
from ocw_mcp.runtime.clock import LiveClock
from ocw_mcp.runtime.outside import follow_sources

SPAN_S: Final = 6.0
"""The real time (s) of each measurement."""
AGAIN_MS: Final = 500.0
"""The time between two reads of a source here; outside of a measurement it is a minute at least."""
PATIENCE_S: Final = 4.0
"""The longest time (s) of one read here."""
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
_CHUNK: Final = b"x" * 16_384
_ITEM: Final = "<item><title>News {}</title><pubDate>Mon, 30 Nov 2026 10:00:00 GMT</pubDate></item>"


def measure() -> dict[str, Any]:
    """Return milliseconds of the event loop: alone, and while sources hang, flood and send hostile feeds.

    `delay_ms` is how late the loop is, also because of other programs; `own_ms` is the part that this process causes.
    """
    alone, _ = asyncio.run(_measured(with_sources=False))
    busy, reads = asyncio.run(_measured(with_sources=True))
    return {"span_s": SPAN_S, "alone": alone, "with_sources": busy, "reads": reads}


async def _delays() -> list[Tick]:
    until = time.perf_counter() + SPAN_S  # noqa: TID251 - a measurement of this machine
    return await ticks(lambda: time.perf_counter() < until)  # noqa: TID251


async def _measured(*, with_sources: bool) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    if not with_sources:
        return figures(await _delays()), {}
    async with _server() as (address, asked):
        http, clock = OutsideHttp(), LiveClock()
        sources = (
            FearGreed(http, f"{address}/hang"),
            Stablecoins(http, f"{address}/flood"),
            Headlines(http, (f"{address}/large", f"{address}/deep")),
        )
        readers: list[OutsideReader] = [_AtOnce(CachedSource(each, None, _later(), PATIENCE_S)) for each in sources]
        task = asyncio.create_task(follow_sources(readers, clock, lambda seen: None, lambda text: None, AGAIN_MS))
        try:
            return figures(await _delays()), asked
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await http.close()


class _AtOnce:
    """A source that is read again at once, also after a failure."""

    def __init__(self, reader: OutsideReader) -> None:
        self._reader = reader
        self.name, self.problem = reader.name, ""

    async def read(self, now: int) -> tuple[OutsideFound, int]:
        found, _ = await self._reader.read(now)
        return found, 0


def _later() -> Callable[[], int]:
    """Return a time of a machine that passes a day with each look, so that no report is cached."""
    times = iter(range(0, 10**15, 86_400_000))
    return lambda: next(times)


@asynccontextmanager
async def _server() -> AsyncIterator[tuple[str, dict[str, int]]]:
    """Yield the address of a server on this machine, and its counts of requests by path."""
    asked: dict[str, int] = {}
    large = f'<rss version="2.0"><channel>{"".join(map(_ITEM.format, range(9_000)))}</channel></rss>'.encode()[:LARGEST]
    deep = b'<rss version="2.0"><channel>' + b"<a>" * (LARGEST // 4)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode().partition("?")[0][1:]
            asked[path] = asked.get(path, 0) + 1
            if path == "hang":
                writer.write(_HEAD + b"\r\n{")
                await writer.drain()
                await reader.read()
            elif path == "flood":
                writer.write(_HEAD + b"\r\n")
                while True:
                    writer.write(_CHUNK)
                    await writer.drain()
            else:
                body = large if path == "large" else deep
                writer.write(_HEAD + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", asked

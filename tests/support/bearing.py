"""Puts a token into what a client sends that cannot be given one, so that the gate stands in its way all the same."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


@asynccontextmanager
async def bearing(url: str, token: str) -> AsyncIterator[str]:
    """Forward to a server at `url`, with the token added, and tell the URL to ask instead.

    Everything else goes through byte for byte, hosts, origins and endless streams too. A connection carries one
    request, so that only the first head on it has to be found.
    """
    behind = urlsplit(url)
    added = f"Authorization: Bearer {token}\r\nConnection: close\r\n".encode()
    under_way: set[asyncio.Task[None]] = set()

    async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await source.read(1 << 16):
                sink.write(piece)
                await sink.drain()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        kept = [line for line in lines[1:-2] if not line.lower().startswith(b"connection:")]
        inward, outward = await asyncio.open_connection(behind.hostname, behind.port)
        outward.write(b"\r\n".join([lines[0], *kept, added, b""]))
        both = [asyncio.create_task(pass_on(reader, outward)), asyncio.create_task(pass_on(inward, writer))]
        # Whichever side ends it, the other learns of it: a stream nobody reads any more must not go on.
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for each in both:
            each.cancel()
        for end in (outward, writer):
            end.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await forward(reader, writer)
        finally:
            under_way.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for task in list(under_way):
            task.cancel()

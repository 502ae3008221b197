"""Pings of the sandbox exchange: their period, and the end of a connection whose client does not answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.interfaces.serving import listen
from ocw_mcp.sandbox.binance.server import MarketClock, SandboxServer
from ocw_mcp.sandbox.binance.sockets import NO_PONG
from tests.support.exchange import NOW, exchange


class HastyClock(MarketClock):
    """A clock whose real time runs 6,000 times as fast: a minute takes 10 ms."""

    def real_ms(self) -> int:
        return super().real_ms() * 6_000


class RawClient:
    """A WebSocket client that shows pings, and answers them only if it is to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        self._reader, self._writer = reader, writer
        self._wire = ClientProtocol(parse_uri(f"ws://{address}/ws"))

    async def frames(self, answers: bool) -> AsyncIterator[Frame]:
        """Open the connection, and yield its frames to the end."""
        self._wire.send_request(self._wire.connect())
        self._writer.writelines(self._wire.data_to_send())
        while data := await self._reader.read(65_536):
            self._wire.receive_data(data)
            replies = self._wire.data_to_send()
            if answers:
                self._writer.writelines(replies)
            for event in self._wire.events_received():
                if isinstance(event, Response):
                    assert event.status_code == 101
                elif isinstance(event, Frame):
                    yield event


@asynccontextmanager
async def client(product: Product) -> AsyncIterator[RawClient]:
    server = SandboxServer(exchange(product=product), HastyClock(NOW, 1))
    with listen("127.0.0.1", 0) as bound:
        async with server.serving(bound):
            address = f"127.0.0.1:{bound.getsockname()[1]}"
            reader, writer = await asyncio.open_connection(*address.split(":"))
            try:
                yield RawClient(reader, writer, address)
            finally:
                writer.close()
                await writer.wait_closed()


@pytest.mark.parametrize("product", list(Product))
async def test_answered_pings_keep_the_connection(product: Product) -> None:
    pings: list[int] = []
    async with asyncio.timeout(30), client(product) as raw:
        async for frame in raw.frames(answers=True):
            assert frame.opcode is Opcode.PING
            pings.append(int(bytes(frame.data)))
            if len(pings) == 8:
                break
    assert pings == sorted(pings)
    assert all(NOW <= ping < NOW + MINUTE for ping in pings)


@pytest.mark.parametrize("product", list(Product))
async def test_client_that_answers_no_pings_is_disconnected(product: Product) -> None:
    async with asyncio.timeout(30), client(product) as raw:
        frames = [frame async for frame in raw.frames(answers=False)]
    assert {frame.opcode for frame in frames[:-1]} == {Opcode.PING}
    assert frames[-1].opcode is Opcode.CLOSE
    assert int.from_bytes(bytes(frames[-1].data)[:2], "big") == NO_PONG

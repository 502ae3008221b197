"""One stream connection on a socket: frames of WebSocket, pings, and the messages of each round."""

import asyncio
from typing import Final, Protocol

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.sandbox.binance.faulty import FaultyConnection
from ocw_mcp.sandbox.binance.streams import ABORTED, Outgoing

PINGS: Final = {Product.UM: (3 * MINUTE, 10 * MINUTE), Product.SPOT: (20 * SECOND, MINUTE)}
"""The real time (ms) between two pings, and that until a pong must have arrived."""
NO_PONG: Final = 1008
"""The WebSocket code of a connection whose client answers no pings."""
SLOWEST_S: Final = 60
"""The real time (s) for which a client may leave its messages unread; then it is disconnected."""
_PIECE: Final = 65_536


class StreamClock(Protocol):
    """The clock of a server."""

    def now(self) -> int: ...

    def real_ms(self) -> int: ...

    async def tick(self) -> None: ...


class StreamSocket:
    """Connects a stream connection of the exchange with a socket."""

    def __init__(
        self,
        connection: FaultyConnection,
        clock: StreamClock,
        writer: asyncio.StreamWriter,
        product: Product,
        now: int,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._writer = writer
        self._every, self._patience = PINGS[product]
        self._wire = ServerProtocol(max_size=1 << 20)
        self._position = now
        """The market's time (ms) up to which messages were sent."""
        self._pinged = self._ponged = clock.real_ms()

    async def run(self, head: bytes, reader: asyncio.StreamReader) -> None:
        """Answer the handshake whose bytes are `head`, and serve until one side ends the connection."""
        self._wire.receive_data(head)
        for event in self._wire.events_received():
            if isinstance(event, Request):
                self._wire.send_response(self._wire.accept(event))
        self._flush()
        if self._wire.state is not State.OPEN:
            return
        pump = asyncio.create_task(self._pump())
        try:
            while self._wire.state is State.OPEN and not pump.done():
                read = asyncio.ensure_future(reader.read(_PIECE))
                await asyncio.wait({read, pump}, return_when=asyncio.FIRST_COMPLETED)
                if not read.done():
                    read.cancel()
                    break
                data = read.result()
                if not data:
                    self._wire.receive_eof()
                    break
                self._receive(data)
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
            self._flush()

    def _receive(self, data: bytes) -> None:
        self._wire.receive_data(data)
        for event in self._wire.events_received():
            if not isinstance(event, Frame):
                continue
            if event.opcode is Opcode.PONG:
                self._ponged = self._clock.real_ms()
            now = self._clock.real_ms()
            if event.opcode is Opcode.TEXT:
                self._send(self._connection.receive(bytes(event.data).decode("utf-8", "replace"), now))
            elif event.opcode is Opcode.PING or event.opcode is Opcode.PONG:
                end = self._connection.count(now)
                self._send([end] if end is not None else [])
        self._flush()

    async def _pump(self) -> None:
        """Send the messages of each round until the connection ends."""
        while self._wire.state is State.OPEN:
            now = self._clock.now()
            if now > self._position:
                self._send(self._connection.messages(self._position, now))
                self._position = now
            self._ping()
            self._flush()
            try:
                async with asyncio.timeout(SLOWEST_S):
                    await self._writer.drain()
            except TimeoutError:
                self._writer.transport.abort()
                return
            await self._clock.tick()

    def _ping(self) -> None:
        real = self._clock.real_ms()
        if self._wire.state is not State.OPEN:
            return
        if self._pinged - self._ponged > self._patience:
            self._wire.send_close(NO_PONG, "no pong")
        elif real - self._pinged >= self._every:
            self._pinged = real
            self._wire.send_ping(str(self._clock.now()).encode())

    def _send(self, messages: list[Outgoing]) -> None:
        """Send messages in one write; the last one may be the end of the connection."""
        for message in messages:
            if self._wire.state is not State.OPEN:
                return
            if message.code == ABORTED:
                self._flush()
                self._writer.transport.abort()
                return
            if message.code is not None:
                self._wire.send_close(message.code, message.text[:120])
            else:
                self._wire.send_text(message.text.encode())

    def _flush(self) -> None:
        data = b"".join(self._wire.data_to_send())
        if data and not self._writer.transport.is_closing():
            self._writer.write(data)

"""A process that sends the messages of a `TrafficSpec` over WebSockets, so that its CPU time is not measured.

`python -m ocw_mcp.app.bench.feed_generator SPEC` prints the port, and then serves one run for each line of its standard
input, which is a `SendCommand`: it waits for a connection to each path, writes all messages, and prints what it `Sent`.
"""

import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import msgspec
from websockets.http11 import Request
from websockets.server import ServerProtocol

from ocw_mcp.app.bench.feed_traffic import MARKET, PUBLIC, Traffic, TrafficSpec, Write
from ocw_mcp.domain.errors import MarketUnreachable
from ocw_mcp.domain.market import Candle

HOST: Final = "127.0.0.1"
_CONNECTED_S: Final = 30.0
"""How long (s) a run waits for its connections."""
_PIECE: Final = 65_536


class SendCommand(msgspec.Struct, frozen=True):
    """The command to send all messages, `rate` a second; a burst is sent as fast as the reader takes it."""

    rate: int


class Sent(msgspec.Struct, frozen=True):
    """What was sent in one run."""

    messages: int
    """Valid messages."""
    malformed: int
    seconds: float
    """From the first write to the end of the last."""
    closes: dict[int, float]
    """By close time (ms), when the write of its candles began: `time.perf_counter`, which all processes share (s)."""
    burst_at: float
    """When the write of the burst began (s of `time.perf_counter`); 0 without one."""
    candles: list[Candle]
    """The closed candles, by time and symbol."""


class Generator:
    """A running generator process."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self._process = process
        self.address = f"{HOST}:{port}"
        """The address that the sockets connect to."""

    def send(self, rate: int) -> None:
        """Send all messages over the two connections that are open, in the background."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(SendCommand(rate)) + b"\n")
        self._process.stdin.flush()

    def sent(self) -> Sent:
        """Wait until all messages are sent, and return what they were. Raises MarketUnreachable if they were not."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise MarketUnreachable("the process that sends the messages has ended before all were sent")
        return msgspec.json.decode(line, type=Sent)


@contextmanager
def running_generator(spec: TrafficSpec) -> Iterator[Generator]:
    """Start a generator process, and end it afterwards."""
    command = [sys.executable, "-m", __name__, msgspec.json.encode(spec).decode()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline()
            if not port:
                raise MarketUnreachable("the process that sends the messages did not start; its error is above")
            yield Generator(process, int(port))
        finally:
            process.kill()


class _Connections:
    """Accepts WebSocket connections, and keeps those of each path in the order of their arrival."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._waiting: dict[str, queue.Queue[socket.socket]] = {MARKET: queue.Queue(), PUBLIC: queue.Queue()}

    def accept(self) -> None:
        """Accept connections without end."""
        while True:
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(OSError):
                self._open(connection)

    def _open(self, connection: socket.socket) -> None:
        protocol = ServerProtocol()
        while data := connection.recv(_PIECE):
            protocol.receive_data(data)
            for event in protocol.events_received():
                if isinstance(event, Request):
                    protocol.send_response(protocol.accept(event))
                    connection.sendall(b"".join(protocol.data_to_send()))
                    self._waiting["/" + event.path.split("/")[1]].put(connection)
                    return

    def take(self, path: str) -> socket.socket:
        """Return the next connection of a path, and wait for it. Raises queue.Empty if there is none in time."""
        return self._waiting[path].get(timeout=_CONNECTED_S)


def _send(
    writes: Sequence[Write], market: socket.socket, public: socket.socket, rate: int
) -> tuple[float, dict[int, float], float]:
    """Write all messages at their rate. Return the seconds, when candles were written by close time, and the burst."""
    now, closes, done, burst_at = _shared_clock(), dict[int, float](), 0, 0.0
    began = now()
    for write in writes:
        if write.in_burst:
            burst_at = burst_at or now()
        elif rate and (early := began + done / rate - now()) > 0:
            time.sleep(early)  # noqa: TID251 - this process is the pace of the market
        if write.closed_at:
            closes[write.closed_at] = now()
        try:
            market.sendall(write.market)
            public.sendall(write.public)
        except OSError:
            # The reader has given up; it reports what it did not get.
            break
        done += write.messages
    return now() - began, closes, burst_at


def _shared_clock() -> Callable[[], float]:
    return time.perf_counter  # noqa: TID251 - a clock that the measuring process shares


def _close(connection: socket.socket) -> None:
    """Wait until the reader closes a connection, and close it."""
    with suppress(OSError):
        while data := connection.recv(_PIECE):
            # A masked frame of the opcode for the end; pongs and subscriptions come as other frames.
            if data[0] == 0x88:
                break
    connection.close()


def main(argument: str) -> None:
    """Serve runs until the standard input ends."""
    traffic = Traffic(msgspec.json.decode(argument, type=TrafficSpec))
    writes = list(traffic.writes())
    with socket.create_server((HOST, 0)) as listener:
        connections = _Connections(listener)
        threading.Thread(target=connections.accept, daemon=True).start()
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        for line in sys.stdin:
            command = msgspec.json.decode(line, type=SendCommand)
            market, public = connections.take(MARKET), connections.take(PUBLIC)
            seconds, closes, burst_at = _send(writes, market, public, command.rate)
            for each in (market, public):
                threading.Thread(target=_close, args=(each,), daemon=True).start()
            sent = Sent(traffic.messages, traffic.malformed, seconds, closes, burst_at, traffic.candles)
            sys.stdout.write(msgspec.json.encode(sent).decode() + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])

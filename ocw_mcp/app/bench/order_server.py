"""A server on loopback that accepts every order, and notes when its request had arrived. It runs in its own process.

`python -m ocw_mcp.app.bench.order_server` prints its port. `GET /bench/stamps` answers the times by client id, in ms of
the machine's monotonic clock, which all processes share.
"""

import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_HOST: Final = "127.0.0.1"
_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ID: Final = re.compile(rb"newClientOrderId=([^&]*)")


class OrderServer:
    """The way to a running server."""

    def __init__(self, address: str) -> None:
        self.address = address

    def stamps(self) -> dict[str, float]:
        """Return when the request of each order had arrived, in ms of the monotonic clock, by client id."""
        with urllib.request.urlopen(f"http://{self.address}/bench/stamps") as answer:
            found: dict[str, float] = json.load(answer)
        return found


@contextmanager
def running_server() -> Iterator[OrderServer]:
    """Run the server in a process of its own, and end it after the block."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield OrderServer(f"{_HOST}:{int(process.stdout.readline())}")
        finally:
            process.kill()


class _Handler:
    """Answers the requests of one connection after the other, each connection in a thread."""

    def __init__(self) -> None:
        self._stamps: dict[str, float] = {}

    def serve(self, connection: socket.socket) -> None:
        """Answer the requests of a connection until its client closes it."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = b""
        while received := connection.recv(65_536):
            arrived_ms = time.perf_counter() * 1_000  # noqa: TID251 - the time stamp of a benchmark
            buffer += received
            while (head := buffer.find(b"\r\n\r\n")) >= 0:
                length = _LENGTH.search(buffer, 0, head)
                end = head + 4 + (int(length[1]) if length else 0)
                if len(buffer) < end:
                    break
                request, buffer = buffer[:end], buffer[end:]
                self._answer(connection, request, arrived_ms)

    def _answer(self, connection: socket.socket, request: bytes, arrived_ms: float) -> None:
        found: dict[str, Any] = {}
        if request.startswith(b"POST /fapi/v1/order"):
            client_id = _ID.search(request)
            assert client_id is not None
            name = client_id[1].decode()
            self._stamps[name] = arrived_ms
            found = _order(name, len(self._stamps))
        elif request.startswith(b"GET /bench/stamps"):
            found = self._stamps
        elif b"/time" in request.split(b"\r\n", 1)[0]:
            found = {"serverTime": time.time_ns() // 1_000_000}  # noqa: TID251 - the time of an exchange
        body = json.dumps(found).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)


def _order(client_id: str, number: int) -> dict[str, Any]:
    """Return an accepted order as the exchange answers it."""
    return {
        "orderId": number,
        "clientOrderId": client_id,
        "symbol": "BTCUSDT",
        "status": "NEW",
        "price": "0",
        "avgPrice": "0",
        "origQty": "0.01",
        "executedQty": "0",
        "cumQuote": "0",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "origType": "LIMIT",
        "side": "BUY",
        "reduceOnly": False,
        "updateTime": 1,
    }


def main() -> None:
    """Serve until the process is killed."""
    handler, listening = _Handler(), socket.create_server((_HOST, 0))
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=handler.serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()

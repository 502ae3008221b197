"""The sandbox exchange in a process of its own, which writes what happened on its account to a file at its end.

`python -m tests.support.recorded_sandbox PRODUCT SPEED FILE` prints its address, and ends on SIGTERM.
"""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import HOUR
from ocw_mcp.interfaces.serving import listen
from ocw_mcp.sandbox.binance.exchange import Exchange
from ocw_mcp.sandbox.binance.faulty import FaultyExchange
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.binance.server import MarketClock, SandboxServer
from tests.support.venue_records import Arrival, Change, ExchangeRecord, Standing, Traded, VenueRecord

BEGIN: Final = 1_767_225_600_000 + HOUR
"""When the exchange starts: an hour after the start of its market."""


class Written(msgspec.Struct):
    """The lists of a record, as a file has them."""

    arrivals: list[Arrival]
    trades: list[Traded]
    changes: list[Change]
    standings: list[Standing]


def read_record(path: Path) -> VenueRecord:
    """Return the record that a sandbox wrote."""
    written, record = msgspec.json.decode(path.read_bytes(), type=Written), VenueRecord()
    record.arrivals, record.trades = written.arrivals, written.trades
    record.changes, record.standings = written.changes, written.standings
    record.latest = {each.symbol: each for each in written.standings}
    return record


async def serve(product: Product, speed: float, file: Path) -> None:
    """Serve until SIGTERM, and then write the record."""
    exchange = Exchange(SandboxMarket.simulated(1, ("BTCUSDT",), product))
    record, ended = ExchangeRecord(exchange), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    exchange.market.quote("BTCUSDT", BEGIN)  # the first day takes a while to read
    server = SandboxServer(FaultyExchange(exchange, BEGIN, [], 2), MarketClock(BEGIN, speed), None)
    with listen("127.0.0.1", 0) as bound:
        async with server.serving(bound):
            print(f"http://127.0.0.1:{bound.getsockname()[1]}", flush=True)
            await ended.wait()
    lists: dict[str, Any] = {name: getattr(record, name) for name in Written.__struct_fields__}
    file.write_bytes(msgspec.json.encode(Written(**lists)))


if __name__ == "__main__":
    asyncio.run(serve(Product(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])))

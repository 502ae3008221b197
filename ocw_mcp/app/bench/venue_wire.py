"""The time from a cleared order to its bytes at a server on loopback, beside a bare `create_order` of ccxt.

Both run in turns in one process; the server is another one. Neither waits for a rate limiter: that of ccxt is off, and
each round has a new client of OCW, whose budget of requests is unused.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal, localcontext
from statistics import median
from typing import Any, Final

import msgspec

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.adapters.binance.hosts import hosts_of
from ocw_mcp.adapters.binance.network import NetworkTransport
from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.venue import BinanceVenue
from ocw_mcp.app.bench.fixtures import BOOK, SYMBOL
from ocw_mcp.app.bench.live_day import START
from ocw_mcp.app.bench.order_server import OrderServer, running_server
from ocw_mcp.app.bench.steps import ENTRY, order_manager
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Accepted, OrderRef, OrderType, Purpose, VenueReport
from ocw_mcp.domain.state import Mode
from ocw_mcp.engine.order_manager import OrderManager
from ocw_mcp.runtime.clock import SimulatedClock
from ocw_mcp.runtime.outbox import Handed, Outbox
from ocw_mcp.sandbox.binance.account.keys import made_key
from ocw_mcp.sandbox.binance.exchange import Exchange, Request
from ocw_mcp.sandbox.binance.market import SandboxMarket

MOST_TIMES_BARE: Final = 1.5
MOST_ORDERS: Final = 170
"""The largest number of orders in a round: OCW keeps the rest of the exchange's 300 in ten seconds for reductions."""
_CCXT_SYMBOL: Final = "BTC/USDT:USDT"


class Times(msgspec.Struct):
    """The times (ms) of the orders of one round."""

    wire: list[float]
    """From a cleared and journaled order to its bytes at the server."""
    outbox: list[float]
    """The part of it until the outbox has handed the order to the venue adapter."""
    bare: list[float]
    """From the call of ccxt's `create_order` to the bytes at the server."""


def measure_wire(rounds: int, orders: int, unmeasured: int) -> dict[str, Any]:
    """Return the times of `orders` orders a round, after `unmeasured` ones with which connections are opened."""
    assert orders + unmeasured <= MOST_ORDERS
    info, (manager, now) = _exchange_info(), order_manager()
    with running_server() as server:
        found = [
            asyncio.run(_round(server, info, manager, now, number, orders, unmeasured)) for number in range(rounds)
        ]
    wire, outbox, bare = (
        [each for times in found for each in getattr(times, name)] for name in ("wire", "outbox", "bare")
    )
    return {
        "rounds": rounds,
        "orders": len(wire),
        "wire_p50_us": _us(wire, 50),
        "wire_p99_us": _us(wire, 99),
        "outbox_p50_us": _us(outbox, 50),
        "outbox_p99_us": _us(outbox, 99),
        "bare_p50_us": _us(bare, 50),
        "bare_p99_us": _us(bare, 99),
        "times_bare": round(median(median(each.wire) / median(each.bare) for each in found), 3),
        "times_bare_at_most": MOST_TIMES_BARE,
        "times_bare_p99": round(percentile(wire, 99) / percentile(bare, 99), 3),
    }


def percentile(values: list[float], percent: float) -> float:
    """Return the smallest value that is not below `percent` of all."""
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]


def _us(values: list[float], percent: float) -> int:
    return round(percentile(values, percent) * 1_000)


def _exchange_info() -> bytes:
    exchange = Exchange(SandboxMarket.simulated(7, (SYMBOL,), Product.UM, START))
    return exchange.handle(Request("GET", "/fapi/v1/exchangeInfo", {}, {}, "127.0.0.1", "", ""), START).body


async def _round(
    server: OrderServer, info: bytes, manager: OrderManager, now: int, number: int, orders: int, unmeasured: int
) -> Times:
    """Send orders in turns through OCW and through ccxt."""
    clock = SimulatedClock()
    clock.advance(now)
    view = manager.view(SYMBOL, now)
    assert view is not None
    price = view.price.quantize(Decimal("0.1"))
    intent = msgspec.structs.replace(
        ENTRY,
        type=OrderType.LIMIT,
        quantity=Decimal("0.01"),
        protect_at=price * Decimal("0.98"),
        limit_price=price,
        leverage=2,
    )
    handed, started = dict[str, Handed](), dict[str, float]()
    async with _ocw(server, clock) as (outbox, reports), _ccxt(server, info) as exchange:
        outbox.on_handed = lambda each: handed.__setitem__(each.ref.client_id(BOOK), each)

        async def ours(ref: OrderRef) -> None:
            cleared = manager.officer.check_entry(intent, view, ref, now)
            assert isinstance(cleared, ClearedOrder)
            outbox.send(cleared, clock.wall_ms())
            while True:
                report = await anext(reports)
                assert isinstance(report, Accepted)
                if report.ref == ref:
                    return

        async def theirs(name: str) -> None:
            started[name] = time.perf_counter() * 1_000  # noqa: TID251 - the time stamp of a benchmark
            parameters = {"newClientOrderId": name}
            await exchange.create_order(_CCXT_SYMBOL, "limit", "buy", 0.01, float(price), parameters)

        first = number * MOST_ORDERS + 1
        names = list[tuple[str, str]]()
        for n in range(first, first + unmeasured + orders):
            ref, name = OrderRef(n, Purpose.ENTRY), f"bare-{n}"
            names.append((ref.client_id(BOOK), name))
            if n % 2:
                await ours(ref)
                await theirs(name)
            else:
                await theirs(name)
                await ours(ref)
    stamps, measured = server.stamps(), names[unmeasured:]
    return Times(
        [stamps[our] - handed[our].durable_ms for our, _ in measured],
        [handed[our].handed_ms - handed[our].durable_ms for our, _ in measured],
        [stamps[name] - started[name] for _, name in measured],
    )


@asynccontextmanager
async def _ocw(server: OrderServer, clock: SimulatedClock) -> AsyncIterator[tuple[Outbox, AsyncIterator[VenueReport]]]:
    """Open an outbox before the Binance venue, which sends over the network."""
    key = made_key("1")
    transport = NetworkTransport(hosts_of(Product.UM, server.address), lambda: time.time_ns() // 1_000_000)  # noqa: TID251
    client = SignedClient(transport, ApiKey(key.key, key.secret), Mode.DEMO, loopback=server.address)
    venue = BinanceVenue(client, BOOK, (SYMBOL,))

    def refuse(report: VenueReport) -> None:
        raise AssertionError(f"an order was not sent: {report}")

    outbox = Outbox(venue, clock, refuse, lambda cleared, at: cleared, stops_lock=False)
    outbox.open()
    try:
        yield outbox, venue.reports()
    finally:
        await outbox.close()
        await venue.close()


@asynccontextmanager
async def _ccxt(server: OrderServer, info: bytes) -> AsyncIterator[Any]:
    """Open ccxt's exchange at the server, with the filters of the sandbox and without its rate limiter.

    ccxt rounds an order's numbers after changing the decimal context, which must stay as it is for everything else.
    """
    import ccxt.async_support as ccxt

    key = made_key("1")
    exchange: Any = ccxt.binanceusdm({"apiKey": key.key, "secret": key.secret, "enableRateLimit": False})
    exchange.urls["api"] = {
        name: f"http://{server.address}/{address.split('/', 3)[3]}" if isinstance(address, str) else address
        for name, address in exchange.urls["api"].items()
    }
    with localcontext():
        exchange.set_markets([exchange.parse_market(each) for each in msgspec.json.decode(info)["symbols"]])
        try:
            yield exchange
        finally:
            await exchange.close()

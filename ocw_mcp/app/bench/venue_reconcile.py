"""The time and the request weight until a restarted venue knows what became of its open orders, in virtual time.

An account of the sandbox has a position with a stop in each symbol, and limit orders. A venue that knows only the
orders themselves is then opened, as after a restart. The weight is the exchange's own count.
"""

import asyncio
from decimal import Decimal
from typing import Any, Final, NamedTuple

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.adapters.feeds.binance.exchange_info import ExchangeInfo, fetch_info
from ocw_mcp.adapters.feeds.binance.rest import RestClient
from ocw_mcp.adapters.venues.binance import orders as futures
from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.orders import OrderForms
from ocw_mcp.adapters.venues.binance.spot import orders as spot
from ocw_mcp.adapters.venues.binance.venue import BinanceVenue
from ocw_mcp.adapters.venues.instruments import paper_brackets
from ocw_mcp.app.bench.fixtures import BOOK
from ocw_mcp.app.bench.live_day import START
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import floor_to
from ocw_mcp.domain.orders import AccountSeen, Canceled, Order, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.protocols import KnownOrder
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.sandbox.binance.account.keys import made_key
from ocw_mcp.sandbox.binance.exchange import Exchange
from ocw_mcp.sandbox.binance.faulty import FaultyExchange
from ocw_mcp.sandbox.binance.inprocess import InProcessTransport
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT")
ROUND_TRIP_MS: Final = 100
MOST_S: Final = 3.0
MOST_SHARE: Final = 0.1
"""The bounds: the time, and the share of the exchange's weight a minute."""
_NOTIONAL: Final = Decimal(200)
_AFTER_FEES: Final = Decimal("0.998")
"""The share of a quantity that a purchase on spot leaves at least: the fee is taken from it."""
_FORMS: Final[dict[Product, OrderForms]] = {Product.UM: futures, Product.SPOT: spot}


class _Placed(NamedTuple):
    """The orders at the exchange, and those of them that can be cancelled without leaving a position bare."""

    all: list[Order]
    limits: list[Order]


def sandbox_market(product: Product) -> SandboxMarket:
    """Return the market of the measured account."""
    return SandboxMarket.simulated(7, SYMBOLS, product, START)


def measure_reconcile(orders: int, market: SandboxMarket) -> dict[str, Any]:
    """Return the figures for `orders` open orders, and for the same of which a half was cancelled meanwhile."""
    return {
        "round_trip_ms": ROUND_TRIP_MS,
        "symbols": len(market.symbols),
        "seconds_at_most": MOST_S,
        "share_of_weight_at_most": MOST_SHARE,
        "all_open": run_in_virtual_time(_reconcile(market, orders, 0)),
        "half_cancelled": run_in_virtual_time(_reconcile(market, orders, orders // 2)),
    }


async def _reconcile(market: SandboxMarket, count: int, cancelled: int) -> dict[str, Any]:
    begin = market.start + HOUR
    exchange = FaultyExchange(Exchange(market), begin)
    transport = InProcessTransport(exchange, begin, grain_ms=50, round_trip_ms=ROUND_TRIP_MS)
    before = _client(transport, market.product)
    info = await fetch_info(
        RestClient(transport, market.product, lambda: 0.5), market.product, market.symbols, paper_brackets
    )
    placed = await _place(before, market, info, count)
    for order in placed.limits[:cancelled]:
        request = _FORMS[market.product].cancel_request(order, BOOK)
        await before.call(request.method, request.path, request.params, weight=1, reduces=True)
    # The next minute of the exchange counts anew.
    left_ms = MINUTE - transport.exchange_ms() % MINUTE
    await asyncio.sleep(left_ms / 1_000 + 1)  # noqa: TID251 - virtual time
    client = _client(transport, market.product)
    venue = BinanceVenue(client, BOOK, market.symbols)
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        await venue.open([KnownOrder(each) for each in placed.all], begin)
        seconds = loop.time() - began
        weight, gone, reports = client.weights.used_weight, 0, venue.reports()
        while not isinstance(report := await anext(reports), AccountSeen):
            gone += isinstance(report, Canceled)
    finally:
        await venue.close()
    assert info.weight_limit is not None
    await transport.close()
    return {
        "orders": len(placed.all),
        "seen": len(report.orders),
        "cancelled": gone,
        "positions": len(report.positions),
        "seconds": round(seconds, 3),
        "round_trips": round(seconds * 1_000 / ROUND_TRIP_MS, 1),
        "weight": weight,
        "share_of_weight": round(weight / info.weight_limit, 3),
    }


def _client(transport: InProcessTransport, product: Product) -> SignedClient:
    key = made_key("1")
    return SignedClient(transport, ApiKey(key.key, key.secret), Mode.DEMO, product, loopback="127.0.0.1:1")


async def _place(client: SignedClient, market: SandboxMarket, info: ExchangeInfo, count: int) -> _Placed:
    """Open a position with a stop in each symbol, and place limit orders far below the price, `count` orders in all."""
    made, number = _Placed([], []), 0

    async def place(order: Order) -> None:
        request = _FORMS[market.product].place_request(order, BOOK)
        await client.call(request.method, request.path, request.params, weight=request.weight, orders=request.orders)

    for symbol in market.symbols:
        if market.product is Product.UM:
            await client.call("POST", "/fapi/v1/marginType", {"symbol": symbol, "marginType": "ISOLATED"}, weight=1)
        trade = market.last_trade(symbol, market.start + HOUR)
        assert trade is not None
        price = Decimal(str(trade.price))
        instrument = info.instruments[symbol]
        quantity = floor_to(_NOTIONAL / price, instrument.step)
        number += 1
        entry = Order(OrderRef(number, Purpose.ENTRY), symbol, Side.BUY, OrderType.MARKET, quantity, reduce_only=False)
        stop = Order(
            OrderRef(number, Purpose.STOP),
            symbol,
            Side.SELL,
            OrderType.STOP_MARKET,
            floor_to(quantity * _AFTER_FEES, instrument.step),
            reduce_only=True,
            trigger_price=floor_to(price * Decimal("0.9"), instrument.tick),
            close_position=market.product is Product.UM,
        )
        await place(entry)
        await place(stop)
        made.all.append(stop)
        for _ in range(count // len(market.symbols) - 1):
            number += 1
            limit = floor_to(price * Decimal("0.95"), instrument.tick)
            order = Order(
                OrderRef(number, Purpose.ENTRY),
                symbol,
                Side.BUY,
                OrderType.LIMIT,
                quantity,
                reduce_only=False,
                limit_price=limit,
            )
            await place(order)
            made.all.append(order)
            made.limits.append(order)
    return made

"""The requests of the derivatives monitor for thirty symbols on the sandbox exchange, which counts their weight.

The monitor runs alone in virtual time: once on the market as it is, and once with every symbol extreme all the time.
"""

import asyncio
import time
from collections import Counter
from itertools import count
from typing import Any, Final

from ocw_mcp.adapters.binance.weights import SHARES, Use
from ocw_mcp.adapters.feeds.binance.derivatives import DerivativesMonitor
from ocw_mcp.adapters.feeds.binance.notices import Notices
from ocw_mcp.adapters.feeds.binance.rest import RestClient
from ocw_mcp.core.market.derivatives import Derivatives
from ocw_mcp.domain.market import Metrics, Product
from ocw_mcp.domain.metrics import DERIVATIVES
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.sandbox.binance.exchange import Exchange
from ocw_mcp.sandbox.binance.exchange_info import WEIGHTS
from ocw_mcp.sandbox.binance.faulty import FaultyExchange
from ocw_mcp.sandbox.binance.inprocess import ADDRESS, InProcessTransport
from ocw_mcp.sandbox.binance.limits import DATA_LIMIT, Pool
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time

SYMBOLS: Final = 30
MINUTES: Final = 16
START: Final = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""
_OF_ROWS: Final = tuple(each for each in DERIVATIVES if each not in ("funding_8h", "liquidations_1h", "composite"))
"""The readings that the monitor's rows give."""


class _AllExtreme(DerivativesMonitor):
    """A monitor to which every symbol is extreme."""

    def extreme_symbols(self) -> list[str]:
        return list(self.symbols)


def measure() -> dict[str, Any]:
    """Return the largest weight of a minute and count of five minutes, as shares of the limits, and the first times."""
    symbols = tuple(f"COIN{number:02d}USDT" for number in range(SYMBOLS))
    market = SandboxMarket.simulated(7, symbols, Product.UM, START)
    usual = run_in_virtual_time(_run(market, DerivativesMonitor))
    return {
        "symbols": SYMBOLS,
        "minutes": MINUTES,
        "weight_limit": WEIGHTS[Product.UM],
        "allowed_share": SHARES[Use.DERIVATIVES].own,
        "usual": usual,
        "all_extreme": run_in_virtual_time(_run(market, _AllExtreme)),
    }


async def _run(market: SandboxMarket, kind: type[DerivativesMonitor]) -> dict[str, Any]:
    exchange = Exchange(market)
    transport = InProcessTransport(FaultyExchange(exchange, START), START + 30 * SECOND, grain_ms=500)
    loop, numbers = asyncio.get_running_loop(), count()

    def jitter() -> float:
        return next(numbers) * 0.37 % 1

    notices = Notices(transport.exchange_ms, loop.time, lambda: None)
    parts = (notices, transport.exchange_ms, lambda: None, jitter, lambda hours: None)
    monitor = kind(RestClient(transport, Product.UM, jitter), market.symbols, *parts)
    books, known_s = {symbol: Derivatives() for symbol in market.symbols}, dict[str, float]()
    weights, data, rows, spent = Counter[int](), Counter[int](), 0, 0.0
    task = asyncio.ensure_future(monitor.run())
    while (now := transport.exchange_ms()) < START + MINUTES * MINUTE:
        weights[now // MINUTE] = exchange.limits.used(ADDRESS, now)
        data[now // (5 * MINUTE)] = exchange.limits.used(ADDRESS, now, Pool.DATA)
        while monitor.waiting:
            taken = monitor.take()
            rows += len(taken)
            spent += _take(books, taken)
        for symbol, book in books.items():
            values = book.values(now) if symbol not in known_s else {}
            if values and not any(isinstance(values[name], Unknown) for name in _OF_ROWS):
                known_s[symbol] = (now - START) / SECOND - 30
        await asyncio.sleep(0.5)  # noqa: TID251 - virtual time
    task.cancel()
    await asyncio.wait([task])
    return {
        "requests": len(transport.requests),
        "weight_of_a_minute": max(weights.values()),
        "share_of_weight": round(max(weights.values()) / WEIGHTS[Product.UM], 4),
        "data_requests_of_five_minutes": max(data.values()),
        "share_of_data_limit": round(max(data.values()) / DATA_LIMIT, 4),
        "all_readings_known_after_s": max(known_s.values()) if len(known_s) == len(books) else None,
        "rows": rows,
        "row_us": round(spent / rows * 1e6, 2),
        "incidents": sum(notices.counts.values()),
    }


def _take(books: dict[str, Derivatives], rows: tuple[Metrics, ...]) -> float:
    """Give rows to the readings of their symbols. Return the real time (s)."""
    began = time.perf_counter()  # noqa: TID251 - the real time of a benchmark
    for row in rows:
        books[row.symbol].take(row)
    return time.perf_counter() - began  # noqa: TID251 - the real time of a benchmark

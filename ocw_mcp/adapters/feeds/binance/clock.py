"""The exchange's time: measured by its /time, carried on by the loop's own time between measurements.

The time of the machine may jump; the loop's time does not. So a jump changes the offset and no time stamp.
"""

import asyncio
from typing import Final

import msgspec

from ocw_mcp.adapters.binance.transport import Transport
from ocw_mcp.adapters.feeds.binance.rest import Priority, RestClient
from ocw_mcp.domain.errors import MarketUnreachable
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import SECOND

LIMIT_MS: Final = 500
"""The largest offset (ms) between the machine and the exchange with which entries pass."""
MEASURED_EVERY_S: Final = 180.0
_SAMPLES: Final = 3
"""Requests of one measurement; the one with the shortest way counts."""
_PATHS: Final = {Product.UM: "/fapi/v1/time", Product.SPOT: "/api/v3/time"}


class _Time(msgspec.Struct):
    server_time: int = msgspec.field(name="serverTime")


class ExchangeClock:
    """The exchange's time, and the offset of the machine from it."""

    def __init__(self, transport: Transport, rest: RestClient, product: Product) -> None:
        self._transport, self._rest, self._path = transport, rest, _PATHS[product]
        self._base_ms: float | None = None
        """The exchange's time minus the loop's time (ms); None before the first measurement."""
        self.measured_at = -1.0
        """The loop time (s) of the last measurement."""
        self.round_trip_ms = 0.0

    @property
    def measured(self) -> bool:
        """Whether the exchange's time is known."""
        return self._base_ms is not None

    def now_ms(self) -> int:
        """Return the exchange's time (ms); the machine's before the first measurement."""
        if self._base_ms is None:
            return self._transport.now_ms()
        return int(self._base_ms + _loop_ms())

    @property
    def offset_ms(self) -> int:
        """By how much (ms) the machine's time is ahead of the exchange's; 0 before the first measurement."""
        return self._transport.now_ms() - self.now_ms()

    async def measure(self, priority: Priority = Priority.URGENT) -> None:
        """Measure the exchange's time; half of the shortest round trip is the error. Raises MarketUnreachable."""
        best: tuple[float, float] | None = None
        for _ in range(_SAMPLES):
            sent = _loop_ms()
            body = await self._rest.get(self._path, weight=1, priority=priority)
            got = _loop_ms()
            try:
                server = msgspec.json.decode(body, type=_Time).server_time
            except msgspec.DecodeError as error:
                raise MarketUnreachable(f"{self._path} has no valid time: {error}") from None
            if best is None or got - sent < best[0]:
                best = got - sent, server - (sent + got) / 2
        assert best is not None
        self.round_trip_ms, self._base_ms = best
        self.measured_at = _loop_ms() / SECOND
        self._rest.weights.follow(self.now_ms)


def _loop_ms() -> float:
    return asyncio.get_running_loop().time() * SECOND

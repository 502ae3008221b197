"""The exchange's time: measured by its /time, carried on by the loop's own time between measurements.

The time of the machine may jump; the loop's time does not. So a jump changes the offset and no time stamp.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from ocw_mcp.domain.errors import MarketUnreachable
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import SECOND

MEASURED_EVERY_S: Final = 180.0
SAMPLES: Final = 3
"""Requests of one measurement; the one with the shortest way counts."""
TIME_PATHS: Final = {Product.UM: "/fapi/v1/time", Product.SPOT: "/api/v3/time"}


class _Time(msgspec.Struct):
    server_time: int = msgspec.field(name="serverTime")


class ServerClock:
    """The exchange's time, and the offset of the machine from it; feed and venue each measure it by their client."""

    def __init__(self, machine_ms: Callable[[], int]) -> None:
        """`machine_ms` returns the time of the machine, ms."""
        self._machine_ms = machine_ms
        self._base_ms: float | None = None
        """The exchange's time minus the loop's time (ms); None before the first measurement."""
        self.measurements = 0
        self.round_trip_ms = 0.0

    @property
    def measured(self) -> bool:
        """Whether the exchange's time is known."""
        return self._base_ms is not None

    def now_ms(self) -> int:
        """Return the exchange's time (ms); the machine's before the first measurement."""
        return self._machine_ms() if self._base_ms is None else int(self._base_ms + _loop_ms())

    @property
    def offset_ms(self) -> int:
        """By how much (ms) the machine's time is ahead of the exchange's; 0 before the first measurement."""
        return self._machine_ms() - self.now_ms()

    async def measure_by(self, ask: Callable[[], Awaitable[bytes]]) -> None:
        """Measure the exchange's time, which `ask` gets; half of the shortest round trip is the error.

        Raises MarketUnreachable for an answer without a time, and what `ask` raises.
        """
        best: tuple[float, float] | None = None
        for _ in range(SAMPLES):
            sent = _loop_ms()
            body = await ask()
            got = _loop_ms()
            try:
                server = msgspec.json.decode(body, type=_Time).server_time
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise MarketUnreachable(f"the exchange's answer has no valid time: {error}") from None
            if best is None or got - sent < best[0]:
                best = got - sent, server - (sent + got) / 2
        assert best is not None
        self.round_trip_ms, self._base_ms = best
        self.measurements += 1


def _loop_ms() -> float:
    return asyncio.get_running_loop().time() * SECOND

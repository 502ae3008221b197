"""The exchange's time: measured by its /time, carried on by the loop's own time between measurements."""

import asyncio
from typing import Final

import msgspec

from ocw_mcp.adapters.binance.transport import RestResponse, SignedTransport
from ocw_mcp.domain.errors import MarketUnreachable
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import SECOND

MEASURED_EVERY_S: Final = 180.0
_SAMPLES: Final = 3
"""Requests of one measurement; the one with the shortest way counts."""
_PATHS: Final = {Product.UM: "/fapi/v1/time", Product.SPOT: "/api/v3/time"}


class _Time(msgspec.Struct):
    server_time: int = msgspec.field(name="serverTime")


class NoTime(MarketUnreachable):
    """The exchange answered a request for its time with an error."""

    def __init__(self, text: str, answer: RestResponse) -> None:
        self.answer = answer
        super().__init__(text)


class ServerClock:
    """The exchange's time as signed requests need it. A jump of the machine's clock does not change it."""

    def __init__(self, transport: SignedTransport, product: Product) -> None:
        self._transport, self._path = transport, _PATHS[product]
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
        return self._transport.now_ms() if self._base_ms is None else int(self._base_ms + _loop_ms())

    async def measure(self) -> None:
        """Measure the exchange's time; half of the shortest round trip is the error.

        Raises MarketUnreachable, as NoTime if the exchange answered.
        """
        best: tuple[float, float] | None = None
        for _ in range(_SAMPLES):
            sent = _loop_ms()
            try:
                async with asyncio.timeout(self._transport.timeout_s):
                    answer = await self._transport.request("GET", self._path)
                server = msgspec.json.decode(answer.body, type=_Time).server_time
            except TimeoutError:
                raise MarketUnreachable(f"{self._path} had no answer in {self._transport.timeout_s:.0f} s") from None
            except (msgspec.MsgspecError, UnicodeDecodeError):
                raise NoTime(f"{self._path} was answered {answer.status}, without a valid time", answer) from None
            got = _loop_ms()
            if best is None or got - sent < best[0]:
                best = got - sent, server - (sent + got) / 2
        assert best is not None
        self.round_trip_ms, self._base_ms = best
        self.measurements += 1


def _loop_ms() -> float:
    return asyncio.get_running_loop().time() * SECOND

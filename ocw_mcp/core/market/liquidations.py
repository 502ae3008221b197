"""The readings of forced liquidations: what the exchange has just closed by force, of which side and how much.

The readings are lower bounds: the exchange reports at most one liquidation a second and symbol.
"""

import math
from array import array
from typing import Final

from ocw_mcp.core.market.series import CandleSeries
from ocw_mcp.domain.market import Liquidations
from ocw_mcp.domain.time import HOUR, MINUTE, span_name
from ocw_mcp.domain.unknown import Reading, Unknown

SPAN: Final = 5 * MINUTE
"""The time (ms) whose liquidations are summed, rounded up to whole candles."""
VOLUME_SPAN: Final = HOUR
"""The time (ms) whose traded volume they are compared with."""


class RecentLiquidations:
    """The liquidations of the candles of an hour of one symbol; `series` has the candles."""

    __slots__ = ("_count", "_kept", "_rows", "_series")

    def __init__(self, series: CandleSeries) -> None:
        self._series = series
        self._count = -(-SPAN // series.interval)
        self._kept = max(self._count, HOUR // series.interval)
        self._rows: list[Liquidations] = []

    def take(self, row: Liquidations) -> None:
        """Add the liquidations of a candle, if they are later than the last ones."""
        if not self._rows or row.at > self._rows[-1].at:
            self._rows.append(row)
            del self._rows[: -self._kept]

    def value(self) -> Reading:
        """Return the longs minus the shorts liquidated in five minutes, over the volume of the hour, at the last close.

        Above 0, mainly longs were liquidated. The value is a lower bound of either side: the exchange reports at most
        one liquidation a second and symbol.
        """
        series = self._series
        if not self._rows:
            return Unknown("the market has reported no forced liquidations")
        if series.interval > SPAN:
            return Unknown(f"candles are longer than {span_name(SPAN)}")
        if not self._knows(self._count):
            return Unknown(f"the liquidations of the last {span_name(self._count * series.interval)} are not all known")
        hour = VOLUME_SPAN // series.interval
        if not self._has_candles(hour):
            return Unknown(f"a candle of the last {span_name(VOLUME_SPAN)} is missing")
        volumes: array[float] = series.volumes[-hour:]
        volume = math.fsum(volumes)
        if volume <= 0:
            return Unknown(f"nothing was traded in the last {span_name(VOLUME_SPAN)}")
        return math.fsum(row.longs - row.shorts for row in self._rows[-self._count :]) / volume

    def of_an_hour(self) -> Reading:
        """Return the notional (quote) of both sides that was liquidated in the hour up to the last close.

        The quantity of each candle counts at the close of the candle.
        """
        series = self._series
        if not self._rows:
            return Unknown("the market has reported no forced liquidations")
        hour = HOUR // series.interval
        if not hour:
            return Unknown(f"candles are longer than {span_name(HOUR)}")
        if not (self._knows(hour) and self._has_candles(hour)):
            return Unknown(f"the liquidations of the last {span_name(HOUR)} are not all known")
        closes: array[float] = series.closes[-hour:]
        rows = self._rows[-hour:]
        return math.fsum((row.longs + row.shorts) * close for row, close in zip(rows, closes, strict=True))

    def _knows(self, count: int) -> bool:
        """Return whether the liquidations of the last `count` candles are known."""
        interval, closed_at = self._series.interval, self._series.last_open_time + self._series.interval
        known = [row.at for row in self._rows[-count:]]
        return known == list(range(closed_at - (count - 1) * interval, closed_at + 1, interval))

    def _has_candles(self, count: int) -> bool:
        """Return whether none of the last `count` candles is missing."""
        series = self._series
        first = series.last_open_time - (count - 1) * series.interval
        return len(series) >= count and series.open_times[-count] == first

    def state(self) -> list[Liquidations]:
        """Return what `restore` needs after a restart."""
        return self._rows

    def restore(self, state: list[Liquidations]) -> None:
        """Restore the result of `state`."""
        self._rows = list(state)

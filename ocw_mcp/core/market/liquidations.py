"""The reading `liquidations` of a symbol: which side the exchange has just closed by force, and how much of it."""

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
    """The liquidations of the last candles of one symbol; `series` has the candles."""

    __slots__ = ("_count", "_rows", "_series")

    def __init__(self, series: CandleSeries) -> None:
        self._series = series
        self._count = -(-SPAN // series.interval)
        self._rows: list[Liquidations] = []

    def take(self, row: Liquidations) -> None:
        """Add the liquidations of a candle, if they are later than the last ones."""
        if not self._rows or row.at > self._rows[-1].at:
            self._rows.append(row)
            del self._rows[: -self._count]

    def value(self) -> Reading:
        """Return the longs minus the shorts liquidated in five minutes, over the volume of the hour, at the last close.

        Above 0, mainly longs were liquidated. The value is a lower bound of either side: the exchange reports at most
        one liquidation a second and symbol.
        """
        series = self._series
        if not self._rows:
            return Unknown("the market has reported no forced liquidations")
        interval, closed_at = series.interval, series.last_open_time + series.interval
        if interval > SPAN:
            return Unknown(f"candles are longer than {span_name(SPAN)}")
        known = [row.at for row in self._rows]
        if known != list(range(closed_at - (self._count - 1) * interval, closed_at + 1, interval)):
            return Unknown(f"the liquidations of the last {span_name(self._count * interval)} are not all known")
        hour = VOLUME_SPAN // interval
        if len(series) < hour or series.open_times[-hour] != series.last_open_time - (hour - 1) * interval:
            return Unknown(f"a candle of the last {span_name(VOLUME_SPAN)} is missing")
        volumes: array[float] = series.volumes[-hour:]
        volume = math.fsum(volumes)
        if volume <= 0:
            return Unknown(f"nothing was traded in the last {span_name(VOLUME_SPAN)}")
        return math.fsum(row.longs - row.shorts for row in self._rows) / volume

    def state(self) -> list[Liquidations]:
        """Return what `restore` needs after a restart."""
        return self._rows

    def restore(self, state: list[Liquidations]) -> None:
        """Restore the result of `state`."""
        self._rows = list(state)

"""Whether a stamp of metrics is the end or the beginning of its five minutes, by what candles say of the takers."""

import math
from typing import Final

import msgspec

from ocw_mcp.adapters.feeds.tape.derivatives import METRICS_EVERY
from ocw_mcp.domain.market import Candle, Metrics

_NEAR: Final = math.log(1.02)
"""A ratio of taker volumes within two hundredths of the candles' own is that of the same five minutes."""
_ENOUGH: Final = 3
"""So many rows have to fit one reading, and twice as many as fit the other, before it counts."""


class StampFit(msgspec.Struct):
    """The metrics of one symbol on one side of the change, and which reading of their stamps fits its candles."""

    side: str
    """`before` the change, or `from` it on."""
    read_as: str
    """What a replay takes the stamp for: the `end` or the `beginning` of five minutes."""
    end: int = 0
    """Rows whose taker ratio is that of the five minutes before their stamp, and not that of those after it."""
    beginning: int = 0

    @property
    def fits(self) -> str | None:
        """The reading that fits, or None where the candles do not show it."""
        if self.end >= _ENOUGH and self.end >= 2 * self.beginning:
            return "end"
        return "beginning" if self.beginning >= _ENOUGH and self.beginning >= 2 * self.end else None

    @property
    def disagrees(self) -> bool:
        """Whether the candles say that the stamps are read the wrong way."""
        return self.fits is not None and self.fits != self.read_as


class TakerVolumes:
    """What takers bought and sold in every five minutes of one symbol."""

    def __init__(self) -> None:
        self._volumes: dict[int, tuple[float, float]] = {}

    def take(self, candle: Candle) -> None:
        """Add a candle, if it lies within five minutes and says what takers bought."""
        if candle.taker_volume is None or METRICS_EVERY % candle.interval:
            return
        begin = candle.open_time - candle.open_time % METRICS_EVERY
        bought, volume = self._volumes.get(begin, (0.0, 0.0))
        self._volumes[begin] = bought + candle.taker_volume, volume + candle.volume

    def fit(self, rows: list[Metrics], begins_from: int) -> list[StampFit]:
        """Which reading fits, before the change at `begins_from` (ms) and from it on; only sides that have rows."""
        fits = {False: StampFit("before", "end"), True: StampFit("from", "beginning")}
        there: set[bool] = set()
        for row in rows:
            # A row is known when its five minutes are over; which stamp it had is told by when that was.
            begins = row.at > begins_from
            stamp = row.at - METRICS_EVERY if begins else row.at
            there.add(begins)
            ended, began = (self._near(at, row.taker_ratio) for at in (stamp - METRICS_EVERY, stamp))
            if ended != began:
                fits[begins].end += ended
                fits[begins].beginning += began
        return [fits[each] for each in sorted(there)]

    def _near(self, begin: int, ratio: float | None) -> bool:
        bought, volume = self._volumes.get(begin, (0.0, 0.0))
        sold = volume - bought
        if not ratio or bought <= 0 or sold <= 0:
            return False
        return abs(math.log(bought / sold / ratio)) < _NEAR

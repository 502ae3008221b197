"""Which end of its five minutes the time stamp of a metrics row is: measured with the taker volumes of candles."""

import math
from collections.abc import Iterable
from typing import Final

from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import MINUTE

METRICS_EVERY: Final = 5 * MINUTE
_NEAR: Final = math.log(1.02)
"""The taker ratio of metrics fits that of candles if they differ by less than two percent."""
_ENOUGH: Final = 3
"""A meaning of the time stamps is accepted if this many rows fit it, and at least twice the rows of the other."""


def meaning(ends: int, begins: int) -> str | None:
    """Return the meaning, `end` or `beginning`, that so many rows fit; None if neither clearly fits more of them."""
    if ends >= _ENOUGH and ends >= 2 * begins:
        return "end"
    return "beginning" if begins >= _ENOUGH and begins >= 2 * ends else None


class TakerVolumes:
    """The taker buy volume and the volume of each five minutes of one symbol."""

    def __init__(self) -> None:
        self._volumes: dict[int, tuple[float, float]] = {}

    def add(self, candle: Candle) -> None:
        """Add a candle, if it has a taker volume and its interval divides five minutes."""
        if candle.taker_volume is None or METRICS_EVERY % candle.interval:
            return
        begin = candle.open_time - candle.open_time % METRICS_EVERY
        bought, volume = self._volumes.get(begin, (0.0, 0.0))
        self._volumes[begin] = bought + candle.taker_volume, volume + candle.volume

    def forget(self, before: int) -> None:
        """Remove the volumes of five minutes that began before a time (ms)."""
        self._volumes = {begin: volumes for begin, volumes in self._volumes.items() if begin >= before}

    def fits(self, stamp: int, ratio: float | None) -> str | None:
        """Return the only meaning of a stamp (ms) in which a row's taker ratio fits the candles; None without one."""
        ends, begins = self.matches(stamp - METRICS_EVERY, ratio), self.matches(stamp, ratio)
        return None if ends == begins else "end" if ends else "beginning"

    def fitting(self, rows: Iterable[tuple[int, float | None]]) -> str | None:
        """Return the meaning of the stamps that fits rows of stamp (ms) and taker ratio, or None."""
        found = [self.fits(stamp, ratio) for stamp, ratio in rows]
        return meaning(found.count("end"), found.count("beginning"))

    def matches(self, begin: int, ratio: float | None) -> bool:
        """Return whether a taker ratio fits the candles of the five minutes that begin at a time (ms)."""
        bought, volume = self._volumes.get(begin, (0.0, 0.0))
        sold = volume - bought
        if not ratio or bought <= 0 or sold <= 0:
            return False
        return abs(math.log(bought / sold / ratio)) < _NEAR

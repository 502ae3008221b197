"""The candle store: every closed candle exactly once and in order, from streams and REST in any order.

A closed candle is final. The store holds a candle back until all earlier ones of its symbol are known, or until REST
has shown that the exchange has none. `take` releases the candles of all symbols close by close.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from ocw_mcp.domain.market import Candle

LONGEST_WAIT: Final = 1_500
"""Closed candles of a symbol that wait for an earlier one. Later ones are dropped; REST fills them."""
REMEMBERED: Final = 64
"""Released candles of a symbol that a repeated one is compared with."""


class Added(StrEnum):
    """What became of a closed candle."""

    NEW = "new"
    REPEATED = "repeated"
    CONFLICT = "conflict"
    """Another source reported other values for the candle; the first values stay."""
    DROPPED = "dropped"
    """Too many candles wait for an earlier one."""


class Released(NamedTuple):
    """The candles of one close time (ms), sorted by symbol."""

    closed_at: int
    candles: tuple[Candle, ...]


class _Series:
    """The candles of one symbol that are not released."""

    __slots__ = ("absent", "next_open", "released", "waiting")

    def __init__(self, next_open: int) -> None:
        self.next_open = next_open
        self.waiting: dict[int, Candle] = {}
        self.absent: set[int] = set()
        self.released: dict[int, Candle] = {}


def candle_fault(candle: Candle) -> str | None:
    """Return why the values of a candle are not consistent, or None."""
    inside = candle.low <= candle.open <= candle.high and candle.low <= candle.close <= candle.high
    if not (candle.low > 0.0 and candle.high < math.inf and inside):
        prices = f"{candle.open:.8g}, {candle.high:.8g}, {candle.low:.8g}, {candle.close:.8g}"
        return f"open, high, low, close are {prices}"
    if not 0.0 <= candle.volume < math.inf:
        return f"the volume is {candle.volume:.8g}"
    if candle.taker_volume is not None and not 0.0 <= candle.taker_volume <= candle.volume:
        return f"the taker volume is {candle.taker_volume:.8g} of {candle.volume:.8g}"
    if candle.open_time % candle.interval:
        return f"the open time {candle.open_time} is no multiple of the interval"
    return None


class CandleStore:
    """The closed candles of some symbols, all of one interval (ms), from a first open time (ms) on."""

    def __init__(self, symbols: Sequence[str], interval: int) -> None:
        self.interval = interval
        self._symbols = tuple(sorted(symbols))
        self._series: dict[str, _Series] = {}

    def begin(self, symbol: str, next_open: int) -> None:
        """Set the open time (ms) of the first candle of a symbol that is released."""
        self._series[symbol] = _Series(next_open)

    def next_open(self, symbol: str) -> int:
        """Return the open time (ms) of the next candle of a symbol that is released."""
        return self._series[symbol].next_open

    def add(self, candle: Candle) -> Added:
        """Add a closed candle with consistent values."""
        series = self._series[candle.symbol]
        known = series.waiting.get(candle.open_time) or series.released.get(candle.open_time)
        if known is not None:
            return Added.REPEATED if _same(known, candle) else Added.CONFLICT
        if candle.open_time < series.next_open:
            return Added.REPEATED
        if len(series.waiting) >= LONGEST_WAIT and candle.open_time != series.next_open:
            return Added.DROPPED
        series.absent.discard(candle.open_time)
        series.waiting[candle.open_time] = candle
        return Added.NEW

    def set_absent(self, symbol: str, since: int, until: int) -> list[int]:
        """Mark the unknown candles that open from `since` to before `until` (ms) as ones that the exchange has not.

        Return their open times.
        """
        series, found = self._series[symbol], []
        for open_time in range(max(since, series.next_open), until, self.interval):
            if open_time not in series.waiting and open_time not in series.absent:
                series.absent.add(open_time)
                found.append(open_time)
        return found

    def room(self, symbol: str) -> int:
        """Return the number of candles of a symbol that can wait besides those that do."""
        return max(0, LONGEST_WAIT - len(self._series[symbol].waiting))

    def missing(self, symbol: str, until: int) -> tuple[int, int] | None:
        """Return the first and the last open time (ms) of a symbol's unknown candles that close at `until` at latest.

        Candles between these two may be known. Return None if no candle is unknown.
        """
        series, interval = self._series[symbol], self.interval
        first = series.next_open
        while first + interval <= until and (first in series.waiting or first in series.absent):
            first += interval
        if first + interval > until:
            return None
        last = until // interval * interval - interval
        while last > first and (last in series.waiting or last in series.absent):
            last -= interval
        return first, last

    def lacking(self, until: int) -> list[str]:
        """Return the symbols that lack a candle that closes at `until` (ms) at the latest."""
        return [symbol for symbol in self._symbols if self.missing(symbol, until) is not None]

    def take(self, now: int, patience: int, held: Collection[str] = ()) -> Iterator[Released]:
        """Release the candles that are ready at `now` (ms), close by close.

        The candles of a close are released together, at the latest `patience` ms after it; a straggler follows. The
        candles of `held` symbols, and all later ones, wait without limit.
        """
        while (open_time := self._next_ready(now, patience, held)) is not None:
            candles = []
            for symbol in self._symbols:
                series = self._series[symbol]
                if series.next_open == open_time and (found := self._pop(series)) is not None:
                    candles.append(found)
            self._skip_absent()
            if candles:
                yield Released(open_time + self.interval, tuple(candles))

    def _next_ready(self, now: int, patience: int, held: Collection[str]) -> int | None:
        """Return the earliest open time whose known candles may be released, or None."""
        self._skip_absent()
        opens = sorted({series.next_open for series in self._series.values()})
        complete = True
        for open_time in opens:
            ready = False
            for symbol, series in self._series.items():
                if series.next_open != open_time:
                    continue
                if open_time in series.waiting:
                    ready = True
                else:
                    complete = False
                    if symbol in held:
                        return None
            if ready and (complete or now >= open_time + self.interval + patience):
                return open_time
        return None

    def due(self, patience: int) -> int | None:
        """Return the time (ms) at which the next incomplete close is released without its stragglers, or None."""
        times = [
            series.next_open + self.interval + patience
            for series in self._series.values()
            if series.next_open in series.waiting
        ]
        return min(times, default=None)

    def _pop(self, series: _Series) -> Candle | None:
        candle = series.waiting.pop(series.next_open, None)
        if candle is None:
            return None
        series.released[series.next_open] = candle
        if len(series.released) > REMEMBERED:
            del series.released[next(iter(series.released))]
        series.next_open += self.interval
        return candle

    def _skip_absent(self) -> None:
        for series in self._series.values():
            while series.absent and series.next_open in series.absent:
                series.absent.remove(series.next_open)
                series.next_open += self.interval


def _same(one: Candle, other: Candle) -> bool:
    """Return whether two candles have the same prices and volume; the taker volume of REST and stream is the same."""
    return (
        one.open == other.open
        and one.high == other.high
        and one.low == other.low
        and one.close == other.close
        and one.volume == other.volume
    )

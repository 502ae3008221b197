"""The days of a feed with minute candles, read when they are needed, as columns of whole ticks and lots."""

import sys
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ocw_mcp.adapters.feeds.simulated.paths import generator
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Candle, Frame, Funding, Metrics, OrderBook
from ocw_mcp.domain.protocols import Feed
from ocw_mcp.domain.time import DAY, MINUTE, span_name

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MINUTES = DAY // MINUTE
DECIMALS = 8
"""The most decimals of a price or a quantity."""
_DIGITS = 18
"""Decimal digits that fit into 63 bits."""
_SYMBOL_DAYS = 150
"""The number of days in memory, summed over the symbols: about 16 MB."""
_FEWEST_DAYS = 4
_SPREAD = 0.00005
"""The spread as a share of the price, if the source has no order books."""
_USUAL, _PER_DECADE, _MOST = 6, 5, 44
"""Aggregate trades of a minute: for the first 1,000 of turnover (quote), for ten times as much, at most."""


class SymbolDay(NamedTuple):
    """A day of one symbol, one value per minute; prices in ticks, volumes in lots."""

    present: npt.NDArray[np.bool_]
    """True for each minute of which the source has a candle. The other columns are 0 in all other minutes."""
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    lots: Ints
    taker: Ints
    """The volume that takers bought; drawn from a seed if the source does not report it."""
    spread: Ints
    counts: Ints
    """The number of aggregate trades."""
    first: Ints
    """The id of the first trade of each minute; the last of the 1,441 values is that of the next day."""
    quote: Ints
    """Turnover in ticks × tenths of a lot; -1 as long as it is not computed."""
    taker_quote: Ints
    price_decimals: int
    """A tick is `10 ** -price_decimals`."""
    lot_decimals: int
    metrics: list[Metrics]
    """In order of time."""
    funding: list[Funding]


class _Reader:
    """Reads the days of a feed one after the other, without an event loop: feeds of stored data never wait."""

    def __init__(self, feed: Feed, after: int | None) -> None:
        self._frames: AsyncGenerator[Frame, None] = feed.frames(after)
        self._held: Frame | None = None
        self.is_over = False

    def peek(self) -> Frame | None:
        """Return the next frame without taking it; None at the end of the source."""
        if self._held is None and not self.is_over:
            # An event loop closes at its end the generators that began in it; this one belongs to no loop.
            hooks = sys.get_asyncgen_hooks()
            sys.set_asyncgen_hooks(None, None)
            try:
                self._frames.__anext__().send(None)
            except StopIteration as result:
                self._held = result.value
            except StopAsyncIteration:
                self.is_over = True
            else:
                raise SettingsError("the sandbox was given a feed that waits; expected a simulated market or a tape")
            finally:
                sys.set_asyncgen_hooks(*hooks)
        return self._held

    def close(self) -> None:
        """Close the files of the feed."""
        with suppress(StopIteration):
            self._frames.aclose().send(None)

    def until(self, end: int) -> list[Frame]:
        """Take the frames up to and including `end` (ms)."""
        frames = []
        while (frame := self.peek()) is not None and frame.at <= end:
            frames.append(frame)
            self._held = None
        return frames


class MinuteSource:
    """The days of all symbols of a feed. The latest days that were used are kept in memory."""

    def __init__(self, feed: Feed, since: int | None = None) -> None:
        """Read nothing before the midnight `since` (ms). Raises SettingsError without minute candles."""
        identity = feed.identity
        if identity.interval != MINUTE:
            raise SettingsError(
                f"the market has candles of {span_name(identity.interval)}; expected 1m, from which the sandbox "
                "builds trades and all longer candles; choose a market with minute candles"
            )
        self.symbols = identity.symbols
        self._feed = feed
        self._reader = _Reader(feed, since)
        frame: Frame | None
        while (frame := self._reader.peek()) is not None and not frame.closed:
            self._reader.until(frame.at)
        if frame is None:
            raise SettingsError("the market has no candle from the requested start on; expected one; start earlier")
        # A frame of history may have the candles of a whole day.
        self.begins_at = min(candle.open_time for candle in frame.closed)
        self._first = self.begins_at // DAY
        self._ids: list[dict[str, int]] = [dict.fromkeys(self.symbols, 1)]
        """The id of each symbol's first trade of each day, from the first day on."""
        self._decimals: dict[str, tuple[int, int]] = {}
        self._days: OrderedDict[int, dict[str, SymbolDay]] = OrderedDict()
        self._keep = max(_FEWEST_DAYS, _SYMBOL_DAYS // len(self.symbols))
        self._again: tuple[int, _Reader] | None = None
        self.last_close = self.begins_at
        """The close time (ms) of the latest candle that was read."""

    @property
    def is_over(self) -> bool:
        """Whether the source has been read to its end."""
        return self._reader.is_over

    def decimals(self, symbol: str) -> tuple[int, int]:
        """Return the decimals of prices and of quantities, found in the symbol's first day."""
        if symbol not in self._decimals:
            number = self._first
            while symbol not in self._decimals and self.day(number) is not None:
                number += 1
        return self._decimals.get(symbol, (DECIMALS, DECIMALS))

    def symbol_day(self, symbol: str, number: int) -> SymbolDay | None:
        """Return a day of a symbol by its number since 1970; None outside of the source."""
        day = self.day(number)
        return None if day is None else day.get(symbol)

    def day(self, number: int) -> dict[str, SymbolDay] | None:
        """Return a day of all symbols by its number since 1970; None outside of the source."""
        found = self._days.get(number)
        if found is not None:
            self._days.move_to_end(number)
            return found
        if number < self._first:
            return None
        while len(self._ids) <= number - self._first + 1:
            if self._reader.is_over:
                return None
            following = self._first + len(self._ids) - 1
            day = self._read(self._reader, following)
            self._ids.append({symbol: int(each.first[-1]) for symbol, each in day.items()} | self._quiet(day))
        if number not in self._days:
            if self._again is None or self._again[0] != number:
                if self._again is not None:
                    self._again[1].close()
                self._again = number, _Reader(self._feed, number * DAY)
            self._read(self._again[1], number)
            self._again = number + 1, self._again[1]
        return self._days[number]

    def time_of_trade(self, symbol: str, trade: int, now: int) -> int | None:
        """Return the beginning (ms) of the minute with the trade of an id; None if it is later than `now`'s day."""
        self.day(now // DAY)
        number = self._first + max(bisect_right(self._ids, trade, key=lambda ids: ids[symbol]) - 1, 0)
        day = self.symbol_day(symbol, number) if number <= now // DAY else None
        if day is None or trade >= day.first[-1]:
            return None
        minute = max(int(np.searchsorted(day.first, trade, side="right")) - 1, 0)
        return number * DAY + minute * MINUTE

    def last_day_with_trades(self, symbol: str, before: int) -> int | None:
        """Return the number of the last day with trades of a symbol before the day `before`; None without one."""
        index = min(before - self._first, len(self._ids) - 1)
        if index < 1:
            return None
        following = self._ids[index][symbol]
        earlier = bisect_left(self._ids, following, hi=index, key=lambda ids: ids[symbol]) - 1
        return self._first + earlier if earlier >= 0 else None

    def _quiet(self, day: dict[str, SymbolDay]) -> dict[str, int]:
        """Return the ids of symbols that have no candle on a day: they do not change."""
        return {symbol: number for symbol, number in self._ids[-1].items() if symbol not in day}

    def _read(self, reader: _Reader, number: int) -> dict[str, SymbolDay]:
        candles: dict[str, list[Candle]] = {}
        books: dict[str, list[OrderBook]] = {}
        metrics: dict[str, list[Metrics]] = {}
        funding: dict[str, list[Funding]] = {}
        for frame in reader.until((number + 1) * DAY):
            for candle in frame.closed:
                candles.setdefault(candle.symbol, []).append(candle)
                self.last_close = max(self.last_close, candle.close_time)
            for book in frame.books:
                books.setdefault(book.symbol, []).append(book)
            for row in frame.metrics:
                metrics.setdefault(row.symbol, []).append(row)
            for rate in frame.funding:
                funding.setdefault(rate.symbol, []).append(rate)
        reader.peek()  # so that the reader knows whether the source is over
        day = {
            symbol: self._columns(
                symbol, number, rows, books.get(symbol, ()), metrics.get(symbol, []), funding.get(symbol, [])
            )
            for symbol, rows in candles.items()
        }
        self._days[number] = day
        while len(self._days) > self._keep:
            self._days.popitem(last=False)
        return day

    def _columns(
        self,
        symbol: str,
        number: int,
        candles: list[Candle],
        books: Sequence[OrderBook],
        metrics: list[Metrics],
        funding: list[Funding],
    ) -> SymbolDay:
        rows = np.array([(c.open, c.high, c.low, c.close) for c in candles])
        volumes = np.array([c.volume for c in candles])
        taker = np.array([np.nan if c.taker_volume is None else c.taker_volume for c in candles])
        known = self._decimals.get(symbol, (0, 0))
        price_decimals = max(known[0], _decimals(rows))
        lot_decimals = max(known[1], _decimals(volumes), _decimals(taker[~np.isnan(taker)]))
        # The turnover of a minute, in ticks × tenths of a lot, has to fit into 63 bits.
        digits = _DIGITS - int(np.log10(max(float((rows[:, 1] * volumes).max()), 1.0))) - 1
        lot_decimals = max(min(lot_decimals, digits - price_decimals - 1), 0)
        self._decimals.setdefault(symbol, (price_decimals, lot_decimals))
        places = np.array([(c.open_time - number * DAY) // MINUTE for c in candles])
        prices = np.rint(rows * 10.0**price_decimals).astype(np.int64)
        lots = np.rint(volumes * 10.0**lot_decimals).astype(np.int64)
        shares = 0.2 + 0.6 * generator(0, number, f"taker {symbol}").random(MINUTES)
        bought = np.where(np.isnan(taker), np.rint(lots * shares[places]), np.rint(taker * 10.0**lot_decimals))
        bought = np.minimum(bought.astype(np.int64), lots)
        spreads = np.maximum(np.rint(prices[:, 3] * _SPREAD), 1).astype(np.int64)
        if len(books) == len(candles):
            unit = 10.0**price_decimals
            spreads = np.maximum(np.rint([(b.ask - b.bid) * unit for b in books]).astype(np.int64), 1)
        counts = _counts(prices, lots, bought, rows[:, 3] * volumes)
        spread_out = _filled(places)
        all_counts = spread_out(counts)
        first = self._ids[number - self._first][symbol] + np.concatenate(([0], np.cumsum(all_counts)))
        present = np.zeros(MINUTES, dtype=np.bool_)
        present[places] = True
        return SymbolDay(
            present=present,
            open=spread_out(prices[:, 0]),
            high=spread_out(prices[:, 1]),
            low=spread_out(prices[:, 2]),
            close=spread_out(prices[:, 3]),
            lots=spread_out(lots),
            taker=spread_out(bought),
            spread=spread_out(spreads),
            counts=all_counts,
            first=first,
            quote=np.full(MINUTES, -1, dtype=np.int64),
            taker_quote=np.full(MINUTES, -1, dtype=np.int64),
            price_decimals=price_decimals,
            lot_decimals=lot_decimals,
            metrics=sorted(metrics, key=attrgetter("at")),
            funding=funding,
        )


def _filled(places: Ints) -> Callable[[Ints], Ints]:
    """Return a function that puts values at their minutes of a day, with 0 in all other minutes."""

    def spread_out(values: Ints) -> Ints:
        column = np.zeros(MINUTES, dtype=np.int64)
        column[places] = values
        return column

    return spread_out


def _decimals(values: Floats) -> int:
    """Return the fewest decimals with which all values are written exactly, at most DECIMALS."""
    for decimals in range(DECIMALS):
        if np.array_equal(np.rint(values * 10.0**decimals) / 10.0**decimals, values):
            return decimals
    return DECIMALS


def _counts(prices: Ints, lots: Ints, taker: Ints, turnover: Floats) -> Ints:
    """Return the numbers of aggregate trades: enough for open, extremes, close and both sides; none without volume."""
    needed = fewest_trades(prices, lots, taker)
    usual = (_USUAL + _PER_DECADE * np.log10(1 + turnover / 1000)).astype(np.int64) + lots % 7
    units = np.where(lots < needed, lots * 10, lots)
    counts: Ints = np.where(lots == 0, 0, np.maximum(np.minimum(np.minimum(usual, _MOST), units), needed))
    return counts


def fewest_trades(prices: Ints, lots: Ints, taker: Ints) -> Ints:
    """Return the fewest trades that pass through open, high, low and close (columns), with both sides if needed."""
    opens, highs, lows, closes = prices.T
    above, below = highs > np.maximum(opens, closes), lows < np.minimum(opens, closes)
    both = (taker > 0) & (taker < lots)
    moves = (highs > lows) | both
    needed: Ints = 1 + moves.astype(np.int64) + above + below
    return needed

"""Klines of any length, from closed minutes and the trades of the forming minute, with exact sums."""

from collections import OrderedDict
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from ocw_mcp.sandbox.binance.path import HOUR_MINUTES, TradeBlock, note_turnover, trade_block
from ocw_mcp.sandbox.binance.source import DECIMALS, MINUTES, MinuteSource, SymbolDay
from ocw_mcp.sandbox.binance.values import Kline

Key = TypeVar("Key")
Value = TypeVar("Value")

_VOLUME_DECIMALS = DECIMALS + 1
_AMOUNT_DECIMALS = 2 * DECIMALS + 1
_BLOCKS = 2
"""Hours of trades in memory per symbol: about 0.7 MB each."""
_DAYS = 4_000
_CLOSED = 4_000
_PARTS = 256


class Cache(Generic[Key, Value]):
    """The values that were used last, by key."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """Return the value of a key, None if it is not stored."""
        found = self._values.get(key)
        if found is not None:
            self._values.move_to_end(key)
        return found

    def put(self, key: Key, value: Value) -> Value:
        """Store and return a value; the value that was used longest ago leaves a full cache."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._capacity:
            self._values.popitem(last=False)
        return value


class Sums(NamedTuple):
    """What some minutes or trades add up to; whole numbers, so that the order of adding does not matter."""

    open: float
    high: float
    low: float
    close: float
    volume: int
    """In units of `10 ** -_VOLUME_DECIMALS`."""
    taker_volume: int
    amount: int
    """Turnover in units of `10 ** -_AMOUNT_DECIMALS`."""
    taker_amount: int
    trades: int
    first: int
    """The id of the first trade; -1 without a trade."""


def joined(earlier: Sums | None, later: Sums | None) -> Sums | None:
    """Return the sums of two consecutive spans, of which each may be without data."""
    if earlier is None or later is None:
        return earlier or later
    return Sums(
        earlier.open,
        max(earlier.high, later.high),
        min(earlier.low, later.low),
        later.close,
        earlier.volume + later.volume,
        earlier.taker_volume + later.taker_volume,
        earlier.amount + later.amount,
        earlier.taker_amount + later.taker_amount,
        earlier.trades + later.trades,
        earlier.first if earlier.first >= 0 else later.first,
    )


class KlineBuilder:
    """Builds klines from a source; keeps the blocks, days and klines that were used last."""

    def __init__(self, source: MinuteSource) -> None:
        self._source = source
        self._blocks: Cache[tuple[str, int], TradeBlock] = Cache(_BLOCKS * len(source.symbols))
        self._days: Cache[tuple[str, int], Sums] = Cache(_DAYS)
        self._closed: Cache[tuple[str, int, int], Kline] = Cache(_CLOSED)
        self._parts: Cache[tuple[str, int], tuple[int, Sums | None]] = Cache(_PARTS)

    def block(self, symbol: str, at: int) -> TradeBlock | None:
        """Return the trades of the hour that contains a time (ms); None outside of the source."""
        hour = at // HOUR
        found = self._blocks.get((symbol, hour))
        if found is None:
            number = at // DAY
            day = self._source.symbol_day(symbol, number)
            if day is None:
                return None
            found = self._blocks.put((symbol, hour), trade_block(symbol, day, number, hour % 24))
        return found

    def kline(self, symbol: str, begin: int, end: int, now: int) -> Kline | None:
        """Return the kline from `begin` to before `end` (ms) with what happened by `now`; None without data."""
        if now < begin:
            return None
        is_closed = now >= end
        if is_closed:
            found = self._closed.get((symbol, begin, end))
            if found is not None:
                return found
        sums = self._seconds(symbol, begin, end, now) if end - begin < MINUTE else self._sums(symbol, begin, end, now)
        if sums is None:
            return None
        kline = _kline(symbol, begin, end, sums, is_closed)
        return self._closed.put((symbol, begin, end), kline) if is_closed else kline

    def _sums(self, symbol: str, begin: int, end: int, now: int) -> Sums | None:
        whole = min(end, now - now % MINUTE)
        key = symbol, begin
        reached, sums = self._parts.get(key) or (begin, None)
        if reached > whole:
            reached, sums = begin, None
        if reached < whole:
            sums = joined(sums, self._minutes(symbol, reached, whole))
            self._parts.put(key, (whole, sums))
        if whole < end:
            sums = joined(sums, self._forming(symbol, whole, now))
        return sums

    def _minutes(self, symbol: str, begin: int, end: int) -> Sums | None:
        """Return the sums of closed minutes."""
        sums: Sums | None = None
        while begin < end:
            number = begin // DAY
            until = min(end, (number + 1) * DAY)
            first, last = (begin - number * DAY) // MINUTE, (until - number * DAY) // MINUTE
            whole = (first, last) == (0, MINUTES)
            part = self._days.get((symbol, number)) if whole else None
            if part is None:
                day = self._source.symbol_day(symbol, number)
                part = None if day is None else _day_sums(symbol, day, number, first, last)
                if whole and part is not None:
                    self._days.put((symbol, number), part)
            sums = joined(sums, part)
            begin = until
        return sums

    def _forming(self, symbol: str, begin: int, now: int) -> Sums | None:
        """Return the sums of the minute from `begin` on, by `now`."""
        number = begin // DAY
        day = self._source.symbol_day(symbol, number)
        minute = (begin - number * DAY) // MINUTE
        if day is None or not day.present[minute]:
            return None
        block = self.block(symbol, begin)
        if block is None or not day.counts[minute]:
            price = int(day.open[minute]) / 10**day.price_decimals
            return _flat(price)
        start = block.starts[minute % HOUR_MINUTES]
        last = block.place(now) - 1
        scale, amount_scale = _scales(day)
        return Sums(
            block.prices[start],
            block.highs[last],
            block.lows[last],
            block.prices[last],
            block.tenths[last] * scale,
            block.taker_tenths[last] * scale,
            block.amounts[last] * amount_scale,
            block.taker_amounts[last] * amount_scale,
            last + 1 - start,
            block.first_id + start,
        )

    def _seconds(self, symbol: str, begin: int, end: int, now: int) -> Sums | None:
        """Return the sums of a part of a minute; without trades, its prices are the last price before it."""
        minute = begin - begin % MINUTE
        before = self._forming(symbol, minute, begin - 1) if begin > minute else None
        until = self._forming(symbol, minute, min(end - 1, now))
        block = self.block(symbol, begin)
        if until is None or block is None:
            return None
        done = 0 if before is None else before.trades
        count = until.trades - done
        if count == 0:
            return _flat(until.close)
        place = until.first - block.first_id + done
        prices = block.prices[place : place + count]
        sums = before or _flat(prices[0])
        return Sums(
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
            until.volume - sums.volume,
            until.taker_volume - sums.taker_volume,
            until.amount - sums.amount,
            until.taker_amount - sums.taker_amount,
            count,
            until.first + done,
        )


def _flat(price: float) -> Sums:
    """Return the sums of a span without trades."""
    return Sums(price, price, price, price, 0, 0, 0, 0, 0, -1)


def _scales(day: SymbolDay) -> tuple[int, int]:
    """Return the factors from tenths of a lot, and from ticks × tenths of a lot, to the units of `Sums`."""
    decimals = day.lot_decimals + 1
    return 10 ** (_VOLUME_DECIMALS - decimals), 10 ** (_AMOUNT_DECIMALS - day.price_decimals - decimals)


def _day_sums(symbol: str, day: SymbolDay, number: int, first: int, last: int) -> Sums | None:
    """Return the sums of the minutes from `first` to before `last` of a day; None without a candle."""
    places = np.flatnonzero(day.present[first:last]) + first
    if not len(places):
        return None
    note_turnover(symbol, day, number, first, last)
    unit = 10**day.price_decimals
    scale, amount_scale = _scales(day)
    count = int(day.first[last] - day.first[first])
    return Sums(
        int(day.open[places[0]]) / unit,
        int(day.high[places].max()) / unit,
        int(day.low[places].min()) / unit,
        int(day.close[places[-1]]) / unit,
        int(day.lots[first:last].sum()) * 10 * scale,
        int(day.taker[first:last].sum()) * 10 * scale,
        sum(day.quote[first:last].tolist()) * amount_scale,
        sum(day.taker_quote[first:last].tolist()) * amount_scale,
        count,
        int(day.first[first]) if count else -1,
    )


def _kline(symbol: str, begin: int, end: int, sums: Sums, is_closed: bool) -> Kline:
    return Kline(
        symbol=symbol,
        interval_ms=end - begin,
        open_time=begin,
        open=sums.open,
        high=sums.high,
        low=sums.low,
        close=sums.close,
        volume=sums.volume / 10**_VOLUME_DECIMALS,
        quote_volume=sums.amount / 10**_AMOUNT_DECIMALS,
        trades=sums.trades,
        taker_volume=sums.taker_volume / 10**_VOLUME_DECIMALS,
        taker_quote_volume=sums.taker_amount / 10**_AMOUNT_DECIMALS,
        first_trade=sums.first,
        last_trade=sums.first + sums.trades - 1 if sums.trades else -1,
        closed=is_closed,
    )

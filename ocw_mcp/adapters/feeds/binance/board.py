"""The newest mark price, last price and quote of each symbol: a slow consumer gets the newest, and no queue grows.

A consumer gets the values of a symbol once a tick. Between two ticks it gets those that cross a watched level, such as
a stop, and the first crossing is kept until it is taken, even if the price has returned.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from ocw_mcp.domain.market import Mark, OrderBook
from ocw_mcp.domain.time import SECOND

TICK_MS: Final = SECOND
_STUCK_MS: Final = 5_000
"""After this time (ms) without a newer quote, a lower update id begins a new sequence."""
_AHEAD_MS: Final = 3_000
"""A known value that is further in the future (ms) is of a clock that was wrong: an earlier one replaces it."""


class _Line(msgspec.Struct):
    """The newest values of one symbol; times in ms."""

    symbol: str
    mark: float = 0.0
    mark_at: int = 0
    rate: float | None = None
    next_funding_at: int | None = None
    last: float = 0.0
    last_at: int = 0
    bid: float = 0.0
    bid_quantity: float = 0.0
    ask: float = 0.0
    ask_quantity: float = 0.0
    quote_id: int = -1
    quote_at: int = 0
    quote_seen: int = 0
    new_mark: bool = False
    new_quote: bool = False
    low: float = -math.inf
    high: float = math.inf
    mark_region: int = 0
    last_region: int = 0
    quote_region: int = 0
    crossed_mark: Mark | None = None
    crossed_book: OrderBook | None = None


class Board:
    """The newest prices of some symbols. `has_marks` is False on spot, whose mark price is its last price."""

    def __init__(self, symbols: Iterable[str], has_marks: bool, tick_ms: int = TICK_MS) -> None:
        self._lines = {symbol: _Line(symbol) for symbol in sorted(symbols)}
        self._has_marks, self._tick_ms = has_marks, tick_ms
        self._tick = -1
        self._new = False
        self._crossed = False

    def watch(self, levels: Mapping[str, tuple[float, float]]) -> None:
        """Set the watched levels (quote) of all symbols: a price at or beyond one of (low, high) crosses it.

        A level that is set beyond the present price is crossed at once, but not again if the same levels are set again.
        """
        for symbol, line in self._lines.items():
            low, high = levels.get(symbol, (-math.inf, math.inf))
            if (low, high) == (line.low, line.high):
                continue
            line.low, line.high = low, high
            line.mark_region = line.last_region = line.quote_region = 0
            if line.mark_at:
                self._see_mark(line)
            if line.last_at:
                self._see_last(line)
            if line.quote_at:
                self._see_quote(line)

    def set_mark(self, symbol: str, price: float, rate: float, next_funding_at: int, at: int, now: int) -> bool:
        """Take a mark price (quote) of time `at` at time `now` (ms). Return False if it is older than the known one."""
        line = self._lines[symbol]
        if at < line.mark_at < now + _AHEAD_MS:
            return False
        line.mark, line.mark_at, line.rate, line.next_funding_at = price, at, rate, next_funding_at
        line.new_mark = self._new = True
        self._see_mark(line)
        return True

    def set_last(self, symbol: str, price: float, at: int, now: int) -> bool:
        """Take the price (quote) of a trade of time `at` at time `now` (ms). Return False if it is an older one."""
        line = self._lines[symbol]
        if at < line.last_at < now + _AHEAD_MS:
            return False
        line.last, line.last_at = price, at
        line.new_mark = self._new = True
        self._see_last(line)
        return True

    def set_quote(
        self,
        symbol: str,
        number: int,
        bid: float,
        bid_quantity: float,
        ask: float,
        ask_quantity: float,
        at: int,
        now: int,
    ) -> bool:
        """Take a quote with its update id, of time `at` at time `now` (ms). Return False if it is an older one."""
        line = self._lines[symbol]
        if (number <= line.quote_id and now - line.quote_seen < _STUCK_MS) or at < line.quote_at < now + _AHEAD_MS:
            return False
        line.quote_id, line.quote_at, line.quote_seen = number, at, now
        line.bid, line.bid_quantity, line.ask, line.ask_quantity = bid, bid_quantity, ask, ask_quantity
        line.new_quote = self._new = True
        if bid <= line.low or ask >= line.high or line.quote_region:
            self._see_quote(line)
        return True

    def has_quote(self, symbol: str, bid: float, ask: float) -> bool:
        """Return whether these are the known best prices (quote)."""
        line = self._lines[symbol]
        return line.bid == bid and line.ask == ask

    def ready(self, now: int) -> bool:
        """Return whether `take` would return values at `now` (ms)."""
        return self._crossed or (self._new and now // self._tick_ms != self._tick)

    def next_tick(self, now: int) -> int | None:
        """Return the time (ms) of the next tick, if a new value waits for it."""
        return (now // self._tick_ms + 1) * self._tick_ms if self._new else None

    def take(self, now: int) -> tuple[tuple[Mark, ...], tuple[OrderBook, ...]]:
        """Return the crossings, or at a tick all new values, sorted by symbol; at most one of each a symbol."""
        if self._crossed:
            self._crossed = False
            marks = tuple(line.crossed_mark for line in self._lines.values() if line.crossed_mark is not None)
            books = tuple(line.crossed_book for line in self._lines.values() if line.crossed_book is not None)
            for line in self._lines.values():
                line.crossed_mark = line.crossed_book = None
            return marks, books
        if not self.ready(now):
            return (), ()
        self._tick, self._new = now // self._tick_ms, False
        found_marks, found_books = list[Mark](), list[OrderBook]()
        for line in self._lines.values():
            if line.new_mark and (mark := self._mark(line)) is not None:
                found_marks.append(mark)
            if line.new_quote:
                found_books.append(_book(line))
            line.new_mark = line.new_quote = False
        return tuple(found_marks), tuple(found_books)

    def _mark(self, line: _Line) -> Mark | None:
        if not self._has_marks:
            return Mark(line.symbol, line.last_at, line.last, line.last) if line.last_at else None
        if not line.mark_at:
            return None
        last = line.last if line.last_at else None
        return Mark(line.symbol, line.mark_at, line.mark, last, line.rate, line.next_funding_at)

    def _see_mark(self, line: _Line) -> None:
        region = (line.mark >= line.high) - (line.mark <= line.low)
        if region and region != line.mark_region:
            self._cross_mark(line)
        line.mark_region = region

    def _see_last(self, line: _Line) -> None:
        region = (line.last >= line.high) - (line.last <= line.low)
        if region and region != line.last_region:
            self._cross_mark(line)
        line.last_region = region

    def _cross_mark(self, line: _Line) -> None:
        if line.crossed_mark is None:
            line.crossed_mark = self._mark(line)
            self._crossed = self._crossed or line.crossed_mark is not None

    def _see_quote(self, line: _Line) -> None:
        below, above = (
            (line.bid <= line.low) + (line.ask <= line.low),
            (line.ask >= line.high) + (line.bid >= line.high),
        )
        region = above - below
        if abs(region) > abs(line.quote_region) or region * line.quote_region < 0:
            if line.crossed_book is None:
                line.crossed_book = _book(line)
            self._crossed = True
        line.quote_region = region


def _book(line: _Line) -> OrderBook:
    # The quantity at the best price is what is known of the depth: at least so much is offered near it.
    sizes = line.bid_quantity, line.ask_quantity
    return OrderBook(line.symbol, line.quote_at, line.bid, line.ask, *sizes, *sizes)

"""The assumed price path within a candle: from the open to one extreme, to the other extreme, to the close.

A candle does not show which extreme came first. The matching chooses the order that is worse for the account.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.orders import OrderRef


class PathSegment(msgspec.Struct, frozen=True):
    """One part of the path, in which the price only falls, or only rises, to `end` (quote)."""

    end: Decimal
    falls: bool

    def reaches(self, price: Decimal) -> bool:
        """Return whether the path has reached `price` at the end of this segment, in it or before it."""
        return self.end <= price if self.falls else self.end >= price

    def goes_beyond(self, limit: Decimal, begin: Decimal) -> bool:
        """Return whether the segment ends strictly beyond both the limit and its own beginning (quote)."""
        return self.end < min(limit, begin) if self.falls else self.end > max(limit, begin)

    def nearness(self, price: Decimal) -> Decimal:
        """Return a sort key of prices: the segment reaches prices with a smaller key first."""
        return -price if self.falls else price

    def moved(self, begin: Decimal, price: Decimal) -> Decimal:
        """Return the current price after an order at `price` was met: `begin` if that is farther along the path."""
        return min(begin, price) if self.falls else max(begin, price)


class CandlePath:
    """The price path through one candle, with the current price on it."""

    def __init__(self, candle: Candle, *, down_first: bool) -> None:
        self.candle = candle
        self.price = exact(candle.open)
        """The current price (quote)."""
        self.met: set[OrderRef] = set()
        """Orders whose price the path has reached; each is met once."""
        self.laid: set[OrderRef] = set()
        """Orders placed in reaction to fills on this path; they meet the rest of it."""
        low, high, close = exact(candle.low), exact(candle.high), exact(candle.close)
        first, second = PathSegment(low, falls=True), PathSegment(high, falls=False)
        self._segments = (first, second, PathSegment(close, falls=True))
        if not down_first:
            self._segments = (second, first, PathSegment(close, falls=False))

    def segments(self) -> Iterator[PathSegment]:
        """Yield the segments in order. Requesting the next one sets the current price to the end of the last."""
        for segment in self._segments:
            yield segment
            self.price = segment.end

    def knows(self, ref: OrderRef, since: int) -> bool:
        """Return whether an order placed at `since` (ms) can meet prices of this candle other than its close."""
        return since <= self.candle.open_time or ref in self.laid
